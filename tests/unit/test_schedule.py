"""Schedules: which slots there are, their ids, what is refused, and what `explain` tells."""

import re
from datetime import timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.dst import Fold, Gap
from streamq.durations import Duration
from streamq.errors import (
    NAME_SETS,
    BareNumber,
    InvalidCron,
    InvalidName,
    InvalidSchedule,
    NotSerialisable,
    OutOfRange,
    PayloadTooLarge,
    StreamqError,
    UnknownTimeZone,
)
from streamq.schedule import (
    EXPLAINED_MAX,
    FIRE_ALL_MAX,
    SKIP_MISSED,
    SLOTS_MAX,
    Overlap,
    Schedule,
    Slot,
    fire_all,
    recurring,
)
from streamq.zones import zone_names
from tests.support.schedules import MOMENTS, NOW_MS, SCHEDULES, at_ms, schedule

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


# ---- slots


def test_slots_lie_behind_the_beginning_and_up_to_the_end() -> None:
    hourly = schedule("0 * * * *")
    ten, eleven, noon = (at_ms(f"2026-11-24T{hour}:00") for hour in (10, 11, 12))

    assert hourly.slots(ten, noon) == [eleven, noon]
    assert hourly.slots(ten - 1, noon - 1) == [ten, eleven]
    assert hourly.slots(noon, noon) == hourly.slots(noon, ten) == []
    assert hourly.slots(ten, noon + DAY_MS, limit=1) == [eleven]


def test_next_slots_come_in_the_zone_of_the_schedule() -> None:
    assert schedule("0 9 * * *").next_slots(NOW_MS, 2) == [
        at_ms("2026-11-25T09:00-03:00"),
        at_ms("2026-11-26T09:00-03:00"),
    ]
    assert schedule("0 9 * * *", timezone=None).next_slots(NOW_MS) == [at_ms("2026-11-25T09:00")]


def test_a_rare_slot_is_found_however_far_it_is() -> None:
    across_2100 = schedule("0 0 29 2 */7", timezone="UTC")

    assert across_2100.next_slots(at_ms("2088-03-01T00:00")) == [at_ms("2128-02-29T00:00")]
    assert across_2100.next_slots(at_ms("2088-03-01T00:00"), 2) == [
        at_ms("2128-02-29T00:00"),
        at_ms("2156-02-29T00:00"),
    ]


def test_there_are_slots_from_1970_to_9000() -> None:
    hourly = schedule("0 * * * *", timezone="UTC")

    assert hourly.next_slots(-1) == [0]
    assert hourly.next_slots(10**18) == []


@pytest.mark.parametrize(
    ("every", "first"),
    [
        ("1s", "2026-11-24T12:00:01"),
        ("7s", "2026-11-24T12:00:02"),
        ("90s", "2026-11-24T12:01:30"),
        ("1h", "2026-11-24T13:00"),
        ("1d", "2026-11-25T00:00"),
        ("1w", "2026-11-26T00:00"),  # a Thursday, as 1970-01-01 was
        (timedelta(milliseconds=1_500), "2026-11-24T12:00:01.500"),
    ],
)
def test_an_interval_counts_from_1970_so_that_all_processes_agree(
    every: Duration, first: str
) -> None:
    repeating = schedule(every=every, timezone=None)
    (slot,) = repeating.next_slots(NOW_MS)

    assert slot == at_ms(first)
    assert repeating.every_ms is not None and slot % repeating.every_ms == 0


def test_an_interval_is_the_same_wherever_its_clock_hangs() -> None:
    slots = [schedule(every="6h", timezone=name).next_slots(NOW_MS, 9) for name in zone_names()]

    assert all(each == slots[0] for each in slots)


def test_a_number_of_slots_has_its_limits() -> None:
    hourly = schedule("0 * * * *")

    for limit in (0, SLOTS_MAX + 1):
        with pytest.raises(OutOfRange, match="limit"):
            hourly.slots(0, NOW_MS, limit)
    assert len(schedule("* * * * *").next_slots(NOW_MS, SLOTS_MAX)) == SLOTS_MAX
    for n in (0, EXPLAINED_MAX + 1):
        with pytest.raises(OutOfRange, match="n="):
            hourly.explain(NOW_MS, n)


# ---- invariants

LENGTHS = st.integers(0, 5 * DAY_MS)


