"""The pages /metrics and /scale/<queue>, for whoever has a port and knows where Redis is.

They are the same on a worker's port and from `streamq exporter`: all of it is read from Redis.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from streamq.errors import InvalidName, MissingExtra, StoreError
from streamq.metrics import Exporter, Process
from streamq.run.port import JSON, Answer, Asked, Page
from streamq.scale import scale_of
from streamq.store import calls as called
from streamq.store import reads
from streamq.store.address import Address
from streamq.store.calls import Calls
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.scripts import link

METRICS: Final = "/metrics"
SCALE: Final = "/scale/"
SCALE_LIMIT_S: Final = 2.0


def _nothing() -> Sequence[str]:
    return ()


def _nobody() -> Sequence[Process]:
    return ()


class Pages:
    """The pages of a daemon, which has its port before it knows where Redis is."""

    def __init__(self) -> None:
        self._make: Callable[[], Measured] | None = None
        self._made: Measured | None = None

    @property
    def by_path(self) -> Mapping[str, Page]:
        return {METRICS: self._metrics, SCALE: self._scale}

    def begin(self, make: Callable[[], "Measured"]) -> None:
        """From now on they can be made: when the first is asked for."""
        self._make = make

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()

    async def _metrics(self, asked: Asked) -> Answer:
        found = self._measured()
        return found if isinstance(found, Answer) else await found.metrics(asked)

    async def _scale(self, asked: Asked) -> Answer:
        found = self._measured()
        return found if isinstance(found, Answer) else await found.scale(asked)

    def _measured(self) -> "Measured | Answer":
        if self._made is None:
            if self._make is None:
                return _not_now("starting")
            try:
                self._made = self._make()
            except MissingExtra as error:
                return _not_now(str(error))
        return self._made


def _not_now(why: str) -> Answer:
    return Answer(f"{why}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE)


class Measured:
    """See the module. `slots_of` a queue: jobs at a time in a process that does not live yet."""

    def __init__(
        self,
        address: Address,
        prefix: str,
        *,
        slots_of: Callable[[str], int],
        queues: Callable[[], Sequence[str]] = _nothing,
        processes: Callable[[], Sequence[Process]] = _nobody,
        calls: Callable[[], Calls] = called.own,
    ) -> None:
        """Raises MissingExtra without prometheus-client."""
        self._address = address
        self._prefix = prefix
        self._slots_of = slots_of
        self._exporter = Exporter(address, prefix, queues=queues, processes=processes, calls=calls)

    @property
    def pages(self) -> Mapping[str, Page]:
        return {METRICS: self.metrics, SCALE: self.scale}

    async def close(self) -> None:
        await self._exporter.close()

    async def metrics(self, asked: Asked) -> Answer:
        """Always 200, within a second: that Redis is away is one of the metrics."""
        kind, body = await self._exporter.text(asked.headers.get("accept", ""))
        return Answer(body, kind=kind)

    async def scale(self, asked: Asked) -> Answer:
        """404 for a queue that nobody ever used, 503 while Redis is away."""
        name = asked.path.removeprefix(SCALE)
        redis = Redis(self._address, name="streamq-scale")
        try:
            async with asyncio.timeout(SCALE_LIMIT_S):
                at = link(redis, keys_of(self._prefix, name))
                if name not in await reads.queues(redis, self._prefix):
                    return Answer(b"nobody ever used a queue of that name\n", HTTPStatus.NOT_FOUND)
                found = await scale_of(at, slots=self._slots_of(name))
        except InvalidName as error:
            return Answer(f"{error}\n".encode(), HTTPStatus.NOT_FOUND)
        except (StoreError, TimeoutError):
            return Answer(b"Redis does not answer\n", HTTPStatus.SERVICE_UNAVAILABLE)
        finally:
            await redis.close()
        return Answer(msgspec.json.encode(found) + b"\n", kind=JSON)
