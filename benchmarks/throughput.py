"""How many jobs a second: added in bulk and singly, and drained; and what each costs.

Every add is counted in Redis and every drain by its handlers: exactly as many as there were jobs,
or the benchmark fails.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from benchmarks import limit
from benchmarks.app import NOTHING, QUEUE
from benchmarks.figures import BenchmarkFault, Better, Figure, Sheet, Side, turned
from benchmarks.harness import Ground
from benchmarks.orders import Close, Go, Look, Open, Report, Work
from streamq.adding import NewJob
from streamq.store.keys import Keys, keys_of

PAYLOAD: Final = "x" * 48
"""50 bytes, packed."""
CALLERS: Final = 100
PREFIX: Final = "streamq"
_LINE: Final = "3"  # of the default priority
SLOTS: Final = (10, 50, 100)
PROCESSES: Final = (1, 2)
ADDING: Final = (Side.STREAMQ, Side.LIMIT)
DRAINING: Final = (Side.STREAMQ, Side.LIMIT, Side.LIMIT_SERIAL, Side.LIMIT_ONE_TRIP)
LOOK_EVERY_S: Final = 0.02
DRAIN_LIMIT_S: Final = 60.0

_SENT: Final = frozenset({"evalsha", "blpop", "xreadgroup", "xack"})
"""One call of each is one round trip of a worker; XDEL rides with XACK."""
_SENT_BY_SCRIPTS: Final = frozenset({"xreadgroup", "xack"})


class Cost(msgspec.Struct, frozen=True):
    """One measurement of one side."""

    seconds: float
    client_us: float
    """CPU time of the processes that added or worked, in all."""
    server_us: float
    commands: Mapping[str, int]


# -- adding


async def bulk_add(ground: Ground, side: Side, jobs: int) -> None:
    """`add_many` of streamq, or pipelines of XADD."""
    if side is Side.STREAMQ:
        await ground.app.queue(QUEUE).add_many([NewJob(NOTHING, PAYLOAD) for _ in range(jobs)])
    else:
        await limit.add_many(ground.bare, [PAYLOAD.encode()] * jobs)


async def add_singly(ground: Ground, side: Side, jobs: int) -> None:
    """One after another, each awaited."""
    if side is Side.STREAMQ:
        queue = ground.app.queue(QUEUE)
        for _ in range(jobs):
            await queue.add(NOTHING, PAYLOAD)
    else:
        payload = PAYLOAD.encode()
        for _ in range(jobs):
            await limit.add(ground.bare, payload)


async def add_together(ground: Ground, side: Side, jobs: int) -> None:
    """CALLERS callers at a time, each adding one after another."""
    await asyncio.gather(*[add_singly(ground, side, jobs // CALLERS) for _ in range(CALLERS)])


Add = Callable[[Ground, Side, int], Awaitable[None]]


async def added(ground: Ground, side: Side, add: Add, jobs: int) -> Cost:
    """What it costs to add that many jobs to an empty queue; all are there, or BenchmarkFault."""
    ground.probe.flush()
    await add(ground, side, CALLERS)  # connected, scripts loaded
    ground.probe.flush()
    ground.probe.forget()
    server_us, client_ns, began = ground.probe.cpu_us(), time.process_time_ns(), time.monotonic()
    await add(ground, side, jobs)
    seconds, client_us = time.monotonic() - began, (time.process_time_ns() - client_ns) / 1e3
    server_us = ground.probe.cpu_us() - server_us
    commands = ground.probe.commands()
    if (there := ground.probe.length(line_of(side))) != jobs:
        raise BenchmarkFault(f"{side} added {there} jobs, not {jobs}")
    return Cost(seconds, client_us, server_us, commands)


# -- draining


async def drained(ground: Ground, side: Side, slots: int, processes: int, jobs: int) -> Cost:
    """What it costs to work off that many waiting jobs, and proof that each ran once.

    The time is from `Go` to the last handler's call; CPU time is that until the last is settled.
    """
    hands = ground.hands[:processes]
    ground.probe.flush()
    await ground.all(hands, Open(side, Work.NOTHING, slots, QUEUE))
    try:
        await bulk_add(ground, side, jobs)
        ground.probe.forget()
        server_us = ground.probe.cpu_us()
        began = await ground.all(hands, Go())
        await until_settled(ground, side, jobs)
        server_us = ground.probe.cpu_us() - server_us
        commands = ground.probe.commands()
        reports = await ground.all(hands, Look())
    finally:
        await ground.all(hands, Close())
    check_each_ran_once(side, reports, jobs)
    ended_ns = max(report.last_ns for report in reports)
    began_ns = min(report.began_ns for report in began)
    client_us = sum(report.cpu_us for report in reports)
    return Cost((ended_ns - began_ns) / 1e9, client_us, server_us, commands)


def check_each_ran_once(side: Side, reports: list[Report], jobs: int) -> None:
    """Redis counted as many settled; the handlers must have been called as often, and no more."""
    if (ran := sum(report.ran for report in reports)) != jobs:
        raise BenchmarkFault(f"{side} ran {ran} handlers for {jobs} jobs")


async def until_settled(ground: Ground, side: Side, jobs: int, queue: str = QUEUE) -> None:
    """Until Redis holds no job that is not done. Looks 50 times a second: 0.1 % of the commands."""
    probe, stats = ground.probe, _keys(queue).names["stats"]
    try:
        async with asyncio.timeout(DRAIN_LIMIT_S):
            while True:
                if side is Side.STREAMQ:
                    left = jobs - probe.number(stats, "completed")
                else:
                    left = probe.length(limit.STREAM)
                if left == 0:
                    return
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise BenchmarkFault(f"{side} did not drain {jobs} jobs in {DRAIN_LIMIT_S:g} s") from None


def line_of(side: Side) -> bytes:
    """The stream in which that side's jobs wait."""
    return _keys(QUEUE).lines[_LINE] if side is Side.STREAMQ else limit.STREAM


