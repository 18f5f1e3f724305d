"""The ground that figures are taken on: a server, its probe, worker processes that take orders."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec

from benchmarks.app import app_of
from benchmarks.figures import BenchmarkFault
from benchmarks.limit import Client, connected
from benchmarks.orders import Order, Report
from benchmarks.server import Cores, Probe
from streamq.app import App
from streamq.embedded import EmbeddedServer

PROCESSES_MAX: Final = 2
ORDER_LIMIT_S: Final = 30.0
END_LIMIT_S: Final = 10.0
LINE_BYTES_MAX: Final = 4 << 20  # a report with its samples


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured in a round, and how many rounds."""

    rounds: int
    drained: int
    """Jobs of one drain."""
    added: int
    """Jobs of one bulk add."""
    added_singly: int
    latencies: int
    delayed: int
    weighed: int
    """Jobs that lie in Redis while its memory is read."""
    idle_s: float
    """How long an idle daemon is listened to; once, not in rounds."""
    settle_s: float = 2.0
    """From the last worker's registration to the first of its commands that counts."""
    starts: int
    """Starts of a command in one round."""
    browsed: int
    """Jobs that wait while the admin is asked; filled once, not in rounds."""
    requests: int
    """To each of its routes."""
    scrapes: int
    """Of its metrics, a second apart."""
    exported: int
    """Rows of one export."""
    reminded: int
    """Payments that one run of the planner finds due."""


FULL: Final = Pace(
    rounds=5, drained=30_000, added=30_000, added_singly=3_000, latencies=300, delayed=200,
    weighed=50_000, idle_s=120.0, starts=5, browsed=1_000_000, requests=200, scrapes=10,
    exported=1_000_000, reminded=50_000,
)  # fmt: skip
QUICK: Final = Pace(
    rounds=3, drained=6_000, added=6_000, added_singly=500, latencies=60, delayed=50,
    weighed=50_000, idle_s=20.0, starts=2, browsed=100_000, requests=100, scrapes=3,
    exported=100_000, reminded=5_000,
)  # fmt: skip


class Hand:
    """One worker process of the benchmark (child.py), and the orders to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._reports = msgspec.json.Decoder(Report)

    @classmethod
    async def start(cls, url: str, core: int | None) -> "Hand":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.child", url, "any" if core is None else str(core),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_BYTES_MAX,
        )  # fmt: skip
        return cls(process)

    async def order(self, order: Order) -> Report:
        """Its report. Raises BenchmarkFault if it ended instead; why is on standard error."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        async with asyncio.timeout(ORDER_LIMIT_S):
            line = await self._process.stdout.readline()
        if not line:
            code = await self._process.wait()
            raise BenchmarkFault(f"a worker process ended with {code} at {order}")
        return self._reports.decode(line)

    async def end(self) -> None:
        """It ends with its input; killed if it does not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(END_LIMIT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class Ground:
    """What every kind of figure is given."""

    def __init__(
        self, server: EmbeddedServer, cores: Cores, pace: Pace, app: App, bare: Client, probe: Probe
    ) -> None:
        self.server = server
        self.cores = cores
        self.pace = pace
        self.app = app
        """streamq, on the producer's side: this process."""
        self.bare = bare
        """The bare script's client, in this process."""
        self.probe = probe
        self.hands: list[Hand] = []

    async def all(self, hands: list[Hand], order: Order) -> list[Report]:
        """One order to several processes at a time."""
        return list(await asyncio.gather(*[hand.order(order) for hand in hands]))


@asynccontextmanager
async def ground_on(
    server: EmbeddedServer, cores: Cores, pace: Pace, *, processes: int = PROCESSES_MAX
) -> AsyncIterator[Ground]:
    """The ground on a server that runs; its processes and connections end with the block."""
    async with AsyncExitStack() as stack:
        app, bare, probe = app_of(server.url), connected(server.url), Probe(server.url)
        stack.callback(probe.close)
        stack.push_async_callback(bare.aclose)
        stack.push_async_callback(app.close)
        ground = Ground(server, cores, pace, app, bare, probe)
        for number in range(processes):
            hand = await Hand.start(server.url, cores.of_worker(number))
            stack.push_async_callback(hand.end)
            ground.hands.append(hand)
        yield ground
