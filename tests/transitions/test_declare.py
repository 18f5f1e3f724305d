"""declare: schedules stand, and those that nobody declares any more go."""

from collections.abc import Mapping

from streamq.store import transitions
from streamq.store.replies import ScheduleState
from tests.support.by_hand import BEGIN_MS, ByHand
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial

HOUR_MS = 3_600_000
SILENCE_MS = HOUR_MS // 4
LATE_MS = 60_000


async def declare(hand: ByHand, **rows: bytes) -> dict[str, ScheduleState]:
    return await declare_as(hand, "0a", rows)


async def declare_as(
    hand: ByHand, timing: str, rows: Mapping[str, bytes]
) -> dict[str, ScheduleState]:
    _, states = await transitions.declare(
        hand.at,
        [(name, row, timing) for name, row in rows.items()],
        retire_ms=HOUR_MS,
        silence_ms=SILENCE_MS,
        late_ms=LATE_MS,
        now_ms=hand.now_ms,
    )
    return states


async def an_hour_of(hand: ByHand, **rows: bytes) -> None:
    """These are declared all the time, and an hour goes by."""
    for _ in range(4):
        hand.later(SILENCE_MS)
        await declare(hand, **rows)


async def test_a_new_schedule_begins_now(hand: ByHand) -> None:
    found = await declare(hand, nightly=b"row")

    assert found == {"nightly": ScheduleState(BEGIN_MS, 0, 0, False, None)}


async def test_a_schedule_that_stands_keeps_its_place(hand: ByHand, look: Look) -> None:
    await declare(hand, nightly=b"old")
    hand.later(5_000)

    found = await declare(hand, nightly=b"new")

    assert found["nightly"].last_slot_ms == BEGIN_MS
    row = look.dump().hashes["schedules:rows"][b"nightly"]
    assert row == b"%d" % (BEGIN_MS + 5_000) + b"new"


async def test_one_that_nobody_declared_for_an_hour_is_retired(hand: ByHand, look: Look) -> None:
    await declare(hand, old=b"row", kept=b"row")
    await an_hour_of(hand, kept=b"row")
    assert set(look.dump().hashes["schedules"]) == {b"old", b"kept"}

    hand.later(1)
    await declare(hand, kept=b"row")

    assert set(look.dump().hashes["schedules"]) == {b"kept"}
    assert set(look.dump().hashes["schedules:rows"]) == {b"kept"}


async def test_after_a_standstill_the_hour_begins_anew(hand: ByHand, look: Look) -> None:
    await declare(hand, mine=b"row", others=b"row")
    hand.later(72 * HOUR_MS)

    await declare(hand, mine=b"row")
    assert set(look.dump().hashes["schedules"]) == {b"mine", b"others"}

    await an_hour_of(hand, mine=b"row")
    assert set(look.dump().hashes["schedules"]) == {b"mine"}


async def test_a_clock_that_went_back_retires_nothing_and_for_no_longer_than_an_hour(
    hand: ByHand, look: Look
) -> None:
    hand.later(72 * HOUR_MS)
    await declare(hand, old=b"row")
    hand.later(-72 * HOUR_MS)

    await declare(hand, old=b"row", kept=b"row")
    await an_hour_of(hand, kept=b"row")
    hand.later(1)
    await declare(hand, kept=b"row")

    assert set(look.dump().hashes["schedules"]) == {b"kept"}


async def test_one_whose_slots_are_others_now_missed_none_of_the_new_ones(hand: ByHand) -> None:
    await declare_as(hand, "0a", {"nightly": b"row"})
    hand.later(HOUR_MS)

    changed = await declare_as(hand, "0b", {"nightly": b"row"})
    hand.later(5_000)
    again = await declare_as(hand, "0b", {"nightly": b"row"})

    # Not from now: a slot of the last moments somebody may be about to fire.
    assert changed["nightly"].last_slot_ms == BEGIN_MS + HOUR_MS - LATE_MS
    assert again == changed


async def test_another_payload_is_no_other_timing(hand: ByHand) -> None:
    await declare(hand, nightly=b"old")
    hand.later(HOUR_MS)

    assert (await declare(hand, nightly=b"new"))["nightly"].last_slot_ms == BEGIN_MS


async def test_one_that_is_already_further_does_not_go_back(hand: ByHand) -> None:
    await declare_as(hand, "0a", {"nightly": b"row"})
    hand.later(LATE_MS // 2)

    changed = await declare_as(hand, "0b", {"nightly": b"row"})

    assert changed["nightly"].last_slot_ms == BEGIN_MS


async def test_a_value_that_nobody_wrote_is_made_anew(hand: ByHand, look: Look) -> None:
    look.raw.hset(hand.at.keys.names["schedules"], "nightly", b"what?")

    assert (await declare(hand, nightly=b"row"))["nightly"].last_slot_ms == BEGIN_MS


async def test_what_stands_is_told_to_a_full_redis_too(hand: ByHand, look: Look) -> None:
    await declare(hand, nightly=b"row")

    with full(look.raw):
        assert set(await declare(hand, nightly=b"row")) == {"nightly"}


async def test_two_hundred_go_in_one_call(hand: ByHand) -> None:
    rows = {f"s{i}": b"row" for i in range(200)}

    assert len(await declare(hand, **rows)) == 200


async def _before(hand: ByHand) -> None:
    await declare(hand, old=b"row")
    hand.later(HOUR_MS + 1)


CASE = Case("declare", _before, lambda hand, _: declare(hand, nightly=b"row", weekly=b"row"))


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 8


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    assert {"meta"} <= set(await trial.plant_each(CASE))
