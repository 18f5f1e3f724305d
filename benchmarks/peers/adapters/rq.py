"""RQ. Worker: `rq worker --worker-class rq.worker.SimpleWorker`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis import Redis
from rq import Queue

from benchmarks.peers.adding import PAYLOAD, Adder, url
from benchmarks.peers.tally import tally


def nothing(data: str) -> None:
    tally().nothing(data)


def since(added_ns: int) -> None:
    tally().since(added_ns)


class _Adder:
    bulk = True

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def add(self, since_ns: int | None = None) -> None:
        if since_ns is None:
            self._queue.enqueue(nothing, PAYLOAD, result_ttl=0)
        else:
            self._queue.enqueue(since, since_ns, result_ttl=0)

    async def add_many(self, jobs: int) -> None:
        self._queue.enqueue_many(
            [Queue.prepare_data(nothing, (PAYLOAD,), result_ttl=0) for _ in range(jobs)]
        )


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    with Redis.from_url(url()) as redis:
        yield _Adder(Queue(connection=redis))
