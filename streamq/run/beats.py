"""Beats for the workers of a process and its children, and sees that the chores get done.

Owns the rhythm's content, not its time: a round is one beat a queue. A chore runs beside the
rounds, on another connection, so that a long one delays no beat.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from streamq.clock import REAL, Clock
from streamq.errors import StoreError
from streamq.job import WorkerId
from streamq.run.upkeep import Keeps, Upkeep, beat_queue
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.replies import Beaten, Chore
from streamq.store.scripts import Link, link

SAY_EVERY_S: Final = 60.0  # while Redis is away
LIMIT_S: Final = 5.0  # for chores that still run when everything ends

log = logging.getLogger("streamq.beats")

Heard = Callable[[str, Beaten], None]
"""What a beat of a queue told."""


class Outage:
    """Redis away: said once, then once a minute, and once when it is back."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._said_at = 0.0

    @property
    def lasts(self) -> bool:
        return self._since is not None

    def lost(self, error: StoreError) -> None:
        now = time.monotonic()
        if self._since is None:
            self._since = self._said_at = now
            log.error("[Redis] redis.lost: %s", error, extra={"event": "redis.lost"})
        elif now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            log.error(
                "[Redis] redis.lost for %.0f s: %s", now - self._since, error,
                extra={"event": "redis.lost"},
            )  # fmt: skip

    def back(self) -> None:
        if self._since is not None:
            log.warning(
                "[Redis] redis.back after %.0f s, 0 jobs lost", time.monotonic() - self._since,
                extra={"event": "redis.back"},
            )  # fmt: skip
            self._since = None


class Beats:
    """See the module. `duty`: the daemon that would run suspects when `on_alone` says so."""

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        *,
        lease_ms: int,
        heard: Heard,
        duty: str = "",
        on_alone: Callable[[str], None] | None = None,
        clock: Clock = REAL,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lease_ms = lease_ms
        self._heard = heard
        self._duty = duty
        self._on_alone = on_alone
        self._clock = clock
        self._queues: dict[str, tuple[Link, Keeps, Upkeep]] = {}
        self._chores: dict[tuple[str, str], asyncio.Task[None]] = {}

    @property
    def queues(self) -> list[str]:
        return list(self._queues)

    def link(self, queue: str) -> Link:
        """The queue, over the connection of the chores."""
        return link(self._redis, keys_of(self._prefix, queue))

    def keep(self, queue: str, keeps: Keeps) -> None:
        """From now on the queue is beaten for; `keeps` may come again, changed."""
        on_alone = self._on_alone
        upkeep = Upkeep(
            self.link(queue),
            lease_ms=self._lease_ms,
            keeps=keeps,
            on_alone=None if on_alone is None else lambda: on_alone(queue),
            clock=self._clock,
        )
        at = link(self._redis, keys_of(self._prefix, queue), "beat")
        self._queues[queue] = (at, keeps, upkeep)

    async def round(self, workers: Mapping[str, Sequence[WorkerId]]) -> None:
        """One beat a queue, within a third of the lease. Raises StoreError: some queue was not."""
        # Over this limit the next beat is due, and a connection that says nothing is given up.
        async with asyncio.timeout(self._lease_ms / 3000):
            for queue, (at, keeps, upkeep) in list(self._queues.items()):
                beaten = await beat_queue(
                    at,
                    workers.get(queue, ()),
                    lease_ms=self._lease_ms,
                    keeps=keeps,
                    duty=self._duty,
                    clock=self._clock,
                )
                self._heard(queue, beaten)
                for chore in beaten.chores:
                    self._begin(queue, upkeep, chore)

    def _begin(self, queue: str, upkeep: Upkeep, chore: Chore) -> None:
        key = (queue, chore.name)
        if key in self._chores:
            return  # still at it; what is left is named again
        doing = asyncio.create_task(self._do(queue, upkeep, chore))
        self._chores[key] = doing
        doing.add_done_callback(lambda done: self._done(key, done))

    def _done(self, key: tuple[str, str], done: "asyncio.Task[None]") -> None:
        self._chores.pop(key, None)
        if not done.cancelled() and (error := done.exception()) is not None:
            # A fault of ours in a chore must not end the beats; it is named again, and told again.
            queue, name = key
            log.error("[QueueManager] chore %s of queue '%s'", name, queue, exc_info=error)

    async def _do(self, queue: str, upkeep: Upkeep, chore: Chore) -> None:
        try:
            await upkeep.do(chore)
        except StoreError as error:
            log.debug("chore %s of queue %s: %s", chore.name, queue, error)

    async def close(self) -> None:
        """Lets the chores at hand end, within a limit."""
        if self._chores:
            _, late = await asyncio.wait(self._chores.values(), timeout=LIMIT_S)
            for each in late:
                each.cancel()
