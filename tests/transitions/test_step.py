"""step: settle what a worker's jobs came to, and give it new ones."""

from collections.abc import Sequence

import msgspec
import pytest

from streamq.errors import Gone, StaleTurn
from streamq.job import Claim, End, JobId, Outcome, Run, WorkerId, pack_run
from streamq.store import transitions
from streamq.store.replies import Note, Turn
from tests.support.by_hand import W1, W2, ByHand, ends, names, new
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial

W1_AGAIN, VICTIM = WorkerId("w1-again"), WorkerId("victim")


async def _claimed(hand: ByHand, *jobs: str) -> list[Claim]:
    """Jobs claimed by worker w1, in their order."""
    await hand.register(W1, W2)
    await hand.add(*(jobs or ("a",)))
    return await hand.claim(W1)


# ---- settling


async def test_a_completed_job_keeps_its_run_and_leaves_its_line(hand: ByHand, look: Look) -> None:
    run = Run(attempts=1, result=b"\xa2ok")

    await hand.settle(await _claimed(hand), run=run)

    dump = look.dump()
    assert dump.zsets["completed"] == {b"a": hand.now_ms}
    assert dump.hashes["runs"] == {b"a": pack_run(run)}
    assert dump.entries == []


async def test_a_failed_job_is_failed(hand: ByHand, look: Look) -> None:
    await hand.settle(await _claimed(hand), End.FAILED)

    assert look.states() == {"a": "failed"}


async def test_a_parked_job_is_parked(hand: ByHand, look: Look) -> None:
    await hand.settle(await _claimed(hand), End.PARKED)

    assert look.states() == {"a": "parked"}


async def test_a_retry_waits_for_its_time_and_then_in_its_line(hand: ByHand, look: Look) -> None:
    claims = await _claimed(hand)
    await hand.settle(claims, End.RETRY, delay_ms=5_000, line="7")

    assert look.states() == {"a": "delayed"}
    hand.later(4_999)
    assert await hand.claim(W2) == []
    hand.later(1)
    (again,) = await hand.claim(W2)

    assert (again.line, again.mark, again.run) == ("7", "r", pack_run(Run(attempts=1)))


async def test_a_retry_of_no_delay_is_claimed_in_the_same_call(hand: ByHand) -> None:
    claims = await _claimed(hand)

    turn = await hand.turn(W1, slots=1, outcomes=ends(claims, End.RETRY, delay_ms=0))

    assert [c.id for c in turn.claims] == ["a"]
    assert turn.claims[0].fence > claims[0].fence


async def test_a_released_job_is_given_back_before_all_others(hand: ByHand, look: Look) -> None:
    claims = await _claimed(hand, "a", "b")
    await hand.add(new("first", priority=1))

    await hand.settle(claims[:1], End.RELEASED)

    assert look.waiting() == [("0", "a"), ("1", "first")]
    assert look.dump().hashes["runs"] == {}


async def test_a_suspect_is_released_to_its_own_line(hand: ByHand, look: Look) -> None:
    await _suspect(hand)
    claims = await hand.claim(W2, alone=True)

    await hand.settle(claims, End.RELEASED)

    assert look.waiting() == [(";", "a")]


async def test_a_job_that_keeps_nothing_leaves_nothing(hand: ByHand, look: Look) -> None:
    (claim,) = await _claimed(hand)
    await _note(hand, claim, run=Run(), log="said\n")

    await hand.settle([claim], keep=False, log="more\n")

    dump = look.dump()
    assert (dump.jobs, dump.hashes["runs"], dump.hashes["logs"]) == ({}, {}, {})
    assert look.stats()["dropped"] == 1
    assert look.told()[-1] == ("completed", ["a"])


@pytest.mark.parametrize("end", list(End))
async def test_a_settled_job_has_no_lease_and_no_entry(hand: ByHand, look: Look, end: End) -> None:
    await hand.settle(await _claimed(hand, *names(5)), end)

    dump = look.dump()
    assert dump.hashes["leases"] == {}
    assert all(e.free for e in dump.entries)


async def test_without_a_run_the_one_that_stands_is_left(hand: ByHand, look: Look) -> None:
    (claim,) = await _claimed(hand)
    await _note(hand, claim, run=Run(attempts=7))

    await hand.settle([claim], End.FAILED, run=None)

    assert look.dump().hashes["runs"] == {b"a": pack_run(Run(attempts=7))}


async def test_fresh_attempts_stay_fresh_until_a_run_is_written(hand: ByHand) -> None:
    await hand.settle(await _claimed(hand), End.FAILED)
    await hand.retry("a")
    claims = await hand.claim(W1)

    await hand.settle(claims, End.RELEASED)

    assert [c.mark for c in await hand.claim(W1)] == ["f"]


