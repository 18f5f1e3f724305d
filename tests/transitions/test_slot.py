"""slot: slots are won and their jobs added, once each, whoever comes first."""

import pytest

from streamq.errors import StoreFull
from streamq.job import JobId, NewJob, WorkerId
from streamq.store import reads, transitions
from streamq.store.keys import LAYOUT
from streamq.store.replies import ScheduleState, SlotReply
from tests.support.by_hand import BEGIN_MS, W1, ByHand, new
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial
from tests.transitions.test_declare import declare
from tests.transitions.test_hold import hold

STEP_MS = 60_000
Due = tuple[int, NewJob, str]


def due(first: int, last: int, **options: int) -> list[Due]:
    """The slots first..last of schedule n, one a minute."""
    moments = [BEGIN_MS + i * STEP_MS for i in range(first, last + 1)]
    return [(ms, new(f"sched:n:{ms}", **options), "welcome") for ms in moments]


async def slot(
    hand: ByHand,
    slots: list[Due],
    overlap: str = "allow",
    *,
    after_ms: int | None = None,
    until_ms: int | None = None,
    missed: int = 0,
) -> SlotReply:
    """Fires them as one does who knows where the schedule is; not before the last of them."""
    if after_ms is None:
        found = await reads.schedule(hand.at, "n")
        after_ms = found.last_slot_ms if found else BEGIN_MS
    until_ms = until_ms or slots[-1][0]
    hand.now_ms = max(hand.now_ms, until_ms)
    return await transitions.slot(
        hand.at,
        "n",
        slots,
        after_ms=after_ms,
        until_ms=until_ms,
        overlap=overlap,
        missed=missed,
        now_ms=hand.now_ms,
    )


@pytest.fixture
async def scheduled(hand: ByHand) -> ByHand:
    """Schedule n is declared, and its first slot is due."""
    await declare(hand, n=b"row")
    hand.later(STEP_MS)
    return hand


async def test_a_slot_adds_its_job(scheduled: ByHand, look: Look) -> None:
    reply = await slot(scheduled, due(1, 1))

    assert (reply.word, list(reply.fired)) == ("fired", [0])
    assert look.states() == {f"sched:n:{BEGIN_MS + STEP_MS}": "waiting"}
    assert look.stats()["added"] == look.stats()["added:welcome"] == 1


async def test_who_comes_second_adds_nothing_and_hears_where_it_is(
    scheduled: ByHand, look: Look
) -> None:
    first = await slot(scheduled, due(1, 1), after_ms=BEGIN_MS)
    before = look.dump()

    second = await slot(scheduled, due(1, 1), after_ms=BEGIN_MS)

    assert (second.word, second.state) == ("behind", first.state)
    assert look.dump() == before


async def test_who_applied_the_misfire_policy_to_an_old_place_has_to_ask_again(
    scheduled: ByHand, look: Look
) -> None:
    await slot(scheduled, due(1, 1))

    # As one sees it that stood still: all but the newest were missed.
    reply = await slot(scheduled, due(3, 3), after_ms=BEGIN_MS, missed=2)

    assert (reply.word, reply.state) == ("behind", await reads.schedule(scheduled.at, "n"))
    assert (await slot(scheduled, due(2, 3))).fired == {0, 1}


async def test_a_slot_that_is_to_come_does_not_fire(scheduled: ByHand, look: Look) -> None:
    reply = await transitions.slot(
        scheduled.at, "n", due(2, 2), after_ms=BEGIN_MS, until_ms=BEGIN_MS + 2 * STEP_MS,
        now_ms=BEGIN_MS + 2 * STEP_MS - 1,
    )  # fmt: skip

    assert (reply.word, reply.now_ms) == ("early", BEGIN_MS + 2 * STEP_MS - 1)
    assert look.states() == {}


async def test_a_slot_is_not_fired_again_when_its_job_is_gone(
    scheduled: ByHand, look: Look
) -> None:
    await slot(scheduled, due(1, 1))
    await scheduled.remove(f"sched:n:{BEGIN_MS + STEP_MS}")

    await slot(scheduled, due(1, 2))

    assert look.states() == {f"sched:n:{BEGIN_MS + 2 * STEP_MS}": "waiting"}


