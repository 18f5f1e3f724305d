"""An App whose handlers do what handlers should not: for real worker processes in tests.

Each notes in a file that it began: `STREAMQ_TEST_RAN` names it, a line is id, attempt, process.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from streamq import App, Context

RAN = "STREAMQ_TEST_RAN"
SLOW_IMPORT = "STREAMQ_TEST_SLOW_IMPORT"
SLOW_LIFESPAN = "STREAMQ_TEST_SLOW_LIFESPAN"
FAILING_LIFESPAN = "STREAMQ_TEST_FAILING_LIFESPAN"

QUEUE = "q"
LOOK_S = 0.01


def let_go_file(ran: Path, job: str) -> Path:
    """There once the `held` job may end; beside the file of what ran."""
    return ran.with_name(f"let-go-{job}")


@asynccontextmanager
async def _lifespan(app: App) -> AsyncIterator[None]:
    _note_line("lifespan-begins 0")
    await asyncio.sleep(float(os.environ.get(SLOW_LIFESPAN, "0")))
    if FAILING_LIFESPAN in os.environ:
        raise RuntimeError("no database")
    _note_line("lifespan 0")
    yield
    _note_line("lifespan-end 0")


app = App("tests", lifespan=_lifespan)

# For what happens to a child that has not even got so far.
time.sleep(float(os.environ.get(SLOW_IMPORT, "0")))


def _note(job: Context) -> None:
    _note_line(f"{job.id} {job.attempt}")


def _note_line(text: str) -> None:
    if RAN in os.environ:
        with Path(os.environ[RAN]).open("a") as file:
            # One write: lines of several processes do not mix.
            file.write(f"{text} {os.getpid()}\n")


def _times(job: Context) -> int:
    """How often its handler has begun."""
    return Path(os.environ[RAN]).read_text().count(job.id)


@app.job(QUEUE)
async def quick(data: object, job: Context) -> str:
    _note(job)
    return "done"


@app.job(QUEUE)
async def lasting(data: float, job: Context) -> str:
    """Sleeps, and lets itself be cancelled."""
    _note(job)
    await asyncio.sleep(data)
    return "slept"


@app.job(QUEUE)
async def held(data: object, job: Context) -> str:
    """Lasts until the test lets it go: no test's verdict hangs on how fast its machine is."""
    _note(job)
    file = let_go_file(Path(os.environ[RAN]), job.id)
    while not file.exists():  # noqa: ASYNC110 - another process says so
        await asyncio.sleep(LOOK_S)
    return "let go"


@app.job(QUEUE)
async def stubborn(data: float, job: Context) -> None:
    """Sleeps, and does not let itself be cancelled."""
    _note(job)
    end = time.monotonic() + data
    while (left := end - time.monotonic()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(left)


@app.job(QUEUE)
def threaded(data: float, job: Context) -> str:
    """A plain function: it sleeps in a thread, which nobody can cancel."""
    _note(job)
    time.sleep(data)
    return "slept"


@app.job(QUEUE)
async def holds_loop(data: float, job: Context) -> str:
    """Nothing else of the process turns meanwhile, but its threads."""
    _note(job)
    time.sleep(data)  # noqa: ASYNC251 - that is what it is for
    return "held"


@app.job(QUEUE)
async def holds_lock(data: float, job: Context) -> str:
    """Nothing of the process turns meanwhile: the interpreter's lock is held, without CPU time."""
    _note(job)
    ctypes.PyDLL(None).usleep(int(data * 1_000_000))
    return "held"


@app.job(QUEUE)
async def deadlocks(data: object, job: Context) -> None:
    """The loop waits for itself, for ever."""
    _note(job)
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


@app.job(QUEUE)
async def crashes(data: str, job: Context) -> None:
    """Ends its process by the signal, or the exit code, that the data names."""
    _note(job)
    if data.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[data])
    os._exit(int(data))


@app.job(QUEUE)
async def crashes_twice(data: float, job: Context) -> str:
    """Ends its process the first two times, and then lasts."""
    _note(job)
    if _times(job) <= 2:
        os._exit(1)
    await asyncio.sleep(data)
    return "well"


@app.job(QUEUE)
async def eats(data: int, job: Context) -> str:
    """Holds so many MiB for ever."""
    _note(job)
    _eaten.append(b"x" * (data << 20))
    return "eaten"


_eaten: list[bytes] = []
