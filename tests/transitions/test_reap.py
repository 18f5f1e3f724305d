"""reap: a dead worker's jobs are given back; those that may not run again are failed or parked."""

import pytest

from streamq.errors import ScriptFault
from streamq.job import Claim, End, Run, WorkerId, pack_run
from streamq.store.replies import Doomed, Verdict
from streamq.store.scripts import Link
from tests.support.by_hand import LEASE_MS, W1, W2, W3, ByHand, names, new
from tests.support.planted import full
from tests.support.torn import Case, TornWire, claim_without_lease
from tests.transitions.conftest import Look, Trial

ALONE = WorkerId("alone")


async def _dies(
    hand: ByHand, *, evidence: bool, alone: bool = False, victim: str = ""
) -> list[Doomed]:
    """A new worker takes what it can and dies; the doomed of its first reap."""
    worker = WorkerId(victim or f"victim{len(hand.turns)}")
    await hand.register(worker, kind="a" if alone else "d")
    assert await hand.claim(worker, alone=alone), "there was nothing to take"
    reaped = await hand.reap(worker, evidence=evidence)
    if reaped.word == "more":
        await hand.bury(worker, evidence=evidence)
    return list(reaped.doomed)


async def test_a_dead_workers_jobs_wait_again_before_all_others(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", "b", new("first", priority=1))
    await hand.claim(W1, 2)

    reaped = await hand.reap(W1)

    assert (reaped.word, reaped.given_back) == ("done", ("first", "a"))
    assert look.waiting() == [("0", "first"), ("0", "a"), ("3", "b")]
    assert look.told()[-1] == ("waiting", ["first", "a"])
    assert look.stats()["stalls"] == 2


async def test_nothing_is_left_of_the_dead_but_its_id(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(*names(3), new("high", priority=1))
    await hand.claim(W1)

    await hand.bury(W1)

    dump = look.dump()
    assert dump.hashes["workers"] == {b"w1": b"-d%d" % hand.now_ms + b"row"}
    assert (dump.hashes["turns"], dump.hashes["leases"]) == ({}, {})
    assert all(W1.encode() not in known for known in dump.in_groups.values())


async def test_a_crash_is_not_an_attempt(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.settle(await hand.claim(W1), End.RETRY, delay_ms=0)
    await hand.claim(W1)

    await hand.bury(W1)

    assert look.dump().hashes["runs"] == {b"a": pack_run(Run(attempts=1))}


async def test_fresh_attempts_stay_fresh_over_a_crash(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.add("a")
    await hand.settle(await hand.claim(W1), End.FAILED)
    await hand.retry("a")
    await hand.claim(W1)

    await hand.bury(W1)

    assert [c.mark for c in await hand.claim(W2)] == ["f"]


async def test_a_new_job_has_run_after_a_crash(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.add("a")
    await hand.claim(W1)
    await hand.bury(W1)

    assert [(c.mark, c.run) for c in await hand.claim(W2)] == [("r", None)]


# ---- who is dead


async def test_it_is_judged_again_by_who_does_it(hand: ByHand, look: Look) -> None:
    await hand.register(W1, W2)
    await hand.add("a")
    assert await hand.judge(W2) == [W1]
    await hand.claim(W1)  # it lives after all

    reaped = await hand.reap(W1, seen=False)

    assert reaped.word == "alive"
    assert look.states() == {"a": "active"}


async def test_exactly_a_lease_of_silence_is_not_longer_than_one(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.judge(W2)
    await hand.turn(W1)
    hand.later(LEASE_MS)
    assert (await hand.reap(W1, seen=False)).word == "alive"

    hand.later(1)

    assert (await hand.reap(W1, seen=False)).word == "done"


async def test_nobody_is_reaped_while_the_clock_settles(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.beat(W1, W2)
    hand.later(LEASE_MS * 10)
    await hand.beat(W2)

    assert (await hand.reap(W1, seen=False)).word == "alive"


async def test_who_was_seen_to_die_is_dead_at_once(hand: ByHand) -> None:
    await hand.register(W1)

    assert (await hand.reap(W1, seen=True)).word == "done"


async def test_who_goes_on_reaping_need_not_have_seen_the_death(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.add(*names(300))
    await hand.claim(W1)
    await hand.claim(W1, 100)
    await hand.judge(W2)
    assert (await hand.reap(W1, seen=False)).word == "more"

    assert (await hand.reap(W1, seen=False)).word == "done"


async def test_reaping_the_dead_or_the_unknown_again_does_nothing(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.bury(W1)
    before = look.dump()

    hand.later(5)
    assert (await hand.reap(W1)).word == "done"
    assert (await hand.reap(WorkerId("never"), seen=False)).word == "done"

    assert look.dump() == before


async def test_two_hundred_are_given_back_in_one_call(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(*names(450))
    for _ in range(3):
        await hand.claim(W1)

    replies = await hand.bury(W1)

    assert [(r.word, len(r.given_back)) for r in replies] == [
        ("more", 200), ("more", 200), ("done", 50),
    ]  # fmt: skip
    assert set(look.states().values()) == {"waiting"}


async def test_a_timer_of_the_dead_is_let_go(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(new("a", delay_ms=50_000))
    await hand.turn(W1, slots=1, waits=True)
    assert look.meta("timer_by") == "w1"

    await hand.bury(W1)

    assert look.meta("timer_by") is None
    assert look.tokens() == (1, 0), "somebody has to take it"


# ---- who may not run again


async def test_the_first_death_with_evidence_gives_back(hand: ByHand, look: Look) -> None:
    await hand.add("a")

    assert await _dies(hand, evidence=True) == []
    assert look.waiting() == [("0", "a")]
    assert look.dump().hashes["stalls"] == {b"a": b"1 0"}


async def test_after_the_second_death_with_evidence_a_job_is_a_suspect(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)  # a daemon's, which can run it alone
    await hand.add("a")
    await _dies(hand, evidence=True)

    await _dies(hand, evidence=True)

    assert look.waiting() == [(";", "a")]


async def test_a_suspect_that_kills_alone_too_is_poison(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await _dies(hand, evidence=True)
    await _dies(hand, evidence=True)

    (doomed,) = await _dies(hand, evidence=True, alone=True)

    assert doomed.why == "poison"
    assert look.states() == {"a": "failed"}
    assert look.dump().hashes["runs"] == {b"a": pack_run(Run(reason="poison"))}
    assert (look.stats()["stalls"], look.stats()["poison"]) == (3, 1)


async def test_a_death_without_evidence_while_alone_leaves_it_a_suspect(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a")
    await _dies(hand, evidence=True)
    await _dies(hand, evidence=True)

    await _dies(hand, evidence=False, alone=True)

    assert look.waiting() == [(";", "a")]
    assert look.dump().hashes["stalls"] == {b"a": b"2 1"}


async def test_without_a_daemon_a_suspect_is_parked(hand: ByHand, look: Look) -> None:
    await hand.register(W3, kind="a")
    await hand.add("a")
    await hand.register(W1, W2, kind="e")
    await hand.claim(W1)
    await hand.bury(W1, evidence=True)
    await hand.claim(W2)

    reaped = await hand.reap(W2, evidence=True)

    assert [d.why for d in reaped.doomed] == ["suspect"]
    await hand.bury(W2, evidence=True)
    assert look.states() == {"a": "parked"}


async def test_a_suspect_that_was_taken_without_a_lease_is_doomed_all_the_same(
    server_url: str, hand: ByHand, look: Look
) -> None:
    """The claim ended early; its worker, and no daemon, died over it."""
    await hand.register(W1, kind="e")
    await hand.add("a")
    await claim_without_lease(server_url, hand, W1)
    look.raw.hset(hand.at.keys.names["stalls"], "a", "1 0")

    await hand.bury(W1, evidence=True)

    assert look.states() == {"a": "parked"}


async def test_ten_deaths_without_evidence_are_enough(hand: ByHand, look: Look) -> None:
    await hand.add("a")
    for _ in range(9):
        assert await _dies(hand, evidence=False) == []

    (doomed,) = await _dies(hand, evidence=False)

    assert doomed.why == "lost"
    assert look.states() == {"a": "failed"}


async def test_deaths_of_both_kinds_are_counted_apart(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await _dies(hand, evidence=True)
    for _ in range(5):
        await _dies(hand, evidence=False)

    assert look.dump().hashes["stalls"] == {b"a": b"1 5"}
    assert look.waiting() == [("0", "a")]


async def test_neighbours_of_a_poison_job_are_not_poison(hand: ByHand, look: Look) -> None:
    """H9: what dies with it stalls with it, and is a suspect with it, but completes alone."""
    await hand.register(W1)
    await hand.add(*names(20))
    await _dies(hand, evidence=True)
    await _dies(hand, evidence=True)
    assert look.waiting() == [(";", j) for j in names(20)]

    alone = ALONE
    await hand.register(alone, kind="a")
    while claims := await hand.claim(alone, 1, alone=True):
        if claims[0].id == "j7":
            await hand.bury(alone, evidence=True)
            alone = WorkerId("alone-again")
            await hand.register(alone, kind="a")
        else:
            await hand.settle(claims)

    states = look.states()
    assert states.pop("j7") == "failed"
    assert set(states.values()) == {"completed"}


async def test_h28_the_share_of_what_was_given_back_leaves_innocents_in_peace(
    hand: ByHand, look: Look
) -> None:
    """Who holds its share of given back jobs takes no more of them: the next death has few."""
    await hand.register(W1)
    await hand.add(*names(100))
    await _dies(hand, evidence=True)
    held: list[Claim] = []
    await hand.register(W2)

    for _ in range(10):
        share = 10 - len(held)
        held += await hand.claim(W2, 100, share=share)

    assert len(held) == 10
    await hand.bury(W2, evidence=True)
    assert [line for line, _ in look.waiting()].count(";") == 10


async def test_a_cancelled_job_does_not_run_again(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.claim(W1)
    await hand.cancel("a")

    (reply, *_) = await hand.bury(W1)

    assert [(d.id, d.why) for d in reply.doomed] == [("a", "cancelled")]
    assert look.states() == {"a": "failed"}
    assert look.dump().hashes["cancels"] == {}
    assert look.told()[-1] == ("failed", ["a"])


async def test_a_removed_job_goes(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.claim(W1)
    await hand.remove("a")

    await hand.bury(W1)

    dump = look.dump()
    assert (dump.jobs, dump.hashes["runs"], dump.hashes["stalls"]) == ({}, {}, {})
    assert look.stats()["removed"] == 1


async def test_a_job_removed_before_its_verdict_goes_whatever_that_says(
    hand: ByHand, look: Look
) -> None:
    await hand.claimed("a")
    await hand.cancel("a")
    (doomed,) = (await hand.reap(W1)).doomed
    assert await hand.remove("a") == ["flagged"]

    await hand.reap(W1, verdicts=[Verdict(doomed, "failed", Run(reason="cancelled"))])

    assert look.dump().jobs == {}
    assert look.told()[-1] == ("removed", ["a"])


async def test_a_verdict_on_a_lease_that_is_not_the_stored_one_does_nothing(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.claim(W1)
    await hand.cancel("a")
    (doomed,) = (await hand.reap(W1)).doomed
    verdict = Verdict(doomed, "failed", Run(reason="cancelled"))
    await hand.reap(W1, verdicts=[verdict])
    await hand.retry("a")
    before = look.dump()

    await hand.reap(W1, verdicts=[verdict])

    assert look.dump() == before
    assert look.states() == {"a": "waiting"}


async def test_a_full_redis_lets_the_dead_be_reaped(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", "b")
    await hand.claim(W1)
    await hand.cancel("b")

    with full(look.raw):
        await hand.bury(W1)

    assert look.states() == {"a": "waiting", "b": "failed"}


async def test_what_a_torn_step_had_completed_does_not_come_back_with_its_dead_worker(
    server_url: str, hand: ByHand, look: Look
) -> None:
    """The step wrote `completed`, and ended before it acknowledged the entry."""
    look.counters_hold = False
    await hand.register(W1)
    await hand.add("a")
    claims = await hand.claim(W1)
    wire = TornWire(server_url, "step")
    whole = hand.at
    for wire.fail_at in range(1, 30):
        hand.at = Link(wire, whole.keys)
        with pytest.raises(ScriptFault):
            await hand.settle(claims)
        if look.dump().zsets["completed"]:
            break
    hand.at = whole
    await wire.close()
    assert look.states() == {"a": "active+completed"}

    reaped = await hand.reap(W1)

    assert reaped.given_back == ()
    assert look.states() == {"a": "completed"}


async def _before(hand: ByHand) -> list[Verdict]:
    await hand.register(W1, W2, W3)
    await hand.add(*names(9), new("high", priority=1), new("late", delay_ms=99))
    back = await hand.claim(W1, 3)
    await hand.settle(back[:1], End.RELEASED)
    await hand.claim(W1, 2)
    for job in ("j0", "j1", "j2"):
        await hand.cancel(job)
    await hand.remove("j1")
    await hand.turn(W1, slots=1, waits=True, outcomes=[])
    first = await hand.reap(W1)
    states = {"j0": "failed", "j1": "removed", "j2": "parked"}
    verdicts = [Verdict(d, states[d.id], Run(reason=d.why)) for d in first.doomed if d.id in states]
    assert len(verdicts) >= 2, first
    return verdicts


VERDICTS = Case(
    "reap", _before, lambda hand, verdicts: hand.reap(W1, verdicts=verdicts), upkeep_heals=True
)


async def _doomed(hand: ByHand) -> list[Verdict]:
    await hand.claimed("j0", "j1", "j2")
    await hand.cancel("j0")
    await hand.remove("j1")
    await hand.cancel("j2")
    states = {"j0": "failed", "j1": "removed", "j2": "parked"}
    doomed = (await hand.reap(W1)).doomed
    return [Verdict(d, states[d.id], Run(reason=d.why)) for d in doomed]


ONLY_VERDICTS = Case(
    "reap",
    _doomed,
    lambda hand, verdicts: hand.reap(W1, verdicts=verdicts),
    leases_last=True,
    upkeep_heals=True,
)


async def _first(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.add(*names(4), new("high", priority=1), new("late", delay_ms=99))
    await hand.claim(W1, 4)
    await hand.cancel("j0")
    await hand.turn(W1, slots=1, waits=True)


FIRST = Case("reap", _first, lambda hand, _: hand.reap(W1), upkeep_heals=True)


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(FIRST)).calls >= 40


@pytest.mark.parametrize("case", [VERDICTS, ONLY_VERDICTS])
async def test_whichever_call_of_its_verdicts_fails_all_is_put_right(
    trial: Trial, case: Case
) -> None:
    assert (await trial.tear(case)).calls >= 30


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(VERDICTS))

    assert {"jobs", "runs", "leases", "failed", "parked", "workers", "turns", "meta"} <= failed
