"""BullMQ's port to Python. Worker: this module, as its documentation writes one."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bullmq import Job, Queue, Worker

from benchmarks.peers.adding import PAYLOAD, SLOTS, Adder, fast_loop, url
from benchmarks.peers.tally import tally

QUEUE: Final = "peers"
_REMOVED: Final = {"removeOnComplete": True}


async def process(job: Job, token: str) -> None:
    if job.name == "nothing":
        tally().nothing(job.data)
    else:
        tally().since(job.data)


class _Adder:
    bulk = True

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def add(self, since_ns: int | None = None) -> None:
        if since_ns is None:
            await self._queue.add("nothing", PAYLOAD, _REMOVED)
        else:
            await self._queue.add("since", since_ns, _REMOVED)

    async def add_many(self, jobs: int) -> None:
        await self._queue.addBulk(
            [{"name": "nothing", "data": PAYLOAD, "opts": _REMOVED} for _ in range(jobs)]
        )


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    queue = Queue(QUEUE, {"connection": url()})
    yield _Adder(queue)
    await queue.close()


async def work() -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    worker = Worker(QUEUE, process, {"connection": url(), "concurrency": SLOTS})
    await stopped.wait()
    await worker.close()


if __name__ == "__main__":
    fast_loop()
    asyncio.run(work())