async def test_a_spread_slot_waits_until_its_own_time(scheduled: ByHand, look: Look) -> None:
    at_ms = BEGIN_MS + STEP_MS + 5_000

    await slot(scheduled, due(1, 1, at_ms=at_ms))

    assert list(look.states().values()) == ["delayed"]
    assert look.raw.zcount(scheduled.at.keys.names["delayed"], at_ms, at_ms) == 1


async def test_a_spread_slot_that_is_fired_late_waits_no_longer(
    scheduled: ByHand, look: Look
) -> None:
    scheduled.later(STEP_MS)

    await slot(scheduled, due(1, 1, at_ms=BEGIN_MS + STEP_MS + 5_000))

    assert list(look.states().values()) == ["waiting"]


async def test_skip_leaves_a_slot_out_while_the_last_job_has_not_ended(
    scheduled: ByHand, look: Look
) -> None:
    await scheduled.register(W1)
    await slot(scheduled, due(1, 1), "skip")
    assert not (await slot(scheduled, due(2, 2), "skip")).fired

    claims = await scheduled.claim(W1)
    assert not (await slot(scheduled, due(3, 3), "skip")).fired

    await scheduled.settle(claims)
    last = await slot(scheduled, due(4, 4), "skip")
    assert last.fired == {0}
    assert last.state is not None and (last.state.fired, last.state.missed) == (2, 2)


async def test_queue_one_owes_one_slot_until_the_job_before_it_has_ended(
    scheduled: ByHand, look: Look
) -> None:
    await scheduled.register(W1)
    await slot(scheduled, due(1, 1), "queue_one")
    claims = await scheduled.claim(W1)

    owing = await slot(scheduled, due(2, 3), "queue_one")
    asked = await slot(scheduled, due(2, 2), "queue_one", until_ms=BEGIN_MS + 3 * STEP_MS)
    assert not owing.fired and not asked.fired
    assert asked.state == owing.state is not None
    assert (owing.state.owed_ms, owing.state.missed) == (BEGIN_MS + 2 * STEP_MS, 1)

    await scheduled.settle(claims)
    paid = await slot(scheduled, due(2, 2), "queue_one", until_ms=BEGIN_MS + 3 * STEP_MS)
    again = await slot(scheduled, due(2, 2), "queue_one", until_ms=BEGIN_MS + 3 * STEP_MS)

    assert (set(paid.fired), set(again.fired)) == ({0}, set())
    assert paid.state is not None and paid.state.owed_ms is None
    assert look.states()[f"sched:n:{BEGIN_MS + 2 * STEP_MS}"] == "waiting"


async def test_what_is_owed_goes_first_and_the_next_slot_is_owed_then(
    scheduled: ByHand, look: Look
) -> None:
    await scheduled.register(W1)
    await slot(scheduled, due(1, 1), "queue_one")
    claims = await scheduled.claim(W1)
    await slot(scheduled, due(2, 2), "queue_one")
    await scheduled.settle(claims)

    reply = await slot(scheduled, due(2, 3), "queue_one")

    assert reply.fired == {0}
    assert reply.state is not None and reply.state.owed_ms == BEGIN_MS + 3 * STEP_MS


async def test_a_pause_keeps_what_is_owed(scheduled: ByHand, look: Look) -> None:
    await slot(scheduled, due(1, 1), "queue_one")
    await slot(scheduled, due(2, 2), "queue_one")
    await scheduled.remove(f"sched:n:{BEGIN_MS + STEP_MS}")
    await hold(scheduled, "n", paused=True)

    paused = await slot(scheduled, due(2, 3), "queue_one")
    await hold(scheduled, "n", paused=False)
    resumed = await slot(scheduled, due(2, 2), "queue_one", until_ms=scheduled.now_ms)

    assert (set(paused.fired), set(resumed.fired)) == (set(), {0})


