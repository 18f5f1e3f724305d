"""Clockworks in the test's own loop: as many processes as a test wants, whose time it moves."""

import asyncio
import re
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from streamq import App
from streamq.run.clockwork import Clockwork
from streamq.store import reads
from streamq.store.address import Address
from streamq.store.client import Redis
from streamq.store.replies import ScheduleState
from tests.support.workers import Floor, StillClock

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LOOKS_MAX = 5
AT_ONCE_S = 0.01


class Clockworks:
    """`async with Clockworks(floor) as clockworks`: closes their connections at its end."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self._opened: list[Redis] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(redis.close() for redis in self._opened))

    def start(self, *, app: App | None = None, url: str | None = None) -> Clockwork:
        """A process that has just started: it knows nothing yet."""
        redis = Redis(Address(url or self.floor.url, "the test"), name="clockwork")
        self._opened.append(redis)
        return Clockwork(app or self.floor.app, redis)

    async def later(self, ms: int, *clockworks: Clockwork) -> None:
        """Moves the still clock; then these look at it, one after the other."""
        clock = self.floor.app.clock
        assert isinstance(clock, StillClock), "time does not stand still: stop_time()"
        await self.floor.later(ms)
        for clockwork in clockworks:
            await turn(clockwork)

    def fired(self, name: str) -> list[int]:
        """The slots of a schedule whose jobs are there, in ms."""
        return slots_in(self.floor.states(), name)

    async def state(self, name: str) -> ScheduleState:
        found = await reads.schedule(self.floor.link(), name)
        assert found is not None, f"{name} was declared by nobody"
        return found


async def turn(clockwork: Clockwork) -> None:
    """Looks at what is due, in each queue, until there is nothing to do at once."""
    for dial in clockwork.dials:
        for _ in range(LOOKS_MAX):
            if await dial.turn() > AT_ONCE_S:
                break


def slots_in(ids: Iterable[str], name: str) -> list[int]:
    """The slots of a schedule whose jobs have these ids: not those run by hand, nor planned."""
    found = (re.fullmatch(rf"sched:{re.escape(name)}:(\d+)", job) for job in ids)
    return sorted(int(match[1]) for match in found if match)
