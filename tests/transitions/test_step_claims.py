"""step, as it gives jobs out: order, limits, bounds, and what is dead."""

import msgspec

from streamq.job import End, Run
from tests.support.by_hand import W1, W2, W3, ByHand, ends, names, new
from tests.transitions.conftest import Look


async def test_priorities_are_taken_in_their_order_and_what_was_given_back_first(
    hand: ByHand,
) -> None:
    back = await hand.claimed("back")
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
    (claim,) = await hand.claimed("a")

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


async def test_h3_fences_do_not_repeat_after_a_failover_that_lost_the_last_writes(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a", "b")
    before = look.meta("fence")
    assert before is None
    (lost,) = await hand.claim(W1, 1)
    look.raw.hdel(hand.at.keys.names["meta"], "fence")  # as the replica that was promoted has it
    hand.later(1)

    (again,) = await hand.claim(W1, 1)

    assert again.fence > lost.fence


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
    claims = await hand.claimed("a")
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
    back = await hand.claimed(*names(10))
    await hand.settle(back, End.RELEASED)
    await hand.add(*names(10, "k"))

    claims = await hand.claim(W2, 5, share=1)

    assert [c.id for c in claims] == ["j0", *names(4, "k")]
    assert [c.id for c in await hand.claim(W2, 5, share=0)] == names(10, "k")[4:9]


async def test_suspects_are_for_the_one_who_runs_alone(hand: ByHand) -> None:
    await hand.make_suspects("a")
    await hand.add("b")

    assert [c.id for c in await hand.claim(W3)] == ["b"]
    assert [c.id for c in await hand.claim(W3, alone=True)] == ["a"]


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


async def test_runs_count_as_records_do(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(*names(6))
    await hand.settle(await hand.claim(W1), End.RELEASED, run=Run(reason="x" * (1 << 18)))

    claims = await hand.claim(W1)

    assert [c.record is None for c in claims] == [False] * 3 + [True] * 3
    assert [bool(c.run) for c in claims] == [True] * 3 + [False] * 3
    found = await hand.resync(W1)
    assert [bool(c.record and c.run) for c in found.claims] == [True] * 3 + [False] * 3


async def test_due_jobs_are_told_as_waiting_before_they_run(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(new("a", delay_ms=5), new("b", delay_ms=5))
    hand.later(5)

    await hand.claim(W1, 1)

    assert look.told()[1:] == [("waiting", ["a", "b"]), ("active", ["a"])]


async def test_a_job_flagged_before_it_was_claimed_says_so(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", "b")
    look.raw.hset(hand.at.keys.names["cancels"], "b", "c")

    turn = await hand.turn(W1, slots=5)

    assert turn.flagged == {"b": "c"}
