"""A worker whose slots or terms become others while it works."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from streamq import JobState
from streamq.embedded import EmbeddedServer
from tests.support.waiting import soon
from tests.support.workers import LIMIT_S, Floor


@pytest.fixture
async def floor(server: EmbeddedServer, prefix: str) -> AsyncIterator[Floor]:
    async with Floor(server, prefix) as floor:
        yield floor


async def test_jobs_run_once_each_while_the_slots_change_again_and_again(floor: Floor) -> None:
    ran: Counter[int] = Counter()
    at_once = most = 0

    @floor.job()
    async def counts(data: int) -> None:
        nonlocal at_once, most
        ran[data] += 1
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.002)
        at_once -= 1

    hired = await floor.hire(concurrency=3)
    for number in range(600):
        await floor.add("counts", number)
        if number % 20 == 0:
            hired.worker.renew(1 + number % 50)
    await floor.all_reach(JobState.COMPLETED, 600)

    assert set(ran.values()) == {1}
    assert len(ran) == 600
    assert 1 < most <= 50
    await soon(lambda: len(list(hired.worker._roster)) == len(hired.worker._lanes), "they left")


async def test_never_more_jobs_run_than_there_are_slots(floor: Floor) -> None:
    go_on = asyncio.Event()
    running: set[int] = set()

    @floor.job()
    async def holds(data: int) -> None:
        running.add(data)
        await go_on.wait()

    hired = await floor.hire(concurrency=4)
    for number in range(12):
        await floor.add("holds", number)
    await soon(lambda: len(running) == 4, "four run")

    for slots in (30, 6, 2, 6):
        hired.worker.renew(slots)
        if slots == 30:
            await soon(lambda: len(running) == 12, "all run")
    assert hired.worker.busy == 12
    more = await floor.add("holds", 12)
    (lane,) = hired.worker._lanes
    await soon(lambda: lane._turn > 0, "it turns", limit_s=LIMIT_S)
    turn = lane._turn
    hired.worker.look()
    await soon(lambda: lane._turn > turn, "it turns once more", limit_s=LIMIT_S)
    assert 12 not in running

    go_on.set()
    await floor.reaches(more, JobState.COMPLETED)


async def test_a_thread_that_outlives_its_attempt_keeps_its_slot_from_the_lanes_that_follow(
    floor: Floor,
) -> None:
    go_on, began = threading.Event(), threading.Event()

    @floor.job(timeout="50ms", attempts=1)
    def stands(data: object) -> None:
        began.set()
        go_on.wait(LIMIT_S)

    @floor.job()
    async def runs(data: object) -> None: ...

    hired = await floor.hire(concurrency=1)
    late = await floor.add("stands")
    await floor.reaches(late, JobState.FAILED)
    assert began.is_set()

    hired.worker.renew(2)
    hired.worker.renew(1)
    waits = await floor.add("runs")
    await soon(lambda: len(hired.worker.ids) == 1, "the lanes before have left", limit_s=LIMIT_S)
    assert (hired.worker.busy, hired.worker._lanes[0].slots) == (1, 0)
    assert floor.states()[waits] == "waiting"

    go_on.set()
    await floor.reaches(waits, JobState.COMPLETED)
    assert hired.worker._lanes[0].slots == 1


async def test_a_worker_that_is_quiet_stays_so_and_one_that_stops_stops(floor: Floor) -> None:
    @floor.job()
    async def runs(data: object) -> None: ...

    hired = await floor.hire()
    hired.worker.quiet()
    hired.worker.renew(5)
    job = await floor.add("runs")
    await soon(lambda: len(hired.worker.ids) == 1, "its new lane alone", limit_s=LIMIT_S)
    assert floor.states() == {job: "waiting"}

    hired.worker.stop()
    hired.worker.renew(9)
    await hired.leaves()
    assert hired.worker.slots == 5
