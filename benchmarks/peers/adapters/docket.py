"""docket (pydocket). Worker: this module, as its documentation runs one in an asyncio program."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from docket import Docket, Worker

from benchmarks.peers.adding import PAYLOAD, Adder, fast_loop, url
from benchmarks.peers.tally import tally

SLOTS: Final = 50
"""At 100 its workers ask for more connections than its pool has, and jobs are left over."""

CHECK_EVERY: Final = timedelta(milliseconds=10)
"""By default 250 ms: between two reads, so that a drain goes at SLOTS jobs by that time."""


async def nothing(data: str) -> None:
    tally().nothing(data)


async def since(added_ns: int) -> None:
    tally().since(added_ns)


def _docket() -> Docket:
    docket = Docket(name="peers", url=url(), execution_ttl=timedelta(0))
    docket.register(nothing)
    docket.register(since)
    return docket


class _Adder:
    bulk = True

    def __init__(self, docket: Docket) -> None:
        self._docket = docket

    async def add(self, since_ns: int | None = None) -> None:
        if since_ns is None:
            await self._docket.add(nothing)(PAYLOAD)
        else:
            await self._docket.add(since)(since_ns)

    async def add_many(self, jobs: int) -> None:
        await self._docket.add_many([self._docket.call(nothing)(PAYLOAD) for _ in range(jobs)])


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    async with _docket() as docket:
        yield _Adder(docket)


async def work() -> None:
    async with (
        _docket() as docket,
        Worker(docket, concurrency=SLOTS, minimum_check_interval=CHECK_EVERY) as worker,
    ):
        await worker.run_forever()


if __name__ == "__main__":
    fast_loop()
    asyncio.run(work())
