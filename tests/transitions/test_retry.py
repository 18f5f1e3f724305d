"""retry: failed jobs wait again, with fresh attempts; their old errors are kept."""

from streamq.job import End, JobId, Line
from streamq.store import transitions
from tests.support.by_hand import W1, W2, ByHand, ends, names
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial


async def _failed(hand: ByHand, *jobs: str) -> None:
    await hand.register(W1)
    await hand.add(*(jobs or ("a",)))
    while claims := await hand.claim(W1):
        await hand.turn(W1, outcomes=ends(claims, End.FAILED))


async def test_a_failed_job_waits_again_with_fresh_attempts(hand: ByHand, look: Look) -> None:
    await _failed(hand)
    before = look.dump()

    assert await hand.retry("a", line="5") == [True]

    dump = look.dump()
    assert look.waiting() == [("5", "a")]
    assert (dump.jobs, dump.hashes["runs"]) == (before.jobs, before.hashes["runs"])
    assert [(c.mark, c.run is not None) for c in await hand.claim(W1)] == [("f", True)]
    assert look.stats()["requeued"] == 1


async def test_only_failed_jobs_are_retried(hand: ByHand, look: Look) -> None:
    await _failed(hand, "failed")
    await hand.add("waiting", "active", "completed", "parked")
    waiting, _active, completed, parked = await hand.claim(W1)
    await hand.turn(W1, outcomes=ends([completed]) + ends([parked], End.PARKED))
    await hand.settle([waiting], End.RELEASED)
    before = look.states()

    done = await hand.retry("waiting", "active", "completed", "parked", "absent", "failed")

    assert done == [False] * 5 + [True]
    assert look.states() == before | {"failed": "waiting"}


async def test_a_late_copy_does_nothing(hand: ByHand, look: Look) -> None:
    await _failed(hand)
    await hand.retry("a")
    before = look.dump()

    assert await hand.retry("a") == [False]

    assert look.dump() == before


async def test_an_id_twice_in_one_call_is_retried_once(hand: ByHand, look: Look) -> None:
    await _failed(hand)

    assert await hand.retry("a", "a") == [True, False]
    assert look.waiting() == [("3", "a")]


async def test_an_operators_word_clears_the_deaths_held_against_it(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.claim(W1)
    await hand.bury(W1, evidence=True)
    await hand.register(W2)
    await hand.settle(await hand.claim(W2), End.FAILED)
    assert look.dump().hashes["stalls"] == {b"a": b"1 0"}

    await hand.retry("a")

    assert look.dump().hashes["stalls"] == {}


async def test_a_thousand_are_one_call(hand: ByHand, look: Look) -> None:
    await _failed(hand, *names(1_000))

    assert await hand.retry(*names(1_000)) == [True] * 1_000

    assert [job for _, job in look.waiting()] == names(1_000)


async def test_lines_are_given_one_by_one(hand: ByHand, look: Look) -> None:
    await _failed(hand, "a", "b")
    ids = [JobId("a"), JobId("b")]

    await transitions.retry(hand.at, ids, [Line("1"), Line(":")], now_ms=hand.now_ms)

    assert look.waiting() == [("1", "a"), (":", "b")]


async def test_somebody_is_woken(hand: ByHand, look: Look) -> None:
    await _failed(hand)
    look.raw.delete(hand.at.keys.names["wake"])

    await hand.retry("a")

    assert look.tokens() == (1, 0)


async def test_a_full_redis_lets_it_pass(hand: ByHand, look: Look) -> None:
    await _failed(hand)
    await hand.add("waits")
    look.raw.delete(hand.at.keys.names["wake"])

    with full(look.raw):
        assert await hand.retry("waits") == [False]
        assert await hand.retry("a") == [True]


async def _before(hand: ByHand) -> None:
    await _failed(hand, "a", "b")
    await hand.add("c")


CASE = Case("retry", _before, lambda hand, _: hand.retry("a", "c", "b", "nowhere", line="7"))


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 15


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(CASE))

    assert {"jobs", "failed", "stalls", "meta", "stats", "events", "wait 7"} <= failed
