"""beat: the workers of one process live; and which chore is this process's to do."""

import pytest

from streamq.job import End, JobId, WorkerId
from streamq.store import transitions
from streamq.store.replies import Beaten, Chore
from tests.support.by_hand import LEASE_MS, W1, W2, W3, ByHand, ends, names, new
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial

BEAT_MS = LEASE_MS // 3
HOUR_MS = 3_600_000


def _chores(beaten: Beaten, name: str) -> list[Chore]:
    return [chore for chore in beaten.chores if chore.name == name]


async def test_a_beat_is_heard_and_takes_no_number(hand: ByHand, look: Look) -> None:
    await hand.register(W1, W2)
    await hand.turn(W1)
    hand.later(BEAT_MS)

    beaten = await hand.beat(W1, W2)

    assert beaten.gone == frozenset()
    turns = look.dump().hashes["turns"]
    assert turns == {b"w1": b"1:%d" % hand.now_ms, b"w2": b"0:%d" % hand.now_ms}
    await hand.turn(W1)


async def test_who_is_dead_or_was_never_there_is_gone(hand: ByHand) -> None:
    await hand.register(W1, W2, W3)
    await hand.add("a")
    await hand.claim(W2)
    await hand.cancel("a")
    await hand.bury(W1)
    await hand.reap(W2)  # under way, and not ended

    beaten = await hand.beat(W1, W2, W3, WorkerId("never"))

    assert beaten.gone == {W1, W2, "never"}
    await hand.bury(W2)


async def test_sixty_four_workers_beat_at_once(hand: ByHand, look: Look) -> None:
    workers = [WorkerId(f"w{i}") for i in range(64)]
    await hand.register(*workers)
    hand.later(5)

    await hand.beat(*workers)

    heard = {turn.split(b":")[1] for turn in look.dump().hashes["turns"].values()}
    assert heard == {b"%d" % hand.now_ms}


async def test_who_beats_is_never_named(hand: ByHand) -> None:
    await hand.register(W1, W2)

    assert await hand.judge(W1, W2) == []


