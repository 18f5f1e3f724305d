"""taskiq on its broker of Redis Streams. Worker: `taskiq worker ...adapters.taskiq:broker`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskiq_redis import RedisStreamBroker

from benchmarks.peers.adding import PAYLOAD, Adder, url
from benchmarks.peers.tally import tally

broker = RedisStreamBroker(url())


async def _nothing(data: str) -> None:
    tally().nothing(data)


async def _since(added_ns: int) -> None:
    tally().since(added_ns)


nothing = broker.register_task(_nothing, "nothing")
since = broker.register_task(_since, "since")


class _Adder:
    bulk = False

    async def add(self, since_ns: int | None = None) -> None:
        if since_ns is None:
            await nothing.kiq(PAYLOAD)
        else:
            await since.kiq(since_ns)

    async def add_many(self, jobs: int) -> None:
        raise NotImplementedError


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    await broker.startup()
    yield _Adder()
    await broker.shutdown()
