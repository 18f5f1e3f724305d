"""What people do with schedules: run one now, fill in, pause; and names that nobody knows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from streamq.errors import UnknownSchedule, WrongState
from streamq.job import JobState
from streamq.schedule import SKIP_MISSED, Overlap
from tests.support.clockworks import HOUR_MS, Clockworks, turn
from tests.support.workers import QUEUE, Floor, StillClock


@pytest.fixture
async def clockworks(floor: Floor) -> AsyncIterator[Clockworks]:
    """With a schedule of every hour, which was declared; time stands still at a full hour."""
    floor.stop_time()
    floor.app.schedule(
        "tick", queue=QUEUE, job="tick", every="1h", data={"n": 1}, misfire=SKIP_MISSED,
        overlap=Overlap.SKIP,
    )  # fmt: skip
    async with Clockworks(floor) as opened:
        await turn(opened.start())
        yield opened


def _now(floor: Floor) -> datetime:
    clock = floor.app.clock
    assert isinstance(clock, StillClock)
    return datetime.fromtimestamp(clock.at_ms / 1_000, UTC)


async def test_a_job_of_an_unknown_name_is_parked_and_runs_when_somebody_knows_it(
    clockworks: Clockworks,
) -> None:
    floor = clockworks.floor
    seen: list[object] = []

    @floor.job()
    async def other(data: object) -> None: ...

    worker = await floor.hire()
    await clockworks.later(HOUR_MS, clockworks.start())
    (job,) = floor.states()
    parked = await floor.reaches(job, JobState.PARKED)  # type: ignore[arg-type]  # a JobId
    await worker.leaves()

    @floor.job()
    async def tick(data: object) -> None:
        seen.append(data)

    await floor.hire()
    await floor.queue.retry(job)
    await floor.reaches(parked.id, JobState.COMPLETED)

    assert seen == [{"n": 1}]


async def test_one_is_run_now_beside_its_slots_whatever_holds_those_back(
    clockworks: Clockworks,
) -> None:
    floor, schedules = clockworks.floor, clockworks.floor.app.schedules
    await schedules.pause("tick")

    job = await schedules.run("tick")
    await clockworks.later(1)
    other = await schedules.run("tick")
    await schedules.resume("tick")
    await clockworks.later(HOUR_MS, clockworks.start())

    assert floor.states().keys() == {job, other, f"sched:tick:{clockworks.fired('tick')[0]}"}
    seen = await floor.queue.get(job)
    assert seen is not None and seen.name == "tick"
    # What was run by hand is no slot.
    assert (await schedules.see("tick")).fired_ms == clockworks.fired("tick")[0]


async def test_slots_of_the_past_are_filled_in_and_what_is_there_is_left(
    clockworks: Clockworks,
) -> None:
    floor, schedules = clockworks.floor, clockworks.floor.app.schedules
    await clockworks.later(HOUR_MS, clockworks.start())
    await clockworks.later(HOUR_MS * 9 // 2)
    end = _now(floor)

    first = await schedules.backfill("tick", end - timedelta(hours=5), end, limit=2)
    rest = await schedules.backfill("tick", end - timedelta(hours=5), end)

    slots = [int(job.rpartition(":")[2]) for job in [*first, *rest]]
    assert (len(first), len(rest)) == (1, 3)  # the oldest was there: it had fired by itself
    assert clockworks.fired("tick") == [slots[0] - HOUR_MS, *slots]
    assert slots == [slots[0] + i * HOUR_MS for i in range(4)]


async def test_large_payloads_are_filled_in_by_bounded_calls(clockworks: Clockworks) -> None:
    floor = clockworks.floor
    floor.app.schedule("large", queue=QUEUE, job="tick", every="1s", data="x" * (60 << 10))
    end = _now(floor)

    added = await floor.app.schedules.backfill("large", end - timedelta(seconds=59), end)

    assert len(added) == len(clockworks.fired("large")) == 60


async def test_a_paused_schedule_passes_its_slots_over_and_goes_on_from_where_it_is_resumed(
    clockworks: Clockworks,
) -> None:
    schedules, process = clockworks.floor.app.schedules, clockworks.start()
    await turn(process)

    changed = [await schedules.pause("tick"), await schedules.pause("tick")]
    await clockworks.later(HOUR_MS, process)
    paused = await schedules.see("tick")
    await clockworks.later(HOUR_MS // 2)
    changed += [await schedules.resume("tick"), await schedules.resume("tick")]
    await turn(process)
    resumed = await schedules.see("tick")
    while_paused = clockworks.fired("tick")
    await clockworks.later(HOUR_MS // 2, process)

    assert changed == [True, False, True, False]
    assert (paused.paused, paused.next_slot_ms, resumed.paused) == (True, None, False)
    assert (while_paused, len(clockworks.fired("tick"))) == ([], 1)
    assert (await clockworks.state("tick")).missed == 0


async def test_a_pause_outlives_the_processes(clockworks: Clockworks) -> None:
    await clockworks.floor.app.schedules.pause("tick")

    await clockworks.later(HOUR_MS, clockworks.start())

    assert clockworks.fired("tick") == []


async def test_one_that_no_worker_has_declared_cannot_be_paused_and_looks_so(
    clockworks: Clockworks,
) -> None:
    schedules = clockworks.floor.app.schedules
    clockworks.floor.app.schedule("new", queue=QUEUE, job="tick", every="1h")

    seen = await schedules.see("new")

    assert (seen.state, seen.paused, seen.fired_ms, seen.running) == (None, False, None, False)
    assert seen.next_slot_ms is not None
    with pytest.raises(WrongState):
        await schedules.pause("new")
    with pytest.raises(UnknownSchedule):
        await schedules.pause("nothing")


async def test_all_are_seen_in_the_order_of_their_declaration(clockworks: Clockworks) -> None:
    clockworks.floor.app.schedule("a", queue=QUEUE, job="tick", every="1h")

    found = await clockworks.floor.app.schedules.all()

    assert [each.schedule.name for each in found] == ["tick", "a"]