async def test_who_is_silent_for_a_lease_is_named(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.beat(W2)
    for _ in range(3):
        hand.later(BEAT_MS)
        assert not _chores(await hand.beat(W2), "reap"), "exactly a lease is not longer than one"
    hand.later(1)

    assert _chores(await hand.beat(W2), "reap") == [Chore("reap", ("w1",))]


async def test_a_turn_is_a_beat(hand: ByHand) -> None:
    await hand.register(W1, W2)
    for _ in range(8):
        hand.later(BEAT_MS)
        await hand.turn(W1)
        assert not _chores(await hand.beat(W2), "reap")


async def test_h23_all_that_are_silent_are_named_in_one_beat(hand: ByHand) -> None:
    lanes = [WorkerId(f"lane{i}") for i in range(60)]
    await hand.register(W1, *lanes)
    for _ in range(4):
        await hand.beat(W1)
        hand.later(BEAT_MS)

    (chore,) = _chores(await hand.beat(W1), "reap")

    assert len(chore.args) == 50
    for worker in chore.args:
        await hand.bury(WorkerId(worker))
    hand.later(LEASE_MS // 6)
    (rest,) = _chores(await hand.beat(W1), "reap")
    assert {*chore.args, *rest.args} == set(lanes)


async def test_a_chore_is_named_to_one_process(hand: ByHand) -> None:
    await hand.register(W1, W2, W3)
    for _ in range(4):
        await hand.beat(W2, W3)
        hand.later(BEAT_MS)

    assert len(_chores(await hand.beat(W2), "reap")) == 1
    assert _chores(await hand.beat(W3), "reap") == []
    hand.later(LEASE_MS // 6)
    assert len(_chores(await hand.beat(W3), "reap")) == 1, "the first may have died over it"


async def test_a_reap_that_ended_half_way_is_named_again(hand: ByHand, look: Look) -> None:
    """Whoever reaped has died between its first call and the next."""
    await hand.register(W1, W2)
    await hand.add("a")
    await hand.claim(W1)
    await hand.cancel("a")
    assert (await hand.reap(W1)).word == "more"

    assert await hand.judge(W2) == [W1]
    await hand.bury(W1)
    assert look.states() == {"a": "failed"}
    assert await hand.judge(W2) == []


# ---- jumps of the clock


@pytest.mark.parametrize("jump_ms", [LEASE_MS // 2 + 1, HOUR_MS, 10 * 365 * 24 * HOUR_MS])
async def test_nobody_is_judged_for_a_lease_after_a_jump_forward(
    hand: ByHand, look: Look, jump_ms: int
) -> None:
    await hand.register(W1, W2)
    await hand.beat(W1, W2)
    for _ in range(3):
        hand.later(BEAT_MS)
        await hand.beat(W1, W2)
    hand.later(jump_ms)

    for _ in range(3):
        assert not _chores(await hand.beat(W1), "reap")  # w2 will, a moment later
        hand.later(BEAT_MS)
    await hand.beat(W2)

    assert not _chores(await hand.beat(W1, W2), "reap")
    assert look.stats()["clock_jumps"] == 1


async def test_half_a_lease_between_two_beats_is_no_jump(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    for _ in range(5):
        await hand.beat(W1)
        hand.later(LEASE_MS // 2)

    assert "clock_jumps" not in look.stats()


async def test_nobody_is_judged_by_who_has_just_connected(hand: ByHand) -> None:
    await hand.register(W1)
    hand.later(HOUR_MS)
    await hand.register(W2)

    for _ in range(3):
        assert not _chores(await hand.beat(W2), "reap")
        hand.later(BEAT_MS)
    assert _chores(await hand.beat(W2), "reap") == [Chore("reap", ("w1",))]


async def test_h22_a_dead_worker_is_found_though_the_clock_went_back(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1, W2)
    await hand.beat(W1, W2)
    hand.later(-600_000)

    named = await hand.judge(W2)

    assert named == [W1], "its heartbeat lay in the future, and was written back as now"
    assert look.stats()["clock_jumps"] == 1


async def test_a_time_from_which_to_judge_that_lies_far_ahead_is_written_back(
    hand: ByHand,
) -> None:
    await hand.register(W1, W2)
    hand.later(HOUR_MS)
    await hand.beat(W2)
    hand.later(HOUR_MS)
    await hand.beat(W2)  # judges from two hours and a lease on
    hand.later(-2 * HOUR_MS)

    assert await hand.judge(W2) == [W1]


async def test_a_shorter_lease_does_not_wait_for_the_end_of_a_longer_one(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await transitions.beat(hand.at, [W1, W2], lease_ms=24 * HOUR_MS, now_ms=hand.now_ms)

    assert await hand.judge(W2) == [W1]


async def test_nothing_is_let_go_for_its_age_after_a_jump(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.settle(await hand.claim(W1))
    await hand.judge(W1)
    hand.later(HOUR_MS)

    beaten = await _beat_with_retention(hand)

    assert not _chores(beaten, "retain")
    assert look.dump().hashes["adds"] != {}, "a repeated add must still be known"


# ---- chores


async def _beat_with_retention(hand: ByHand) -> Beaten:
    return await transitions.beat(
        hand.at, [W1], lease_ms=LEASE_MS, keep_completed_ms=1_000, keep_failed_ms=5_000,
        now_ms=hand.now_ms,
    )  # fmt: skip


async def test_retention_is_named_for_what_is_too_old(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.judge(W1)
    await hand.add("a", "b")
    a, b = await hand.claim(W1)
    await hand.settle([a])
    await hand.settle([b], End.FAILED)

    hand.later(1_000)
    assert not _chores(await _beat_with_retention(hand), "retain")
    hand.later(1)
    assert _chores(await _beat_with_retention(hand), "retain") == [Chore("retain", ("completed",))]
    hand.later(5_000)
    assert len(_chores(await _beat_with_retention(hand), "retain")) == 2


async def test_parked_jobs_are_looked_at_once_a_minute(hand: ByHand) -> None:
    await hand.register(W1)
    assert not _chores(await hand.beat(W1), "unpark")
    await hand.add("a")
    await hand.settle(await hand.claim(W1), End.PARKED)

    assert _chores(await hand.beat(W1), "unpark")
    assert not _chores(await hand.beat(W1), "unpark")
    hand.later(60_000)
    assert _chores(await hand.beat(W1), "unpark")


async def test_one_daemon_has_the_duty_of_suspects(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.make_suspects("a", "b")

    assert not _chores(await hand.beat(W1), "alone"), "it did not ask for the duty"
    assert _chores(await hand.beat(W1, duty="d1"), "alone")
    assert not _chores(await hand.beat(W2, duty="d2"), "alone")
    assert _chores(await hand.beat(W1, duty="d1"), "alone"), "who has it keeps it"
    hand.later(LEASE_MS)
    assert not _chores(await hand.beat(W2, duty="d2"), "alone")
    hand.later(1)
    assert _chores(await hand.beat(W2, duty="d2"), "alone"), "the lease of the duty has run out"
    assert not _chores(await hand.beat(W1, duty="d1"), "alone")
    hand.later(-HOUR_MS)
    assert _chores(await hand.beat(W1, duty="d1"), "alone"), "and it never outlasts a lease"


async def test_flagged_jobs_are_told_to_all(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.add("a", "b")
    await hand.claim(W1)
    await hand.cancel("a")
    await hand.remove("b")

    assert (await hand.beat(W2)).flagged == {"a": "c", "b": "r"}
    await hand.bury(W1)
    assert (await hand.beat(W2)).flagged == {}


async def test_history_holds_what_the_counters_grew_by(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.beat(W1)
    await hand.add(*names(3))
    hand.later(60_000)
    await hand.beat(W1)
    await hand.add("more")
    hand.later(59_999)
    await hand.beat(W1)
    hand.later(1)
    await hand.beat(W1)

    minutes = [dict(fields) for fields in look.stream("history:minutes")]
    assert [int(fields[b"added"]) for fields in minutes] == [0, 3, 1]
    assert len(look.stream("history:hours")) == 1


async def test_a_producer_not_heard_of_for_ten_minutes_is_forgotten(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a")
    for _ in range(60):
        await hand.beat(W1)
        hand.later(BEAT_MS)
    assert look.dump().hashes["adds"] != {}

    for _ in range(7):
        await hand.beat(W1)
        hand.later(BEAT_MS)

    assert look.dump().hashes["adds"] == {}


async def test_producers_are_forgotten_behind_any_number_of_others(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    adds = hand.at.keys.names["adds"]
    look.raw.hset(adds, mapping={f"live{i}": f"1:{hand.now_ms * 2}:" for i in range(900)})
    look.raw.hset(adds, mapping={f"old{i}": f"1:{hand.now_ms - 600_001}:" for i in range(100)})
    await hand.judge(W1)
    for _ in range(10):
        await hand.judge(W1)

    left = [row for row in look.dump().hashes["adds"] if row.startswith(b"old")]
    assert left == []


async def test_dead_rows_are_swept_behind_any_number_of_live_ones(hand: ByHand, look: Look) -> None:
    live = [WorkerId(f"live{i}") for i in range(300)]
    await hand.register(*live, W1, W2)
    await hand.bury(W1)
    for _ in range(12 * 6):
        for first in range(0, 300, 60):
            await hand.beat(*live[first : first + 60])
        hand.later(BEAT_MS)

    assert b"w1" not in look.dump().hashes["workers"]


async def test_a_row_stays_as_long_as_its_reap_has_not_ended(hand: ByHand, look: Look) -> None:
    await hand.register(W1, W2)
    await hand.add("a")
    await hand.claim(W1)
    await hand.cancel("a")
    await hand.reap(W1)
    for _ in range(12 * 6):
        await hand.beat(W2)
        hand.later(BEAT_MS)

    assert b"w1" in look.dump().hashes["workers"]
    await hand.bury(W1)


async def test_a_swallowed_token_costs_one_beat(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    look.raw.delete(hand.at.keys.names["wake"])  # taken by a client that died

    await hand.beat(W1)

    assert look.tokens() == (1, 0)
    assert look.stats()["wake_lost"] == 1
    await hand.beat(W1)  # a token is there
    look.raw.delete(hand.at.keys.names["wake"])
    await hand.claim(W1)
    await hand.beat(W1)  # nothing is free
    assert look.stats()["wake_lost"] == 1


async def test_heartbeats_pass_when_redis_is_full(hand: ByHand, look: Look) -> None:
    await hand.register(W1, W2)
    await hand.add("a", new("b", delay_ms=1))

    with full(look.raw):
        for _ in range(5):
            assert (await hand.beat(W1, W2)).gone == frozenset()
            hand.later(BEAT_MS)

    assert look.dump().hashes["turns"][b"w2"] == b"0:%d" % (hand.now_ms - BEAT_MS)


async def _before(hand: ByHand) -> None:
    await hand.register(W1, W2, W3)
    await hand.add(*names(4), new("late", delay_ms=5))
    await hand.claim(W3, 1)
    claims = await hand.claim(W1, 2)
    await hand.settle(claims[:1], End.PARKED)
    await hand.settle(claims[1:])
    await hand.remove("j0")
    await hand.judge(W1, W2)
    hand.later(60_000)


CASE = Case("beat", _before, lambda hand, _: hand.beat(W1, W2, duty="d1"))


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 25


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(CASE))

    assert {"parked", "cancels", "turns", "meta", "minutes"} <= failed


async def test_a_cancelled_job_that_ended_is_flagged_no_more(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    claims = await hand.claim(W1)
    await hand.cancel("a")

    await hand.turn(W1, outcomes=ends(claims, End.FAILED), honoured={JobId("a")})

    assert (await hand.beat(W1)).flagged == {}
