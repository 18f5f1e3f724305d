"""The bare script (benchmarks/limit.py), measured as the peers are. Worker: this module."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks import limit
from benchmarks.figures import Side
from benchmarks.peers.adding import PAYLOAD, SLOTS, Adder, fast_loop, url
from benchmarks.peers.tally import tally

_PAYLOAD = PAYLOAD.encode()


class _Adder:
    bulk = True

    def __init__(self, client: limit.Client) -> None:
        self._client = client

    async def add(self, since_ns: int | None = None) -> None:
        await limit.add(self._client, _PAYLOAD if since_ns is None else b"%d" % since_ns)

    async def add_many(self, jobs: int) -> None:
        await limit.add_many(self._client, [_PAYLOAD] * jobs)


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    async with limit.connected(url()) as client:
        yield _Adder(client)


async def handle(payload: bytes) -> None:
    if payload == _PAYLOAD:
        tally().nothing("")
    else:
        tally().since(int(payload))


async def work() -> None:
    worker = limit.BareWorker(url(), handle, side=Side.LIMIT, slots=SLOTS, name="w")
    await worker.open()
    worker.go()
    await asyncio.Event().wait()


if __name__ == "__main__":
    fast_loop()
    asyncio.run(work())
