"""Planners: what they yield is added once a slot, however often their own job has to run."""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest

from streamq import App, Context, fixed
from streamq.adding import NewJob
from streamq.job import JobId, JobState
from streamq.planning import BATCH_JOBS
from streamq.schedule import Schedule
from streamq.settings import Settings
from streamq.testing import capture_adds
from streamq.timetable import Planned, SlotPayload
from tests.support.clockworks import HOUR_MS, Clockworks, turn
from tests.support.workers import QUEUE, Floor

CHILDREN = 2 * BATCH_JOBS + 200


@pytest.fixture
async def clockworks(floor: Floor) -> AsyncIterator[Clockworks]:
    floor.app.declare_queue(QUEUE, attempts=3, backoff=fixed("10ms"))
    async with Clockworks(floor) as opened:
        yield opened


class Fault(Exception):
    """What a database may raise."""


async def _planned(clockworks: Clockworks) -> JobId:
    """The planner's job of one slot: as if it had been due."""
    schedules = clockworks.floor.app.schedules
    schedule = schedules.get("nightly")
    slot = schedule.next_slots(clockworks.floor.redis_ms() - 2 * HOUR_MS, 1)[0]
    moment = datetime.fromtimestamp(slot / 1_000, UTC)
    (job,) = await schedules.backfill("nightly", moment, moment)
    return job


def _declare(app: App, plan: object) -> Schedule:
    return app.schedule("nightly", queue=QUEUE, plan=plan, every="1h")  # type: ignore[arg-type]


async def test_a_planner_is_told_its_slot_and_its_jobs_get_ids_of_slot_and_key(
    clockworks: Clockworks,
) -> None:
    floor = clockworks.floor
    ran: list[tuple[str, object]] = []
    slots: list[datetime] = []

    @floor.job()
    async def remind(data: object, job: Context) -> None:
        ran.append((job.id, data))

    async def plan(slot: datetime, job: Context) -> AsyncGenerator[Planned, None]:
        slots.append(slot)
        for contract in (1, 2):
            yield Planned(f"c{contract}", NewJob("remind", {"contract": contract}))

    _declare(floor.app, plan)
    await floor.hire()
    job = await _planned(clockworks)
    done = await floor.reaches(job, JobState.COMPLETED)
    await floor.all_reach(JobState.COMPLETED, 3)

    slot = int(job.rpartition(":")[2])
    assert slots == [datetime.fromtimestamp(slot / 1_000, UTC)]
    assert sorted(ran) == [(f"sched:nightly:{slot}:c{i}", {"contract": i}) for i in (1, 2)]
    assert done.name == "plan-nightly"
    assert done.run.result is not None
    assert msgspec.msgpack.decode(done.run.result) == {"planned": 2, "added": 2}
    (line,) = await floor.queue.logs(job)
    assert line.endswith(f"slot {slots[0]:%Y-%m-%d %H:%M}Z: 2 planned, 2 added")


async def test_a_planner_fires_as_any_other_schedule_does(clockworks: Clockworks) -> None:
    floor = clockworks.floor
    floor.stop_time()

    async def plan(slot: datetime, job: Context) -> AsyncGenerator[Planned, None]:
        yield Planned("only", NewJob("parks", {}))

    _declare(floor.app, plan)
    process = clockworks.start()
    await turn(process)
    await floor.hire()
    await clockworks.later(HOUR_MS, process)
    (slot,) = clockworks.fired("nightly")
    await floor.reaches(JobId(f"sched:nightly:{slot}"), JobState.COMPLETED)

    # Nobody knows the name: never refused, and never lost.
    await floor.reaches(JobId(f"sched:nightly:{slot}:only"), JobState.PARKED)


async def test_after_a_crash_in_the_middle_the_second_run_adds_nothing_twice(
    clockworks: Clockworks,
) -> None:
    floor = clockworks.floor
    ran: list[str] = []
    attempts: list[int] = []

    # Nothing is kept of them: Redis does not know any more that they were there.
    @floor.job(keep=False)
    async def remind(data: object, job: Context) -> None:
        ran.append(job.id)

    async def plan(slot: datetime, job: Context) -> AsyncGenerator[Planned, None]:
        attempts.append(job.attempt)
        for i in range(CHILDREN):
            if job.attempt == 1 and i == CHILDREN - 50:
                while len(ran) < 2 * BATCH_JOBS:  # until all that was added has run and gone
                    await floor.all_reach(JobState.WAITING, 0)
                raise Fault
            yield Planned(str(i), NewJob("remind", {}))

    _declare(floor.app, plan)
    await floor.hire(concurrency=50)
    job = await _planned(clockworks)
    done = await floor.reaches(job, JobState.COMPLETED)
    await floor.all_reach(JobState.WAITING, 0)
    await floor.all_reach(JobState.ACTIVE, 0)

    assert attempts == [1, 2]
    assert sorted(ran) == sorted(f"{job}:{i}" for i in range(CHILDREN))
    assert done.run.result is not None
    assert msgspec.msgpack.decode(done.run.result) == {
        "planned": CHILDREN,
        "added": CHILDREN - 2 * BATCH_JOBS,
    }
    # Its memory goes with its end: who fills the slot in again means it.
    assert [name async for name in floor.app.redis.scan("streamq.plan:")] == []


async def test_jobs_go_to_other_queues_too(clockworks: Clockworks) -> None:
    floor = clockworks.floor
    floor.app.declare_queue("email")

    async def plan(slot: datetime, job: Context) -> AsyncGenerator[Planned, None]:
        yield Planned("k", NewJob("remind", {}), queue="email")
        yield Planned("k", NewJob("parks", {}))

    _declare(floor.app, plan)
    await floor.hire()
    job = await _planned(clockworks)
    await floor.reaches(job, JobState.COMPLETED)

    mailed = await floor.app.queue("email").get(f"{job}:k")
    assert mailed is not None and mailed.name == "remind"
    assert await floor.queue.get(f"{job}:k") is not None


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (Planned("k", NewJob("remind", {}, id="mine")), "has no id of its own; its key is 'k'"),
        (Planned("a key", NewJob("remind", {})), "is not allowed: it must match"),
        (Planned("k", NewJob("remind", {}), queue="nowhere"), 'No queue "nowhere" in app "tests"'),
    ],
)
async def test_a_job_that_cannot_be_planned_fails_the_planner_with_the_reason(
    clockworks: Clockworks, one: Planned, why: str
) -> None:
    floor = clockworks.floor

    async def plan(slot: datetime, job: Context) -> AsyncGenerator[Planned, None]:
        yield one

    _declare(floor.app, plan)
    await floor.hire()
    failed = await floor.reaches(await _planned(clockworks), JobState.FAILED)

    assert [error.attempt for error in failed.run.errors] == [1, 2, 3]
    assert why in failed.run.errors[0].message


async def test_a_planner_is_tested_without_redis() -> None:
    app = App("shop", settings=Settings())

    async def plan(slot: datetime, job: Context) -> AsyncGenerator[Planned, None]:
        yield Planned("k", NewJob("remind", {"on": slot.date().isoformat()}))

    class Quiet:
        def log(self, text: str) -> None: ...

    app.schedule("nightly", queue=QUEUE, plan=plan, every="1h")
    handler = app.handlers.find(QUEUE, "plan-nightly")
    assert handler is not None and handler.coroutine is not None
    with capture_adds(app) as captured:
        await handler.coroutine(SlotPayload(0), Quiet())

    assert [(job.id, job.data) for job in captured] == [("sched:nightly:0:k", {"on": "1970-01-01"})]