async def test_two_hundred_outcomes_and_as_many_claims_are_one_call(
    hand: ByHand, look: Look
) -> None:
    first = await _claimed(hand, *names(200))
    await hand.add(*names(300, "k"))

    turn = await hand.turn(W1, slots=200, outcomes=ends(first))

    assert [c.id for c in turn.claims] == names(200, "k")
    assert len(look.dump().zsets["completed"]) == 200


# ---- what is refused


async def test_a_stale_attempt_cannot_settle(hand: ByHand, look: Look) -> None:
    stale = await _claimed(hand, "a", "b")
    await hand.bury(W1)
    await hand.register(W1_AGAIN)
    mine = await hand.claim(W1_AGAIN, 1)
    before = look.dump()

    reply = await hand.refused(W1_AGAIN, ends(mine + stale[1:]))

    assert (reply.refused, dict(reply.flagged)) == (frozenset({"b"}), {})
    assert look.dump() == before
    await hand.settle(mine)
    assert look.states() == {"a": "completed", "b": "waiting"}


async def test_a_claim_of_an_older_fence_cannot_settle_a_newer_one(
    hand: ByHand, look: Look
) -> None:
    (old,) = await _claimed(hand)
    await hand.settle([old], End.RETRY, delay_ms=0)
    (new_claim,) = await hand.claim(W1)

    reply = await hand.refused(W1, ends([old]))

    assert reply.refused == {"a"}
    assert new_claim.fence > old.fence
    assert look.states() == {"a": "active"}


async def test_notes_of_a_lost_lease_are_refused_too(hand: ByHand, look: Look) -> None:
    (old,) = await _claimed(hand)
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
    claims = await _claimed(hand, "a", "b", "c")
    assert await hand.cancel("b") == "flagged"
    assert await hand.remove("c") == ["flagged"]

    reply = await hand.refused(W1, ends(claims))

    assert (reply.refused, dict(reply.flagged)) == (frozenset(), {"b": "c", "c": "r"})
    outcomes = ends(claims[:1]) + ends(claims[1:2], End.FAILED) + ends(claims[2:], keep=False)
    await hand.turn(W1, outcomes=outcomes, honoured={JobId("b"), JobId("c")})
    assert look.states() == {"a": "completed", "b": "failed"}
    assert look.dump().hashes["cancels"] == {}


async def test_a_worker_without_a_row_is_gone(hand: ByHand, look: Look) -> None:
    await hand.add("a")
    hand.turns[W1] = 0

    with pytest.raises(Gone, match="w1"):
        await hand.claim(W1)

    assert look.states() == {"a": "waiting"}


async def test_a_dead_worker_is_gone_while_it_is_reaped_and_after(hand: ByHand, look: Look) -> None:
    await _claimed(hand)
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
    claims = await _claimed(hand)
    assert hand.turns[W1] == 1
    before = look.dump()

    with pytest.raises(StaleTurn):
        await transitions.step(hand.at, W1, number, slots=5, outcomes=ends(claims))

    assert look.dump() == before


async def test_a_late_copy_of_a_step_does_nothing(hand: ByHand, look: Look) -> None:
    claims = await _claimed(hand)
    await hand.settle(claims, End.RETRY, delay_ms=0)
    again = await hand.claim(W1)
    before = look.dump()

    with pytest.raises(StaleTurn):
        await transitions.step(hand.at, W1, 2, slots=5, outcomes=ends(claims))

    assert look.dump() == before
    await hand.settle(again)


# ---- claiming


async def test_priorities_are_taken_in_their_order_and_what_was_given_back_first(
    hand: ByHand,
) -> None:
    back = await _claimed(hand, "back")
    await hand.add(new("ten", priority=10), new("two", priority=2), "three", new("one", priority=1))
    await hand.settle(back, End.RELEASED)

    claims = await hand.claim(W2)

    assert [c.id for c in claims] == ["back", "one", "two", "three", "ten"]


