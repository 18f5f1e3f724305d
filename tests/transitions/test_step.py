"""step: settle what a worker's jobs came to, and give it new ones."""

from collections.abc import Sequence

import msgspec
import pytest

from streamq.errors import Gone, StaleTurn
from streamq.job import Claim, End, JobId, Outcome, Run, pack_run
from streamq.store import transitions
from streamq.store.replies import Note, Turn
from tests.support.by_hand import W1, W2, W3, ByHand, ends, names, new
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial

# ---- settling


async def test_a_completed_job_keeps_its_run_and_leaves_its_line(hand: ByHand, look: Look) -> None:
    run = Run(attempts=1, result=b"\xa2ok")

    await hand.settle(await hand.claimed("a"), run=run)

    dump = look.dump()
    assert dump.zsets["completed"] == {b"a": hand.now_ms}
    assert dump.hashes["runs"] == {b"a": pack_run(run)}
    assert dump.entries == []


async def test_a_failed_job_is_failed(hand: ByHand, look: Look) -> None:
    await hand.settle(await hand.claimed("a"), End.FAILED)

    assert look.states() == {"a": "failed"}


async def test_a_parked_job_is_parked(hand: ByHand, look: Look) -> None:
    await hand.settle(await hand.claimed("a"), End.PARKED)

    assert look.states() == {"a": "parked"}


async def test_a_retry_waits_for_its_time_and_then_in_its_line(hand: ByHand, look: Look) -> None:
    claims = await hand.claimed("a")
    await hand.settle(claims, End.RETRY, delay_ms=5_000, line="7")

    assert look.states() == {"a": "delayed"}
    hand.later(4_999)
    assert await hand.claim(W2) == []
    hand.later(1)
    (again,) = await hand.claim(W2)

    assert (again.line, again.mark, again.run) == ("7", "r", pack_run(Run(attempts=1)))


async def test_a_retry_of_no_delay_is_claimed_in_the_same_call(hand: ByHand) -> None:
    claims = await hand.claimed("a")

    turn = await hand.turn(W1, slots=1, outcomes=ends(claims, End.RETRY, delay_ms=0))

    assert [c.id for c in turn.claims] == ["a"]
    assert turn.claims[0].fence > claims[0].fence


async def test_a_released_job_is_given_back_before_all_others(hand: ByHand, look: Look) -> None:
    claims = await hand.claimed("a", "b")
    await hand.add(new("first", priority=1))

    await hand.settle(claims[:1], End.RELEASED)

    assert look.waiting() == [("0", "a"), ("1", "first")]
    assert look.dump().hashes["runs"] == {}


async def test_a_suspect_is_released_to_its_own_line(hand: ByHand, look: Look) -> None:
    await hand.make_suspects("a")
    claims = await hand.claim(W3, alone=True)

    await hand.settle(claims, End.RELEASED)

    assert look.waiting() == [(";", "a")]


async def test_a_job_that_keeps_nothing_leaves_nothing(hand: ByHand, look: Look) -> None:
    (claim,) = await hand.claimed("a")
    await _note(hand, claim, run=Run(), log="said\n")

    await hand.settle([claim], keep=False, log="more\n")

    dump = look.dump()
    assert (dump.jobs, dump.hashes["runs"], dump.hashes["logs"]) == ({}, {}, {})
    assert look.stats()["dropped"] == 1
    assert look.told()[-1] == ("completed", ["a"])


@pytest.mark.parametrize("end", list(End))
async def test_a_settled_job_has_no_lease_and_no_entry(hand: ByHand, look: Look, end: End) -> None:
    await hand.settle(await hand.claimed(*names(5)), end)

    dump = look.dump()
    assert dump.hashes["leases"] == {}
    assert all(e.free for e in dump.entries)


async def test_without_a_run_the_one_that_stands_is_left(hand: ByHand, look: Look) -> None:
    (claim,) = await hand.claimed("a")
    await _note(hand, claim, run=Run(attempts=7))

    await hand.settle([claim], End.FAILED, run=None)

    assert look.dump().hashes["runs"] == {b"a": pack_run(Run(attempts=7))}


async def test_fresh_attempts_stay_fresh_until_a_run_is_written(hand: ByHand) -> None:
    await hand.settle(await hand.claimed("a"), End.FAILED)
    await hand.retry("a")
    claims = await hand.claim(W1)

    await hand.settle(claims, End.RELEASED)

    assert [c.mark for c in await hand.claim(W1)] == ["f"]


