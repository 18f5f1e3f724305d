"""Real daemons with real worker processes, one queue, and what may be asked of all of them.

    async with Fleet(server.url, prefix, tmp_path) as fleet:
        daemon = await fleet.start(lease="1s")
        job = await fleet.add("lasting", 60.0)
        await fleet.began(job)

At its end all of them are killed, and the invariants hold.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

import msgspec
import psutil
import redis

from streamq import Job, JobState
from streamq.settings import Settings
from streamq.store import reads
from streamq.store.address import Address
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.reads import WorkerSeen
from streamq.store.scripts import Link, link
from tests.support import handlers, invariants, servers
from tests.support.waiting import soon

ROOT: Final = Path(__file__).parents[2]
LIMIT_S: Final = 30.0
"""For anything that processes of ours have to come to on a busy machine."""

QUICK_LEASE: Final = "1500ms"
LONG_GRACE: Final = "20s"
"""More than a job needs to end on a slow machine; who means it to run out says a shorter one."""
NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
NO_CONFIG: Final[Mapping[str, object]] = MappingProxyType({})


class Ran(msgspec.Struct, frozen=True):
    """A handler began: which job, which attempt, in which process."""

    job: str
    attempt: int
    pid: int


class RunningDaemon:
    """One `streamq run`, as its operator sees it: a process, its children, its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    @property
    def children(self) -> list[int]:
        """The worker processes, oldest first."""
        try:
            return [child.pid for child in psutil.Process(self.pid).children()]
        except psutil.NoSuchProcess:
            return []

    def said(self, text: str) -> bool:
        return text in self.log

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def says(self, text: str, *, limit_s: float = LIMIT_S) -> None:
        await self._soon(lambda: self.said(text), f"{text!r} in the log", limit_s)

    async def ends(self, *, limit_s: float = LIMIT_S) -> int:
        """Its exit code, once it has one."""
        await self._soon(lambda: self._process.poll() is not None, "its end", limit_s)
        code = self._process.returncode
        assert isinstance(code, int)
        return code

    async def _soon(self, state: Callable[[], bool], what: str, limit_s: float) -> None:
        try:
            await soon(state, what, limit_s=limit_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; its log:\n{self.log}") from None

    async def stops(self, *, limit_s: float = LIMIT_S) -> int:
        """TERM; its exit code."""
        self.send(signal.SIGTERM)
        return await self.ends(limit_s=limit_s)

    def end_hard(self) -> None:
        """Leaves nothing behind, whatever a test did: an orphan is still of its session."""
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()


class Fleet:
    """See the module."""

    def __init__(self, url: str, prefix: str, folder: Path) -> None:
        self.url, self.prefix, self.folder = servers.door(url), prefix, folder
        self.raw_url = url
        self.daemons: list[RunningDaemon] = []
        self._ran = folder / "ran"
        self.redis = Redis(Address(self.url, "the test"), name="fleet")

    async def __aenter__(self) -> Self:
        here = Settings(prefix=self.prefix).with_redis(self.url, "the test")
        handlers.app.configure(here)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for daemon in self.daemons:
            daemon.end_hard()
        await handlers.app.close()
        await self.redis.close()
        if error is None:
            with redis.Redis.from_url(self.raw_url, protocol=2) as raw:
                invariants.check(raw, self.prefix)

    # -- daemons

    async def start(
        self,
        variables: Mapping[str, str] = NO_VARIABLES,
        *,
        ready: bool = True,
        config: Mapping[str, object] = NO_CONFIG,
        **settings: str,
    ) -> RunningDaemon:
        """Starts a daemon; `ready`: and waits until its workers turn.

        `settings` by name, without STREAMQ_.
        """
        daemon = launch(self.folder, {**self._environ(settings), **variables}, config)
        self.daemons.append(daemon)
        if ready:
            await daemon.says("initialized")
        return daemon

    def _environ(self, settings: Mapping[str, str]) -> dict[str, str]:
        given = {"prefix": self.prefix, "lease": QUICK_LEASE, "grace": LONG_GRACE, **settings}
        named = {f"STREAMQ_{name.upper()}": value for name, value in given.items()}
        return {"REDIS_URL": self.url, handlers.RAN: str(self._ran)} | named

    # -- jobs

    @property
    def link(self) -> Link:
        return link(self.redis, keys_of(self.prefix, handlers.QUEUE))

    async def add(self, name: str, data: object = None, *, attempts: int | None = None) -> str:
        added = await handlers.app.queue(handlers.QUEUE).add(name, data, attempts=attempts)
        return added.id

    async def job(self, job: str) -> Job:
        found = await handlers.app.queue(handlers.QUEUE).get(job)
        assert found is not None, job
        return found

    def let_go(self, job: str) -> None:
        """Lets a `held` job end."""
        handlers.let_go_file(self._ran, job).touch()

    async def reaches(self, job: str, *states: JobState, limit_s: float = LIMIT_S) -> Job:
        """The job, once it stands in one of these states."""

        async def there() -> bool:
            return (await self.job(job)).state in states

        await soon(there, f"job {job} is {' or '.join(states)}", limit_s=limit_s)
        return await self.job(job)

    async def began(self, job: str, times: int = 1, *, limit_s: float = LIMIT_S) -> Ran:
        """The latest begin of the job's handler, once there are so many."""
        await soon(
            lambda: len(self.ran(job)) >= times, f"job {job} began {times} times", limit_s=limit_s
        )
        return self.ran(job)[times - 1]

    def ran(self, job: str | None = None) -> list[Ran]:
        """Every begin of a handler (of that job), oldest first."""
        lines = self._ran.read_text().splitlines() if self._ran.exists() else []
        found = [Ran(n, int(a), int(p)) for n, a, p in (line.split() for line in lines)]
        return [r for r in found if (r.job == job if job else not r.job.startswith("lifespan"))]

    def notes(self) -> list[str]:
        """What the app's lifespan noted."""
        lines = self._ran.read_text().splitlines() if self._ran.exists() else []
        return [line.split()[0] for line in lines if line.startswith("lifespan")]

    async def workers(self) -> list[WorkerSeen]:
        return [w for w in await reads.workers(self.link) if w.live]

    async def beats(self, times: int = 2) -> None:
        """Waits until some live worker was heard of so many times more."""
        heard: set[int] = set()

        async def enough() -> bool:
            heard.update(w.heard_at_ms for w in await self.workers())
            return len(heard) > times

        await soon(enough, f"{times} beats", limit_s=LIMIT_S)


def launch(
    folder: Path, variables: Mapping[str, str], config: Mapping[str, object]
) -> RunningDaemon:
    """A daemon in a process of its own, in `folder`, where no settings of ours are found."""
    number = len(list(folder.glob("log*")))
    log = folder / f"log{number}"
    wanted = {"app": "tests.support.handlers:app", **config}
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("STREAMQ_", "REDIS_"))}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.run_daemon", msgspec.json.encode(wanted)],
            cwd=folder,
            env={**clean, "PYTHONPATH": str(ROOT), **variables},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return RunningDaemon(process, log)
