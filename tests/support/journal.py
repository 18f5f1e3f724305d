"""Handlers that note each attempt and end when they are let go; and a worker behind a proxy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streamq import Context, Retry
from streamq.job import JobId
from tests.support.waiting import soon
from tests.support.workers import Floor, Hired, Watched


class Journal:
    """Handlers that note each attempt; which end when they are let go."""

    def __init__(self, floor: Floor) -> None:
        self.ran: list[tuple[JobId, int]] = []
        self.cancelled: list[JobId] = []
        self.go_on = asyncio.Event()

        @floor.job()
        async def quick(data: object, job: Context) -> str:
            self.ran.append((job.id, job.attempt))
            return "done"

        @floor.job()
        async def lasts(data: object, job: Context) -> str:
            self.ran.append((job.id, job.attempt))
            job.log("it begins")
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled.append(job.id)
                raise
            job.log("it ends")
            return "done"

        @floor.job(attempts=3)
        async def again(data: object, job: Context) -> str:
            self.ran.append((job.id, job.attempt))
            if job.attempt == 1:
                raise Retry(after="0s")
            await self.go_on.wait()
            return "done"


@asynccontextmanager
async def at_work(
    floor: Floor, concurrency: int = 4, *, ahead: bool = False
) -> AsyncIterator[tuple[Hired, Watched]]:
    """A worker behind a proxy, asleep; `ahead`: see `Floor.hire`."""
    async with floor.proxy() as proxy:
        hired = await floor.hire(concurrency, url=proxy.url, ahead=ahead)
        await soon(lambda: "BLPOP" in proxy.seen, "it sleeps")
        try:
            yield hired, proxy
        finally:
            proxy.heal()
            if not hired.run.done():
                await hired.leaves()