async def test_two_hundred_outcomes_and_as_many_claims_are_one_call(
    hand: ByHand, look: Look
) -> None:
    first = await hand.claimed(*names(200))
    await hand.add(*names(300, "k"))

    turn = await hand.turn(W1, slots=200, outcomes=ends(first))

    assert [c.id for c in turn.claims] == names(200, "k")
    assert len(look.dump().zsets["completed"]) == 200


async def test_outcomes_and_notes_of_as_many_turns_as_there_are_slots_are_one_call(
    hand: ByHand, look: Look
) -> None:
    """Each turn's claims have a lease tail of their own: four hundred here, and in three lines."""
    await hand.register(W1)
    await hand.add(*[new(f"j{i}", priority=1 + i % 3) for i in range(400)])
    claims = [c for _ in range(400) for c in await hand.claim(W1, 1)]
    assert len({c.tail for c in claims}) == 400
    notes = [Note(c, Run(), f"{c.id} said\n") for c in claims[200:]]

    reply = await transitions.step(
        hand.at, W1, hand.turns[W1] + 1, slots=0, outcomes=ends(claims[:200]), notes=notes,
        now_ms=hand.now_ms,
    )  # fmt: skip

    hand.turns[W1] += 1
    assert isinstance(reply, Turn)
    dump = look.dump()
    assert set(dump.zsets["completed"]) == {c.id.encode() for c in claims[:200]}
    assert set(dump.hashes["logs"]) == {c.id.encode() for c in claims[200:]}
    await hand.settle(claims[200:])


# ---- what is refused


async def test_a_stale_attempt_cannot_settle(hand: ByHand, look: Look) -> None:
    stale = await hand.claimed("a", "b")
    await hand.bury(W1)
    await hand.register(W3)
    mine = await hand.claim(W3, 1)
    before = look.dump()

    reply = await hand.refused(W3, ends(mine + stale[1:]))

    assert (reply.refused, dict(reply.flagged)) == (frozenset({"b"}), {})
    assert look.dump() == before
    await hand.settle(mine)
    assert look.states() == {"a": "completed", "b": "waiting"}


async def test_a_claim_of_an_older_fence_cannot_settle_a_newer_one(
    hand: ByHand, look: Look
) -> None:
    (old,) = await hand.claimed("a")
    await hand.settle([old], End.RETRY, delay_ms=0)
    (new_claim,) = await hand.claim(W1)

    reply = await hand.refused(W1, ends([old]))

    assert reply.refused == {"a"}
    assert new_claim.fence > old.fence
    assert look.states() == {"a": "active"}


async def test_notes_of_a_lost_lease_are_refused_too(hand: ByHand, look: Look) -> None:
    (old,) = await hand.claimed("a")
    await hand.settle([old], End.RETRY, delay_ms=0)
    await hand.claim(W1)

    reply = await transitions.step(
        hand.at, W1, hand.turns[W1] + 1, slots=0, notes=[Note(old, Run(), "late\n")],
        now_ms=hand.now_ms,
    )  # fmt: skip

    assert not isinstance(reply, Turn)
    assert reply.refused == {"a"}
    assert look.dump().hashes["logs"] == {}


async def test_a_cancelled_job_is_settled_only_by_who_obeys(hand: ByHand, look: Look) -> None:
    claims = await hand.claimed("a", "b", "c")
    assert await hand.cancel("b") == "flagged"
    assert await hand.remove("c") == ["flagged"]

    reply = await hand.refused(W1, ends(claims))

    assert (reply.refused, dict(reply.flagged)) == (frozenset(), {"b": "c", "c": "r"})
    outcomes = ends(claims[:1]) + ends(claims[1:2], End.FAILED) + ends(claims[2:], keep=False)
    await hand.turn(W1, outcomes=outcomes, honoured={JobId("b"), JobId("c")})
    assert look.states() == {"a": "completed", "b": "failed"}
    assert look.dump().hashes["cancels"] == {}