@given(SCHEDULES, MOMENTS, LENGTHS)
def test_slots_only_rise_and_stay_inside(any_one: Schedule, from_ms: int, length_ms: int) -> None:
    slots = any_one.slots(from_ms, from_ms + length_ms)

    assert all(one < other for one, other in pairwise(slots))
    assert all(from_ms < slot <= from_ms + length_ms for slot in slots)


@given(SCHEDULES, MOMENTS, LENGTHS, st.floats(0, 1))
def test_no_slot_is_lost_or_doubled_between_two_looks(
    any_one: Schedule, from_ms: int, length_ms: int, part: float
) -> None:
    cut_ms, to_ms = from_ms + int(length_ms * part), from_ms + length_ms

    parts = any_one.slots(from_ms, cut_ms) + any_one.slots(cut_ms, to_ms)

    assert parts[:SLOTS_MAX] == any_one.slots(from_ms, to_ms)


@given(SCHEDULES, MOMENTS, st.integers(1, 5))
def test_next_slots_are_those_that_come_one_by_one(any_one: Schedule, from_ms: int, n: int) -> None:
    at, one_by_one = from_ms, []
    for _ in range(n):
        (at,) = any_one.next_slots(at)
        one_by_one.append(at)

    assert any_one.next_slots(from_ms, n) == one_by_one


@given(
    *[st.from_regex(NAME_SETS["schedule"], fullmatch=True)] * 2,
    *[st.integers(0, at_ms("9000-01-01")).map(Slot)] * 2,
)
def test_no_two_slots_of_any_schedules_share_an_id(
    name: str, other_name: str, slot: Slot, other_slot: Slot
) -> None:
    one, other = schedule("@daily", name=name), schedule("@daily", name=other_name)

    same = one.slot_id(slot) == other.slot_id(other_slot)

    assert same == ((name, slot) == (other_name, other_slot))
    # Room is left for the key of a job that a planner adds.
    assert re.fullmatch(NAME_SETS["id"], one.slot_id(slot) + ":" + "k" * 40)


def test_an_id_is_the_schedule_and_the_instant_whatever_its_options_are() -> None:
    gap_ms = at_ms("2018-11-04T01:00-02:00")
    before = gap_ms - HOUR_MS
    moved = schedule("0 0 * * *").next_slots(before)[0]
    at_one = schedule("0 1 * * *", gap=Gap.SKIP, spread="5m").next_slots(before)[0]

    assert schedule("0 0 * * *").slot_id(moved) == f"sched:nightly:{gap_ms}"
    # A change of policy, or of the expression, cannot fire an instant twice.
    assert schedule("0 1 * * *").slot_id(at_one) == schedule("0 0 * * *").slot_id(moved)


# ---- spread


def test_without_a_spread_a_slot_is_not_delayed() -> None:
    assert schedule("@daily").delay_ms(Slot(NOW_MS)) == 0


def test_a_spread_is_drawn_from_name_and_slot_alone() -> None:
    spread = schedule("@daily", spread="10m")
    elsewhere = msgspec.msgpack.decode(msgspec.msgpack.encode(spread), type=Schedule)

    assert elsewhere.delay_ms(Slot(NOW_MS)) == spread.delay_ms(Slot(NOW_MS))
    # A fixed one: it may not change from one version to the next, either.
    assert spread.delay_ms(Slot(NOW_MS)) == 10_541


