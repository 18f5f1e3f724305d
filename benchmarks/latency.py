"""How soon: from an add to its handler on an idle queue, and how late a delayed job begins.

Beside the idle latency: the bare script's blocking XREADGROUP. Beside the lateness: a script that
sleeps until the first of a sorted set and pops it.
"""

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Final

from benchmarks import limit
from benchmarks.app import QUEUE
from benchmarks.figures import BenchmarkFault, Better, Figure, Sheet, Side, percentile, turned
from benchmarks.harness import Ground
from benchmarks.orders import Close, Go, Look, Open, Work
from streamq.adding import NewJob

SLOTS: Final = 10
"""The default concurrency of a queue."""
SIDES: Final = (Side.STREAMQ, Side.LIMIT)
PAUSE_MS: Final = (5, 15)
"""Between two adds, drawn evenly: long enough for a worker to be idle again, and out of step."""
DUE_AFTER_MS: Final = (200, 2_200)
"""When delayed jobs are due, drawn evenly, from the last add on."""
SEED: Final = 20_261_124
LOOK_EVERY_S: Final = 0.02
RUN_LIMIT_S: Final = 20.0


async def idle_latency(ground: Ground, side: Side, jobs: int, draw: random.Random) -> list[float]:
    """Ms from just before each add until its handler was called, in another process."""
    hands = ground.hands[:1]
    ground.probe.flush()
    await ground.all(hands, Open(side, Work.SINCE, SLOTS, QUEUE))
    try:
        await ground.all(hands, Go())
        queue = ground.app.queue(QUEUE)
        for _ in range(jobs):
            await asyncio.sleep(draw.uniform(*PAUSE_MS) / 1000)
            now_ns = time.monotonic_ns()
            if side is Side.STREAMQ:
                await queue.add(Work.SINCE.value, now_ns)
            else:
                await limit.add(ground.bare, b"%d" % now_ns)
        return await _samples(ground, side, jobs)
    finally:
        await ground.all(hands, Close())


async def lateness(ground: Ground, side: Side, jobs: int, draw: random.Random) -> list[float]:
    """Ms from when each delayed job was due until its handler was called; server and clock are one
    machine's."""
    hands = ground.hands[:1]
    ground.probe.flush()
    await ground.all(hands, Open(side, Work.LATE, SLOTS, QUEUE))
    try:
        base_ms = time.time_ns() // 1_000_000
        # Due at whole milliseconds; a set's members have to differ, so their nanoseconds do.
        due_ns = [
            (base_ms + draw.randint(*DUE_AFTER_MS)) * 1_000_000 + number for number in range(jobs)
        ]
        if side is Side.STREAMQ:
            await ground.app.queue(QUEUE).add_many(
                [NewJob(Work.LATE.value, due, at=_moment(due // 1_000_000)) for due in due_ns]
            )
        else:
            for due in due_ns:
                await limit.add_delayed(ground.bare, b"%d" % due, due // 1_000_000)
        await ground.all(hands, Go())
        return await _samples(ground, side, jobs)
    finally:
        await ground.all(hands, Close())


def _moment(epoch_ms: int) -> datetime:
    # In whole microseconds from the start: a float of seconds would lose some.
    whole, ms = divmod(epoch_ms, 1000)
    return datetime.fromtimestamp(whole, UTC).replace(microsecond=ms * 1000)


async def _samples(ground: Ground, side: Side, jobs: int) -> list[float]:
    """The samples of all jobs, once the last has run."""
    try:
        async with asyncio.timeout(RUN_LIMIT_S):
            while True:
                report = await ground.hands[0].order(Look())
                if report.ran >= jobs:
                    break
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise BenchmarkFault(f"{side} did not run {jobs} jobs in {RUN_LIMIT_S:g} s") from None
    if report.ran != jobs:
        raise BenchmarkFault(f"{side} ran {report.ran} handlers for {jobs} jobs")
    return list(report.samples_ms)


async def measure(ground: Ground) -> list[Figure]:
    sheet, pace, draw = Sheet(), ground.pace, random.Random(SEED)
    for number in range(pace.rounds):
        for side in turned(SIDES, number):
            _note(
                sheet, "idle latency", side, await idle_latency(ground, side, pace.latencies, draw)
            )
        for side in turned(SIDES, number):
            found = await lateness(ground, side, pace.delayed, draw)
            _note(sheet, "lateness of delayed jobs", side, found)
    return sheet.figures()


def _note(sheet: Sheet, name: str, side: Side, samples_ms: list[float]) -> None:
    for percent in (50, 99):
        value = percentile(samples_ms, percent)
        sheet.note(name, f"p{percent}", "ms", side, value, better=Better.LOWER)
