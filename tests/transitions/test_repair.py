"""repair: put right what a script left that ended early, or what a foreign hand broke."""

from collections.abc import Awaitable, Callable

import pytest
import redis

from streamq.job import Claim, End, JobId, Run
from streamq.store import transitions
from streamq.store.keys import Keys
from streamq.store.mending import Mended, repair_queue
from streamq.store.replies import Note
from tests.support import invariants
from tests.support.by_hand import W1, W2, ByHand, ends, names, new
from tests.support.planted import full
from tests.support.torn import Case, upkeep, work_off
from tests.transitions.conftest import Look, Trial


async def _mend(hand: ByHand, look: Look) -> Mended:
    """One walk; and then all is in order, and another finds nothing to do."""
    look.counters_hold = False
    assert invariants.violations(look.dump(), counters=False), "nothing was broken"
    mended = await repair_queue(hand.at)
    wrong = invariants.violations(look.dump(), counters=False)
    assert not wrong, "\n".join(wrong)
    assert (await repair_queue(hand.at)).total == 0
    return mended


async def _in_use(hand: ByHand) -> list[Claim]:
    """A queue with something everywhere; the claims that worker w1 holds."""
    await hand.register(W1, W2)
    await hand.add(*names(8), new("high", priority=1), new("due", delay_ms=99))
    claims = await hand.claim(W1, 6)
    for claim, end in zip(claims, End, strict=False):
        await hand.turn(W1, outcomes=ends([claim], end, delay_ms=50, log="said\n"))
    await hand.add("removed", new("moved", priority=9))
    await hand.remove("removed")
    return claims[len(End) :]


async def test_a_queue_in_order_is_left_as_it_is(hand: ByHand, look: Look) -> None:
    await _in_use(hand)
    before = look.states()

    mended = await repair_queue(hand.at)

    assert set(mended.by_key) <= {"lines"}, "dead entries may be dropped at any time"
    assert look.states() == before
    assert look.meta("dead") == "0"


async def test_a_retry_that_waits_for_its_time_goes_on_waiting(hand: ByHand, look: Look) -> None:
    """It has a run, and log lines: that is not two states."""
    await hand.register(W1)
    await hand.add("a")
    await hand.settle(await hand.claim(W1), End.RETRY, delay_ms=5_000, log="said\n")

    assert (await repair_queue(hand.at)).total == 0

    assert look.states() == {"a": "delayed"}


async def test_an_empty_queue_needs_no_repair(hand: ByHand, look: Look) -> None:
    assert (await repair_queue(hand.at)).by_key == {"groups": ["0", ";"]}
    assert look.states() == {}


# ---- what a foreign hand may break, and what becomes of it

Breaking = Callable[[redis.Redis, Keys], object]


async def _broken(hand: ByHand, look: Look, breaking: Breaking) -> dict[str, str]:
    """Breaks the queue of `_in_use` and mends it; the states from before."""
    await _in_use(hand)
    before = look.states()
    breaking(look.raw, hand.at.keys)
    await _mend(hand, look)
    return before


async def test_a_line_that_was_deleted_loses_no_job(hand: ByHand, look: Look) -> None:
    before = await _broken(hand, look, lambda raw, keys: raw.delete(keys.lines["3"]))

    assert look.states().keys() == before.keys()
    assert all(
        state == before[job] or (state == "waiting" and before[job] == "active")
        for job, state in look.states().items()
    )


async def test_a_group_that_was_destroyed_loses_no_job(hand: ByHand, look: Look) -> None:
    before = await _broken(
        hand, look, lambda raw, keys: raw.xgroup_destroy(keys.lines["3"], "workers")
    )

    assert look.states().keys() == before.keys()
    assert await work_off(await _nursed(hand))


async def test_all_lines_deleted_lose_no_job(hand: ByHand, look: Look) -> None:
    before = await _broken(hand, look, lambda raw, keys: raw.delete(*keys.lines.values()))

    assert look.states().keys() == before.keys()


async def test_a_lost_meta_loses_no_job(hand: ByHand, look: Look) -> None:
    before = await _broken(hand, look, lambda raw, keys: raw.delete(keys.names["meta"]))

    assert look.states() == before
    assert set(look.meta("lines") or "") >= set("139")


async def test_lost_records_lose_their_traces(hand: ByHand, look: Look) -> None:
    await _broken(hand, look, lambda raw, keys: raw.delete(keys.names["jobs"]))

    dump = look.dump()
    assert look.states() == {}
    assert [dump.hashes[few] for few in invariants.FEW] == [{}] * 4


async def test_lost_leases_are_given_back(hand: ByHand, look: Look) -> None:
    before = await _broken(hand, look, lambda raw, keys: raw.delete(keys.names["leases"]))

    assert "active" in before.values()
    assert look.states() == {
        job: "waiting" if state == "active" else state for job, state in before.items()
    }


