"""arq. Worker: `arq benchmarks.peers.adapters.arq.WorkerSettings`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings

from benchmarks.peers.adding import PAYLOAD, SLOTS, Adder, fast_loop, url
from benchmarks.peers.tally import tally

POLL_S: Final = 0.01
"""By default 0.5, which is the latency of an idle worker and its limit of 1,000 jobs a second."""


async def nothing(context: dict[str, object], data: str) -> None:
    tally().nothing(data)


async def since(context: dict[str, object], added_ns: int) -> None:
    tally().since(added_ns)


class WorkerSettings:
    fast_loop()  # before arq asks for a loop
    functions = (nothing, since)
    redis_settings = RedisSettings.from_dsn(url())
    max_jobs = SLOTS
    poll_delay = POLL_S
    keep_result = 0
    log_results = False


class _Adder:
    bulk = False

    def __init__(self, pool: ArqRedis) -> None:
        self._pool = pool

    async def add(self, since_ns: int | None = None) -> None:
        if since_ns is None:
            await self._pool.enqueue_job("nothing", PAYLOAD)
        else:
            await self._pool.enqueue_job("since", since_ns)

    async def add_many(self, jobs: int) -> None:
        raise NotImplementedError


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    pool = await create_pool(RedisSettings.from_dsn(url()))
    yield _Adder(pool)
    await pool.aclose()
