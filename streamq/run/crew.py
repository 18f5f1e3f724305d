"""The children that a daemon keeps: so many of one kind, each replaced when it ends, and one for
the suspects of a queue while there are any.

Owns who has which seat and when an empty one is filled again. What an end means is the daemon's.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

from streamq.run.pipe import Command, Report, Setup, Stop
from streamq.run.process import ChildProcess, spawn
from streamq.store.calls import Calls, total

RESTART_PAUSE_S: Final = 0.5
RESTART_PAUSE_MAX_S: Final = 30.0
GOOD_AFTER_S: Final = 60.0
"""A child that lived this long begins a new count of deaths in a row."""
DOUBLINGS_MAX: Final = 16

log = logging.getLogger("streamq.daemon")


class Seat:
    """A place for one child."""

    def __init__(self) -> None:
        self.child: ChildProcess | None = None
        self.deaths = 0
        """In a row."""
        self.start_at = 0.0
        """Not before (monotonic)."""
        self.closed = False
        """An operator ended its child: it stays empty."""

    def vacate(self, *, died: bool) -> float:
        """Empties the seat; the pause before it is filled again, in seconds."""
        child, self.child = self.child, None
        now = time.monotonic()
        if child is not None and now - child.born_at >= GOOD_AFTER_S:
            self.deaths = 0
        pause_s = 0.0
        if died:
            doubled = RESTART_PAUSE_S * 2 ** min(self.deaths, DOUBLINGS_MAX)
            pause_s = min(doubled, RESTART_PAUSE_MAX_S)
            self.deaths += 1
        self.start_at = now + pause_s
        return pause_s


class Crew:
    """See the module. `setup_of` makes a setup: for the suspects of a queue, if it is named."""

    def __init__(
        self,
        processes: int,
        setup_of: Callable[[str | None], Setup],
        on_report: Callable[[ChildProcess, Report], None],
    ) -> None:
        self._setup_of = setup_of
        self._on_report = on_report
        self.seats = [Seat() for _ in range(processes)]
        self.retired: list[ChildProcess] = []
        """They end in their own time; their seats are taken again."""
        self.alone: dict[str, ChildProcess] = {}
        self.closed = False
        """No child is started any more."""
        self._calls_of_ended = Calls()

    def __iter__(self) -> Iterator[ChildProcess]:
        yield from self.seated
        yield from self.retired
        yield from self.alone.values()

    @property
    def seated(self) -> list[ChildProcess]:
        return [seat.child for seat in self.seats if seat.child is not None]

    @property
    def deserted(self) -> bool:
        """Whether every seat was closed by an operator and nobody is left."""
        return all(seat.closed for seat in self.seats) and not any(True for _ in self)

    def fill(self) -> list[ChildProcess]:
        """Starts a child in each empty seat whose pause is over; those started."""
        started = []
        for seat in self.seats:
            wanted = seat.child is None and not seat.closed and not self.closed
            if wanted and time.monotonic() >= seat.start_at:
                seat.child = self._start(None, seat)
                if seat.child is not None:
                    started.append(seat.child)
        return started

    def start_alone(self, queue: str) -> ChildProcess | None:
        """Starts the process for suspects of a queue, unless there is one; the one started."""
        if self.closed or queue in self.alone:
            return None
        child = self._start(queue, None)
        if child is not None:
            self.alone[queue] = child
        return child

    def _start(self, queue: str | None, seat: Seat | None) -> ChildProcess | None:
        try:
            return spawn(self._setup_of(queue), self._on_report)
        except OSError as error:
            # No process, no memory, no descriptor: it may pass.
            pause_s = seat.vacate(died=True) if seat is not None else 0.0
            log.error("[Daemon] cannot start a process: %s; again in %.1f s", error, pause_s)
            return None

    def retire(self, child: ChildProcess, *, told: bool) -> bool:
        """Gives a child's seat away; it ends in its own time. `told`: it was told to already.

        False if as many as there are seats are on their way out: it stays, for now.
        """
        seat = self._seat_of(child)
        if seat is None or (len(self.retired) >= len(self.seats) and not told):
            return False
        seat.vacate(died=False)
        child.retiring = True
        self.retired.append(child)
        if not told:
            child.send(Stop(None))
        return True

    def collect(self) -> list[ChildProcess]:
        """Those that have ended since the last time; they are not of the crew any more."""
        ended = [child for child in self if child.ended()]
        self.retired = [child for child in self.retired if child not in ended]
        self.alone = {q: child for q, child in self.alone.items() if child not in ended}
        self._calls_of_ended = total([self._calls_of_ended, *(c.tick.calls for c in ended)])
        return ended

    @property
    def calls(self) -> Calls:
        """Those of all children there ever were: what only grows must not fall when one ends."""
        return total([self._calls_of_ended, *(child.tick.calls for child in self)])

    def vacate(self, child: ChildProcess, *, died: bool) -> float | None:
        """Empties the seat of a child that ended; the pause until its successor, if any comes."""
        seat = self._seat_of(child)
        pause_s = None if seat is None else seat.vacate(died=died)
        return None if self.closed or (seat is not None and seat.closed) else pause_s

    def close_seat(self, child: ChildProcess) -> None:
        """An operator ended this child: nobody takes its place."""
        if (seat := self._seat_of(child)) is not None:
            seat.closed = True

    def send(self, command: Command) -> None:
        """Hands a command to every child."""
        for child in self:
            child.send(command)

    def _seat_of(self, child: ChildProcess) -> Seat | None:
        return next((seat for seat in self.seats if seat.child is child), None)
