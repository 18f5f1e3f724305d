"""What a job weighs in Redis: waiting, and completed and kept.

All that the queue's keys hold is counted and divided by the jobs, what does not grow with them
(counters, the 10,000 newest events) included.
"""

from typing import Final

from benchmarks.app import NOTHING, QUEUE_KEEPS_ALL
from benchmarks.figures import BenchmarkFault, Better, Figure, Sheet, Side
from benchmarks.harness import Ground
from benchmarks.orders import Close, Go, Open, Work
from benchmarks.throughput import PAYLOAD, bulk_add, line_of, until_settled
from streamq.adding import NewJob

SLOTS: Final = 100


async def waiting(ground: Ground, side: Side, jobs: int) -> float:
    """Bytes of one waiting job with a payload of 50 bytes."""
    ground.probe.flush()
    empty = ground.probe.memory_bytes()
    await bulk_add(ground, side, jobs)
    if (there := ground.probe.length(line_of(side))) != jobs:
        raise BenchmarkFault(f"{side}: {there} jobs wait, not {jobs}")
    return (ground.probe.memory_bytes() - empty) / jobs


async def completed(ground: Ground, jobs: int) -> float:
    """Bytes of one completed job that is kept: record, run and place. A bare script keeps none."""
    hands = ground.hands[:1]
    ground.probe.flush()
    empty = ground.probe.memory_bytes()
    queue = ground.app.queue(QUEUE_KEEPS_ALL)
    await queue.add_many([NewJob(NOTHING, PAYLOAD) for _ in range(jobs)])
    await ground.all(hands, Open(Side.STREAMQ, Work.NOTHING, SLOTS, QUEUE_KEEPS_ALL))
    try:
        await ground.all(hands, Go())
        await until_settled(ground, Side.STREAMQ, jobs, QUEUE_KEEPS_ALL)
    finally:
        await ground.all(hands, Close())
    return (ground.probe.memory_bytes() - empty) / jobs


async def measure(ground: Ground) -> list[Figure]:
    sheet, pace = Sheet(), ground.pace
    for _ in range(pace.rounds):
        for side in (Side.STREAMQ, Side.LIMIT):
            weight = await waiting(ground, side, pace.weighed)
            sheet.note("waiting job", "memory", "bytes", side, weight, better=Better.LOWER)
        weight = await completed(ground, pace.weighed)
        sheet.note(
            "completed job, kept", "memory", "bytes", Side.STREAMQ, weight, better=Better.LOWER
        )
    return sheet.figures()
