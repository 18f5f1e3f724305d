"""A daemon's beats: for each child that lives and is not stopped, every third of the lease.

Owns the connection to Redis that the daemon has, and so what is said when it is lost and back.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from streamq.errors import LayoutNewer, OutcomeUnknown, StoreError
from streamq.job import WorkerId
from streamq.run.beats import Beats, Outage
from streamq.run.crew import Crew
from streamq.run.pipe import Cancelled, Gone
from streamq.run.process import ChildProcess
from streamq.run.upkeep import workers_of
from streamq.run.watch import Sight
from streamq.store.client import Redis
from streamq.store.replies import Beaten
from streamq.store.scripts import Link

FLAGS_MAX: Final = 1_000  # told a child in one message


class Rounds:
    """See the module. `duty`: this daemon's id; `hung_s` is asked at each round: it may change."""

    def __init__(
        self,
        crew: Crew,
        redis: Redis,
        prefix: str,
        *,
        lease_ms: int,
        duty: str,
        hung_s: Callable[[], float],
        on_alone: Callable[[str], None],
    ) -> None:
        self._crew = crew
        self._duty = duty
        self._lease_s = lease_ms / 1000
        self._hung_s = hung_s
        self._now = asyncio.Event()
        self._outage = Outage()
        self._beats = Beats(
            redis, prefix, lease_ms=lease_ms, heard=self._heard, duty=duty, on_alone=on_alone
        )
        self.latency_ms: float | None = None
        """Of the last round, by queue."""

    @property
    def redis_is_away(self) -> bool:
        return self._outage.lasts

    @property
    def queues(self) -> list[str]:
        return self._beats.queues

    def link(self, queue: str) -> Link:
        return self._beats.link(queue)

    def take(self, child: ChildProcess) -> None:
        """A child is ready: its queues are beaten for from now on, first of all at once."""
        if child.ready is not None:
            for queue, keeps in child.ready.queues.items():
                self._beats.keep(queue, keeps)
            self._now.set()

    async def run(self) -> None:
        """Round after round. Raises LayoutNewer: workers of a newer streamq came; this one ends."""
        while True:
            began = time.monotonic()
            await self._round()
            left_s = self._lease_s / 3 - (time.monotonic() - began)
            await until(self._now, max(0.0, left_s))

    async def close(self) -> None:
        await self._beats.close()

    async def _round(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._lease_s / 3):
                workers = await self._workers()
            await self._beats.round(workers)
        except LayoutNewer:
            raise
        except (StoreError, TimeoutError) as error:
            silent = OutcomeUnknown("beat", "time-out")
            self._outage.lost(error if isinstance(error, StoreError) else silent)
        else:
            self._outage.back()
            took_ms = (time.monotonic() - began) * 1000
            self.latency_ms = round(took_ms / max(1, len(self._beats.queues)), 2)

    async def _workers(self) -> dict[str, list[WorkerId]]:
        """Of each child that is not stopped; the look comes first, a beat would keep it alive."""
        lives = [c for c in self._crew if c.look(self._hung_s()) is not Sight.STOPPED]
        found: dict[str, set[WorkerId]] = {}
        for child in lives:
            for queue, ids in child.workers.items():
                found.setdefault(queue, set()).update(ids)
        for child in lives:
            # A handler that holds the loop from its very first moment: its worker's id is in Redis
            # and has not come here.
            if child.ready is not None and self._is_behind(child):
                for queue in child.ready.queues:
                    at = self._beats.link(queue)
                    untold = await workers_of(at, daemon=self._duty, pid=child.pid)
                    found.setdefault(queue, set()).update(untold)
        return {queue: sorted(ids) for queue, ids in found.items()}

    def _is_behind(self, child: ChildProcess) -> bool:
        """Whether it may have workers that it has not told of."""
        told = child.workers.values()
        silent_s = time.monotonic() - child.heard_at
        return not told or not all(told) or silent_s > self._lease_s / 3

    def _heard(self, queue: str, beaten: Beaten) -> None:
        for child in self._crew:
            mine = child.workers.get(queue, ())
            if gone := beaten.gone.intersection(mine):
                child.send(Gone(queue, tuple(gone)))
            if mine and beaten.flagged:
                flags = list(beaten.flagged.items())
                for first in range(0, len(flags), FLAGS_MAX):
                    child.send(Cancelled(queue, dict(flags[first : first + FLAGS_MAX])))


async def until(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set, which it then is no more, or after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
    event.clear()
