"""The way in for code without an event loop: Flask, Django, scripts, threads.

One loop in one daemon thread of each process runs the blocking twins (`add_sync`, ...) of all apps.
A fork starts without it: a child's first call makes a new one.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, TypeVar

from streamq.errors import SyncInLoop

START_LIMIT_S: Final = 10.0
END_LIMIT_S: Final = 2.0
"""At the end of the process, for connections to be closed."""

T = TypeVar("T")


class _Thread:
    """The loop, the thread that runs it, and what is to be closed before it ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._thread = threading.Thread(target=self._run, name="streamq-blocking", daemon=True)
        started = threading.Event()
        self.loop.call_soon(started.set)
        self._thread.start()
        assert started.wait(START_LIMIT_S), "the thread of the blocking calls does not start"

    def at_end(self, close: Callable[[], Awaitable[None]]) -> None:
        self._closers.append(close)

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(END_LIMIT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self._close())
        self.loop.close()

    async def _close(self) -> None:
        for close in self._closers:
            await close()


_lock = threading.Lock()
_thread: _Thread | None = None
_forked: list[_Thread] = []


def run(work: Callable[[], Coroutine[None, None, T]], *, called: str, instead: str) -> T:
    """Runs a coroutine on the process's own loop, and waits for it.

    `called` and `instead` are names for the message. Raises SyncInLoop where a loop runs: it would
    stand still for as long as this call takes.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise SyncInLoop(called, instead)
    future = asyncio.run_coroutine_threadsafe(work(), _running_thread().loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()  # interrupted from the keyboard: nobody waits any more
        raise


def at_end_of(loop: asyncio.AbstractEventLoop, close: Callable[[], Awaitable[None]]) -> None:
    """Has `close` called when the process ends, if `loop` is the one of the blocking calls."""
    if _thread is not None and loop is _thread.loop:
        _thread.at_end(close)


def loop_in_use() -> asyncio.AbstractEventLoop | None:
    """The loop of the blocking calls, if this process has one."""
    return None if _thread is None else _thread.loop


def _running_thread() -> _Thread:
    global _thread
    with _lock:
        if _thread is None:
            _thread = _Thread()
        return _thread


def _after_fork_in_child() -> None:
    """The thread is not here, and the lock may be held by one that is not, either."""
    global _lock, _thread
    _lock = threading.Lock()
    if _thread is not None:
        # Kept, never closed: its sockets and its poller are shared with the parent.
        _forked.append(_thread)
        _thread = None


def _end() -> None:
    global _thread
    if _thread is not None:
        _thread.end()
        _thread = None


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_end)
