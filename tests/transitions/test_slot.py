"""slot: slots are won and their jobs added, once each, whoever comes first."""

import pytest

from streamq.errors import StoreFull
from streamq.job import NewJob, WorkerId
from streamq.store import transitions
from streamq.store.replies import SlotReply
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
    hand: ByHand, slots: list[Due], overlap: str = "allow", missed: int = 0
) -> SlotReply:
    return await transitions.slot(
        hand.at,
        "n",
        slots,
        until_ms=slots[-1][0],
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


async def test_who_comes_second_adds_nothing(scheduled: ByHand, look: Look) -> None:
    await slot(scheduled, due(1, 1))
    before = look.dump()

    assert (await slot(scheduled, due(1, 1))).word == "lost"
    assert look.dump() == before


async def test_a_slot_is_not_fired_again_when_its_job_is_gone(
    scheduled: ByHand, look: Look
) -> None:
    await slot(scheduled, due(1, 1))
    await scheduled.remove(f"sched:n:{BEGIN_MS + STEP_MS}")

    await slot(scheduled, due(1, 2))

    assert look.states() == {f"sched:n:{BEGIN_MS + 2 * STEP_MS}": "waiting"}


async def test_a_spread_slot_is_delayed(scheduled: ByHand, look: Look) -> None:
    await slot(scheduled, due(1, 1, delay_ms=5_000))

    assert list(look.states().values()) == ["delayed"]


async def test_skip_leaves_a_slot_out_while_the_last_job_has_not_ended(
    scheduled: ByHand, look: Look
) -> None:
    await scheduled.register(W1)
    await slot(scheduled, due(1, 1), "skip")
    assert not (await slot(scheduled, due(2, 2), "skip")).fired

    claims = await scheduled.claim(W1)
    assert not (await slot(scheduled, due(3, 3), "skip")).fired

    await scheduled.settle(claims)
    assert (await slot(scheduled, due(4, 4), "skip")).fired == {0}
    assert (await declare(scheduled, n=b"row"))["n"].missed == 2


async def test_queue_one_lets_one_wait_beside_the_one_that_runs(
    scheduled: ByHand, look: Look
) -> None:
    await scheduled.register(W1)
    await slot(scheduled, due(1, 1), "queue_one")
    assert not (await slot(scheduled, due(2, 2), "queue_one")).fired

    await scheduled.claim(W1)

    assert (await slot(scheduled, due(3, 3), "queue_one")).fired == {0}
    assert not (await slot(scheduled, due(4, 4), "queue_one")).fired


async def test_a_paused_schedule_passes_its_slots_over(scheduled: ByHand, look: Look) -> None:
    await hold(scheduled, "n", paused=True)

    reply = await slot(scheduled, due(1, 3))

    assert (reply.word, reply.fired, look.states()) == ("paused", frozenset(), {})


async def test_one_that_nobody_declared_fires_nothing(hand: ByHand, look: Look) -> None:
    assert (await slot(hand, due(1, 1))).word == "absent"
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

    found = (await declare(scheduled, n=b"row"))["n"]
    assert (found.fired, found.missed) == (1, 4)
    assert (found.last_slot_ms, found.last_id) == (
        BEGIN_MS + 5 * STEP_MS,
        f"sched:n:{BEGIN_MS + 5 * STEP_MS}",
    )


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


CASE = Case("slot", _before, lambda hand, _: slot(hand, due(1, 3)))


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 10


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    assert {"jobs", "schedules"} <= set(await trial.plant_each(CASE))
