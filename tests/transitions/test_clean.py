"""clean: ended jobs older than a time go; this is retention by age, too."""

import pytest

from streamq.job import End, JobState
from streamq.store import transitions
from tests.support.by_hand import LEASE_MS, W1, ByHand, ends, names
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial

ENDED = {
    JobState.COMPLETED: End.COMPLETED,
    JobState.FAILED: End.FAILED,
    JobState.PARKED: End.PARKED,
}


async def _ended(
    hand: ByHand, jobs: list[str], end: End = End.COMPLETED, apart_ms: int = 0
) -> None:
    """These jobs ended in this order, so much time after each other."""
    if W1 not in hand.turns:
        await hand.register(W1)
    await hand.add(*jobs)
    claims = [c for _ in range(0, len(jobs), 200) for c in await hand.claim(W1)]
    if not apart_ms:
        for first in range(0, len(claims), 200):
            await hand.turn(W1, outcomes=ends(claims[first : first + 200], end))
        return
    for claim in claims:
        await hand.turn(W1, outcomes=ends([claim], end, log="said\n"))
        hand.later(apart_ms)


async def _clean(
    hand: ByHand,
    state: JobState = JobState.COMPLETED,
    *,
    older_than_ms: int = 0,
    limit: int = 1_000,
    lease_ms: int | None = None,
) -> tuple[int, bool]:
    return await transitions.clean(
        hand.at, state, older_than_ms=older_than_ms, limit=limit, lease_ms=lease_ms,
        now_ms=hand.now_ms,
    )  # fmt: skip


@pytest.mark.parametrize("state", list(ENDED))
async def test_the_old_go_with_all_that_stands_of_them_and_the_others_stay(
    hand: ByHand, look: Look, state: JobState
) -> None:
    await _ended(hand, names(4), ENDED[state], apart_ms=100)
    await _ended(hand, ["other"], End.FAILED if state is JobState.PARKED else End.PARKED)

    # The last of them ended 100 ms ago, the first 400.
    assert await _clean(hand, state, older_than_ms=300) == (2, False)

    dump = look.dump()
    assert set(dump.zsets[state.value]) >= {b"j2", b"j3"}
    assert set(dump.jobs) == {b"j2", b"j3", b"other"}
    assert set(dump.hashes["logs"]) == {b"j2", b"j3"}
    assert look.told()[-1] == ("removed", ["j0", "j1"])
    assert look.stats()["cleaned"] == 2


async def test_a_limit_leaves_the_rest_for_the_next_call(hand: ByHand, look: Look) -> None:
    await _ended(hand, names(5), apart_ms=1)

    assert await _clean(hand, limit=3) == (3, True)
    assert set(look.states()) == {"j3", "j4"}
    assert await _clean(hand, limit=3) == (2, False)
    assert await _clean(hand, limit=3) == (0, False)


async def test_a_thousand_are_one_call_and_no_more(hand: ByHand, look: Look) -> None:
    await _ended(hand, names(1_000))
    await _ended(hand, names(5, "k"))

    assert await _clean(hand, limit=5_000) == (1_000, True)
    assert await _clean(hand, limit=5_000) == (5, False)
    assert look.states() == {}


async def test_retention_does_nothing_while_the_clock_settles(hand: ByHand, look: Look) -> None:
    await _ended(hand, ["a"])
    await hand.judge(W1)
    hand.later(3_600_000)
    await hand.beat(W1)

    assert await _clean(hand, older_than_ms=1_000, lease_ms=LEASE_MS) == (0, False)
    assert look.states() == {"a": "completed"}
    assert await _clean(hand, older_than_ms=1_000) == (1, False), "an operator means it"


async def test_retention_goes_on_a_lease_later(hand: ByHand, look: Look) -> None:
    await _ended(hand, ["a"])
    await hand.judge(W1)
    hand.later(3_600_000)
    await hand.beat(W1)
    hand.later(LEASE_MS)

    assert await _clean(hand, older_than_ms=1_000, lease_ms=LEASE_MS) == (1, False)


async def test_a_full_redis_lets_it_pass(hand: ByHand, look: Look) -> None:
    await _ended(hand, ["a"])
    await hand.add("waits")
    look.raw.delete(hand.at.keys.names["wake"])

    with full(look.raw):
        assert await _clean(hand) == (1, False)
        look.raw.delete(hand.at.keys.names["wake"])
        assert await _clean(hand) == (0, False)


async def _before(hand: ByHand) -> None:
    await _ended(hand, names(4), apart_ms=5)
    await hand.add("other")


CASE = Case("clean", _before, lambda hand, _: _clean(hand, older_than_ms=6))


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 10


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(CASE))

    assert {"jobs", "runs", "completed", "meta", "stats", "events", "logs"} <= failed