def test_a_spread_reaches_all_of_its_time_evenly() -> None:
    spread_ms = 600_000
    spread = schedule(every="1m", spread="10m")
    delays = [spread.delay_ms(slot) for slot in spread.next_slots(NOW_MS, 10_000)]
    others = [
        schedule(every="1m", spread="10m", name=f"n{n}").delay_ms(Slot(NOW_MS)) for n in range(500)
    ]

    assert all(0 <= delay < spread_ms for delay in delays)
    tenths = [sum(delay * 10 // spread_ms == tenth for delay in delays) for tenth in range(10)]
    assert all(850 < count < 1_150 for count in tenths)
    assert len(set(others)) > 490


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"cron": "0 9 * *"},
            InvalidCron,
            'SQ401 "0 9 * *" has 4 fields, cron needs 5 (minute hour day month weekday).',
        ),
        (
            {"cron": "@daily", "timezone": "America/Sao_Paolo"},
            UnknownTimeZone,
            "SQ402 America/Sao_Paolo is no time zone. Did you mean America/Sao_Paulo?",
        ),
        (
            {},
            InvalidSchedule,
            'SQ403 schedule "nightly": give a cron expression or an interval (every), one.',
        ),
        (
            {"cron": "@daily", "every": "1h"},
            InvalidSchedule,
            'SQ403 schedule "nightly": give a cron expression or an interval (every), one.',
        ),
        (
            {"every": "999ms"},
            InvalidSchedule,
            'SQ403 schedule "nightly": every 999ms is too often: 1s or longer.',
        ),
        (
            {"every": "0s"},
            InvalidSchedule,
            'SQ403 schedule "nightly": every 0s is too often: 1s or longer.',
        ),
        (
            {"cron": "@daily", "spread": "25h"},
            InvalidSchedule,
            'SQ403 schedule "nightly": spread 1d1h is too much, at most 1d.',
        ),
        ({"every": 5}, BareNumber, 'SQ207 every=5 is an int, it has no unit: give "5s"'),
        (
            {"cron": "@daily", "name": "a:b"},
            InvalidName,
            'SQ208 schedule name "a:b" is not allowed: it must match [A-Za-z0-9._-]{1,64}',
        ),
        ({"cron": "@daily", "name": "a\n"}, InvalidName, "SQ208 schedule name"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_declared(
    options: dict[str, str], error: type[StreamqError], text: str
) -> None:
    with pytest.raises(error) as refused:
        schedule(**options)  # type: ignore[arg-type]

    assert str(refused.value).startswith(text)


def test_names_of_queue_and_job_are_checked_too() -> None:
    with pytest.raises(InvalidName, match="queue name"):
        recurring("nightly", queue="a b", job="j", cron="@daily")
    with pytest.raises(InvalidName, match="job name"):
        recurring("nightly", queue="q", job="{j}", cron="@daily")


def test_a_policy_for_missed_slots_has_its_limits() -> None:
    for most in (0, FIRE_ALL_MAX + 1):
        with pytest.raises(OutOfRange, match="misfire max"):
            fire_all(max=most, within="1d")
    with pytest.raises(BareNumber, match="misfire within"):
        fire_all(max=1, within=5)  # type: ignore[arg-type]


def test_data_that_no_job_can_carry_is_refused() -> None:
    with pytest.raises(NotSerialisable):
        recurring("nightly", queue="q", job="j", cron="@daily", data={"when": object()})
    with pytest.raises(PayloadTooLarge):
        recurring("nightly", queue="q", job="j", cron="@daily", data="x" * (1 << 20))


# ---- as data


@given(SCHEDULES)
def test_a_schedule_survives_its_bytes(any_one: Schedule) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(any_one), type=Schedule) == any_one


def test_every_option_survives_its_bytes() -> None:
    whole = recurring(
        "nightly",
        queue="backup",
        job="back-up",
        cron="0 2 * * *",
        timezone="Europe/Dublin",
        data={"type": "full", "retention": 30},
        misfire=fire_all(max=3, within="2d"),
        overlap=Overlap.QUEUE_ONE,
        spread="5m",
        gap=Gap.SKIP,
        fold=Fold.BOTH,
    )

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(whole), type=Schedule) == whole
    assert msgspec.msgpack.decode(whole.data) == {"type": "full", "retention": 30}
    assert hash(whole) == hash(
        msgspec.structs.replace(whole, misfire=fire_all(max=3, within="48h"))
    )


def test_stored_bytes_that_are_no_schedule_are_refused_when_they_are_read() -> None:
    stored = msgspec.msgpack.encode({"name": "n", "queue": "q", "job": "j", "cron": "0 9 * *"})

    with pytest.raises(msgspec.ValidationError, match="SQ401"):
        msgspec.msgpack.decode(stored, type=Schedule)


def test_a_schedule_without_a_zone_takes_that_of_the_application() -> None:
    unsaid = recurring("n", queue="q", job="j", cron="0 9 * * *", misfire=SKIP_MISSED)
    said = schedule("0 9 * * *", timezone="Asia/Tokyo")

    assert unsaid.in_zone("America/Sao_Paulo").next_slots(NOW_MS) == [
        at_ms("2026-11-25T09:00-03:00")
    ]
    assert said.in_zone("America/Sao_Paulo") == said
    with pytest.raises(UnknownTimeZone):
        unsaid.in_zone("Nowhere/At_All")
