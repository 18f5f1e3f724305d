"""How often a daemon with nothing to do asks Redis: commands that clients send, by MONITOR.

Not by INFO: its counters add what runs inside scripts. Beside it, a bare script's blocking read.
"""

import asyncio
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from benchmarks.app import IDLE_QUEUES, QUEUE
from benchmarks.figures import BenchmarkFault, Better, Figure, Sheet, Side
from benchmarks.harness import Ground
from benchmarks.machine import ROOT
from benchmarks.orders import Close, Go, Open, Work
from benchmarks.throughput import PREFIX
from streamq.embedded import EmbeddedServer
from streamq.store.keys import keys_of

APP: Final = "benchmarks.app:app"
SLOTS: Final = 10
START_LIMIT_S: Final = 30.0
STOP_LIMIT_S: Final = 30.0
LOOK_EVERY_S: Final = 0.05

_SENT: Final = re.compile(rb'^\+[\d.]+ \[\d+ (?P<by>[^\]]+)\] "(?P<command>[^"]+)"')
_BY_SCRIPT: Final = b"lua"


@asynccontextmanager
async def listening(server: EmbeddedServer) -> AsyncIterator[Counter[str]]:
    """The commands that clients send within the block, by name, counted as they come."""
    address = server.address
    if isinstance(address, Path):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection(*address)
    writer.write(b"MONITOR\r\n")
    if (said := await reader.readline()) != b"+OK\r\n":
        raise BenchmarkFault(f"the server lets nobody listen: {said!r}")
    heard: Counter[str] = Counter()
    counting = asyncio.create_task(_count(reader, heard))
    try:
        yield heard
    finally:
        counting.cancel()
        await asyncio.wait([counting])
        writer.close()


async def _count(reader: asyncio.StreamReader, heard: Counter[str]) -> None:
    while line := await reader.readline():
        sent = _SENT.match(line)
        if sent is not None and sent["by"] != _BY_SCRIPT:
            heard[sent["command"].decode().lower()] += 1


async def _listened(server: EmbeddedServer, seconds: float) -> Counter[str]:
    async with listening(server) as heard:
        await asyncio.sleep(seconds)
    return heard


@asynccontextmanager
async def daemon(ground: Ground, queues: tuple[str, ...]) -> AsyncIterator[None]:
    """`streamq run` on those queues, with one worker process, once all have registered."""
    chosen = [word for queue in queues for word in ("-q", f"{queue}={SLOTS}")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamq", "run", APP, *chosen, "--redis", ground.server.url,
        "--log-level", "WARNING", cwd=ROOT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(START_LIMIT_S):
            for queue in queues:
                workers = keys_of(PREFIX, queue).names["workers"]
                while not ground.probe.size(workers):
                    if process.returncode is not None:
                        raise BenchmarkFault(f"`streamq run` ended with {process.returncode}")
                    await asyncio.sleep(LOOK_EVERY_S)
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def measure(ground: Ground) -> list[Figure]:
    sheet, seconds = Sheet(), ground.pace.idle_s
    for queues in (IDLE_QUEUES[:1], IDLE_QUEUES):
        name = f"idle, {len(queues)} queue{'s' * (len(queues) > 1)}"
        ground.probe.flush()
        async with daemon(ground, queues):
            await asyncio.sleep(ground.pace.settle_s)
            heard = await _listened(ground.server, seconds)
        _note(sheet, name, Side.STREAMQ, heard, len(queues), seconds)
        for command, times in sorted(heard.items()):
            rate = times / seconds * 60
            sheet.note(name, command, "/min", Side.STREAMQ, rate, better=Better.LOWER)
        if len(queues) == 1:
            _note(sheet, name, Side.LIMIT, await _bare(ground, seconds), 1, seconds)
    return sheet.figures()


async def _bare(ground: Ground, seconds: float) -> Counter[str]:
    hands = ground.hands[:1]
    ground.probe.flush()
    await ground.all(hands, Open(Side.LIMIT, Work.NOTHING, SLOTS, QUEUE))
    try:
        await ground.all(hands, Go())
        await asyncio.sleep(ground.pace.settle_s)
        return await _listened(ground.server, seconds)
    finally:
        await ground.all(hands, Close())


def _note(
    sheet: Sheet, name: str, side: Side, heard: Counter[str], queues: int, seconds: float
) -> None:
    rate = heard.total() / queues / seconds * 60
    sheet.note(name, "commands", "/min and queue", side, rate, better=Better.LOWER)