async def test_a_cancelled_job_that_was_removed_since_is_not_merely_cancelled(
    hand: ByHand, look: Look
) -> None:
    claims = await hand.claimed("a")
    await hand.cancel("a")
    assert (await hand.refused(W1, ends(claims))).flagged == {"a": "c"}
    await hand.remove("a")

    reply = await hand.refused(W1, ends(claims, End.FAILED), honoured={JobId("a")})

    assert reply.flagged == {"a": "r"}
    await hand.turn(W1, outcomes=ends(claims, End.FAILED, keep=False), honoured={JobId("a")})
    assert look.dump().jobs == {}


async def test_a_worker_without_a_row_is_gone(hand: ByHand, look: Look) -> None:
    await hand.add("a")
    hand.turns[W1] = 0

    with pytest.raises(Gone, match="w1"):
        await hand.claim(W1)

    assert look.states() == {"a": "waiting"}


async def test_a_dead_worker_is_gone_while_it_is_reaped_and_after(hand: ByHand, look: Look) -> None:
    await hand.claimed("a")
    await hand.cancel("a")
    await hand.reap(W1)

    with pytest.raises(Gone):
        await hand.turn(W1)

    await hand.bury(W1)
    with pytest.raises(Gone):
        await hand.turn(W1)


@pytest.mark.parametrize("number", [0, 1, 3])
async def test_a_turn_that_is_not_the_next_one_does_nothing(
    hand: ByHand, look: Look, number: int
) -> None:
    claims = await hand.claimed("a")
    assert hand.turns[W1] == 1
    before = look.dump()

    with pytest.raises(StaleTurn):
        await transitions.step(hand.at, W1, number, slots=5, outcomes=ends(claims))

    assert look.dump() == before


async def test_a_late_copy_of_a_step_does_nothing(hand: ByHand, look: Look) -> None:
    claims = await hand.claimed("a")
    await hand.settle(claims, End.RETRY, delay_ms=0)
    again = await hand.claim(W1)
    before = look.dump()

    with pytest.raises(StaleTurn):
        await transitions.step(hand.at, W1, 2, slots=5, outcomes=ends(claims))

    assert look.dump() == before
    await hand.settle(again)


# ---- what rides along


async def test_what_a_job_says_rides_along_under_its_lease(hand: ByHand, look: Look) -> None:
    (claim,) = await hand.claimed("a")

    half = Run(progress=b"\x32")
    await _note(hand, claim, run=half, log="half\n")
    await _note(hand, claim, log="more\n")

    dump = look.dump()
    assert dump.hashes["logs"] == {b"a": b"half\nmore\n"}
    assert dump.hashes["runs"] == {b"a": pack_run(half)}
    assert look.states() == {"a": "active"}


async def test_of_a_jobs_log_the_newest_lines_are_kept(hand: ByHand, look: Look) -> None:
    (claim,) = await hand.claimed("a")
    line = "x" * 99 + "\n"
    for n in range(7):
        await _note(hand, claim, log=f"{n:04}" + line * 100)

    kept = look.dump().hashes["logs"][b"a"]
    assert 65_536 - 105 < len(kept) <= 65_536
    assert kept.startswith(b"x" * 99 + b"\n")
    assert kept.endswith(line.encode())
    assert b"0000" not in kept
    assert b"0006" in kept


async def test_retention_by_count_lets_the_oldest_go_with_all_that_stands_of_them(
    hand: ByHand, look: Look
) -> None:
    claims = await hand.claimed(*names(5))
    for claim in claims:
        hand.later(1)
        await hand.turn(W1, outcomes=ends([claim], log="said\n"), keep_completed=3)

    dump = look.dump()
    assert look.states() == dict.fromkeys(names(5)[2:], "completed")
    assert set(dump.hashes["logs"]) == {b"j2", b"j3", b"j4"}
    assert look.stats()["trimmed"] == 2


async def test_retention_by_count_holds_for_failed_jobs_too(hand: ByHand, look: Look) -> None:
    for claim in await hand.claimed(*names(4)):
        hand.later(1)
        await hand.turn(W1, outcomes=ends([claim], End.FAILED), keep_completed=0, keep_failed=1)

    assert look.states() == {"j3": "failed"}


