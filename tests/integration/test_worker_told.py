"""Attempts that are told to end: by their time, by an operator, or since their worker leaves."""

import asyncio
import contextlib
import threading
from collections.abc import Callable

import pytest

from streamq import Context, Effect, JobState
from streamq.job import Claim
from streamq.run import worker as worker_module
from streamq.run.lane import Lane
from tests.support.waiting import soon
from tests.support.workers import LIMIT_S, Floor, Hired

# ---- time is up


async def test_a_handler_that_takes_too_long_fails_its_attempt(floor: Floor) -> None:
    @floor.job(timeout="50ms", attempts=1)
    async def sleeps(data: object) -> None:
        await asyncio.Event().wait()

    hired = await floor.hire()

    job = await floor.add("sleeps")

    await floor.settles_and_frees(hired, job, JobState.FAILED)
    (error,) = (await floor.reaches(job, JobState.FAILED)).run.errors
    assert (error.type, error.message) == (
        "TimeoutError",
        "it took longer than its timeout of 50 ms",
    )


async def test_a_thread_that_outlives_its_time_keeps_its_slot_and_is_shown(floor: Floor) -> None:
    go_on, seen = threading.Event(), list[bool]()

    @floor.job(timeout="50ms", attempts=1)
    def sleeps(data: object, job: Context) -> None:
        go_on.wait(LIMIT_S)
        seen.append(job.cancelled)

    @floor.job()
    async def quick(data: object) -> None: ...

    hired = await floor.hire(concurrency=1)
    job = await floor.add("sleeps")
    await floor.reaches(job, JobState.FAILED)

    after = await floor.add("quick")
    await soon(lambda: hired.worker.stuck == 1, "the thread is shown")
    hired.worker.look()

    assert (hired.worker.busy, floor.states()[after]) == (1, "waiting")
    go_on.set()
    await floor.reaches(after, JobState.COMPLETED)
    assert seen == [True]  # it could have known