async def test_a_paused_schedule_passes_its_slots_over(scheduled: ByHand, look: Look) -> None:
    await hold(scheduled, "n", paused=True)

    reply = await slot(scheduled, due(1, 3))

    assert (reply.word, reply.fired, look.states()) == ("paused", frozenset(), {})
    assert reply.state is not None
    assert (reply.state.last_slot_ms, reply.state.missed) == (BEGIN_MS + 3 * STEP_MS, 0)


async def test_one_that_nobody_declared_fires_nothing(hand: ByHand, look: Look) -> None:
    reply = await slot(hand, due(1, 1))

    assert (reply.word, reply.state) == ("absent", None)
    assert look.states() == {}


async def test_no_slot_fires_while_a_jump_of_the_clock_settles(
    scheduled: ByHand, look: Look
) -> None:
    await scheduled.register(W1)
    await scheduled.beat(W1)
    scheduled.later(STEP_MS * 10)
    await scheduled.beat(W1)

    assert (await slot(scheduled, due(1, 10))).word == "wait"
    assert look.states() == {}


async def test_what_the_policy_passed_over_is_counted(scheduled: ByHand) -> None:
    await slot(scheduled, due(5, 5), missed=4)

    newest = BEGIN_MS + 5 * STEP_MS
    assert await reads.schedule(scheduled.at, "n") == ScheduleState(
        newest, fired=1, missed=4, paused=False, last_id=JobId(f"sched:n:{newest}")
    )


async def test_a_slot_whose_job_is_there_already_counts_as_seen_to(
    scheduled: ByHand, look: Look
) -> None:
    await scheduled.add(f"sched:n:{BEGIN_MS + STEP_MS}")

    reply = await slot(scheduled, due(1, 1), "skip")
    next_one = await slot(scheduled, due(2, 2), "skip")

    assert (reply.word, reply.fired, next_one.fired) == ("fired", frozenset(), frozenset())
    assert list(look.states()) == [f"sched:n:{BEGIN_MS + STEP_MS}"]


async def test_the_first_slot_of_a_queue_says_which_layout_it_has(
    scheduled: ByHand, look: Look
) -> None:
    await slot(scheduled, due(1, 1))

    assert look.dump().hashes["meta"][b"layout"] == b"%d" % LAYOUT


async def test_a_thousand_slots_fire_in_one_call(scheduled: ByHand, look: Look) -> None:
    reply = await slot(scheduled, due(1, 1_000))

    assert len(reply.fired) == 1_000
    assert len(look.states()) == 1_000


async def test_somebody_is_woken(scheduled: ByHand, look: Look) -> None:
    await scheduled.register(WorkerId("w"))
    look.raw.delete(scheduled.at.keys.names["wake"])

    await slot(scheduled, due(1, 1))

    assert look.tokens() == (1, 0)


async def test_a_full_redis_refuses_and_the_slot_stays_to_be_won(
    scheduled: ByHand, look: Look
) -> None:
    with full(look.raw), pytest.raises(StoreFull):
        await slot(scheduled, due(1, 1))

    assert look.states() == {}
    assert (await slot(scheduled, due(1, 1))).fired == {0}


async def _before(hand: ByHand) -> None:
    await declare(hand, n=b"row")
    hand.later(STEP_MS * 3)


async def _owed(hand: ByHand) -> None:
    await _before(hand)
    await slot(hand, due(1, 2), "queue_one")
    await hand.remove(f"sched:n:{BEGIN_MS + STEP_MS}")


CASES = {
    "due": Case("slot", _before, lambda hand, _: slot(hand, due(1, 3), after_ms=BEGIN_MS)),
    "owed": Case(
        "slot",
        _owed,
        lambda hand, _: slot(hand, due(2, 3), "queue_one", after_ms=BEGIN_MS + 2 * STEP_MS),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial, case: Case) -> None:
    assert (await trial.tear(case)).calls >= 10


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    assert {"jobs", "schedules"} <= set(await trial.plant_each(CASES["due"]))
