"""cancel: a job shall not run, or not go on running."""

import pytest

from streamq.errors import CallAgain
from streamq.job import End, JobId, JobState, Run, pack_run
from streamq.store import transitions
from tests.support.by_hand import W1, ByHand, ends, names, new
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial

CANCELLED = pack_run(Run(reason="cancelled"))


async def test_a_waiting_job_fails_and_its_entry_is_dead(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", "b")

    assert await hand.cancel("a") == "cancelled"

    assert look.states() == {"a": "failed", "b": "waiting"}
    assert look.dump().hashes["runs"] == {b"a": CANCELLED}
    assert look.meta("dead") == "1"
    assert look.told()[-1] == ("failed", ["a"])
    assert [c.id for c in await hand.claim(W1)] == ["b"]


async def test_a_delayed_job_fails(hand: ByHand, look: Look) -> None:
    await hand.add(new("a", delay_ms=5))

    assert await hand.cancel("a") == "cancelled"
    assert look.states() == {"a": "failed"}


async def test_a_parked_job_fails(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.settle(await hand.claim(W1), End.PARKED)

    assert await hand.cancel("a", run_before=pack_run(Run(attempts=1))) == "cancelled"
    assert look.states() == {"a": "failed"}
    assert look.dump().hashes["runs"] == {b"a": CANCELLED}


async def test_a_running_job_is_flagged_and_its_worker_told(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    claims = await hand.claim(W1)
    with look.listening(hand.at.keys.cancels_channel) as next_message:
        assert await hand.cancel("a") == "flagged"

        assert next_message() == b"a"
    assert look.states() == {"a": "active"}
    assert look.dump().hashes["cancels"] == {b"a": b"c"}
    assert (await hand.refused(W1, ends(claims))).flagged == {"a": "c"}


async def test_a_job_that_shall_be_removed_is_not_merely_cancelled(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.claim(W1)
    await hand.remove("a")

    assert await hand.cancel("a") == "flagged"

    assert look.dump().hashes["cancels"] == {b"a": b"r"}


@pytest.mark.parametrize("end", [End.COMPLETED, End.FAILED])
async def test_a_job_that_ended_is_left_as_it_is(hand: ByHand, look: Look, end: End) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.settle(await hand.claim(W1), end)
    before = look.dump()

    assert await hand.cancel("a") == end.value

    assert look.dump() == before


async def test_an_absent_job_is_absent(hand: ByHand, look: Look) -> None:
    assert await hand.cancel("a") == "absent"
    assert look.dump().jobs == {}


async def test_a_late_copy_does_nothing(hand: ByHand, look: Look) -> None:
    await hand.add("a")
    await hand.cancel("a")
    before = look.dump()

    assert await hand.cancel("a") == "failed"

    assert look.dump() == before


async def test_a_run_that_changed_meanwhile_is_to_be_read_again(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.settle(await hand.claim(W1), End.RETRY, delay_ms=9)
    before = look.dump()

    with pytest.raises(CallAgain, match="a"):
        await hand.cancel("a", run_before=None)

    assert look.dump() == before


async def test_deaths_held_against_it_are_forgotten(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.claim(W1)
    await hand.bury(W1, evidence=True)

    await hand.cancel("a")

    assert look.dump().hashes["stalls"] == {}


async def test_a_retry_after_it_runs_the_job(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", new("b", delay_ms=9))
    await hand.cancel("a")
    await hand.cancel("b")

    assert await hand.retry("a", "b") == [True, True]

    assert [c.id for c in await hand.claim(W1)] == ["a", "b"]


async def test_retention_by_count_holds_for_what_it_fails(hand: ByHand, look: Look) -> None:
    await hand.add(*names(4))
    for job in names(4):
        hand.later(1)
        await transitions.cancel(
            hand.at, JobId(job), run_before=None, run_after=Run(), keep_failed=2,
            now_ms=hand.now_ms,
        )  # fmt: skip

    assert look.states() == {"j2": "failed", "j3": "failed"}


async def test_one_that_is_in_another_state_than_the_caller_means_is_left_alone(
    hand: ByHand, look: Look
) -> None:
    """A parked job may be released between the look of who would expire it, and its word."""
    await hand.add("a")

    word = await transitions.cancel(
        hand.at, JobId("a"), run_before=None, run_after=Run(), only=JobState.PARKED,
        now_ms=hand.now_ms,
    )  # fmt: skip

    assert word == "waiting"
    assert look.states() == {"a": "waiting"}


async def test_a_full_redis_lets_it_pass(hand: ByHand, look: Look) -> None:
    await hand.add("a", new("b", delay_ms=5))

    with full(look.raw):
        assert await hand.cancel("a") == "cancelled"
        assert await hand.cancel("b") == "cancelled"


async def _before(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add("other", "waiting", "active", new("delayed", delay_ms=9))
    claims = await hand.claim(W1)
    await hand.settle(claims[1:2], End.RELEASED)
    await hand.settle(claims[:1])
    await hand.settle(await hand.claim(W1), End.PARKED, run=None)
    await hand.add("more")


def _case(job: str) -> Case:
    return Case("cancel", _before, lambda hand, _: hand.cancel(job))


@pytest.mark.parametrize("job", ["more", "delayed", "waiting", "active"])
async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial, job: str) -> None:
    assert (await trial.tear(_case(job))).calls >= 4


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    assert {"jobs", "runs", "failed", "meta", "stats"} <= set(
        await trial.plant_each(_case("delayed"))
    )
