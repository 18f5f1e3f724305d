"""change: another priority, other data or another time for a job that did not start."""

import msgspec
import pytest

from streamq.errors import CallAgain, StoreFull, WrongState
from streamq.job import HEAD_BYTES, End, NewJob, pack
from streamq.store import transitions
from tests.support.by_hand import BEGIN_MS, W1, ByHand, new
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial


async def _change(
    hand: ByHand, after: NewJob, *, before: NewJob | None = None, due_ms: int | None = None
) -> int:
    """To `after`, from what the job was added as."""
    return await transitions.change(
        hand.at, after.id, before=pack(before or new(after.id)), after=after, due_ms=due_ms,
        now_ms=hand.now_ms,
    )  # fmt: skip


async def test_a_waiting_job_moves_to_another_line(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a", "b")

    await _change(hand, new("a", priority=9))

    assert look.waiting() == [("3", "b"), ("9", "a")]
    assert look.meta("dead") == "1"
    assert [c.id for c in await hand.claim(W1)] == ["b", "a"]
    assert look.stats()["changed"] == 1


async def test_its_data_change_and_the_time_of_adding_stays(hand: ByHand, look: Look) -> None:
    await hand.register(W1)
    await hand.add("a")
    added_ms = hand.now_ms
    hand.later(5_000)
    other = msgspec.structs.replace(new("a"), data=b"\xa5other")

    await _change(hand, other)

    (claim,) = await hand.claim(W1)
    assert claim.record is not None
    assert claim.record[HEAD_BYTES:] == pack(other)
    assert claim.added_at_ms == added_ms


async def test_a_waiting_job_is_delayed_by_a_time_to_come(hand: ByHand, look: Look) -> None:
    await hand.add("a")

    await _change(hand, new("a"), due_ms=hand.now_ms + 5)

    assert look.states() == {"a": "delayed"}
    assert look.told()[-1] == ("delayed", ["a"])


async def test_a_delayed_job_keeps_its_time_unless_told(hand: ByHand, look: Look) -> None:
    job = new("a", delay_ms=500)
    await hand.add(job)

    await _change(hand, new("a", priority=1), before=job)

    (member,) = look.dump().zsets["delayed"].items()
    assert member == (b"1n\0\0\0\0\0\2a", hand.now_ms + 500)


@pytest.mark.parametrize("due_ms", [0, 1, BEGIN_MS])
async def test_a_delayed_job_waits_at_once_for_a_time_that_has_come(
    hand: ByHand, look: Look, due_ms: int
) -> None:
    job = new("a", delay_ms=500)
    await hand.add(job)

    await _change(hand, job, before=job, due_ms=due_ms)

    assert look.waiting() == [("3", "a")]


async def test_a_retry_keeps_what_it_knows_of_its_attempts(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add("a")
    await hand.settle(await hand.claim(W1), End.RETRY, delay_ms=500)

    await _change(hand, new("a", priority=1), due_ms=0)

    assert [c.mark for c in await hand.claim(W1)] == ["r"]


async def test_h20_a_change_delivered_twice_leaves_one_live_entry(hand: ByHand, look: Look) -> None:
    """A ticket sent by the client would have made the entries of both copies live."""
    await hand.register(W1)
    await hand.add("a")
    same = new("a")

    await _change(hand, same)
    await _change(hand, same)

    assert look.waiting() == [("3", "a")]
    assert look.meta("dead") == "2"
    assert [c.id for c in await hand.claim(W1)] == ["a"]


async def test_a_late_copy_of_another_change_is_told_to_read_again(
    hand: ByHand, look: Look
) -> None:
    await hand.add("a")
    await _change(hand, new("a", priority=9))
    await _change(hand, new("a", priority=1), before=new("a", priority=9))
    before = look.dump()

    with pytest.raises(CallAgain):
        await _change(hand, new("a", priority=9))

    assert look.dump() == before


async def test_an_absent_job_cannot_be_changed(hand: ByHand) -> None:
    with pytest.raises(WrongState, match="absent"):
        await _change(hand, new("a"))


@pytest.mark.parametrize("end", [None, End.COMPLETED, End.FAILED, End.PARKED])
async def test_a_job_that_started_or_ended_cannot_be_changed(
    hand: ByHand, look: Look, end: End | None
) -> None:
    await hand.register(W1)
    await hand.add("a")
    claims = await hand.claim(W1)
    if end is not None:
        await hand.settle(claims, end)
    before = look.dump()

    with pytest.raises(WrongState, match="active" if end is None else end.value):
        await _change(hand, new("a", priority=1))

    assert look.dump() == before


async def test_a_full_redis_refuses_and_nothing_is_changed(hand: ByHand, look: Look) -> None:
    await hand.add("a")
    before = look.dump()

    with full(look.raw), pytest.raises(StoreFull):
        await _change(hand, new("a", priority=1))

    assert look.dump() == before


async def test_an_id_removed_and_added_anew_is_not_run_by_its_old_entry(
    hand: ByHand, look: Look
) -> None:
    await hand.register(W1)
    await hand.add("a")
    await _change(hand, new("a", priority=9))
    await hand.remove("a")
    await hand.add("a")

    assert [(c.id, c.line) for c in await hand.claim(W1)] == [("a", "3")]
    assert look.meta("dead") == "0"


async def _before(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add("waiting", "other", new("delayed", delay_ms=99))


def _case(job: str, due_ms: int | None) -> Case:
    before = new("delayed", delay_ms=99) if job == "delayed" else new(job)
    after = new(job, priority=7)
    return Case(
        "change", _before, lambda hand, _: _change(hand, after, before=before, due_ms=due_ms)
    )


@pytest.mark.parametrize(("job", "due_ms"), [("waiting", None), ("delayed", None), ("delayed", 0)])
async def test_whichever_call_of_it_fails_all_is_put_right(
    trial: Trial, job: str, due_ms: int | None
) -> None:
    assert (await trial.tear(_case(job, due_ms))).calls >= 15


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(_case("waiting", None)))

    assert {"jobs", "leases", "delayed", "meta", "stats", "events", "wait 7"} <= failed