async def test_jobs_of_lost_indexes_wait_again(hand: ByHand, look: Look) -> None:
    before = await _broken(
        hand, look, lambda raw, keys: raw.delete(keys.names["delayed"], keys.names["failed"])
    )

    states = look.states()
    assert states.keys() == before.keys()
    assert {states[job] for job, s in before.items() if s in ("delayed", "failed")} == {"waiting"}


async def test_leases_of_workers_that_nobody_knows_are_given_back(hand: ByHand, look: Look) -> None:
    before = await _broken(
        hand, look, lambda raw, keys: raw.delete(keys.names["turns"], keys.names["workers"])
    )

    assert look.states().keys() == before.keys()
    assert "active" not in look.states().values()


async def test_a_live_row_without_a_turn_is_to_be_reaped(hand: ByHand, look: Look) -> None:
    await hand.register(W1, W2)
    look.raw.hdel(hand.at.keys.names["turns"], W1)

    await repair_queue(hand.at)

    assert await hand.judge(W2) == [W1]
    await hand.bury(W1)


@pytest.mark.parametrize("drift", [-3, 7])
async def test_a_drifted_count_of_dead_entries_is_put_right(
    hand: ByHand, look: Look, drift: int
) -> None:
    await hand.add("a", "b")
    await hand.remove("a")
    look.raw.hincrby(hand.at.keys.names["meta"], "dead", drift)

    await _mend(hand, look)

    assert look.meta("dead") == "0"


async def test_stray_traces_go(hand: ByHand, look: Look) -> None:
    await hand.add("a")
    k = hand.at.keys.names
    for few in invariants.FEW:
        look.raw.hset(k[few], "stray", "x")
    for state in invariants.ENDED:
        look.raw.zadd(k[state], {"stray-too": 1})
    look.raw.zadd(k["delayed"], {b"3n\0\0\0\0\0\1another": 5, b"3n\0\0\0\0\0\7a": 5})
    look.raw.hset(k["leases"], "third", "1-1|3|5|w1")
    look.raw.hset(k["leases"], "fourth", "nonsense")

    await _mend(hand, look)

    assert look.states() == {"a": "waiting"}


