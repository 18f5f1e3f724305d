"""Huey. Worker: `huey_consumer benchmarks.peers.adapters.huey.huey`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from huey import RedisHuey

from benchmarks.peers.adding import PAYLOAD, Adder, url
from benchmarks.peers.tally import tally

huey = RedisHuey("peers", url=url(), results=False)


def _nothing(data: str) -> None:
    tally().nothing(data)


def _since(added_ns: int) -> None:
    tally().since(added_ns)


nothing = huey.task(name="nothing")(_nothing)
since = huey.task(name="since")(_since)


class _Adder:
    bulk = False

    async def add(self, since_ns: int | None = None) -> None:
        if since_ns is None:
            nothing(PAYLOAD)
        else:
            since(since_ns)

    async def add_many(self, jobs: int) -> None:
        raise NotImplementedError


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    yield _Adder()
    huey.storage.conn.close()
