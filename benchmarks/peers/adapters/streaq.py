"""streaq. Worker: `streaq run benchmarks.peers.adapters.streaq:worker`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streaq import Worker

from benchmarks.peers.adding import PAYLOAD, SLOTS, Adder, url
from benchmarks.peers.tally import tally

worker = Worker(redis_url=url(), concurrency=SLOTS, anyio_kwargs={"use_uvloop": True})


async def _nothing(data: str) -> None:
    tally().nothing(data)


async def _since(added_ns: int) -> None:
    tally().since(added_ns)


nothing = worker.task(name="nothing", ttl=0, silent=True)(_nothing)
since = worker.task(name="since", ttl=0, silent=True)(_since)


class _Adder:
    bulk = True

    async def add(self, since_ns: int | None = None) -> None:
        if since_ns is None:
            await nothing.enqueue(PAYLOAD)
        else:
            await since.enqueue(since_ns)

    async def add_many(self, jobs: int) -> None:
        await worker.enqueue_many([nothing.enqueue(PAYLOAD) for _ in range(jobs)])


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    async with worker:
        yield _Adder()
