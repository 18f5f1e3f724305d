"""SAQ. Worker: `saq benchmarks.peers.adapters.saq.settings`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from saq import Queue

from benchmarks.peers.adding import PAYLOAD, SLOTS, Adder, fast_loop, url
from benchmarks.peers.tally import tally

fast_loop()
queue = Queue.from_url(url(), max_concurrent_ops=SLOTS)
KEEP_NOTHING: Final = -1
"""As `ttl`: a job is removed when it has ended."""


async def nothing(context: dict[str, object], *, data: str) -> None:
    tally().nothing(data)


async def since(context: dict[str, object], *, added_ns: int) -> None:
    tally().since(added_ns)


settings = {"queue": queue, "functions": [nothing, since], "concurrency": SLOTS}


class _Adder:
    bulk = False

    async def add(self, since_ns: int | None = None) -> None:
        if since_ns is None:
            await queue.enqueue("nothing", data=PAYLOAD, ttl=KEEP_NOTHING)
        else:
            await queue.enqueue("since", added_ns=since_ns, ttl=KEEP_NOTHING)

    async def add_many(self, jobs: int) -> None:
        raise NotImplementedError


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    await queue.connect()
    yield _Adder()
    await queue.disconnect()