async def test_its_counters_are_added_to_what_stands(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    for _ in range(2):
        await hand.turn(W1, counters={"completed": 2, "run:welcome:3": 5})

    assert look.stats() == {"completed": 4, "run:welcome:3": 10}


async def test_retention_of_nothing_keeps_nothing(hand: ByHand, look: Look) -> None:
    claims = await hand.claimed(*names(3))

    await hand.turn(W1, outcomes=ends(claims, log="said\n"), keep_completed=0)

    dump = look.dump()
    assert (dump.jobs, dump.hashes["runs"], dump.hashes["logs"]) == ({}, {}, {})


async def test_it_tells_each_transition_once_and_small_results_with_it(
    hand: ByHand, look: Look
) -> None:
    claims = await hand.claimed("a", "b", "c")
    run = Run(attempts=1, result=b"\xa2ok")

    await hand.turn(W1, outcomes=ends(claims[:2], run=run) + ends(claims[2:], End.FAILED))

    told = dict(look.stream("events")[-1])
    results = msgspec.msgpack.decode(told.pop(b"results"), type=dict[str, bytes])
    assert told == {b"completed": b"a b", b"failed": b"c"}
    assert results == {"a": b"\xa2ok", "b": b"\xa2ok"}


async def test_events_are_capped_by_transitions(hand: ByHand, look: Look) -> None:
    claims = await hand.claimed(*names(200))
    for _ in range(200):
        turn = await hand.turn(
            W1, slots=200, outcomes=ends(claims, End.RETRY, delay_ms=0, run=None)
        )
        claims = turn.claims

    ids = sum(len(told) for _, told in look.told())
    assert 10_000 <= ids <= 60_000, "MAXLEN ~ lets whole nodes of 100 entries go"
    await hand.settle(claims)


async def test_a_full_redis_lets_workers_settle_and_claim(hand: ByHand, look: Look) -> None:
    claims = await hand.claimed(*names(5))
    await hand.add("next", new("due", delay_ms=1))
    hand.later(1)

    with full(look.raw):
        turn = await hand.turn(W1, slots=5, outcomes=_one_of_each(claims))

    assert {c.id for c in turn.claims} == {"next", "due", "j4"}


async def test_a_full_redis_lets_a_worker_ask_in_vain(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(new("later", delay_ms=1_000))

    with full(look.raw):
        turn = await hand.turn(W1, slots=5, waits=True)

    assert turn.claims == []


# ---- faults


def _one_of_each(claims: Sequence[Claim]) -> list[Outcome]:
    return (
        ends(claims[:1], log="said\n")
        + ends(claims[1:2], End.FAILED)
        + ends(claims[2:3], End.PARKED)
        + ends(claims[3:4], End.RETRY, delay_ms=50)
        + ends(claims[4:5], End.RELEASED)
        + ends(claims[5:6], keep=False)
    )


async def _before(hand: ByHand) -> list[Claim]:
    await hand.register(W1, W2)
    await hand.add(*names(8), new("late", delay_ms=10))
    claims = await hand.claim(W1, 6)
    await hand.settle(claims[5:], End.RETRY, delay_ms=0, log="said\n")
    await hand.limit(0, rate="100/1000")
    claims[5:] = await hand.claim(W1, 1)
    await hand.remove("j5")
    await hand.remove("j7")
    hand.later(20)
    return claims


CASE = Case(
    "step",
    _before,
    lambda hand, claims: hand.turn(
        W1, slots=3, outcomes=_one_of_each(claims), honoured={JobId("j5")}, waits=True,
        keep_completed=0,
    ),
)  # fmt: skip
KEPT = Case(
    "step",
    _before,
    lambda hand, claims: hand.turn(W1, outcomes=_one_of_each(claims)[:5]),
    leases_last=True,
)


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    torn = await trial.tear(CASE)

    assert torn.calls >= 50


async def test_whichever_call_of_a_settle_fails_all_is_put_right(trial: Trial) -> None:
    torn = await trial.tear(KEPT)

    assert torn.calls >= 25


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(CASE))

    assert failed >= {
        "jobs", "runs", "leases", "delayed", "completed", "failed", "parked", "cancels", "turns",
        "meta", "stats", "events", "logs", "wait 0", "wait 3",
    }  # fmt: skip


async def _note(hand: ByHand, claim: Claim, *, run: Run | None = None, log: str = "") -> None:
    hand.turns[W1] += 1
    await transitions.step(
        hand.at, W1, hand.turns[W1], slots=0, notes=[Note(claim, run, log)], now_ms=hand.now_ms
    )
