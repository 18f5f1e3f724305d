"""hold: a schedule is paused, or goes on from now."""

import pytest

from streamq.errors import WrongState
from streamq.store import transitions
from tests.support.by_hand import BEGIN_MS, ByHand
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial
from tests.transitions.test_declare import declare


async def hold(hand: ByHand, name: str, *, paused: bool) -> bool:
    return await transitions.hold(hand.at, name, paused=paused, now_ms=hand.now_ms)


async def test_a_pause_is_kept_until_it_goes_on(hand: ByHand) -> None:
    await declare(hand, nightly=b"row")

    assert await hold(hand, "nightly", paused=True)
    assert (await declare(hand, nightly=b"row"))["nightly"].paused
    assert await hold(hand, "nightly", paused=False)
    assert not (await declare(hand, nightly=b"row"))["nightly"].paused


async def test_the_same_word_twice_changes_nothing(hand: ByHand) -> None:
    await declare(hand, nightly=b"row")
    await hold(hand, "nightly", paused=True)

    assert not await hold(hand, "nightly", paused=True)


async def test_what_was_due_while_it_was_paused_is_passed_over(hand: ByHand) -> None:
    await declare(hand, nightly=b"row")
    await hold(hand, "nightly", paused=True)
    hand.later(90_000)

    await hold(hand, "nightly", paused=False)

    assert (await declare(hand, nightly=b"row"))["nightly"].last_slot_ms == BEGIN_MS + 90_000


async def test_one_that_nobody_declared_is_refused(hand: ByHand) -> None:
    with pytest.raises(WrongState, match="absent"):
        await hold(hand, "nightly", paused=True)


async def test_a_full_redis_lets_it_pass(hand: ByHand, look: Look) -> None:
    await declare(hand, nightly=b"row")
    with full(look.raw):
        await hold(hand, "nightly", paused=True)

    assert (await declare(hand, nightly=b"row"))["nightly"].paused


async def _before(hand: ByHand) -> None:
    await declare(hand, nightly=b"row")


CASE = Case("hold", _before, lambda hand, _: hold(hand, "nightly", paused=True))


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 3


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    assert {"schedules"} <= set(await trial.plant_each(CASE))
