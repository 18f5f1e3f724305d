"""unpark: parked jobs wait again, since somebody knows them by now."""

from streamq.job import End, JobId, Line
from streamq.store import transitions
from tests.support.by_hand import W1, W2, ByHand, ends, names
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial


async def _parked(hand: ByHand, *jobs: str) -> None:
    await hand.register(W1)
    await hand.add(*(jobs or ("a",)))
    while claims := await hand.claim(W1):
        await hand.turn(W1, outcomes=ends(claims, End.PARKED))


async def test_a_parked_job_waits_again_and_its_attempts_count_on(hand: ByHand, look: Look) -> None:
    await _parked(hand)
    before = look.dump()

    assert await hand.unpark("a", line="5") == [True]

    dump = look.dump()
    assert look.waiting() == [("5", "a")]
    assert (dump.jobs, dump.hashes["runs"]) == (before.jobs, before.hashes["runs"])
    assert [(c.mark, c.run is not None) for c in await hand.claim(W1)] == [("r", True)]
    assert look.stats()["unparked"] == 1


async def test_only_parked_jobs_are_unparked(hand: ByHand, look: Look) -> None:
    await _parked(hand, "parked")
    await hand.add("waiting", "active", "completed", "failed")
    waiting, _active, completed, failed = await hand.claim(W1)
    await hand.turn(W1, outcomes=ends([completed]) + ends([failed], End.FAILED))
    await hand.settle([waiting], End.RELEASED)
    before = look.states()

    done = await hand.unpark("waiting", "active", "completed", "failed", "absent", "parked")

    assert done == [False] * 5 + [True]
    assert look.states() == before | {"parked": "waiting"}


async def test_a_late_copy_does_nothing(hand: ByHand, look: Look) -> None:
    await _parked(hand)
    await hand.unpark("a")
    before = look.dump()

    assert await hand.unpark("a") == [False]

    assert look.dump() == before


async def test_an_id_twice_in_one_call_is_unparked_once(hand: ByHand, look: Look) -> None:
    await _parked(hand)

    assert await hand.unpark("a", "a") == [True, False]
    assert look.waiting() == [("3", "a")]


async def test_the_deaths_held_against_it_stand(hand: ByHand, look: Look) -> None:
    """Nobody looked at it: somebody who knows its name has come, no more."""
    await hand.register(W1)
    await hand.add("a")
    await hand.claim(W1)
    await hand.bury(W1, evidence=True)
    await hand.register(W2)
    await hand.settle(await hand.claim(W2), End.PARKED)

    await hand.unpark("a")

    assert look.dump().hashes["stalls"] == {b"a": b"1 0"}


async def test_a_thousand_are_one_call(hand: ByHand, look: Look) -> None:
    await _parked(hand, *names(1_000))

    assert await hand.unpark(*names(1_000)) == [True] * 1_000

    assert [job for _, job in look.waiting()] == names(1_000)


async def test_lines_are_given_one_by_one(hand: ByHand, look: Look) -> None:
    await _parked(hand, "a", "b")
    ids = [JobId("a"), JobId("b")]

    await transitions.unpark(hand.at, ids, [Line("1"), Line(":")], now_ms=hand.now_ms)

    assert look.waiting() == [("1", "a"), (":", "b")]


async def test_somebody_is_woken(hand: ByHand, look: Look) -> None:
    await _parked(hand)
    look.raw.delete(hand.at.keys.names["wake"])

    await hand.unpark("a")

    assert look.tokens() == (1, 0)


async def test_a_full_redis_lets_it_pass(hand: ByHand, look: Look) -> None:
    await _parked(hand)
    await hand.add("waits")
    look.raw.delete(hand.at.keys.names["wake"])

    with full(look.raw):
        assert await hand.unpark("waits") == [False]
        assert await hand.unpark("a") == [True]


async def _before(hand: ByHand) -> None:
    await _parked(hand, "a", "b")
    await hand.add("c")


CASE = Case("unpark", _before, lambda hand, _: hand.unpark("a", "c", "b", "nowhere", line="7"))


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 15


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(CASE))

    assert {"jobs", "parked", "stalls", "meta", "stats", "events", "wait 7"} <= failed
