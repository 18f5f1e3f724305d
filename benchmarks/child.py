"""A worker process of the benchmark: `python -m benchmarks.child URL CORE`.

Takes orders as JSON lines on standard input, answers each with a report, and ends with its input,
so that none outlives the benchmark.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec
import uvloop

from benchmarks.app import app_of
from benchmarks.figures import BenchmarkFault, Side
from benchmarks.limit import BareTimer, BareWorker
from benchmarks.orders import Close, Go, Look, Open, Order, Report, Work
from benchmarks.server import pin
from streamq.run.roster import LANES_FROM_SLOTS
from streamq.run.worker import Worker
from streamq.store.address import Address
from streamq.store.client import Redis

OPEN_LIMIT_S: Final = 10.0
LOOK_EVERY_S: Final = 0.002


class Tally:
    """What the handlers of this process did; the same ones serve streamq and the bare script."""

    def __init__(self) -> None:
        self.ran = 0
        self.last_ns = 0
        self.samples_ms: list[float] = []

    async def nothing(self, data: str) -> None:
        self.ran += 1
        self.last_ns = time.monotonic_ns()

    async def since(self, data: int) -> None:
        self.samples_ms.append((time.monotonic_ns() - data) / 1e6)
        self.ran += 1

    async def late(self, data: int) -> None:
        self.samples_ms.append((time.time_ns() - data) / 1e6)
        self.ran += 1

    def handler(self, work: Work) -> Callable[..., Awaitable[None]]:
        match work:
            case Work.NOTHING:
                return self.nothing
            case Work.SINCE:
                return self.since
            case Work.LATE:
                return self.late


class Employed(Protocol):
    """A worker of either side."""

    async def open(self) -> None: ...

    def go(self) -> None: ...

    async def close(self) -> None: ...


class StreamqWorker:
    """streamq's own Worker, as a daemon's child runs it; quiet until `go`."""

    def __init__(self, url: str, order: Open, handler: Callable[..., Awaitable[None]]) -> None:
        app = app_of(url)
        app.job(order.queue, name=order.work.value)(handler)
        self._lanes = 1 if order.slots < LANES_FROM_SLOTS else 2
        self._redis = Redis(Address(url, "the benchmark's own server"))
        self._worker = Worker(app, order.queue, self._redis, concurrency=order.slots, kind="d")
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._worker.quiet()
        self._running = asyncio.create_task(self._worker.run())
        async with asyncio.timeout(OPEN_LIMIT_S):
            while len(self._worker.ids) < self._lanes or not self._worker.turned_at:
                if self._running.done():
                    self._running.result()
                    raise BenchmarkFault("the worker ended instead of starting")
                await asyncio.sleep(LOOK_EVERY_S)

    def go(self) -> None:
        self._worker.quiet(False)

    async def close(self) -> None:
        self._worker.stop()
        if self._running is not None:
            await self._running
        await self._redis.close()


def employed(url: str, order: Open, tally: Tally) -> Employed:
    handler = tally.handler(order.work)
    if order.side is Side.STREAMQ:
        return StreamqWorker(url, order, handler)

    # A bare script decodes as little as its handler needs.
    as_bytes = handler if order.work is Work.NOTHING else lambda data: handler(int(data))
    if order.work is Work.LATE:
        return BareTimer(url, as_bytes)
    name = f"c{os.getpid()}"
    return BareWorker(url, as_bytes, side=order.side, slots=order.slots, name=name)


class Child:
    """Obeys one order after another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tally = Tally()
        self._worker: Employed | None = None
        self._began_ns = 0
        self._cpu_ns = 0

    async def obey(self, order: Order) -> Report:
        match order:
            case Open():
                assert self._worker is None, "an order to open came before one to close"
                self._tally = Tally()
                self._worker = employed(self._url, order, self._tally)
                await self._worker.open()
            case Go():
                assert self._worker is not None, "an order to go came before one to open"
                self._began_ns, self._cpu_ns = time.monotonic_ns(), time.process_time_ns()
                self._worker.go()
            case Close():
                worker, self._worker = self._worker, None
                if worker is not None:
                    await worker.close()
            case Look():
                pass
        return self._report()

    def _report(self) -> Report:
        tally = self._tally
        return Report(
            began_ns=self._began_ns,
            last_ns=tally.last_ns,
            ran=tally.ran,
            cpu_us=(time.process_time_ns() - self._cpu_ns) / 1e3,
            samples_ms=tuple(tally.samples_ms),
        )


async def main(url: str) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    orders = msgspec.json.Decoder(Order)
    child = Child(url)
    while line := await lines.readline():
        report = await child.obey(orders.decode(line))
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    pin(int(sys.argv[2]) if sys.argv[2] != "any" else None)
    uvloop.run(main(sys.argv[1]))
