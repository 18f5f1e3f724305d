"""What operators do with a queue: each call bounded, safe to repeat, clear about what it did."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from streamq import App, Bulk, Effect, Job, JobState, Queue, operate
from streamq.errors import (
    CallAgain,
    InvalidInput,
    InvalidName,
    InvalidPayload,
    OutOfRange,
)
from streamq.job import Counts
from streamq.store import transitions
from streamq.testing import MovableClock, run_until_idle
from streamq.testing.idle import working
from tests.integration.front.shop import Shop, Welcome
from tests.support.waiting import soon

DONE, TOLD, ABSENT, UNFIT = Effect.DONE, Effect.TOLD, Effect.ABSENT, Effect.UNFIT


@pytest.fixture
async def all_states(app: App, shop: Shop, queue: Queue) -> None:
    """A job in each state but active, its state for an id."""
    await shop.welcome.add(Welcome(to="x"), id="completed")
    await shop.broken.add("for good", id="failed")
    await queue.add("nobodys", {}, id="parked", force=True)
    await run_until_idle(app)
    await shop.welcome.add(Welcome(to="x"), id="waiting")
    await shop.welcome.add(Welcome(to="x"), id="delayed", delay="1h")
    assert await queue.counts() == Counts(
        waiting=1, delayed=1, active=0, completed=1, failed=1, parked=1
    )


Call = Callable[[Queue, str], Awaitable[Effect]]


@pytest.mark.usefixtures("all_states")
@pytest.mark.parametrize(
    ("call", "fit", "becomes"),
    [
        (Queue.retry, {"failed", "parked"}, JobState.WAITING),
        (Queue.promote, {"delayed"}, JobState.WAITING),
        (Queue.cancel, {"waiting", "delayed", "parked"}, JobState.FAILED),
        (Queue.remove, {"waiting", "delayed", "parked", "completed", "failed"}, None),
        (lambda q, job: q.change(job, priority=1), {"waiting", "delayed"}, "as before"),
    ],
    ids=["retry", "promote", "cancel", "remove", "change"],
)
async def test_a_call_does_its_work_where_the_job_is_fit_for_it_and_says_so(
    queue: Queue, call: Call, fit: set[str], becomes: str | None
) -> None:
    for state in JobState:
        if state is JobState.ACTIVE:
            continue
        effect = await call(queue, state.value)
        after = await queue.get(state.value)

        if state.value not in fit:
            assert effect is UNFIT
            assert after is not None
            assert after.state is state
        elif becomes is None:
            assert (effect, after) == (DONE, None)
        else:
            assert effect is DONE
            assert after is not None
            assert after.state == (state if becomes == "as before" else becomes)
    assert await call(queue, "nobody") is ABSENT


@pytest.mark.parametrize(
    "call", [Queue.get, Queue.logs, Queue.retry, Queue.promote, Queue.cancel, Queue.remove]
)
async def test_an_id_outside_its_set_is_refused(
    queue: Queue, call: Callable[[Queue, str], Awaitable[object]]
) -> None:
    with pytest.raises(InvalidName):
        await call(queue, "a b")


# ---- jobs that run


async def test_a_running_job_is_told_that_it_is_cancelled(
    app: App, shop: Shop, queue: Queue
) -> None:
    await shop.slow.add(None, id="a")
    async with working(app, ["email"], None, 1):
        await soon(lambda: _is(queue, "a", JobState.ACTIVE), "it runs")

        effect = await queue.cancel("a")

        await soon(lambda: _is(queue, "a", JobState.FAILED), "it was told", limit_s=5)
    job = await queue.get("a")
    assert effect is TOLD
    assert job is not None
    assert job.run.reason == "cancelled"
    assert await queue.cancel("a") is UNFIT


async def test_a_running_job_that_is_removed_goes_when_it_was_told(
    app: App, shop: Shop, queue: Queue
) -> None:
    await shop.slow.add(None, id="a")
    async with working(app, ["email"], None, 1):
        await soon(lambda: _is(queue, "a", JobState.ACTIVE), "it runs")

        effect = await queue.remove("a")

        await soon(lambda: _is(queue, "a", None), "it went", limit_s=5)
    assert effect is TOLD


async def _is(queue: Queue, job: str, state: JobState | None) -> bool:
    found = await queue.get(job)
    return (found.state if found else None) is state


# ---- one job


async def test_a_retried_job_has_fresh_attempts_and_its_old_errors(
    app: App, shop: Shop, queue: Queue
) -> None:
    app.clock = clock = MovableClock(app)
    await shop.broken.add("no luck", id="a")
    await run_until_idle(app)
    await clock.advance(minutes=1)
    await run_until_idle(app)

    await queue.retry("a")
    await run_until_idle(app)

    job = await queue.get("a")
    assert shop.runs == ["a"] * 3
    assert job is not None
    assert job.state is JobState.DELAYED
    assert [error.attempt for error in job.run.errors] == [1, 2, 1]


async def test_a_retried_job_waits_by_its_priority(
    app: App, shop: Shop, queue: Queue, raw: Redis, prefix: str
) -> None:
    @app.job("email", name="urgent", priority=2)
    async def urgent(data: object) -> None:
        raise ValueError

    await urgent.add({}, id="a", attempts=1)
    await urgent.add({}, id="b", attempts=1, priority=7)
    await run_until_idle(app)

    await queue.retry_all()

    lines = [await raw.xlen(f"{prefix}:{{email}}:wait:{line}") for line in (2, 7)]
    assert lines == [1, 1]


async def test_a_changed_job_runs_with_its_new_data_and_at_its_new_time(
    app: App, shop: Shop, queue: Queue
) -> None:
    await shop.measure.add({"a": 1}, id="a", delay="1h")
    at = datetime.now(UTC) + timedelta(days=1)

    effects = [
        await queue.change("a", data={"a": 2, "b": 3}),
        await queue.change("a", at=at),
        await queue.change("a", priority=1),
    ]

    job = await queue.get("a")
    assert effects == [DONE] * 3
    assert job is not None
    assert job.value() == {"a": 2, "b": 3}
    assert job.due_at_ms == int(at.timestamp() * 1000)
    assert job.options.priority == 1

    await queue.change("a", delay="0s")
    await run_until_idle(app)

    assert await queue.result("a", timeout=10) == {"sum": 5}


async def test_a_change_is_checked_as_an_add_is(shop: Shop, queue: Queue) -> None:
    await shop.welcome.add(Welcome(to="x"), id="a")

    with pytest.raises(InvalidPayload):
        await queue.change("a", data={"to": 1})
    with pytest.raises(OutOfRange):
        await queue.change("a", priority=11)
    with pytest.raises(InvalidInput):
        await queue.change("a", delay="1s", at=datetime.now(UTC))


async def test_a_call_whose_job_changed_under_it_looks_again(
    shop: Shop, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.welcome.add(Welcome(to="x"), id="a")
    real, calls = transitions.cancel, 0

    async def changed_first(*args: object, **options: object) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            options["run_before"] = b"what it was a moment ago"
        return await real(*args, **options)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(transitions, "cancel", changed_first)

    assert await queue.cancel("a") is DONE
    assert calls == 2


async def test_a_job_that_changes_again_and_again_ends_the_call(
    shop: Shop, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.welcome.add(Welcome(to="x"), id="a")
    calls = 0

    async def always_changed(*_: object, **__: object) -> str:
        nonlocal calls
        calls += 1
        raise CallAgain("email", "a")

    monkeypatch.setattr(transitions, "cancel", always_changed)

    with pytest.raises(CallAgain):
        await queue.cancel("a")
    assert calls == 3


async def test_a_run_that_this_build_cannot_read_can_be_cancelled(
    shop: Shop, queue: Queue, raw: Redis, prefix: str
) -> None:
    await shop.welcome.add(Welcome(to="x"), id="a", delay="1h")
    await raw.hset(f"{prefix}:{{email}}:runs", "a", b"\xc1 of a later build")

    assert await queue.cancel("a") is DONE
    assert await _is(queue, "a", JobState.FAILED)


async def test_a_jobs_own_log_is_read(app: App, shop: Shop, queue: Queue) -> None:
    added = await shop.welcome.add(Welcome(to="ana"))
    await run_until_idle(app)

    (line,) = await queue.logs(added.id)

    assert line.endswith(" to ana")
    assert await queue.logs("nobody") == []


# ---- many jobs


async def test_failed_jobs_are_retried_in_pages(app: App, shop: Shop, queue: Queue) -> None:
    for i in range(450):
        await shop.broken.add("for good", id=f"j{i:03}")
        if i % 150 == 149:
            await run_until_idle(app)

    dry = await queue.retry_all(dry_run=True)
    first = await queue.retry_all(limit=300)
    rest = await queue.retry_all(cursor=first.cursor)

    assert dry == Bulk(450, more=False)
    assert (first.count, first.more) == (300, True)
    assert rest == Bulk(150, more=False)
    assert await queue.counts() == Counts(waiting=450)


async def test_jobs_that_failed_first_are_retried_first(app: App, shop: Shop, queue: Queue) -> None:
    ids = [f"j{i}" for i in range(5)]
    for job in ids:
        await shop.broken.add("for good", id=job)
        await run_until_idle(app)

    await queue.retry_all()
    await run_until_idle(app, concurrency=1)

    assert shop.runs == ids * 2


async def test_a_job_that_fails_again_at_once_is_not_retried_twice_by_one_call(
    app: App, shop: Shop, queue: Queue
) -> None:
    for i in range(20):
        await shop.broken.add("for good", id=f"j{i}")
    async with working(app, ["email"], None, 10):
        await soon(lambda: _failed(queue, 20), "all have failed")

        bulk = await queue.retry_all(limit=10_000)

        await soon(lambda: _ran(shop, 40), "all ran again")
        await soon(lambda: _failed(queue, 20), "all have failed again")
    assert bulk == Bulk(20, more=False)
    assert len(shop.runs) == 40


async def _failed(queue: Queue, count: int) -> bool:
    return (await queue.counts()).failed == count


def _ran(shop: Shop, count: int) -> bool:
    return len(shop.runs) == count


async def test_only_the_jobs_that_are_meant_are_touched(app: App, shop: Shop, queue: Queue) -> None:
    for i in range(10):
        await shop.welcome.add(Welcome(to="x"), id=f"w{i}", delay="1h")
        await shop.measure.add({}, id=f"m{i}", delay="1h")

    def is_welcome(job: Job) -> bool:
        return job.name == "welcome"

    promoted = await queue.promote_all(where=is_welcome, limit=4)
    cancelled = await queue.cancel_all(JobState.DELAYED, where=is_welcome)
    removed = await queue.remove_all(JobState.DELAYED, where=lambda job: job.id != "m0")

    assert promoted.count == 4
    assert promoted.more
    assert (cancelled, removed) == (Bulk(6, more=False), Bulk(9, more=False))
    assert await queue.counts() == Counts(waiting=4, delayed=1, failed=6)


async def test_parked_jobs_can_all_be_retried(app: App, queue: Queue) -> None:
    for _ in range(3):
        await queue.add("nobodys", {}, force=True)
    await run_until_idle(app)

    bulk = await queue.retry_all(JobState.PARKED)

    assert bulk == Bulk(3, more=False)
    assert (await queue.counts()).waiting == 3
    with pytest.raises(InvalidInput, match="only failed and parked"):
        await queue.retry_all(JobState.COMPLETED)


async def test_a_drained_queue_has_neither_waiting_nor_delayed_jobs(
    shop: Shop, queue: Queue
) -> None:
    await queue.add_many([shop.welcome.new(Welcome(to="x")) for _ in range(2_500)])
    for _ in range(3):
        await shop.welcome.add(Welcome(to="x"), delay="1h")

    waiting = await queue.drain(delayed=False)
    all_ = await queue.drain()

    assert (waiting.count, all_.count) == (2_500, 3)
    assert not all_.more
    assert await queue.counts() == Counts()


async def test_a_drain_stops_at_its_limit(shop: Shop, queue: Queue) -> None:
    await queue.add_many([shop.welcome.new(Welcome(to="x")) for _ in range(30)])

    bulk = await queue.drain(limit=20)

    assert bulk == Bulk(20, more=True)
    assert (await queue.counts()).waiting == 10


async def test_only_ended_jobs_older_than_said_are_cleaned(
    app: App, shop: Shop, queue: Queue
) -> None:
    app.clock = clock = MovableClock(app)
    for i in range(5):
        await shop.measure.add({}, id=f"old{i}")
    await run_until_idle(app)
    await clock.advance(hours=2)
    await shop.measure.add({}, id="new")
    await run_until_idle(app)

    some = await queue.clean(JobState.COMPLETED, older_than="1h", limit=3)
    rest = await queue.clean(JobState.COMPLETED, older_than="1h")

    assert (some, rest) == (Bulk(3, more=True), Bulk(2, more=False))
    assert await queue.get("new") is not None
    with pytest.raises(InvalidInput, match="only completed, failed, parked can be cleaned"):
        await queue.clean(JobState.WAITING, older_than="1h")


@pytest.mark.parametrize("limit", [0, 10_001, True])
async def test_a_bulk_call_has_a_limit(queue: Queue, limit: int) -> None:
    with pytest.raises(OutOfRange):
        await queue.drain(limit=limit)
    with pytest.raises(OutOfRange):
        await queue.retry_all(limit=limit)


async def test_a_bulk_call_stops_when_its_time_is_up(
    shop: Shop, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.add_many([shop.welcome.new(Welcome(to="x")) for _ in range(500)])
    monkeypatch.setattr(operate, "BULK_LIMIT_S", 0.0)

    bulk = await queue.remove_all(JobState.WAITING)

    assert bulk.count == 0
