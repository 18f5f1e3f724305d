"""streamq itself, measured as its peers are. Worker: `streamq run ...adapters.streamq:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from benchmarks.peers.adding import PAYLOAD, Adder, url
from benchmarks.peers.tally import tally
from streamq.adding import NewJob
from streamq.app import App
from streamq.queue import Queue
from streamq.settings import Settings

QUEUE: Final = "peers"

app = App("peers", settings=Settings().with_redis(url(), "the benchmark's own server"))


async def _nothing(data: str) -> None:
    tally().nothing(data)


async def _since(added_ns: int) -> None:
    tally().since(added_ns)


app.job(QUEUE, name="nothing")(_nothing)
app.job(QUEUE, name="since")(_since)


class _Adder:
    bulk = True

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def add(self, since_ns: int | None = None) -> None:
        if since_ns is None:
            await self._queue.add("nothing", PAYLOAD)
        else:
            await self._queue.add("since", since_ns)

    async def add_many(self, jobs: int) -> None:
        await self._queue.add_many([NewJob("nothing", PAYLOAD) for _ in range(jobs)])


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    async with app:
        yield _Adder(app.queue(QUEUE))
