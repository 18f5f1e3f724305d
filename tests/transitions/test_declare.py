"""declare: schedules stand, and those that nobody declares any more go."""

from streamq.store import transitions
from streamq.store.replies import ScheduleState
from tests.support.by_hand import BEGIN_MS, ByHand
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial

HOUR_MS = 3_600_000


async def declare(hand: ByHand, **rows: bytes) -> dict[str, ScheduleState]:
    now_ms = hand.now_ms
    return (await transitions.declare(hand.at, rows, retire_ms=HOUR_MS, now_ms=now_ms))[1]


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
    hand.later(HOUR_MS)
    await declare(hand, kept=b"row")
    assert set(look.dump().hashes["schedules"]) == {b"old", b"kept"}

    hand.later(1)
    await declare(hand, kept=b"row")

    assert set(look.dump().hashes["schedules"]) == {b"kept"}
    assert set(look.dump().hashes["schedules:rows"]) == {b"kept"}


async def test_after_a_jump_of_the_clock_nothing_is_retired(hand: ByHand, look: Look) -> None:
    await declare(hand, old=b"row")
    await hand.register()
    await hand.beat()
    hand.later(HOUR_MS * 2)
    await hand.beat()

    await declare(hand)

    assert set(look.dump().hashes["schedules"]) == {b"old"}


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
