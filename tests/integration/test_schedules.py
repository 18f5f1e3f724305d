"""Slots of schedules fire once each, whoever fires them; after a standstill as the policies say.

Time stands still but for what a test moves it.
"""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from streamq import App
from streamq.embedded import EmbeddedServer
from streamq.job import JobState
from streamq.run.clockwork import Clockwork
from streamq.schedule import FIRE_ONCE, SKIP_MISSED, Misfire, Overlap, Slot, fire_all
from streamq.settings import Settings
from streamq.store.keys import keys_of
from streamq.timetable import RETIRE_MS, SILENCE_MS
from tests.support import servers
from tests.support.clockworks import DAY_MS, HOUR_MS, Clockworks, slots_in, turn
from tests.support.waiting import soon
from tests.support.workers import QUEUE, Floor, StillClock

SECOND_MS = 1_000
MANY = 20  # processes
STEPS = 60
SEED = 20_261_124


@pytest.fixture
async def clockworks(floor: Floor) -> AsyncIterator[Clockworks]:
    """On a floor where time stands still, at a full hour."""
    floor.stop_time()
    async with Clockworks(floor) as opened:
        yield opened


@pytest.fixture
def begin_ms(clockworks: Clockworks) -> int:
    clock = clockworks.floor.app.clock
    assert isinstance(clock, StillClock) and clock.at_ms % HOUR_MS == 0
    return clock.at_ms


def every(floor: Floor, interval: str, name: str = "tick", **said: object) -> None:
    floor.app.schedule(name, queue=QUEUE, job="tick", every=interval, **said)  # type: ignore[arg-type]


# ---- who fires


async def test_a_slot_fires_when_it_is_due_and_not_before(
    clockworks: Clockworks, begin_ms: int
) -> None:
    every(clockworks.floor, "10s")
    process = clockworks.start()
    await turn(process)

    await clockworks.later(10 * SECOND_MS - 1, process)
    before = clockworks.fired("tick")
    await clockworks.later(1, process)
    await turn(process)

    assert (before, clockworks.fired("tick")) == ([], [begin_ms + 10 * SECOND_MS])


async def test_a_slot_at_the_very_moment_of_the_first_declaration_is_not_owed(
    clockworks: Clockworks, begin_ms: int
) -> None:
    every(clockworks.floor, "10s")
    process = clockworks.start()

    await turn(process)
    await clockworks.later(10 * SECOND_MS, clockworks.start(), process)

    # Begun at a slot's own moment: from now on. And one that is due while another process begins
    # fires all the same, once.
    assert clockworks.fired("tick") == [begin_ms + 10 * SECOND_MS]


