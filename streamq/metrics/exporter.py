"""Answers scrapes. However many there are, Redis is read once a second at most, over a connection
of its own; a Redis that hangs costs a scrape less than a second, and it is told what was seen last.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from streamq.errors import MissingExtra, StoreError
from streamq.home import Home
from streamq.metrics.bounds import Shown, shown
from streamq.metrics.seen import Process, RedisSeen, look
from streamq.store import calls as called
from streamq.store.address import Address
from streamq.store.calls import Calls
from streamq.store.client import Redis

READ_EVERY_S: Final = 1.0
ANSWER_S: Final = 0.7
"""A scrape waits no longer for Redis."""
READ_LIMIT_S: Final = 5.0
"""Then a reading is given up, and its connection with it."""

OPEN_METRICS: Final = "application/openmetrics-text"

log = logging.getLogger("streamq.metrics")


def _nothing() -> Sequence[str]:
    return ()


def _nobody() -> Sequence[Process]:
    return ()


class Exporter:
    """See the module. For one event loop at a time."""

    def __init__(
        self,
        address: Address,
        prefix: str,
        *,
        queues: Callable[[], Sequence[str]] = _nothing,
        processes: Callable[[], Sequence[Process]] = _nobody,
        calls: Callable[[], Calls] = called.own,
    ) -> None:
        """`queues`: those that are never left out; `processes`, and their `calls`: those that only
        the caller knows.

        Raises MissingExtra without prometheus-client.
        """
        try:
            import prometheus_client  # noqa: F401 - said here, and not at the first scrape
        except ImportError:
            raise MissingExtra("Metrics", "prometheus-client", "metrics") from None
        self._address = address
        self._prefix = prefix
        self._queues = queues
        self._processes = processes
        self._calls = calls
        self._reading: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began_at: float | None = None
        self._seen_at: float | None = None
        self._took_s = 0.0
        self._up = False
        self._redis: RedisSeen | None = None
        self._shown: Shown | None = None
        self._texts: dict[tuple[bool, bool], tuple[str, bytes]] = {}
        """By up, and whether it is OpenMetrics: of one reading, made once."""

    def reads(self, address: Address, prefix: str) -> bool:
        """Whether it reads there: an App may be told of another place."""
        return (self._address, self._prefix) == (address, prefix)

    async def text(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body, within a second. `accept`: the header of who asks."""
        up = await self._freshen() and self._up
        key = (up, OPEN_METRICS in accept)
        if up and key in self._texts:
            return self._texts[key]
        made = self._rendered(*key)
        if up:
            self._texts[key] = made
        return made

    async def close(self) -> None:
        """Gives up a reading that is under way."""
        if self._reading is not None and not self._reading.done():
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _freshen(self) -> bool:
        """Reads, unless that was done within the last second; whether it is over."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        if self._loop is not loop:
            self._loop, self._reading = loop, None  # the loop before has ended, and all in it
        reading = self._reading
        if reading is None or reading.done():
            if self._began_at is not None and now - self._began_at < READ_EVERY_S:
                return True
            self._began_at = now
            reading = self._reading = asyncio.create_task(self._read())
        # Not cancelled with the scrape that happened to begin it: others wait for it as well.
        done, _ = await asyncio.wait([reading], timeout=ANSWER_S)
        return bool(done)

    async def _read(self) -> None:
        began = time.monotonic()
        redis = Redis(self._address, name="streamq-metrics")
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                seen = await look(redis, self._prefix, self._queues())
        except (StoreError, TimeoutError) as error:
            log.debug("metrics: %s: %s", type(error).__name__, error)
            self._up = False
        else:
            self._redis, self._shown = seen.redis, shown(seen, self._processes())
            self._seen_at, self._took_s = began, time.monotonic() - began
            self._up = True
            self._texts.clear()
        finally:
            # Of its own and for one reading: nobody else is held up when it hangs, and nothing is
            # left open that somebody would have to close.
            await redis.close()

    def _rendered(self, up: bool, as_open_metrics: bool) -> tuple[str, bytes]:
        from streamq.metrics import families

        reading = families.Reading(
            self._redis,
            self._shown,
            self._calls(),
            up=up,
            scrape_s=self._took_s,
            age_s=None if self._seen_at is None else time.monotonic() - self._seen_at,
        )
        return families.open_metrics(reading) if as_open_metrics else families.plain(reading)


_of_homes: WeakKeyDictionary[Home, Exporter] = WeakKeyDictionary()


async def metrics_text(app: Home, accept: str = "") -> tuple[str, bytes]:
    """What a route `/metrics` of an App answers: content type and body, within a second.

    `accept`: the header of who asks; without it, the plain text format. Raises MissingExtra.
    """
    exporter, session = _of_homes.get(app), app.session()
    if exporter is None or not exporter.reads(session.redis.address, session.prefix):
        exporter = Exporter(session.redis.address, session.prefix, queues=app.queue_names)
        _of_homes[app] = exporter
    return await exporter.text(accept)
