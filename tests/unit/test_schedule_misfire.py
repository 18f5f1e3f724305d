"""What fires after time was missed: exactly what the policy says, and nothing twice."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.schedule import (
    FIRE_ONCE,
    LATE_MS,
    SKIP_MISSED,
    SLOTS_MAX,
    Due,
    Misfire,
    Schedule,
    Slot,
    fire_all,
    recurring,
)

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# A Tuesday, twenty-five minutes past nine in America/Sao_Paulo: no slot of those below is near.
NOW_MS = int(datetime(2026, 11, 24, 12, 25, 30, tzinfo=UTC).timestamp()) * 1_000


def schedule(
    cron: str | None = None, every: str | None = None, misfire: Misfire = FIRE_ONCE
) -> Schedule:
    return recurring(
        "s",
        queue="q",
        job="j",
        cron=cron,
        every=every,
        timezone="America/Sao_Paulo",
        misfire=misfire,
    )


@pytest.mark.parametrize(
    ("when", "policy", "fired", "missed"),
    [
        ("0 9 * * *", SKIP_MISSED, 0, 3),
        ("0 9 * * *", FIRE_ONCE, 1, 2),
        ("0 9 * * *", fire_all(max=100, within="7d"), 3, 0),
        ("0 9 * * *", fire_all(max=2, within="7d"), 2, 1),
        ("0 9 * * *", fire_all(max=100, within="30h"), 2, 1),
        ("0 9 * * *", fire_all(max=1, within="30h"), 1, 2),
        ("0 9 * * *", fire_all(max=100, within="5m"), 0, 3),
        ("0 * * * *", SKIP_MISSED, 0, 72),
        ("0 * * * *", FIRE_ONCE, 1, 71),
        ("0 * * * *", fire_all(max=1_000, within="7d"), 72, 0),
        ("0 * * * *", fire_all(max=10, within="7d"), 10, 62),
        ("0 * * * *", fire_all(max=1_000, within="6h"), 6, 66),
        ("0 */6 * * *", FIRE_ONCE, 1, 11),
        ("0 */6 * * *", fire_all(max=1_000, within="7d"), 12, 0),
        ("0 8 * * 1", FIRE_ONCE, 1, 0),
        ("0 8 * * 1", SKIP_MISSED, 0, 1),
        ("0 8 1 * *", FIRE_ONCE, 0, 0),
        ("0 8 1 * *", fire_all(max=1_000, within="7d"), 0, 0),
        ("every 5m", SKIP_MISSED, 1, 863),
        ("every 5m", FIRE_ONCE, 1, 863),
        ("every 5m", fire_all(max=1_000, within="7d"), 864, 0),
        ("every 5m", fire_all(max=1_000, within="1h"), 12, 852),
        ("every 1s", FIRE_ONCE, 1, SLOTS_MAX - 1),
        ("every 1s", fire_all(max=1_000, within="7d"), 1_000, SLOTS_MAX - 1_000),
    ],
)
def test_after_three_days_of_standstill_exactly_that_many_fire(
    when: str, policy: Misfire, fired: int, missed: int
) -> None:
    every = when.removeprefix("every ") if when.startswith("every ") else None
    stood_still = schedule(None if every else when, every, policy)
    last_ms = NOW_MS - 3 * DAY_MS

    due = stood_still.due_slots(last_ms, NOW_MS)

    assert (len(due.slots), due.missed) == (fired, missed)
    assert due == schedule(None if every else when, every).due_slots(last_ms, NOW_MS, policy)
    # And nothing more at the next look.
    assert stood_still.due_slots(due.last_ms, NOW_MS) == Due((), 0, due.last_ms)


def test_the_newest_slots_fire_and_the_oldest_of_them_first() -> None:
    nightly = schedule("0 2 * * *")
    last_ms = NOW_MS - 5 * DAY_MS
    slots = nightly.slots(last_ms, NOW_MS)

    assert nightly.due_slots(last_ms, NOW_MS).slots == (slots[-1],)
    assert nightly.due_slots(last_ms, NOW_MS, fire_all(max=3, within="9d")).slots == (*slots[-3:],)


def test_a_window_includes_what_is_exactly_as_old_as_it() -> None:
    hourly = schedule("0 * * * *")
    (slot,) = hourly.next_slots(NOW_MS)
    policy = fire_all(max=9, within="2h")

    assert len(hourly.due_slots(NOW_MS - DAY_MS, slot + 2 * HOUR_MS, policy).slots) == 3
    assert len(hourly.due_slots(NOW_MS - DAY_MS, slot + 2 * HOUR_MS + 1, policy).slots) == 2


@pytest.mark.parametrize("policy", [SKIP_MISSED, FIRE_ONCE, fire_all(max=1, within="1s")])
def test_a_slot_that_is_on_time_fires_under_every_policy(policy: Misfire) -> None:
    hourly = schedule("0 * * * *", misfire=policy)
    (slot,) = hourly.next_slots(NOW_MS)

    for late_ms in (0, 1, SECOND_MS, LATE_MS):
        assert hourly.due_slots(NOW_MS, slot + late_ms) == Due((slot,), 0, slot)
    assert hourly.due_slots(NOW_MS, slot - 1) == Due((), 0, NOW_MS)


@pytest.mark.parametrize("policy", [SKIP_MISSED, FIRE_ONCE, fire_all(max=1, within="1s")])
def test_every_second_loses_none_while_another_worker_takes_over(policy: Misfire) -> None:
    ticking = schedule(every="1s", misfire=policy)

    due = ticking.due_slots(NOW_MS, NOW_MS + 40 * SECOND_MS)

    assert due.slots == tuple(ticking.slots(NOW_MS, NOW_MS + 40 * SECOND_MS))
    assert (len(due.slots), due.missed) == (40, 0)


def test_skipping_leaves_the_slot_that_is_due_now() -> None:
    hourly = schedule("0 * * * *", misfire=SKIP_MISSED)
    (slot,) = hourly.next_slots(NOW_MS)

    assert hourly.due_slots(NOW_MS - 3 * DAY_MS, slot + 4 * SECOND_MS) == Due((slot,), 72, slot)


def test_once_is_one_even_if_the_newest_is_on_time() -> None:
    hourly = schedule("0 * * * *")
    (slot,) = hourly.next_slots(NOW_MS)

    assert hourly.due_slots(NOW_MS - 3 * DAY_MS, slot + 4 * SECOND_MS) == Due((slot,), 72, slot)


def test_a_slot_fires_late_by_more_than_its_limit_only_by_the_policy() -> None:
    hourly = schedule("0 * * * *", misfire=SKIP_MISSED)
    (slot,) = hourly.next_slots(NOW_MS)

    assert hourly.due_slots(NOW_MS, slot + LATE_MS + 1) == Due((), 1, slot)
    assert hourly.due_slots(NOW_MS, slot + LATE_MS + 1, FIRE_ONCE) == Due((slot,), 0, slot)


def test_a_clock_that_went_back_fires_nothing_again() -> None:
    hourly = schedule("0 * * * *")

    assert hourly.due_slots(NOW_MS, NOW_MS - DAY_MS) == Due((), 0, NOW_MS)


def test_a_standstill_of_years_costs_no_more_than_one_of_days() -> None:
    # Half a million slots a year, and none for nine months before now: halving finds the newest.
    winter = schedule("* * * 1-3 *")
    due = winter.due_slots(0, NOW_MS, fire_all(max=1_000, within="520w"))

    assert len(due.slots) == 1_000
    assert due.missed == SLOTS_MAX - 1_000
    end = datetime.fromtimestamp(due.last_ms / 1_000, UTC).replace(tzinfo=None)
    assert str(end) == "2026-04-01 02:59:00"  # 23:59 in America/Sao_Paulo
    assert due.last_ms - due.slots[0] == 999 * MINUTE_MS


SCHEDULES = st.builds(
    schedule, st.sampled_from(["0 9 * * *", "*/7 * * * *", "0 */6 * * 1-5", "30 23 L * *"])
) | st.builds(lambda every: schedule(every=f"{every}s"), st.integers(1, 100_000))
POLICIES = st.one_of(
    st.just(SKIP_MISSED),
    st.just(FIRE_ONCE),
    st.builds(
        lambda most, hours: fire_all(max=most, within=f"{hours}h"),
        st.integers(1, 50),
        st.integers(1, 100),
    ),
)
STEPS_MS = st.lists(
    st.sampled_from([SECOND_MS, 10 * SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS]), min_size=1, max_size=8
)


@given(SCHEDULES, POLICIES, STEPS_MS)
def test_however_often_one_looks_nothing_fires_twice_and_all_is_fired_or_missed(
    any_one: Schedule, policy: Misfire, steps_ms: list[int]
) -> None:
    last_ms = at_ms = NOW_MS
    fired: list[Slot] = []
    missed = 0
    for step_ms in steps_ms:
        at_ms += step_ms
        due = any_one.due_slots(last_ms, at_ms, policy)
        fired += due.slots
        missed += due.missed
        last_ms = due.last_ms

    all_of_them = any_one.slots(NOW_MS, at_ms)
    assert fired == sorted(set(fired))
    assert set(fired) <= set(all_of_them) or len(all_of_them) == SLOTS_MAX
    assert len(fired) + missed == len(all_of_them) or len(all_of_them) == SLOTS_MAX


@given(SCHEDULES, POLICIES, st.integers(1, 4 * DAY_MS), st.integers(0, 50))
def test_a_process_that_dies_between_two_slots_leaves_the_rest_to_the_next(
    any_one: Schedule, policy: Misfire, away_ms: int, died_after: int
) -> None:
    due = any_one.due_slots(NOW_MS, NOW_MS + away_ms, policy)
    done = due.slots[:died_after]

    rest = any_one.due_slots(done[-1] if done else NOW_MS, NOW_MS + away_ms, policy)

    assert done + rest.slots == due.slots
