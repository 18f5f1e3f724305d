"""resync: what a worker holds, after a reply that did not come or on a new connection."""

import msgspec
import pytest

from streamq.errors import Gone, StaleTurn
from streamq.job import Claim, End, Run, pack_run
from streamq.store import transitions
from tests.support.by_hand import W1, W2, ByHand, ends, names, new
from tests.support.planted import full
from tests.support.torn import Case, claim_without_lease
from tests.transitions.conftest import Look, Trial


def _key(claim: Claim) -> tuple[str, bytes]:
    return claim.id, claim.lease


async def test_a_lost_reply_strands_no_job(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", "b")
    unheard = await hand.claim(W1)

    found = await hand.resync(W1)

    assert sorted(map(_key, found.claims)) == sorted(map(_key, unheard))
    assert found.claims[0].record == look.dump().jobs[b"a"]
    await hand.settle(found.claims)
    assert set(look.states().values()) == {"completed"}


async def test_what_is_held_is_not_given_again(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add("a", "b")
    (held,) = await hand.claim(W1, 1)
    (unheard,) = await hand.claim(W1, 1)

    found = await hand.resync(W1, [held])

    assert (list(map(_key, found.claims)), found.lost) == ([_key(unheard)], frozenset())


async def test_what_is_held_no_more_is_named(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add("a", "b")
    held = await hand.claim(W1)
    await hand.settle(held[:1])  # and the answer to this never came

    found = await hand.resync(W1, held)

    assert (set(found.lost), found.claims) == ({"a"}, [])


async def test_a_job_settled_as_retry_and_claimed_again_in_a_lost_turn_is_both(
    hand: ByHand,
) -> None:
    """Comparing ids without fences would hide it: held under the old lease, given a new one."""
    await hand.register(W1)
    await hand.add("a")
    (old,) = await hand.claim(W1)
    lost_turn = await hand.turn(W1, slots=1, outcomes=ends([old], End.RETRY, delay_ms=0))

    found = await hand.resync(W1, [old])

    assert found.lost == {"a"}
    assert list(map(_key, found.claims)) == list(map(_key, lost_turn.claims))
    assert (found.claims[0].mark, found.claims[0].run) == ("r", pack_run(Run(attempts=1)))


async def test_h19_outcomes_of_a_lost_step_are_settled_whatever_its_late_copy_did(
    hand: ByHand, look: Look
) -> None:
    """Step k+1 is lost; resync; its late copy lands after all; the outcomes that came since must
    not be taken for applied, nor may the old ones be settled twice."""
    await hand.register(W1)
    await hand.add("a", "b")
    a, b = await hand.claim(W1)
    lost = hand.turns[W1] + 1
    await hand.resync(W1, [a, b])  # takes a number itself: from now on the lost step is stale

    with pytest.raises(StaleTurn):
        await transitions.step(hand.at, W1, lost, slots=1, outcomes=ends([a]), now_ms=hand.now_ms)

    assert look.states() == {"a": "active", "b": "active"}
    await hand.settle([a, b])
    assert look.states() == {"a": "completed", "b": "completed"}


async def test_h19_a_late_copy_that_lands_before_resync_is_seen_lease_by_lease(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a", "b")
    a, b = await hand.claim(W1)
    await hand.turn(W1, outcomes=ends([a]))  # applied, and its answer lost

    found = await hand.resync(W1, [a, b])

    assert found.lost == {"a"}
    await hand.settle([b])
    assert look.states() == {"a": "completed", "b": "completed"}


async def test_it_takes_any_number_above_the_stored_one(hand: ByHand) -> None:
    await hand.register(W1)

    await transitions.resync(hand.at, W1, 17, [], now_ms=hand.now_ms)

    hand.turns[W1] = 17
    await hand.turn(W1)


async def test_a_late_copy_of_resync_is_stale(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.resync(W1)
    before = look.dump()

    for number in (0, 1):
        with pytest.raises(StaleTurn):
            await transitions.resync(hand.at, W1, number, [], now_ms=hand.now_ms)

    assert look.dump() == before


async def test_a_dead_worker_is_gone(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.claim(W1)
    await hand.cancel("a")
    await hand.reap(W1)  # under way: one job is doomed, and its verdict is to come

    with pytest.raises(Gone):
        await hand.resync(W1)

    await hand.bury(W1)


async def test_claims_of_another_worker_are_not_told(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.add("a", "b")
    await hand.claim(W1, 1)
    (theirs,) = await hand.claim(W2, 1)

    found = await hand.resync(W1, [theirs])

    assert [c.id for c in found.claims] == ["a"]


async def test_a_thousand_claims_are_told_in_one_call(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add(*names(1_000))
    held = [c for _ in range(5) for c in await hand.claim(W1)]
    assert len(held) == 1_000

    assert len((await hand.resync(W1)).claims) == 1_000
    assert (await hand.resync(W1, held)).claims == []


async def test_claims_past_a_mebibyte_come_without_their_records(hand: ByHand) -> None:
    await hand.register(W1)
    big = b"\xc6\x00\x06\x00\x00" + bytes(6 << 16)
    for i in range(4):
        await hand.add(msgspec.structs.replace(new(f"j{i}"), data=big))
    await hand.claim(W1)

    found = await hand.resync(W1)

    assert [c.record is None for c in found.claims] == [False, False, True, True]


async def test_suspects_and_given_back_jobs_are_told_too(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.settle(await hand.claim(W1), End.RELEASED)
    await hand.claim(W1)

    assert [(c.id, c.line) for c in (await hand.resync(W1)).claims] == [("a", "0")]


async def test_an_entry_that_was_taken_without_a_lease_becomes_a_claim(
    server_url: str, hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a")
    await claim_without_lease(server_url, hand, W1)

    found = await hand.resync(W1)

    assert [c.id for c in found.claims] == ["a"]
    assert look.meta("fence") == str(found.claims[0].fence)
    await hand.settle(found.claims)
    assert look.states() == {"a": "completed"}


async def test_an_entry_without_a_lease_of_a_job_that_ended_is_dropped(
    server_url: str, hand: ByHand, look: Look
) -> None:
    """A completed job must not come back, whatever was torn before."""
    await hand.register(W1)
    await hand.add("a")
    await claim_without_lease(server_url, hand, W1)
    look.raw.zadd(hand.at.keys.names["completed"], {"a": hand.now_ms})

    found = await hand.resync(W1)

    assert found.claims == []
    assert look.states() == {"a": "completed"}


async def test_a_full_redis_lets_a_worker_resync(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.claim(W1)

    with full(look.raw):
        assert len((await hand.resync(W1)).claims) == 1


async def _before(hand: ByHand) -> list[Claim]:
    await hand.register(W1, W2)
    await hand.add("a", "b", new("c", priority=1), "free")
    claims = await hand.claim(W1, 3)
    await hand.settle([claims[0]], End.RELEASED)
    await hand.claim(W1, 1)
    return claims


CASE = Case("resync", _before, lambda hand, claims: hand.resync(W1, claims))


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 20


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(CASE))

    assert {"jobs", "leases", "turns", "meta", "wait 0", "wait 3"} <= failed
