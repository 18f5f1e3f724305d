"""remove: jobs and all that stands of them; an active one is flagged, and goes when it settles."""

from streamq.job import End, JobId, Run
from streamq.store import transitions
from streamq.store.replies import Note
from tests.support.by_hand import W1, ByHand, ends, names, new
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial


async def _one_in_each_state(hand: ByHand) -> None:
    """Jobs named by their state, each with a run, log lines and a death if it can have them."""
    await hand.register(W1)
    await hand.add("completed", "failed", "parked", "active", "waiting", "delayed")
    victim = type(W1)("victim")
    await hand.register(victim)
    await hand.claim(victim)
    await hand.bury(victim, evidence=True)
    claims = {c.id: c for c in await hand.claim(W1)}
    hand.turns[W1] += 1
    notes = [Note(c, Run(), f"{c.id} said\n") for c in claims.values()]
    await transitions.step(hand.at, W1, hand.turns[W1], slots=0, notes=notes, now_ms=hand.now_ms)
    for job, end in (
        ("completed", End.COMPLETED), ("failed", End.FAILED), ("parked", End.PARKED),
        ("delayed", End.RETRY), ("waiting", End.RELEASED),
    ):  # fmt: skip
        await hand.turn(W1, outcomes=ends([claims[JobId(job)]], end, delay_ms=500))


STATES = ["waiting", "delayed", "active", "completed", "failed", "parked"]


async def test_a_job_goes_with_all_that_stands_of_it(hand: ByHand, look: Look) -> None:
    await _one_in_each_state(hand)
    assert look.states() == {state: state for state in STATES}

    words = await hand.remove(*STATES, "nowhere")

    assert words == ["removed", "removed", "flagged", "removed", "removed", "removed", "absent"]
    dump = look.dump()
    assert look.states() == {"active": "active"}
    for few in ("runs", "logs", "stalls"):
        assert set(dump.hashes[few]) == {b"active"}, few
    assert look.told()[-1][0] == "removed"
    assert look.stats()["removed"] == 5


async def test_a_removed_waiting_job_is_not_claimed(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", "b")

    await hand.remove("a")

    assert look.meta("dead") == "1"
    assert [c.id for c in await hand.claim(W1)] == ["b"]


async def test_a_running_job_goes_when_it_settles(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    claims = await hand.claim(W1)
    with look.listening(hand.at.keys.cancels_channel) as next_message:
        await hand.remove("a")

        assert next_message() == b"a"
    assert (await hand.refused(W1, ends(claims))).flagged == {"a": "r"}
    obeyed = ends(claims, End.FAILED, keep=False)
    await hand.turn(W1, outcomes=obeyed, honoured={JobId("a")})
    assert look.dump().jobs == {}
    assert look.told()[-1] == ("removed", ["a"])


async def test_a_cancelled_job_may_still_be_removed(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.claim(W1)
    await hand.cancel("a")

    await hand.remove("a")

    assert look.dump().hashes["cancels"] == {b"a": b"r"}


async def test_a_late_copy_does_nothing(hand: ByHand, look: Look) -> None:
    await hand.add("a")
    await hand.remove("a")
    before = look.dump()

    assert await hand.remove("a") == ["absent"]

    assert look.dump() == before


async def test_an_id_twice_in_one_call_goes_once(hand: ByHand, look: Look) -> None:
    await hand.add("a")

    assert await hand.remove("a", "a") == ["removed", "absent"]
    assert look.meta("dead") == "1"


async def test_an_id_may_be_added_anew(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.remove("a")

    assert (await hand.add("a")).existed == frozenset()
    assert [c.id for c in await hand.claim(W1)] == ["a"]
    assert look.meta("dead") == "0"


async def test_two_hundred_are_one_call(hand: ByHand, look: Look) -> None:
    await hand.add(*names(100), *[new(i, delay_ms=5) for i in names(100, "k")])

    assert await hand.remove(*names(100), *names(100, "k")) == ["removed"] * 200

    assert look.states() == {}


async def test_a_full_redis_lets_it_pass(hand: ByHand, look: Look) -> None:
    await _one_in_each_state(hand)

    with full(look.raw):
        assert await hand.remove("active") == ["flagged"]
        assert await hand.remove(*STATES) == ["removed", "removed", "flagged", *["removed"] * 3]


CASE = Case("remove", _one_in_each_state, lambda hand, _: hand.remove(*STATES))


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    assert (await trial.tear(CASE)).calls >= 50


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(CASE))

    assert failed >= {
        "jobs", "runs", "leases", "delayed", "completed", "failed", "parked", "stalls", "cancels",
        "meta", "stats", "events", "logs",
    }  # fmt: skip