def _keys(queue: str) -> Keys:
    return keys_of(PREFIX, queue)


# -- the figures


async def measure(ground: Ground) -> list[Figure]:
    sheet, pace = Sheet(), ground.pace
    kinds: tuple[tuple[str, Add, int], ...] = (
        ("bulk add", bulk_add, pace.added),
        ("single add, awaited", add_singly, pace.added_singly),
        ("single add, 100 callers", add_together, pace.added_singly),
    )
    for number in range(pace.rounds):
        for name, add, jobs in kinds:
            for side in turned(ADDING, number):
                _note(sheet, name, side, jobs, await added(ground, side, add, jobs))
        for processes in PROCESSES:
            for slots in SLOTS:
                await _drains(ground, sheet, number, slots, processes)
    return sheet.figures()


async def _drains(ground: Ground, sheet: Sheet, number: int, slots: int, processes: int) -> None:
    jobs = ground.pace.drained
    name = f"drain, {slots} slots, {processes} process{'es' * (processes > 1)}"
    for side in turned(DRAINING, number):
        cost = await drained(ground, side, slots, processes, jobs)
        _note(sheet, name, side, jobs, cost)
        _note_commands(sheet, name, side, jobs, cost.commands)


def _note(sheet: Sheet, name: str, side: Side, jobs: int, cost: Cost) -> None:
    low = Better.LOWER
    sheet.note(name, "rate", "jobs/s", side, jobs / cost.seconds, better=Better.HIGHER)
    sheet.note(name, "client CPU", "µs/job", side, cost.client_us / jobs, better=low)
    sheet.note(name, "Redis CPU", "µs/job", side, cost.server_us / jobs, better=low)


def _note_commands(
    sheet: Sheet, name: str, side: Side, jobs: int, commands: Mapping[str, int]
) -> None:
    # Inside a script of ours the same commands run as a bare script sends.
    sent = _SENT - _SENT_BY_SCRIPTS if side is Side.STREAMQ else _SENT
    if side is Side.LIMIT_ONE_TRIP:
        sent -= {"xack"}
    trips = sum(times for command, times in commands.items() if command in sent)
    low = Better.LOWER
    sheet.note(name, "round trips", "/job", side, trips / jobs, better=low)
    sheet.note(name, "commands in Redis", "/job", side, sum(commands.values()) / jobs, better=low)
