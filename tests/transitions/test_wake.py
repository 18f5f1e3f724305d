"""Waiting without polling: the tokens, the timer, and when each script tells a worker to look.

Not a script but the fragment that ends them all. A token only says "look"; no client pushes one.
"""

from collections.abc import Awaitable, Callable

import pytest

from streamq.job import End, JobState, WorkerId, pack
from streamq.store import transitions
from tests.support.by_hand import LEASE_MS, W1, W2, W3, ByHand, ends, new
from tests.transitions.conftest import Look

MINUTE_MS = 60_000
LATER_MS = 3_000  # what all but the holder of the timer are told after its target


def _take_tokens(hand: ByHand, look: Look) -> tuple[int, int]:
    """As idle workers do, in their pops; what there was."""
    found = look.tokens()
    look.raw.delete(hand.at.keys.names["wake"], hand.at.keys.names["wake0"])
    return found


async def _idle(hand: ByHand, worker: WorkerId = W1, *, shy: bool = False) -> int:
    """A step of a worker with a free slot, which waits; when it is to look again."""
    turn = await hand.turn(worker, slots=1, waits=True, shy=shy)
    assert turn.claims == []
    return turn.look_again_ms


# ---- tokens


async def test_a_job_that_waits_makes_one_token_and_never_two(hand: ByHand, look: Look) -> None:
    await hand.add("a")
    await hand.add("b", new("c", priority=1))

    assert look.tokens() == (1, 0)


async def test_a_delayed_job_that_nobody_watches_makes_one(hand: ByHand, look: Look) -> None:
    await hand.add(new("a", delay_ms=500))

    assert look.tokens() == (1, 0)


