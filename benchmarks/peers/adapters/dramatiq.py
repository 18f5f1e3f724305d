"""dramatiq. Worker: `dramatiq benchmarks.peers.adapters.dramatiq`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.adding import PAYLOAD, Adder, url
from benchmarks.peers.tally import tally

broker = RedisBroker(url=url())
dramatiq.set_broker(broker)


def _nothing(data: str) -> None:
    tally().nothing(data)


def _since(added_ns: int) -> None:
    tally().since(added_ns)


nothing = dramatiq.actor(_nothing, actor_name="nothing")
since = dramatiq.actor(_since, actor_name="since")


class _Adder:
    bulk = False

    async def add(self, since_ns: int | None = None) -> None:
        if since_ns is None:
            nothing.send(PAYLOAD)
        else:
            since.send(since_ns)

    async def add_many(self, jobs: int) -> None:
        raise NotImplementedError


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    yield _Adder()
    broker.close()