@pytest.mark.slow
async def test_twenty_processes_that_die_at_any_moment_fire_each_slot_once(
    clockworks: Clockworks, begin_ms: int
) -> None:
    every(clockworks.floor, "1s")
    every(clockworks.floor, "3s", "third", overlap=Overlap.SKIP)
    chance = random.Random(SEED)
    processes = [clockworks.start() for _ in range(MANY)]
    await turn(processes[0])

    for _ in range(STEPS):
        await clockworks.later(SECOND_MS)
        turning = [asyncio.create_task(turn(process)) for process in processes]
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
        for i in chance.sample(range(MANY), MANY // 2):
            # Killed somewhere between its first thought and its last; another one starts.
            turning[i].cancel()
            processes[i] = clockworks.start()
        await asyncio.wait(turning)

    await turn(processes[0])
    tick, third = await clockworks.state("tick"), await clockworks.state("third")
    assert clockworks.fired("tick") == [begin_ms + i * SECOND_MS for i in range(1, STEPS + 1)]
    assert (tick.fired, tick.missed) == (STEPS, 0)
    # The first job of the other one waits for a worker; none of its slots went uncounted.
    assert clockworks.fired("third") == [begin_ms + 3 * SECOND_MS]
    assert (third.fired, third.missed) == (1, STEPS // 3 - 1)


async def test_one_that_stood_still_does_not_skip_what_another_was_about_to_fire(
    clockworks: Clockworks, begin_ms: int
) -> None:
    every(clockworks.floor, "1s", misfire=FIRE_ONCE)
    stopped, other = clockworks.start(), clockworks.start()
    await turn(stopped)
    for _ in range(90):
        await clockworks.later(SECOND_MS, other)

    # The other one is slow for a moment, and the first one goes on: for it 92 slots were missed.
    await clockworks.later(2 * SECOND_MS)
    await turn(stopped)
    await turn(stopped)

    assert clockworks.fired("tick") == [begin_ms + i * SECOND_MS for i in range(1, 93)]
    assert (await clockworks.state("tick")).missed == 0


async def test_a_slot_that_nobody_fired_for_a_moment_is_on_time_whatever_the_policy(
    clockworks: Clockworks, begin_ms: int
) -> None:
    every(clockworks.floor, "10s", misfire=SKIP_MISSED)
    await turn(clockworks.start())

    await clockworks.later(60 * SECOND_MS)
    await turn(clockworks.start())

    assert clockworks.fired("tick") == [begin_ms + i * 10 * SECOND_MS for i in range(1, 7)]


# ---- after a standstill


@pytest.mark.parametrize(
    ("misfire", "jobs"),
    [
        (SKIP_MISSED, 0),
        (FIRE_ONCE, 1),
        (fire_all(max=10, within="7d"), 10),
        (fire_all(max=1_000, within="1d"), 24),
        (fire_all(max=1_000, within="7d"), 72),
    ],
    ids=["skip", "once", "all, ten", "all of a day", "all"],
)
async def test_after_three_days_of_standstill_exactly_as_many_jobs_as_the_policy_says(
    clockworks: Clockworks, begin_ms: int, misfire: Misfire, jobs: int
) -> None:
    every(clockworks.floor, "1h", misfire=misfire)
    await turn(clockworks.start())

    await clockworks.later(3 * DAY_MS + HOUR_MS // 2)
    started = [clockworks.start() for _ in range(MANY)]
    await asyncio.gather(*map(turn, started))
    await asyncio.gather(*map(turn, started))

    newest = begin_ms + 3 * DAY_MS
    assert clockworks.fired("tick") == [newest - i * HOUR_MS for i in reversed(range(jobs))]
    state = await clockworks.state("tick")
    assert (state.fired, state.missed) == (jobs, 72 - jobs)
    # And from then on as ever.
    await clockworks.later(HOUR_MS // 2, *started[:2])
    assert clockworks.fired("tick")[-1] == newest + HOUR_MS


async def test_a_thousand_missed_slots_with_large_payloads_go_in_bounded_calls(
    clockworks: Clockworks, begin_ms: int
) -> None:
    every(clockworks.floor, "1s", misfire=fire_all(max=1_000, within="1h"), data="x" * (8 << 10))
    await turn(clockworks.start())

    await clockworks.later(HOUR_MS)
    await turn(clockworks.start())

    assert clockworks.fired("tick") == [
        begin_ms + HOUR_MS - i * SECOND_MS for i in reversed(range(1_000))
    ]
    assert (await clockworks.state("tick")).missed == 2_600


async def test_after_a_standstill_the_first_app_does_not_forget_the_schedules_of_the_next(
    clockworks: Clockworks, begin_ms: int
) -> None:
    every(clockworks.floor, "1h", "mine")
    other = clockworks.floor.another_app()
    other.clock = clockworks.floor.app.clock
    other.schedule("others", queue=QUEUE, job="tick", every="1h")
    await turn(clockworks.start())
    await turn(clockworks.start(app=other))

    await clockworks.later(3 * DAY_MS + HOUR_MS // 2)
    await turn(clockworks.start())
    await turn(clockworks.start(app=other))

    assert clockworks.fired("others") == [begin_ms + 3 * DAY_MS]


async def test_one_that_left_the_code_is_not_fired_and_is_forgotten(
    clockworks: Clockworks, begin_ms: int
) -> None:
    every(clockworks.floor, "10m", "kept")
    before = clockworks.floor.another_app()
    before.clock = clockworks.floor.app.clock
    before.schedule("left", queue=QUEUE, job="tick", every="10m")
    await turn(clockworks.start(app=before))

    for _ in range(RETIRE_MS // (SILENCE_MS // 2) + 1):
        # A process that starts declares.
        await clockworks.later(SILENCE_MS // 2, clockworks.start())

    assert clockworks.fired("left") == []
    assert set(clockworks.floor.dump().hashes["schedules"]) == {b"kept"}


async def test_an_edited_schedule_begins_with_its_new_slots_and_has_missed_none(
    clockworks: Clockworks, begin_ms: int
) -> None:
    every(clockworks.floor, "1d", "n")
    await turn(clockworks.start())
    edited = clockworks.floor.another_app()
    edited.clock = clockworks.floor.app.clock
    edited.schedule("n", queue=QUEUE, job="tick", every="1h")

    await clockworks.later(5 * HOUR_MS + HOUR_MS // 2, clockworks.start(app=edited))
    at_once = clockworks.fired("n")
    await clockworks.later(HOUR_MS // 2, clockworks.start(app=edited))

    assert (at_once, clockworks.fired("n")) == ([], [begin_ms + 6 * HOUR_MS])


# ---- while the last job runs


async def _busy(clockworks: Clockworks, overlap: Overlap) -> tuple[Clockwork, asyncio.Event]:
    """A schedule of every minute whose first job runs until the event."""
    floor, done = clockworks.floor, asyncio.Event()

    @floor.job()
    async def tick(data: object) -> None:
        await done.wait()

    every(floor, "1m", overlap=overlap)
    await floor.hire(concurrency=10)
    process = clockworks.start()
    await turn(process)
    await clockworks.later(60 * SECOND_MS, process)
    (first,) = floor.states()
    await floor.reaches(first, JobState.ACTIVE)  # type: ignore[arg-type]  # a JobId
    return process, done


async def test_allowed_overlaps_run_side_by_side(clockworks: Clockworks) -> None:
    process, done = await _busy(clockworks, Overlap.ALLOW)

    await clockworks.later(60 * SECOND_MS, process)

    await clockworks.floor.all_reach(JobState.ACTIVE, 2)
    done.set()
    await clockworks.floor.all_reach(JobState.COMPLETED, 2)


async def test_slots_are_skipped_while_the_last_job_runs(
    clockworks: Clockworks, begin_ms: int
) -> None:
    process, done = await _busy(clockworks, Overlap.SKIP)

    await clockworks.later(60 * SECOND_MS, process)
    await clockworks.later(60 * SECOND_MS, process)
    done.set()
    await clockworks.floor.all_reach(JobState.COMPLETED, 1)
    await clockworks.later(60 * SECOND_MS, process)

    assert clockworks.fired("tick") == [begin_ms + i * 60 * SECOND_MS for i in (1, 4)]
    assert (await clockworks.state("tick")).missed == 2
    await clockworks.floor.all_reach(JobState.COMPLETED, 2)


async def test_one_slot_is_queued_and_starts_only_when_the_last_job_has_ended(
    clockworks: Clockworks, begin_ms: int
) -> None:
    process, done = await _busy(clockworks, Overlap.QUEUE_ONE)

    await clockworks.later(60 * SECOND_MS, process)
    await clockworks.later(60 * SECOND_MS, process)
    await turn(clockworks.start())
    while_it_runs = clockworks.fired("tick")
    done.set()
    await clockworks.floor.all_reach(JobState.COMPLETED, 1)
    # Whoever looks next, and be it a process that has just started.
    await turn(clockworks.start())

    assert while_it_runs == [begin_ms + 60 * SECOND_MS]
    assert clockworks.fired("tick") == [begin_ms + i * 60 * SECOND_MS for i in (1, 2)]
    assert (await clockworks.state("tick")).missed == 1
    await clockworks.floor.all_reach(JobState.COMPLETED, 2)


async def test_of_a_paused_queue_the_jobs_wait(clockworks: Clockworks, begin_ms: int) -> None:
    floor = clockworks.floor

    @floor.job()
    async def tick(data: object) -> None: ...

    every(floor, "1m")
    await floor.hire()
    await floor.queue.pause()
    process = clockworks.start()
    await turn(process)

    await clockworks.later(60 * SECOND_MS, process)
    await clockworks.later(60 * SECOND_MS, process)
    waiting = dict(floor.states())
    await floor.queue.resume()
    await floor.all_reach(JobState.COMPLETED, 2)

    assert slots_in(waiting, "tick") == clockworks.fired("tick")
    assert set(waiting.values()) == {"waiting"}


# ---- when in a slot


async def test_a_spread_job_starts_by_chance_but_always_the_same(
    clockworks: Clockworks, begin_ms: int
) -> None:
    floor = clockworks.floor
    every(floor, "1h", spread="30m")
    schedule = floor.app.schedules.get("tick")
    process = clockworks.start()
    await turn(process)

    for _ in range(5):
        await clockworks.later(HOUR_MS, process)

    key = keys_of(floor.prefix, QUEUE).names["delayed"]
    delayed = {member[8:].decode(): int(ms) for member, ms in floor.raw.zscan_iter(key)}
    slots = [Slot(begin_ms + i * HOUR_MS) for i in range(1, 6)]
    expected = {schedule.slot_id(slot): slot + schedule.delay_ms(slot) for slot in slots}
    # The others were due by now, and wait.
    assert delayed == {job: ms for job, ms in expected.items() if job in delayed}
    assert clockworks.fired("tick") == slots
    assert len({schedule.delay_ms(slot) for slot in slots}) == 5


# ---- what goes wrong


async def test_when_all_data_went_the_schedules_come_back(
    clockworks: Clockworks, begin_ms: int
) -> None:
    every(clockworks.floor, "1m")
    process = clockworks.start()
    await turn(process)
    await clockworks.later(60 * SECOND_MS, process)
    keys = keys_of(clockworks.floor.prefix, QUEUE)

    clockworks.floor.raw.delete(*keys.all())
    await clockworks.later(60 * SECOND_MS, process)  # hears that it is declared by nobody
    await turn(process)
    await clockworks.later(60 * SECOND_MS, process)

    assert clockworks.fired("tick") == [begin_ms + 180 * SECOND_MS]


async def test_a_queue_that_only_a_schedule_uses_is_found_by_those_who_look(
    clockworks: Clockworks,
) -> None:
    every(clockworks.floor, "1m")

    await turn(clockworks.start())

    assert await clockworks.floor.app.used_queues() == [QUEUE]


@pytest.mark.slow
@pytest.mark.one_server
async def test_trouble_in_one_queue_leaves_the_others_alone(
    server: EmbeddedServer, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App("tests", settings=Settings(), redis=servers.door(server.url), prefix=prefix)
    for queue in ("broken", "newer", "well"):
        app.declare_queue(queue)
        app.schedule(f"tick-{queue}", queue=queue, job="tick", every="1s")
    async with app, Clockworks(Floor(server, prefix)) as clockworks:
        raw = clockworks.floor.raw
        raw.set(keys_of(prefix, "broken").names["schedules"], "no hash")
        raw.hset(keys_of(prefix, "newer").names["meta"], "layout", "9")
        running = asyncio.create_task(clockworks.start(app=app).run())
        try:
            await soon(lambda: _waiting(app, "well", 2), "two slots fired")
        finally:
            running.cancel()
            await asyncio.wait([running])
            raw.delete(*keys_of(prefix, "broken").all(), *keys_of(prefix, "newer").all())

    said = [r.getMessage() for r in caplog.records if r.name == "streamq.schedules"]
    assert any("SQ112" in line and "left to the newer one" in line for line in said)
    assert sum("schedules of broken wait" in line for line in said) == 1  # once, not at each look


async def _waiting(app: App, queue: str, count: int) -> bool:
    return (await app.queue(queue).counts()).waiting >= count


async def _known(app: App, queue: str) -> bool:
    return queue in await app.used_queues()


async def test_other_settings_are_taken_up_while_it_runs(clockworks: Clockworks) -> None:
    floor = clockworks.floor
    every(floor, "1h", "first")
    process = clockworks.start()
    running = asyncio.create_task(process.run())
    try:
        floor.app.schedule("second", queue="other", job="tick", every="1h")
        process.changed()
        await soon(lambda: _known(floor.app, "other"), "the new schedule's queue is known")
    finally:
        running.cancel()
        await asyncio.wait([running])

    assert (await floor.app.schedules.see("second")).state is not None
