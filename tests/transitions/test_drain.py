"""drain: jobs that did not start go, from the lines and from `delayed`."""

from streamq.job import End
from tests.support.by_hand import W1, ByHand, names, new
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial


async def _mixed(hand: ByHand) -> None:
    """Jobs in every line, delayed, active, ended; dead entries between them."""
    await hand.register(W1)
    await hand.make_suspects("suspect")
    await hand.add("active", "back", "completed")
    claims = await hand.claim(W1)
    await hand.settle(claims[1:2], End.RELEASED)
    await hand.settle(claims[2:])
    await hand.add("a", "dead", new("high", priority=1), new("low", priority=10), "b")
    await hand.remove("dead")
    await hand.add(new("late", delay_ms=500), new("later", delay_ms=900))


async def test_all_that_did_not_start_goes(hand: ByHand, look: Look) -> None:
    await _mixed(hand)

    assert await hand.drain() == (8, False)

    assert look.states() == {"active": "active", "completed": "completed"}
    assert look.meta("dead") == "0"
    assert [e for e in look.dump().entries if e.free] == []
    assert look.stats()["removed"] == 9
    assert look.told()[-1][0] == "removed"


async def test_delayed_jobs_stay_if_they_shall(hand: ByHand, look: Look) -> None:
    await _mixed(hand)

    assert await hand.drain(delayed=False) == (6, False)

    assert look.states() == {
        "active": "active", "completed": "completed", "late": "delayed", "later": "delayed",
    }  # fmt: skip


async def test_what_is_running_settles_afterwards(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", "b")
    claims = await hand.claim(W1, 1)

    await hand.drain()

    await hand.settle(claims)
    assert look.states() == {"a": "completed"}


async def test_a_limit_leaves_the_rest_for_the_next_call(hand: ByHand, look: Look) -> None:
    await hand.add(*names(5), *[new(i, delay_ms=5) for i in names(5, "k")])

    assert await hand.drain(limit=3) == (3, True)
    assert await hand.drain(limit=4) == (4, True)
    assert await hand.drain(limit=4) == (3, False)
    assert look.states() == {}


async def test_a_thousand_are_one_call_and_no_more(hand: ByHand, look: Look) -> None:
    await hand.add(*names(1_000))
    await hand.add(*[new(i, delay_ms=5) for i in names(10, "k")])

    assert await hand.drain(limit=5_000) == (1_000, True)
    assert await hand.drain(limit=5_000) == (10, False)


async def test_dead_entries_count_towards_the_bound(hand: ByHand, look: Look) -> None:
    await hand.add(*names(6))
    await hand.remove(*names(4))

    assert await hand.drain(limit=5) == (1, True)
    assert look.meta("dead") == "0"
    assert await hand.drain(limit=5) == (1, False)


async def test_draining_twice_or_nothing_at_all_does_nothing(hand: ByHand, look: Look) -> None:
    assert await hand.drain() == (0, False)
    await hand.add("a")
    await hand.drain()
    before = look.dump()

    assert await hand.drain() == (0, False)

    assert look.dump() == before


async def test_a_full_redis_lets_it_pass(hand: ByHand, look: Look) -> None:
    await _mixed(hand)

    look.raw.delete(hand.at.keys.names["wake"])

    with full(look.raw):
        assert await hand.drain(limit=0) == (0, True)
        assert await hand.drain() == (8, False)


CASE = Case("drain", _mixed, lambda hand, _: hand.drain())


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 40


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(CASE))

    assert {"jobs", "runs", "delayed", "meta", "stats", "events", "wait 3", "wait ;"} <= failed