async def test_a_handler_that_swallows_its_cancellation_keeps_its_slot_until_it_ends(
    floor: Floor,
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    @floor.job()
    async def stubborn(data: object) -> str:
        began.set()
        while not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go_on.wait()
        return "done all the same"

    hired = await floor.hire(concurrency=1)
    job = await floor.add("stubborn")
    await began.wait()

    hired.worker.cancel_job(job)
    neighbour = await floor.add("stubborn")
    hired.worker.look()

    assert hired.worker.busy == 1
    assert floor.states()[neighbour] == "waiting"
    go_on.set()
    await floor.reaches(job, JobState.COMPLETED)  # it was done: too late to cancel it
    await floor.reaches(neighbour, JobState.COMPLETED)


# ---- cancelled or removed while it runs


async def _is_told(floor: Floor, hired: Hired) -> None:
    """As its beat tells a worker what was flagged."""
    for job, flag in (await floor.beat(hired)).flagged.items():
        hired.worker.cancel_job(job, flag)


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_a_cancelled_job_is_ended_and_failed(floor: Floor, kind: str) -> None:
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def in_loop(data: object) -> None:
        began.set()
        await asyncio.Event().wait()

    def in_thread(data: object, job: Context) -> None:
        loop.call_soon_threadsafe(began.set)
        limit = threading.Event()
        while not job.cancelled:
            limit.wait(0.01)

    floor.job(name="lasts", attempts=5)(in_loop if kind == "async" else in_thread)
    hired = await floor.hire()
    job = await floor.add("lasts")
    await began.wait()

    assert await floor.queue.cancel(job) is Effect.TOLD
    await _is_told(floor, hired)

    await floor.settles_and_frees(hired, job, JobState.FAILED)
    failed = await floor.reaches(job, JobState.FAILED)
    assert (failed.run.reason, failed.run.errors) == ("cancelled", ())
    assert floor.dump().hashes["cancels"] == {}


async def test_a_cancel_that_its_worker_never_hears_of_is_obeyed_when_it_settles(
    floor: Floor,
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    @floor.job(attempts=5, backoff=["1ms"])
    async def fails(data: object, job: Context) -> None:
        if job.attempt == 2:
            began.set()
            await go_on.wait()
        raise ValueError(f"attempt {job.attempt}")

    await floor.hire()
    job = await floor.add("fails")
    await began.wait()

    await floor.queue.cancel(job)
    go_on.set()

    failed = await floor.reaches(job, JobState.FAILED)
    assert failed.run.reason == "cancelled"
    assert [e.message for e in failed.run.errors] == ["attempt 1", "attempt 2"]
    assert failed.run.finished_at_ms > 0


async def test_a_cancel_that_comes_too_late_changes_nothing(floor: Floor) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    @floor.job()
    async def works(data: object) -> str:
        began.set()
        await go_on.wait()
        return "worked"

    await floor.hire()
    job = await floor.add("works")
    await began.wait()

    await floor.queue.cancel(job)
    go_on.set()

    await floor.reaches(job, JobState.COMPLETED)
    assert floor.dump().hashes["cancels"] == {}


@pytest.mark.parametrize("told", [True, False])
async def test_a_job_that_is_removed_while_it_runs_leaves_nothing(floor: Floor, told: bool) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    @floor.job()
    async def works(data: object, job: Context) -> None:
        job.log("about to be removed")
        began.set()
        await go_on.wait()

    hired = await floor.hire()
    job = await floor.add("works")
    await began.wait()

    assert await floor.queue.remove(job) is Effect.TOLD
    if told:
        await _is_told(floor, hired)
    go_on.set()

    await soon(lambda: not floor.states(), "nothing stands anywhere")
    dump = floor.dump()
    assert not any(dump.hashes[name] for name in ("jobs", "runs", "logs", "cancels", "leases"))


async def test_a_job_cancelled_between_its_claim_and_its_first_step_is_failed(floor: Floor) -> None:
    ran: list[str] = []

    @floor.job()
    async def runs(data: object) -> None:
        ran.append("ran")

    hired = await floor.hire()
    _as_each_claim_starts(hired, lambda claim: hired.worker.cancel_job(claim.id))
    job = await floor.add("runs")

    await floor.settles_and_frees(hired, job, JobState.FAILED)
    assert ran == []


def _as_each_claim_starts(hired: Hired, act: Callable[[Claim], None]) -> None:
    """Acts between the making of an attempt and its first step: no call can be timed so well."""
    for lane in hired.worker._lanes:
        start = lane._start

        def start_and_act(lane: Lane, claim: Claim, start: Callable[..., None] = start) -> None:
            start(lane, claim)
            act(claim)

        lane._start = start_and_act


# ---- handed back


async def test_a_job_that_is_handed_back_uses_no_attempt_and_waits_in_front(floor: Floor) -> None:
    began = asyncio.Event()

    @floor.job(attempts=1)
    async def lasts(data: object) -> None:
        began.set()
        await asyncio.Event().wait()

    hired = await floor.hire()
    job = await floor.add("lasts")
    await began.wait()

    hired.worker.stop()
    hired.worker.hand_back()
    await hired.leaves()

    (entry,) = floor.dump().entries
    assert (entry.line, entry.job.decode()) == ("0", job)
    assert (await floor.reaches(job, JobState.WAITING)).run.attempts == 0


async def test_a_job_handed_back_before_its_first_step_is_not_lost(floor: Floor) -> None:
    @floor.job()
    async def runs(data: object) -> None: ...

    hired = await floor.hire()

    def stop_at_once(claim: Claim) -> None:
        hired.worker.stop()
        hired.worker.hand_back()

    _as_each_claim_starts(hired, stop_at_once)

    job = await floor.add("runs")
    await hired.leaves()

    assert floor.states() == {job: "waiting"}


async def test_a_handler_that_does_not_let_itself_be_handed_back_is_left_behind(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "ABANDON_AFTER_S", 0.1)
    began, go_on = asyncio.Event(), asyncio.Event()

    @floor.job()
    async def stubborn(data: object) -> None:
        began.set()
        while not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go_on.wait()

    hired = await floor.hire()
    job = await floor.add("stubborn")
    await began.wait()

    hired.worker.stop()
    hired.worker.hand_back()
    await hired.leaves()

    assert floor.states() == {job: "waiting"}
    go_on.set()


async def test_a_worker_that_is_cancelled_ends_what_runs_and_hands_nothing_in(
    floor: Floor,
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    @floor.job()
    async def lasts(data: object) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    hired = await floor.hire()
    job = await floor.add("lasts")
    await began.wait()

    await hired.vanishes()

    await soon(ended.is_set, "its handler was told")
    assert floor.states() == {job: "active"}  # until its lease is over
