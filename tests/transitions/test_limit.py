"""limit: pause, resume, and the limits that hold for the whole fleet."""

import pytest

from streamq.errors import VersionConflict
from tests.support.by_hand import W1, ByHand, names, new
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial


async def test_each_change_has_a_version(hand: ByHand, look: Look) -> None:
    assert await hand.limit(0, paused=True) == 1
    assert await hand.limit(1, paused=False) == 2
    assert (look.meta("paused"), look.meta("version")) == (None, "2")


async def test_h25_a_late_copy_of_pause_does_not_pause_again_after_a_resume(
    hand: ByHand, look: Look
) -> None:
    await hand.limit(0, paused=True)
    await hand.limit(1, paused=False)
    before = look.dump()

    with pytest.raises(VersionConflict, match="2"):
        await hand.limit(0, paused=True)

    assert look.dump() == before
    await hand.register(W1)
    await hand.add("a")
    assert len(await hand.claim(W1)) == 1


async def test_a_version_to_come_is_refused_too(hand: ByHand) -> None:
    with pytest.raises(VersionConflict):
        await hand.limit(1, paused=True)


async def test_after_a_pause_nobody_is_woken(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    assert look.tokens() == (1, 0)

    await hand.limit(0, paused=True)

    assert look.tokens() == (0, 0)
    await hand.add("b", new("c", delay_ms=1))
    hand.later(1)
    await hand.beat(W1)
    assert look.tokens() == (0, 0)


async def test_after_a_resume_somebody_is(hand: ByHand, look: Look) -> None:
    await hand.limit(0, paused=True)
    await hand.add("a")

    await hand.limit(1, paused=False)

    assert look.tokens() == (1, 0)


async def test_what_is_not_named_is_left_as_it_is(hand: ByHand, look: Look) -> None:
    await hand.limit(0, max_active="3", rate="5/1000")
    await hand.limit(1, paused=True)

    fields = ("max_active", "own_max_active", "rate", "own_rate", "paused")
    assert [look.meta(f) for f in fields] == ["3", "3", "5/1000", "5/1000", "1"]

    await hand.limit(2, max_active="4")

    assert [look.meta(f) for f in fields] == ["4", "4", "5/1000", "5/1000", "1"]


async def test_no_limit_is_an_operators_word_too(hand: ByHand, look: Look) -> None:
    await hand.register(W1, max_active=2, rate=(1, 1_000))

    await hand.limit(0, max_active="0", rate="0/0")

    assert (look.meta("max_active"), look.meta("rate")) == (None, None)
    await hand.add(*names(5))
    assert len(await hand.claim(W1)) == 5


async def test_reset_goes_back_to_what_the_code_says(hand: ByHand, look: Look) -> None:
    await hand.limit(0, max_active="9")
    await hand.limit(1, max_active="-", rate="-")
    assert (look.meta("max_active"), look.meta("own_max_active")) == (None, None)

    await hand.register(W1, max_active=2)
    await hand.limit(2, max_active="9")
    await hand.limit(3, max_active="-")

    assert (look.meta("max_active"), look.meta("own_max_active")) == ("2", None)


async def test_a_raised_limit_wakes_somebody(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.limit(0, max_active="1")
    await hand.add("a", "b")
    await hand.claim(W1)
    look.raw.delete(hand.at.keys.names["wake"])

    await hand.limit(1, max_active="2")

    assert look.tokens() == (1, 0)


async def test_a_full_redis_lets_it_pass(hand: ByHand, look: Look) -> None:
    with full(look.raw):
        await hand.limit(0, paused=True)
        await hand.limit(1, paused=False, max_active="5")

    assert look.meta("max_active") == "5"


async def _before(hand: ByHand) -> None:
    await hand.register(W1, max_active=1, rate=(1, 1_000))
    await hand.add("a", "b")
    await hand.claim(W1)


CASE = Case("limit", _before, lambda hand, _: hand.limit(0, paused=True, max_active="5", rate="-"))


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 8


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    assert {"meta"} <= set(await trial.plant_each(CASE))
