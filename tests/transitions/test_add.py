"""add: jobs into the queue; an id that is there already is left as it is, and named."""

import msgspec
import pytest

from streamq.errors import StoreFull
from streamq.job import HEAD_BYTES, JobId, NewJob, Options, pack, unpack
from streamq.store import transitions
from streamq.store.packed import packed
from tests.support.by_hand import W1, ByHand, names, new
from tests.support.planted import full
from tests.support.torn import Case
from tests.transitions.conftest import Look, Trial


async def _before(hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add("there")


CASE = Case(
    "add",
    _before,
    lambda hand, _: hand.add(
        new("a"), new("there"), new("b", priority=1), new("c", delay_ms=50), new("d", priority=1)
    ),
)


async def test_a_job_waits_at_once_in_the_line_of_its_priority(hand: ByHand, look: Look) -> None:
    await hand.add(new("low", priority=10), "plain", new("high", priority=1))

    assert look.waiting() == [("1", "high"), ("3", "plain"), (":", "low")]
    assert look.meta("lines") == "13:"


async def test_a_delayed_job_is_due_by_the_clock_of_redis(hand: ByHand, look: Look) -> None:
    await hand.add(new("soon", delay_ms=500), new("then", at_ms=hand.now_ms + 9))

    due = {m[8:]: score for m, score in look.dump().zsets["delayed"].items()}
    assert due == {b"soon": hand.now_ms + 500, b"then": hand.now_ms + 9}


async def test_a_time_in_the_past_is_now(hand: ByHand) -> None:
    await hand.register()
    await hand.add(new("old", at_ms=hand.now_ms - 1))

    assert [c.id for c in await hand.claim()] == ["old"]


async def test_the_record_stands_as_it_was_packed_byte_for_byte(hand: ByHand, look: Look) -> None:
    data = msgspec.msgpack.encode({"n": 2**53 + 1, "f": 0.1, "b": bytes(range(256)), "none": None})
    job = NewJob(JobId("a"), "welcome", data, Options(attempts=4, headers={"tenant": "ü"}))

    await hand.add(job)

    value = look.dump().jobs[b"a"]
    assert value[HEAD_BYTES:] == pack(job)
    assert bytes(unpack(value).data) == data
    assert int.from_bytes(value[6:HEAD_BYTES], "big") == hand.now_ms


async def test_an_id_that_exists_changes_nothing_and_is_named(hand: ByHand, look: Look) -> None:
    await hand.add("a", new("b", delay_ms=5))
    before = look.dump()

    reply = await hand.add(new("b", priority=1), "c", new("a", delay_ms=9))

    after = look.dump()
    assert reply.existed == {0, 2}
    assert not reply.replayed
    assert {j: after.jobs[j] for j in before.jobs} == before.jobs
    assert look.states() == {"a": "waiting", "b": "delayed", "c": "waiting"}


async def test_an_id_twice_in_one_call_is_one_job(hand: ByHand, look: Look) -> None:
    reply = await hand.add("a", "a")

    assert reply.existed == {1}
    assert look.waiting() == [("3", "a")]


async def test_an_ended_job_exists_too(hand: ByHand, look: Look) -> None:
    await hand.register()
    await hand.add("a")
    await hand.settle(await hand.claim())

    assert (await hand.add("a")).existed == {0}
    assert look.states() == {"a": "completed"}


async def test_a_repeated_add_is_answered_as_before_and_not_applied(
    hand: ByHand, look: Look
) -> None:
    await hand.add("a")
    first = await hand.add("a", "b", "c")
    await hand.remove("b")
    before = look.dump()

    hand.adds -= 1
    again = await hand.add("a", "b", "c")

    assert (again.existed, again.replayed) == (first.existed, True)
    assert look.dump() == before


async def test_an_older_number_of_a_producer_does_nothing(hand: ByHand, look: Look) -> None:
    await hand.add("a")
    await hand.add("b")
    await hand.remove("a")

    hand.adds = 0
    late = await hand.add("a")

    assert late.replayed
    assert look.states() == {"b": "waiting"}


async def test_producers_have_numbers_of_their_own(hand: ByHand, look: Look) -> None:
    await hand.add("a")
    job = packed([new("b")], ["welcome"])

    reply = await transitions.add(hand.at, "other", 1, job, now_ms=hand.now_ms)

    assert not reply.replayed
    assert look.states() == {"a": "waiting", "b": "waiting"}


async def test_a_thousand_jobs_are_one_call(hand: ByHand, look: Look) -> None:
    ids = names(1_000)
    await hand.add(*ids[::2])

    reply = await hand.add(*[new(i, delay_ms=1) for i in ids])

    assert reply.existed == set(range(0, 1_000, 2))
    assert list(look.states().values()).count("delayed") == 500
    assert max(len(told) for _, told in look.told()) <= 200
    assert look.stats()["added"] == 1_000


async def test_no_jobs_are_no_error(hand: ByHand, look: Look) -> None:
    reply = await hand.add()

    assert (reply.existed, reply.replayed) == (frozenset(), False)
    assert look.states() == {}


async def test_it_counts_by_name_and_tells_what_waits(hand: ByHand, look: Look) -> None:
    await hand.add("a", "b", new("c", delay_ms=5))
    await hand.add("a")

    assert look.stats() == {"added": 3, "added:welcome": 3, "existed:welcome": 1}
    assert look.told() == [("waiting", ["a", "b"]), ("delayed", ["c"])]


async def test_a_full_redis_refuses_and_nothing_is_changed(hand: ByHand, look: Look) -> None:
    await hand.register()
    await hand.add("a")
    before = look.dump()

    with full(look.raw), pytest.raises(StoreFull):
        await hand.add("a", "b", new("c", delay_ms=5))

    assert look.dump() == before


async def test_whichever_call_of_it_fails_all_is_put_right(trial: Trial) -> None:
    torn = await trial.tear(CASE)

    assert torn.calls >= 20


async def test_keys_of_other_types_tear_nothing_beyond_repair(trial: Trial) -> None:
    failed = set(await trial.plant_each(CASE))

    assert {"jobs", "delayed", "adds", "meta", "stats", "events", "wait 1", "wait 3"} <= failed