async def test_jobs_of_one_priority_are_taken_in_the_order_of_their_coming(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add(*names(3))
    await hand.add(*names(3, "k"))

    claims = await hand.claim(W1, 4) + await hand.claim(W1, 4)

    assert [c.id for c in claims] == names(3) + names(3, "k")


async def test_a_claim_carries_the_record_and_a_lease_that_redis_knows(
    hand: ByHand, look: Look
) -> None:
    (claim,) = await _claimed(hand)

    dump = look.dump()
    assert claim.record == dump.jobs[b"a"]
    assert claim.lease == dump.hashes["leases"][b"a"]
    assert claim.claimed_at_ms == hand.now_ms
    assert look.told()[-1] == ("active", ["a"])


async def test_fences_rise_though_the_clock_goes_back(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    fences: list[int] = []
    for move_ms in (0, 5, -600_000, 0):
        hand.later(move_ms)
        await hand.add(*names(2, f"at{len(fences)}-"))
        fences += [c.fence for c in await hand.claim(W1)]

    assert fences == sorted(fences)
    assert len(set(fences)) == 4
    assert look.meta("fence") == str(fences[-1])


async def test_nothing_is_claimed_while_paused_and_due_jobs_are_promoted_all_the_same(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a", new("b", delay_ms=10))
    await hand.limit(0, paused=True)
    hand.later(10)

    turn = await hand.turn(W1, slots=5, waits=True)

    assert turn.claims == []
    assert turn.look_again_ms == 60_000
    assert look.states() == {"a": "waiting", "b": "waiting"}


async def test_a_pause_lets_running_jobs_finish(hand: ByHand, look: Look) -> None:
    claims = await _claimed(hand)
    await hand.limit(0, paused=True)

    await hand.settle(claims)

    assert look.states() == {"a": "completed"}


async def test_max_active_holds_over_all_workers(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.limit(0, max_active="3")
    await hand.add(*names(9))

    held = await hand.claim(W1, 2)

    assert len(await hand.claim(W2)) == 1
    assert await hand.claim(W1) == []
    turn = await hand.turn(W1, slots=5, outcomes=ends(held))
    assert len(turn.claims) == 2


async def test_the_rate_lets_so_many_start_in_any_window(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.limit(0, rate="5/1000")
    await hand.add(*names(60))
    starts: list[int] = []
    for _ in range(100):
        for worker in (W1, W2):
            starts += [hand.now_ms] * len(await hand.claim(worker, 3))
        hand.later(37)

    for i, first in enumerate(starts):
        assert len([s for s in starts[i:] if s < first + 1_000]) <= 5
    assert len(starts) >= 16, "and it lets them start"


async def test_a_closed_rate_opens_when_it_says(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.limit(0, rate="2/1000")
    await hand.add(*names(3))
    hand.later(100)

    turn = await hand.turn(W1, slots=5, waits=True)

    assert len(turn.claims) == 2
    assert turn.look_again_ms == 1_000
    hand.later(999)
    assert await hand.claim(W1) == []
    hand.later(1)
    assert len(await hand.claim(W1)) == 1


async def test_at_most_a_share_is_taken_of_what_was_given_back(hand: ByHand) -> None:
    back = await _claimed(hand, *names(10))
    await hand.settle(back, End.RELEASED)
    await hand.add(*names(10, "k"))

    claims = await hand.claim(W2, 5, share=1)

    assert [c.id for c in claims] == ["j0", *names(4, "k")]
    assert [c.id for c in await hand.claim(W2, 5, share=0)] == names(10, "k")[4:9]


async def test_suspects_are_for_the_one_who_runs_alone(hand: ByHand) -> None:
    await _suspect(hand)
    await hand.add("b")

    assert [c.id for c in await hand.claim(W1_AGAIN)] == ["b"]
    assert [c.id for c in await hand.claim(W2, alone=True)] == ["a"]


async def test_an_entry_whose_ticket_is_not_the_records_is_dead(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", "b")
    await hand.remove("a")
    await hand.add(new("a", priority=9))
    assert look.meta("dead") == "1"

    claims = await hand.claim(W1)

    assert [(c.id, c.line) for c in claims] == [("b", "3"), ("a", "9")]
    assert look.meta("dead") == "0"


async def test_one_call_drops_a_thousand_dead_entries_and_comes_again_for_the_rest(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    ids = names(1_200)
    for first in range(0, 1_200, 200):
        await hand.add(*ids[first : first + 200])
        await hand.remove(*ids[first : first + 200])
    await hand.add("a")

    turn = await hand.turn(W1, slots=5, waits=True)

    assert (turn.claims, turn.look_again_ms) == ([], 10)
    assert look.meta("dead") == "200"
    assert [c.id for c in await hand.claim(W1, 1)] == ["a"]


async def test_what_is_due_in_this_millisecond_is_due(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add(new("a", delay_ms=5), new("b", delay_ms=6))
    hand.later(5)

    assert [c.id for c in await hand.claim(W1)] == ["a"]


async def test_one_call_promotes_a_thousand_due_jobs_and_says_that_there_are_more(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    for first in range(0, 1_200, 600):
        await hand.add(*[new(i, delay_ms=5) for i in names(1_200)[first : first + 600]])
    hand.later(5)

    await hand.turn(W1, slots=1)

    states = list(look.states().values())
    assert (states.count("delayed"), states.count("waiting")) == (200, 999)
    await hand.turn(W1, slots=1)
    assert list(look.states().values()).count("delayed") == 0


async def test_claims_past_a_mebibyte_come_without_their_records(hand: ByHand) -> None:
    await hand.register(W1)
    big = b"\xc6\x00\x04\x00\x00" + bytes(1 << 18)
    for i in range(6):
        await hand.add(msgspec.structs.replace(new(f"j{i}"), data=big))

    claims = await hand.claim(W1)

    assert [c.record is None for c in claims] == [False] * 3 + [True] * 3
    assert [c.id for c in claims] == names(6)


async def test_a_job_flagged_before_it_was_claimed_says_so(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", "b")
    look.raw.hset(hand.at.keys.names["cancels"], "b", "c")

    turn = await hand.turn(W1, slots=5)

    assert turn.flagged == {"b": "c"}


# ---- what rides along


async def test_what_a_job_says_rides_along_under_its_lease(hand: ByHand, look: Look) -> None:
    (claim,) = await _claimed(hand)

    half = Run(progress=b"\x32")
    await _note(hand, claim, run=half, log="half\n")
    await _note(hand, claim, log="more\n")

    dump = look.dump()
    assert dump.hashes["logs"] == {b"a": b"half\nmore\n"}
    assert dump.hashes["runs"] == {b"a": pack_run(half)}
    assert look.states() == {"a": "active"}


async def test_of_a_jobs_log_the_newest_lines_are_kept(hand: ByHand, look: Look) -> None:
    (claim,) = await _claimed(hand)
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
    claims = await _claimed(hand, *names(5))
    for claim in claims:
        hand.later(1)
        await hand.turn(W1, outcomes=ends([claim], log="said\n"), keep_completed=3)

    dump = look.dump()
    assert look.states() == dict.fromkeys(names(5)[2:], "completed")
    assert set(dump.hashes["logs"]) == {b"j2", b"j3", b"j4"}
    assert look.stats()["trimmed"] == 2


async def test_retention_of_nothing_keeps_nothing(hand: ByHand, look: Look) -> None:
    claims = await _claimed(hand, *names(3))

    await hand.turn(W1, outcomes=ends(claims, log="said\n"), keep_completed=0)

    dump = look.dump()
    assert (dump.jobs, dump.hashes["runs"], dump.hashes["logs"]) == ({}, {}, {})


async def test_it_tells_each_transition_once_and_small_results_with_it(
    hand: ByHand, look: Look
) -> None:
    claims = await _claimed(hand, "a", "b", "c")
    run = Run(attempts=1, result=b"\xa2ok")

    await hand.turn(W1, outcomes=ends(claims[:2], run=run) + ends(claims[2:], End.FAILED))

    told = dict(look.stream("events")[-1])
    results = msgspec.msgpack.decode(told.pop(b"results"), type=dict[str, bytes])
    assert told == {b"completed": b"a b", b"failed": b"c"}
    assert results == {"a": b"\xa2ok", "b": b"\xa2ok"}


async def test_events_are_capped_by_transitions(hand: ByHand, look: Look) -> None:
    claims = await _claimed(hand, *names(200))
    for _ in range(200):
        turn = await hand.turn(
            W1, slots=200, outcomes=ends(claims, End.RETRY, delay_ms=0, run=None)
        )
        claims = turn.claims

    ids = sum(len(told) for _, told in look.told())
    assert 10_000 <= ids <= 60_000, "MAXLEN ~ lets whole nodes of 100 entries go"
    await hand.settle(claims)


async def test_a_full_redis_lets_workers_settle_and_claim(hand: ByHand, look: Look) -> None:
    claims = await _claimed(hand, *names(5))
    await hand.add("next", new("due", delay_ms=1))
    hand.later(1)

    with full(look.raw):
        turn = await hand.turn(W1, slots=5, outcomes=_one_of_each(claims))

    assert {c.id for c in turn.claims} == {"next", "due", "j4"}


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
KEPT = Case("step", _before, lambda hand, claims: hand.turn(W1, outcomes=_one_of_each(claims)[:5]))


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


async def _suspect(hand: ByHand) -> None:
    """Job a, of which two workers died with evidence, while a daemon's worker w2 lives."""
    await hand.register(W1, W2, W1_AGAIN)
    await hand.add("a")
    await hand.claim(W1)
    await hand.bury(W1, evidence=True)
    await hand.register(VICTIM)
    await hand.claim(VICTIM)
    await hand.bury(VICTIM, evidence=True)


async def _note(hand: ByHand, claim: Claim, *, run: Run | None = None, log: str = "") -> None:
    hand.turns[W1] += 1
    await transitions.step(
        hand.at, W1, hand.turns[W1], slots=0, notes=[Note(claim, run, log)], now_ms=hand.now_ms
    )
