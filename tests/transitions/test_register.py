"""register: a worker's row, so that its other calls are heard."""

import pytest

from streamq.errors import WrongState
from streamq.store import transitions
from tests.support.by_hand import LEASE_MS, W1, W2, ByHand
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial

MINUTE_MS = 60_000


async def _before(hand: ByHand) -> None:
    await hand.register(W2)
    await hand.add("a")


CASE = Case("register", _before, lambda hand, _: hand.register(W1), upkeep_heals=True)


async def test_a_registered_worker_is_heard(hand: ByHand, look: Look) -> None:
    now = await transitions.register(hand.at, W1, kind="d", row=b"row", now_ms=hand.now_ms)

    assert now == hand.now_ms
    dump = look.dump()
    assert dump.hashes["workers"] == {b"w1": b"+drow"}
    assert dump.hashes["turns"] == {b"w1": b"0:%d" % now}


async def test_without_a_time_told_it_is_the_time_of_redis(hand: ByHand, look: Look) -> None:
    now = await transitions.register(hand.at, W1, kind="d", row=b"row")

    seconds, _ = look.raw.time()
    assert 0 <= seconds * 1_000 + 1_000 - now < MINUTE_MS


async def test_a_late_copy_of_register_is_refused(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.turn(W1)
    before = look.dump()

    with pytest.raises(WrongState, match="w1"):
        await transitions.register(hand.at, W1, kind="d", row=b"row", now_ms=hand.now_ms)

    assert look.dump() == before


async def test_dead_is_for_ever(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.bury(W1)

    with pytest.raises(WrongState):
        await hand.register(W1)

    assert look.dump().live_workers == set()


async def test_h24_a_late_copy_of_register_cannot_raise_a_swept_worker(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1, W2)
    await hand.bury(W1)
    for _ in range(9 * 6):  # nine minutes of beats, a sweep in each
        hand.later(LEASE_MS // 3)
        await hand.beat(W2)

    with pytest.raises(WrongState):
        await hand.register(W1)

    for _ in range(2 * 6):
        hand.later(LEASE_MS // 3)
        await hand.beat(W2)
    assert b"w1" not in look.dump().hashes["workers"]


async def test_the_limits_of_the_code_hold_from_registration_on(hand: ByHand, look: Look) -> None:
    await hand.register(W1, max_active=2, rate=(5, 1_000))

    assert (look.meta("max_active"), look.meta("rate")) == ("2", "5/1000")

    await hand.register(W2)

    assert (look.meta("max_active"), look.meta("rate")) == (None, None)


async def test_what_an_operator_set_wins_over_the_code(hand: ByHand, look: Look) -> None:
    await hand.register(W1, max_active=2, rate=(5, 1_000))
    await hand.limit(0, max_active="7", rate="0/0")

    await hand.register(W2, max_active=3, rate=(6, 1_000))

    assert (look.meta("max_active"), look.meta("rate")) == ("7", None)

    await hand.limit(1, max_active="-", rate="-")

    assert (look.meta("max_active"), look.meta("rate")) == ("3", "6/1000")


async def test_a_worker_registers_when_redis_is_full(hand: ByHand, look: Look) -> None:
    await hand.add("a")

    with full(look.raw):
        await hand.register(W1)

    assert len(await hand.claim(W1)) == 1


async def test_who_registers_where_something_waits_is_told_to_look(
    hand: ByHand, look: Look
) -> None:
    await hand.add("a")
    look.raw.delete(hand.at.keys.names["wake"])

    await hand.register(W1)

    assert look.tokens() == (1, 0)


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    torn = await trial.tear(CASE)

    assert torn.calls >= 10


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    assert {"workers", "turns", "meta", "wait 0", "wait ;"} <= set(await trial.plant_each(CASE))
