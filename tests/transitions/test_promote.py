"""promote: delayed jobs wait now, whatever their time was."""

from streamq.job import End
from tests.support.by_hand import W1, ByHand, names, new
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial


async def test_a_delayed_job_waits_in_its_line_at_once(hand: ByHand, look: Look) -> None:
    await hand.add(new("a", priority=2, delay_ms=50_000), new("b", delay_ms=50_000))

    assert await hand.promote("a") == [True]

    assert look.waiting() == [("2", "a")]
    assert look.states()["b"] == "delayed"
    assert look.told()[-1] == ("waiting", ["a"])
    assert look.stats()["promoted"] == 1


async def test_a_retry_is_promoted_with_its_run(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.settle(await hand.claim(W1), End.RETRY, delay_ms=50_000, line="8")

    assert await hand.promote("a") == [True]

    (claim,) = await hand.claim(W1)
    assert (claim.line, claim.mark, claim.run is not None) == ("8", "r", True)


async def test_only_delayed_jobs_are_promoted(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("active", "completed", "failed", "parked")
    _, completed, failed, parked = await hand.claim(W1)
    await hand.settle([completed])
    await hand.settle([failed], End.FAILED)
    await hand.settle([parked], End.PARKED)
    await hand.add("waiting")
    before = look.states()

    assert await hand.promote(*before, "absent") == [False] * 6
    assert look.states() == before


async def test_a_late_copy_does_nothing(hand: ByHand, look: Look) -> None:
    await hand.add(new("a", delay_ms=5))
    await hand.promote("a")
    before = look.dump()

    assert await hand.promote("a") == [False]

    assert look.dump() == before


async def test_h20_an_id_twice_in_one_call_makes_one_entry(hand: ByHand, look: Look) -> None:
    await hand.add(new("a", delay_ms=5))

    assert await hand.promote("a", "a") == [True, False]

    assert look.waiting() == [("3", "a")]


async def test_two_hundred_are_one_call(hand: ByHand, look: Look) -> None:
    await hand.add(*[new(i, delay_ms=5) for i in names(200)])

    assert await hand.promote(*names(200)) == [True] * 200

    assert [job for _, job in look.waiting()] == names(200)


async def test_somebody_is_woken(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(new("a", delay_ms=50_000))
    await hand.turn(W1, slots=1, waits=True)
    look.raw.delete(hand.at.keys.names["wake"])

    await hand.promote("a")

    assert look.tokens() == (1, 0)


async def test_a_full_redis_lets_it_pass(hand: ByHand, look: Look) -> None:
    await hand.add("other", new("a", delay_ms=5))
    look.raw.delete(hand.at.keys.names["wake"])

    with full(look.raw):
        assert await hand.promote("absent", "other") == [False, False]
        assert await hand.promote("a") == [True]


async def _before(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add(new("a", delay_ms=5), new("b", delay_ms=5, priority=7), "c")


CASE = Case("promote", _before, lambda hand, _: hand.promote("a", "c", "b", "nowhere"))


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 12


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(CASE))

    assert {"jobs", "delayed", "meta", "stats", "events", "wait 7"} <= failed