async def test_another_group_of_a_line_is_not_taken_for_ours(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    look.raw.xgroup_create(hand.at.keys.lines["3"], "another", "$")
    _take_tokens(hand, look)

    await hand.beat(W1)

    assert look.tokens() == (1, 0)
    assert await hand.drain() == (1, False)


async def test_who_took_a_token_passes_it_on_while_there_is_work(hand: ByHand, look: Look) -> None:
    await hand.register(W1, W2)
    await hand.add("a", "b")
    _take_tokens(hand, look)

    await hand.claim(W1, 1)
    assert _take_tokens(hand, look) == (1, 0), "for the other, which sleeps"
    await hand.claim(W2, 1)
    assert _take_tokens(hand, look) == (0, 0)


async def test_an_empty_step_pushes_none(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.limit(0, max_active="1")
    await hand.add("a", "b")
    await hand.claim(W1)
    _take_tokens(hand, look)

    await _idle(hand)

    assert look.tokens() == (0, 0)


async def test_a_settle_that_makes_room_under_max_active_wakes_somebody(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.limit(0, max_active="1")
    await hand.add("a", "b")
    claims = await hand.claim(W1)
    _take_tokens(hand, look)

    await hand.settle(claims)

    assert look.tokens() == (1, 0)


@pytest.mark.parametrize("limit", ["paused", "max_active", "rate"])
async def test_no_token_while_nothing_may_be_claimed(hand: ByHand, look: Look, limit: str) -> None:
    await hand.register(W1)
    await hand.add("first")
    await hand.claim(W1)
    if limit == "paused":
        await hand.limit(0, paused=True)
    elif limit == "max_active":
        await hand.limit(0, max_active="1")
    else:
        await hand.limit(0, rate="1/1000")
        await hand.add("second")
        await hand.claim(W1)
        await _idle(hand)
    _take_tokens(hand, look)

    await hand.add("a")
    await hand.turn(W1)

    # A closed rate opens by itself, and who holds the timer was told when.
    assert look.tokens() == ((1, 0) if limit == "rate" and not look.meta("timer_at") else (0, 0))


async def test_a_released_job_makes_a_token_of_its_own_list(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    claims = await hand.claim(W1)
    _take_tokens(hand, look)

    await hand.settle(claims, End.RELEASED)

    assert look.tokens() == (0, 1)


async def test_h21_a_token_that_nobody_can_use_does_not_spin(hand: ByHand, look: Look) -> None:
    """A worker at its share of given back jobs looks once, and pushes no token for the next."""
    await hand.register(W1, W2)
    await hand.add("a", "b")
    claims = await hand.claim(W1)
    _take_tokens(hand, look)
    await hand.settle(claims, End.RELEASED)
    assert _take_tokens(hand, look) == (0, 1)

    turn = await hand.turn(W2, slots=5, share=0, waits=True)

    assert turn.claims == []
    assert look.tokens() == (0, 0)


async def test_who_left_jobs_for_its_share_only_passes_the_token_on(
    hand: ByHand, look: Look
) -> None:
    """It has free slots and waits, but the line of given back jobs has not run dry."""
    await hand.register(W1, W2)
    await hand.add("a", "b")
    await hand.settle(await hand.claim(W1), End.RELEASED)
    _take_tokens(hand, look)

    turn = await hand.turn(W2, slots=5, share=1, waits=True)

    assert [claim.id for claim in turn.claims] == ["a"]
    assert look.tokens() == (0, 1)


async def test_who_takes_suspects_alone_leaves_the_token_of_the_others(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1, W2)
    await hand.make_suspects("a")
    await hand.add("b")
    _take_tokens(hand, look)

    turn = await hand.turn(W2, slots=5, alone=True, waits=True)

    assert [claim.id for claim in turn.claims] == ["a"]
    assert look.tokens() == (1, 0)


async def test_a_due_job_wakes_another_while_the_timers_holder_is_late(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1, W2)
    await hand.add(new("a", delay_ms=1_000))
    assert await _idle(hand, W1) == 1_000
    _take_tokens(hand, look)
    hand.later(1_000)

    await hand.beat(W2)

    assert look.tokens() == (1, 0)


async def test_h21_suspects_wake_nobody(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.make_suspects("a")
    _take_tokens(hand, look)

    await hand.beat(W1, duty="d")

    assert look.tokens() == (0, 0)


async def _clean(hand: ByHand) -> object:
    return await transitions.clean(hand.at, JobState.COMPLETED, older_than_ms=0, now_ms=hand.now_ms)


async def _change(hand: ByHand) -> object:
    job = new("other")
    return await transitions.change(
        hand.at, job.id, before=pack(job), after=job, due_ms=hand.now_ms + 9_000,
        now_ms=hand.now_ms,
    )  # fmt: skip


SCRIPTS: dict[str, Callable[[ByHand], Awaitable[object]]] = {
    "register": lambda hand: hand.register(W2),
    "add": lambda hand: hand.add("waits"),
    "step": lambda hand: hand.turn(W1),
    "resync": lambda hand: hand.resync(W1),
    "beat": lambda hand: hand.beat(W1),
    "reap": lambda hand: hand.reap(W3),
    "retry": lambda hand: hand.retry("waits"),
    "unpark": lambda hand: hand.unpark("waits"),
    "promote": lambda hand: hand.promote("waits"),
    "cancel": lambda hand: hand.cancel("other"),
    "change": _change,
    "remove": lambda hand: hand.remove("other"),
    "clean": _clean,
    "drain": lambda hand: hand.drain(limit=0),
    "limit": lambda hand: hand.limit(0, max_active="9"),
    "repair": lambda hand: transitions.repair(hand.at, "groups", now_ms=hand.now_ms),
}


@pytest.mark.parametrize("name", SCRIPTS)
async def test_whatever_it_does_every_script_ends_by_waking_somebody(
    hand: ByHand, look: Look, name: str
) -> None:
    """So a token that a client swallowed is pushed anew by whatever comes next."""
    await hand.register(W1, W3)
    await hand.add("back")
    await hand.settle(await hand.claim(W1), End.RELEASED)
    await hand.add("waits", "other")
    _take_tokens(hand, look)

    await SCRIPTS[name](hand)

    assert look.tokens() == (1, 1)


# ---- the timer


async def test_the_holder_of_the_timer_is_told_the_target_exactly(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(new("a", delay_ms=500))

    assert await _idle(hand) == 500

    assert (look.meta("timer_by"), look.meta("timer_at")) == ("w1", str(hand.now_ms + 500))


async def test_all_others_are_told_a_little_later(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.add(new("a", delay_ms=500))
    await _idle(hand, W1)

    assert await _idle(hand, W2) == 500 + LATER_MS
    assert await _idle(hand, W1) == 500


async def test_h26_a_job_that_is_earlier_than_all_others_wakes_somebody(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1, W2)
    await hand.add(new("late", delay_ms=50_000))
    await _idle(hand, W1)
    await _idle(hand, W2)
    _take_tokens(hand, look)

    await hand.add(new("early", delay_ms=100))

    assert _take_tokens(hand, look) == (1, 0)
    assert await _idle(hand, W2) == 100, "whoever took the token takes the timer"
    assert look.meta("timer_by") == "w2"
    assert await _idle(hand, W1) == 100 + LATER_MS


async def test_a_job_that_is_later_wakes_nobody(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(new("early", delay_ms=100))
    await _idle(hand)
    _take_tokens(hand, look)

    await hand.add(new("late", delay_ms=200))

    assert look.tokens() == (0, 0)


async def test_a_timer_whose_holder_came_not_is_taken_a_second_later(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1, W2)
    await hand.limit(0, max_active="1")
    await hand.add("running")
    await hand.claim(W1)
    await hand.add(new("a", delay_ms=100))
    await _idle(hand, W1)
    _take_tokens(hand, look)
    hand.later(100 + 1_000)
    await _idle(hand, W2)
    assert look.meta("timer_by") == "w1"

    hand.later(1)
    await hand.add(new("b", delay_ms=MINUTE_MS))

    assert look.tokens() == (1, 0) or look.meta("timer_by") == "w2"


async def test_who_does_not_wait_gives_the_timer_up_and_somebody_is_woken(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add(new("a", delay_ms=500))
    await _idle(hand)
    _take_tokens(hand, look)

    await hand.turn(W1, slots=0)  # it stops

    assert look.meta("timer_by") is None
    assert look.tokens() == (1, 0)


async def test_who_was_filled_gives_the_timer_up(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(new("late", delay_ms=500))
    await _idle(hand)
    await hand.add("a")

    assert len((await hand.turn(W1, slots=1, waits=True)).claims) == 1

    assert look.meta("timer_by") is None


async def test_without_a_target_a_timer_is_given_up(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(new("a", delay_ms=500))
    await _idle(hand)
    await hand.remove("a")

    assert await _idle(hand) == MINUTE_MS
    assert look.meta("timer_by") is None


async def test_told_times_are_one_ms_to_a_minute(hand: ByHand) -> None:
    await hand.register(W1, W2)
    await hand.add(new("a", delay_ms=1))
    assert await _idle(hand) == 1
    await hand.drain()
    await hand.add(new("a", delay_ms=3_600_000))

    assert await _idle(hand) == MINUTE_MS
    assert await _idle(hand, W2) == MINUTE_MS


async def test_a_paused_queue_tells_no_time_to_look_again(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", new("b", delay_ms=500))
    await hand.limit(0, paused=True)

    assert await _idle(hand) == MINUTE_MS
    assert look.meta("timer_by") is None


async def test_a_closed_rate_is_a_target_only_if_something_waits(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.limit(0, rate="1/5000")
    await hand.add("a")
    await hand.claim(W1)
    assert await _idle(hand) == MINUTE_MS

    await hand.add("b")
    assert await _idle(hand) == 5_000
    await hand.drain()
    await hand.add(new("c", delay_ms=4_000))
    assert await _idle(hand) == 5_000
    await hand.drain()
    await hand.add(new("c", delay_ms=6_000))
    assert await _idle(hand) == 6_000


async def test_a_timer_is_written_back_when_the_clock_goes_back(hand: ByHand, look: Look) -> None:
    await hand.register(W1, W2)
    await hand.add(new("a", delay_ms=500))
    await _idle(hand)
    hand.later(-MINUTE_MS * 60)
    await hand.drain()
    await hand.add(new("b", delay_ms=400))

    assert await _idle(hand, W2) == 400
    assert look.meta("timer_by") == "w2"


# ---- shy workers


async def test_h27_a_shy_worker_leaves_the_timer_to_others(hand: ByHand, look: Look) -> None:
    """Else it takes the job whose name it does not know again at each due time, for ever."""
    await hand.register(W1, W2)
    await hand.add("unknown")
    (claim,) = await hand.claim(W1)
    delayed = ends([claim], End.RETRY, delay_ms=1_000, run=None)
    turn = await hand.turn(W1, slots=1, outcomes=delayed, waits=True, shy=True)

    assert turn.look_again_ms == 1_000 + LATER_MS
    assert look.meta("timer_by") is None
    assert _take_tokens(hand, look) == (1, 0), "for somebody who knows it"
    assert await _idle(hand, W2) == 1_000
    assert look.meta("timer_by") == "w2"


async def test_h27_an_empty_step_of_a_shy_worker_pushes_no_token(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(new("a", delay_ms=1_000))
    _take_tokens(hand, look)

    await _idle(hand, shy=True)
    assert look.tokens() == (0, 0)
    hand.later(10)
    await _idle(hand)
    assert look.meta("timer_by") == "w1", "and later it takes the timer as any other"


@pytest.mark.parametrize("waits", [True, False])
async def test_who_takes_no_timer_wakes_somebody_who_does(
    hand: ByHand, look: Look, waits: bool
) -> None:
    """Shy or ending, it claimed all there was: a delayed job still needs somebody who looks."""
    await hand.register(W1)
    await hand.add("a", new("b", delay_ms=1_000))
    _take_tokens(hand, look)

    turn = await hand.turn(W1, slots=5, waits=waits, shy=waits)

    assert [claim.id for claim in turn.claims] == ["a"]
    assert look.tokens() == (1, 0)


async def test_a_shy_worker_gives_its_timer_up(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add(new("a", delay_ms=1_000))
    await _idle(hand)

    await _idle(hand, shy=True)

    assert look.meta("timer_by") is None


# ---- all of it together


async def test_a_due_job_is_claimed_on_time_by_who_holds_the_timer(hand: ByHand) -> None:
    await hand.register(W1, W2, W3)
    await hand.add(*[new(f"j{i}", delay_ms=100 * (i + 1)) for i in range(5)])
    late: list[int] = []
    for _ in range(5):
        told = [(await hand.turn(w, slots=1, waits=True)).look_again_ms for w in (W1, W2, W3)]
        hand.later(min(told))
        turn = await hand.turn((W1, W2, W3)[told.index(min(told))], slots=1, waits=True)
        late += [hand.now_ms for _ in turn.claims]
        await hand.turn(turn.claims[0].worker, outcomes=ends(turn.claims))

    assert [ms - late[0] for ms in late] == [0, 100, 200, 300, 400]


async def test_a_dead_holder_of_the_timer_costs_no_job(hand: ByHand, look: Look) -> None:
    await hand.register(W1, W2)
    await hand.add(new("a", delay_ms=LEASE_MS * 9))
    await _idle(hand, W1)
    _take_tokens(hand, look)

    await hand.bury(W1)

    assert look.tokens() == (1, 0)
    assert await _idle(hand, W2) == MINUTE_MS
    assert look.meta("timer_by") == "w2"