async def test_of_two_states_the_end_stays(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(*names(6), new("late", delay_ms=5))
    await hand.claim(W1, 3)
    k = hand.at.keys.names
    for job, states in {
        "j0": ["completed"], "j1": ["failed"], "j3": ["completed", "failed"],
        "j4": ["parked", "failed"], "late": ["parked"],
    }.items():  # fmt: skip
        for state in states:
            look.raw.zadd(k[state], {job: 1})

    await _mend(hand, look)

    assert look.states() == {
        "j0": "completed", "j1": "failed", "j2": "active", "j3": "completed", "j4": "failed",
        "j5": "waiting", "late": "parked",
    }  # fmt: skip


async def test_a_lease_of_a_job_that_waits_goes_and_the_job_stays_in_its_line(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a", new("b", priority=9))
    leases = hand.at.keys.names["leases"]
    look.raw.hset(leases, mapping={"a": "nonsense", "b": "1-1|9|5|w1"})

    await _mend(hand, look)

    assert look.waiting() == [("3", "a"), ("9", "b")]
    assert look.meta("dead") in (None, "0")


async def test_what_is_put_right_is_counted_and_what_waits_is_told(
    hand: ByHand, look: Look
) -> None:
    await hand.claimed("a", "b")
    look.raw.delete(hand.at.keys.names["leases"])

    await _mend(hand, look)

    assert look.told()[-1] == ("waiting", ["a", "b"])
    assert look.stats()["repaired"] >= 2


async def test_h20_of_two_live_entries_that_were_both_given_out_one_stays(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1, W2)
    await hand.add("a")
    (claim,) = await hand.claim(W1)
    look.raw.xadd(hand.at.keys.lines["3"], {"j": b"n" + claim.ticket + b"a"})

    await _mend(hand, look)

    assert look.states() == {"a": "active"}
    await hand.settle([claim])


async def test_fresh_attempts_stay_fresh_when_a_job_is_given_back(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.settle(await hand.claim(W1), End.FAILED)
    await hand.retry("a")
    await hand.claim(W1)
    look.raw.delete(hand.at.keys.names["leases"])

    await _mend(hand, look)

    assert [c.mark for c in await hand.claim(W1)] == ["f"]


async def test_a_lease_that_was_settled_meanwhile_is_left_alone(hand: ByHand, look: Look) -> None:
    """The walk read it before, and the page of `repair` comes after."""
    await hand.register(W1)
    await hand.add("a")
    (claim,) = await hand.claim(W1)
    await hand.settle([claim], End.RETRY, delay_ms=0)
    await hand.claim(W1)

    mended = await transitions.repair(hand.at, "leases", [claim.id, claim.lease], width=2)

    assert mended.ids == []
    assert look.states() == {"a": "active"}


async def test_jobs_that_come_during_the_walk_are_not_taken_for_lost(
    hand: ByHand, look: Look
) -> None:
    """Lost is who stands nowhere at a moment after the lines were walked, and again."""
    await hand.add("a")

    lost = await transitions.repair(hand.at, "lost", ["a"])

    assert lost.ids == ["a"], "as far as a script can see, which searches no line"
    assert look.waiting() == [("3", "a")], "and so nothing is done about it yet"


async def test_two_hundred_items_are_one_call(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(*names(200))
    claims = await hand.claim(W1)
    look.raw.delete(hand.at.keys.lines["3"])
    items = [value for c in claims for value in (c.id, c.lease)]

    mended = await transitions.repair(hand.at, "leases", items, width=2)

    assert sorted(mended.ids) == sorted(names(200))
    assert look.waiting() == [("0", job) for job in names(200)]


async def test_a_queue_of_several_pages_is_walked_whole(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    for first in range(0, 900, 300):
        await hand.add(*names(900)[first : first + 300])
    await hand.remove(*names(900)[:150])
    k = hand.at.keys.names
    look.raw.delete(k["meta"])
    for job in names(900)[400:800]:
        look.raw.hdel(k["jobs"], job)

    await _mend(hand, look)

    assert set(look.states()) == {*names(900)[150:400], *names(900)[800:]}


async def test_a_full_redis_lets_it_pass(hand: ByHand, look: Look) -> None:
    await _in_use(hand)
    look.raw.delete(hand.at.keys.names["leases"])
    look.raw.delete(hand.at.keys.lines["3"])

    look.counters_hold = False

    with full(look.raw):
        mended = await repair_queue(hand.at)

    assert mended.total > 0
    assert (await repair_queue(hand.at)).total == 0


async def test_what_a_job_says_after_the_repair_of_its_lease_is_refused(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a")
    (claim,) = await hand.claim(W1)
    look.raw.delete(hand.at.keys.names["leases"])
    await _mend(hand, look)

    reply = await transitions.step(
        hand.at, W1, hand.turns[W1] + 1, slots=0, notes=[Note(claim, Run(), "late\n")],
        now_ms=hand.now_ms,
    )  # fmt: skip

    assert getattr(reply, "refused", None) == {JobId("a")}


# ---- repair itself may end early


async def _nursed(hand: ByHand) -> ByHand:
    await upkeep(hand)
    return hand


def _page(what: str, *, line: str = "", width: int = 1) -> Callable[..., Awaitable[object]]:
    async def call(hand: ByHand, items: dict[str, list[bytes]]) -> object:
        return await transitions.repair(
            hand.at, what, items[what], line=line, width=width, now_ms=hand.now_ms
        )

    return call


async def _items(hand: ByHand) -> dict[str, list[bytes]]:
    """A torn-looking page for each kind, of a queue in order: nothing may come of it but what a
    repeated or finished walk gives."""
    await hand.register(W1, W2)
    await hand.add(*names(4), new("late", delay_ms=9), new("high", priority=1))
    await hand.claim(W1, 2)
    await hand.remove("j2")
    await hand.bury(W1)
    await hand.claim(W2, 1)
    at = hand.at
    entries = await at.wire.call("look", ("XRANGE", at.keys.lines["3"], "-", "+"))
    leases = await at.wire.call("look", ("HGETALL", at.keys.names["leases"]))
    members = await at.wire.call("look", ("ZRANGE", at.keys.names["delayed"], 0, -1))
    return {
        "groups": [],
        "line": [value for entry, fields in entries for value in (entry, fields[1])],
        "leases": leases,
        "delayed": members,
        "runs": [b"j0", b"nobody"],
    }


@pytest.mark.parametrize(
    "call",
    [
        _page("groups"), _page("line", line="3", width=2), _page("leases", width=2),
        _page("delayed"), _page("runs"),
    ],
)  # fmt: skip
async def test_whichever_call_of_it_fails_all_is_put_right(
    trial: Trial, call: Callable[..., Awaitable[object]]
) -> None:
    assert (await trial.tear(Case("repair", _items, call))).calls >= 6


async def test_whichever_call_fails_while_jobs_are_given_back_all_is_put_right(
    trial: Trial,
) -> None:
    async def lost(hand: ByHand) -> list[bytes]:
        await hand.register(W1)
        await hand.add("a", "b")
        return [b"a", b"b"]

    async def give_back(hand: ByHand, items: list[bytes]) -> object:
        return await repair_queue(hand.at)

    assert (await trial.tear(Case("repair", lost, give_back))).calls >= 10


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(Case("repair", _items, _page("line", line="3", width=2))))

    assert {"jobs", "leases", "wait 3"} <= failed
