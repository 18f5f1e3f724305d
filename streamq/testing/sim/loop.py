"""The event loop of a simulation: virtual time, simulated processes, a seeded order of turns.

Each simulated process has a ready queue of its own. Within one, callbacks run in the order in which
they were made ready, as asyncio promises; whose turn it is, the seed decides. A process that was
killed never runs again, not even to clean up. When nobody can run, the clock jumps to the next
timer.
"""

import asyncio
import contextvars
import heapq
import secrets
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Final, NoReturn

Work = Coroutine[object, object, object]

CANCELS_MAX: Final = 20  # of one task, at the end: some do not end at once
END_S: Final = 200.0
IDS_BYTES: Final = 6
TURNS_AT_ONCE: Final = 64
"""Callbacks that run before the loop looks whether it is to stop."""


class Process:
    """A simulated operating-system process: what its tasks have in common."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        """As by SIGSTOP: nothing of it runs, what comes for it waits."""
        self.ends = False
        """It was told to end, and hands back what runs."""
        self.ready: deque[events.Handle] = deque()
        self.on_death: list[Callable[[], None]] = []
        self.context = contextvars.copy_context()
        self.context.run(_process.set, self)

    def kill(self) -> None:
        """As by SIGKILL: none of its code runs any more; the kernel closes its connections."""
        if self.alive:
            self.alive = False
            for closes in self.on_death:
                closes()

    def __repr__(self) -> str:
        return f"Process({self.name})"


_process: contextvars.ContextVar["Process"] = contextvars.ContextVar("_process")

OUTSIDE: Final = Process("outside")
"""The network, the server, and who plans the faults: it never dies."""


def current_process() -> Process:
    """Whose code runs."""
    return _process.get(OUTSIDE)


@contextmanager
def seeded_ids(rng: Random) -> Iterator[None]:
    """Within it, the ids that the engine draws are the seed's: sets of them have one order."""
    drawn = secrets.token_hex
    secrets.token_hex = lambda nbytes=None: rng.randbytes(nbytes or IDS_BYTES).hex()
    try:
        yield
    finally:
        secrets.token_hex = drawn


class Stuck(AssertionError):
    """Nothing is ready and no timer is set, though the simulation has not ended."""


class SimLoop(asyncio.BaseEventLoop):
    """See the module. Nothing of it touches a real clock, socket or thread."""

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self._rng = rng
        self._now_s = 0.0
        self._queues: list[Process] = []
        self._tasks: list[asyncio.Task[object]] = []
        self._of: dict[asyncio.Task[object], Process] = {}
        self.turns = 0
        """Callbacks that ran."""
        self.on_idle: Callable[[], bool] | None = None
        """Asked before the clock moves: True if it made somebody able to run."""
        self.connector: Callable[[asyncio.Protocol], asyncio.Transport] | None = None
        """Makes the transport of a new connection. Raises OSError."""
        self.set_task_factory(self._made)  # type: ignore[arg-type]  # of tasks alone
        self.set_exception_handler(self._said)
        self.failure: BaseException | None = None
        """The first error that nobody took, in whatever callback: the loop stops at it."""

    def time(self) -> float:
        """Virtual seconds since the simulation began."""
        return self._now_s

    def spawn(self, process: Process, main: Callable[[], Work]) -> None:
        """Runs a coroutine as that process, soon. An error that it lets through ends all."""

        def begin() -> None:
            task: asyncio.Task[object] = self.create_task(main())
            task.add_done_callback(lambda done: done.cancelled() or done.result())

        self.call_soon(begin, context=process.context)

    # -- what asyncio asks of a loop

    def _run_once(self) -> None:
        for _ in range(TURNS_AT_ONCE):
            if self._stopping:  # type: ignore[attr-defined]
                return
            handle = self._next()
            self.turns += 1
            handle._run()

    def _next(self) -> events.Handle:
        """Whose turn it is; the clock moves only when nobody can run."""
        while True:
            self._take_in()
            able = [p for p in self._queues if p.alive and not p.stopped]
            if not able:
                if self.on_idle is None or not self.on_idle():
                    self._jump()
                continue
            which = able[0] if len(able) == 1 else able[self._rng.randrange(len(able))]
            handle = which.ready.popleft()
            if not which.ready:
                self._queues.remove(which)
            if not handle._cancelled:
                return handle

    def _take_in(self) -> None:
        intake: deque[events.Handle] = self._ready  # type: ignore[attr-defined]
        while intake:
            self._queue(intake.popleft())
        timers: list[events.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        while timers and timers[0].when() <= self._now_s:
            timer = heapq.heappop(timers)
            timer._scheduled = False  # type: ignore[attr-defined]
            self._queue(timer)

    def _queue(self, handle: events.Handle) -> None:
        process: Process = handle._context.get(_process, OUTSIDE)  # type: ignore[attr-defined]
        if handle._cancelled:
            return
        if not process.ready:
            self._queues.append(process)
        process.ready.append(handle)

    def _jump(self) -> None:
        """To the next timer of a process that is there to see it."""
        timers: list[events.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if not timers:
            raise Stuck("nothing is ready, and no timer is set")
        self._now_s = max(self._now_s, timers[0].when())

    def _made(
        self, _: asyncio.AbstractEventLoop, work: Work, **options: contextvars.Context | None
    ) -> "asyncio.Task[object]":
        task: asyncio.Task[object] = asyncio.Task(work, loop=self, **options)  # type: ignore[arg-type]
        self._tasks.append(task)
        self._of[task] = current_process()
        return task

    def _said(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if self.failure is None:
            self.failure = error if isinstance(error, BaseException) else Stuck(str(context))
            self.stop()

    def _process_events(self, _: object) -> None:
        """There is no selector."""

    def _write_to_self(self) -> None:
        """There is no other thread."""

    def run_in_executor(self, *_: object) -> NoReturn:
        """Threads would bring an order that no seed decides."""
        raise AssertionError("a simulation has no threads")

    async def create_unix_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], path: str | None = None, **_: object
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """A connection over the simulated network, whatever `path` is."""
        assert self.connector is not None, path
        protocol = protocol_factory()
        transport = self.connector(protocol)
        protocol.connection_made(transport)
        return transport, protocol

    def discard(self) -> None:
        """Cancels whatever is left, of dead processes too, so that nothing stays half done.

        Nothing that it does now counts: the network must be away.
        """
        self.failure = Stuck("the end")
        for process in {p for task in self._tasks if (p := self._of.get(task))}:
            process.alive, process.stopped = True, False
        for _ in range(CANCELS_MAX):
            left = [task for task in self._tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            with suppress(Stuck):
                self.run_until_complete(asyncio.wait(left, timeout=END_S))
        self._tasks.clear()
        self._of.clear()

    def __del__(self) -> None:
        """There is nothing to close."""
