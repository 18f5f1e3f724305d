"""The way of a job through a worker, and what its handler may ask, say and rely on."""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from streamq import Context, Fail, JobState, Retry, Snooze, exponential, fixed, linear
from streamq.backoff import Backoff
from streamq.errors import OutOfRange
from streamq.run.context import LOG_LINES_PENDING_MAX, PROGRESS_BYTES_MAX
from tests.support.waiting import soon
from tests.support.workers import QUEUE, Floor

packed = msgspec.msgpack.encode


async def test_a_job_runs_and_leaves_its_result(floor: Floor) -> None:
    @floor.job()
    async def greet(data: str, job: Context) -> str:
        return f"hello {data}"

    await floor.hire()

    added = await floor.queue.add("greet", "ana")

    assert await added.result(10) == "hello ana"
    done = await floor.reaches(added.id, JobState.COMPLETED)
    assert (done.run.attempts, done.run.result) == (1, packed("hello ana"))
    assert done.added_at_ms <= done.run.claimed_at_ms <= done.run.finished_at_ms
    assert floor.stats()["attempts:greet:completed"] == 1


async def test_hundreds_of_jobs_on_two_lanes_run_once_each(floor: Floor) -> None:
    ran: list[int] = []

    @floor.job()
    async def count(data: int) -> None:
        ran.append(data)

    hired = await floor.hire(concurrency=20)
    assert len(hired.worker.ids) == 2

    for i in range(500):
        await floor.add("count", i)

    await floor.all_reach(JobState.COMPLETED, 500)
    assert sorted(ran) == list(range(500))


# ---- when it comes again


def _chosen(attempt: int, error: Exception) -> str | None:
    return f"{attempt}s" if str(error) == "again" else None


@pytest.mark.parametrize(
    ("backoff", "waits_s"),
    [
        (None, [5, 10]),
        (exponential("5s"), [5, 10, 20]),
        (exponential("5s", max="12s"), [5, 10, 12, 12]),
        (linear("5s"), [5, 10, 15]),
        (fixed("7s"), [7, 7]),
        (["1s", "1m"], [1, 60, 60]),
        (_chosen, [1, 2, 3]),
    ],
)
async def test_a_failed_attempt_comes_again_by_its_backoff_until_none_is_left(
    floor: Floor, backoff: Backoff | list[str] | Callable[..., str] | None, waits_s: list[int]
) -> None:
    clock = floor.stop_time()
    attempts = None if backoff is None else len(waits_s) + 1

    @floor.job(backoff=backoff, attempts=attempts)
    async def fails(data: object) -> None:
        raise ValueError("again")

    await floor.hire()
    job = await floor.add("fails")

    for wait_s in waits_s:
        delayed = await floor.reaches(job, JobState.DELAYED)
        assert delayed.due_at_ms == clock.at_ms + wait_s * 1_000
        await floor.later(wait_s * 1_000)
    failed = await floor.reaches(job, JobState.FAILED)

    assert failed.run.attempts == len(waits_s) + 1
    assert [e.attempt for e in failed.run.errors] == list(range(1, len(waits_s) + 2))
    assert failed.run.reason == "ValueError: again"


async def test_an_error_may_say_when_the_next_attempt_is_and_that_there_is_none(
    floor: Floor,
) -> None:
    clock = floor.stop_time()

    @floor.job(attempts=5)
    async def says(data: object, job: Context) -> None:
        raise Retry(after="90s") if job.attempt == 1 else Fail("no such person")

    await floor.hire()
    job = await floor.add("says")

    delayed = await floor.reaches(job, JobState.DELAYED)
    assert delayed.due_at_ms == clock.at_ms + 90_000
    await floor.later(90_000)
    failed = await floor.reaches(job, JobState.FAILED)

    assert (failed.run.attempts, failed.run.reason) == (2, "no such person")


async def test_a_snoozed_job_uses_no_attempt(floor: Floor) -> None:
    clock = floor.stop_time()
    seen: list[int] = []

    @floor.job(attempts=1)
    async def snoozes(data: object, job: Context) -> None:
        seen.append(job.attempt)
        if len(seen) < 3:
            raise Snooze(after="1m")

    await floor.hire()
    job = await floor.add("snoozes")

    for _ in range(2):
        delayed = await floor.reaches(job, JobState.DELAYED)
        assert delayed.due_at_ms == clock.at_ms + 60_000
        await floor.later(60_000)
    done = await floor.reaches(job, JobState.COMPLETED)

    assert seen == [1, 1, 1]
    assert (done.run.attempts, done.run.errors) == (1, ())


async def test_a_retried_job_has_fresh_attempts_and_its_old_errors(floor: Floor) -> None:
    @floor.job(attempts=2, backoff=["1ms"])
    async def fails(data: object) -> None:
        raise ValueError("no")

    await floor.hire()
    job = await floor.add("fails")
    await floor.reaches(job, JobState.FAILED)

    await floor.queue.retry(job)

    async def twice() -> bool:
        again = await floor.queue.get(job)
        return again is not None and len(again.run.errors) == 4

    await soon(twice, "two attempts more")
    again = await floor.reaches(job, JobState.FAILED)
    assert [e.attempt for e in again.run.errors] == [1, 2, 1, 2]


# ---- which job is next


async def test_the_first_priority_runs_first_and_each_in_the_order_of_its_adding(
    floor: Floor,
) -> None:
    ran: list[str] = []

    @floor.job()
    async def notes(data: str) -> None:
        ran.append(data)

    await floor.hire(concurrency=1)
    await floor.queue.pause()
    for name, priority in (("c1", 10), ("b1", None), ("a1", 1), ("c2", 10), ("b2", 3), ("a2", 1)):
        await floor.add("notes", name, priority=priority)

    await floor.queue.resume()

    await floor.all_reach(JobState.COMPLETED, 6)
    assert ran == ["a1", "a2", "b1", "b2", "c1", "c2"]


async def test_a_delayed_job_does_not_run_before_its_time(floor: Floor) -> None:
    floor.stop_time()

    @floor.job()
    async def runs(data: object) -> None: ...

    hired = await floor.hire()
    job = await floor.add("runs", delay="1m")

    await floor.later(59_999)
    hired.worker.look()
    behind = await floor.add("runs")
    await floor.reaches(behind, JobState.COMPLETED)
    assert floor.states()[job] == "delayed"

    await floor.later(1)
    await floor.reaches(job, JobState.COMPLETED)


async def test_an_expired_job_fails_and_its_handler_never_sees_it(floor: Floor) -> None:
    floor.stop_time()
    ran: list[str] = []

    @floor.job(name="sync-*")
    async def sync(data: object, job: Context) -> None:
        ran.append(job.name)

    job = await floor.add("sync-vivareal", expires="1m")
    await floor.later(60_000)

    await floor.hire()

    failed = await floor.reaches(job, JobState.FAILED)
    assert (failed.run.reason, failed.run.attempts, ran) == ("expired", 0, [])
    # Labels are bounded by what is registered: a name of a pattern is none.
    assert [f for f in floor.stats() if "vivareal" in f and not f.startswith("added")] == []
    assert floor.stats()["finished:sync-*:expired"] == 1


@pytest.mark.parametrize("whose", ["handler", "job"])
async def test_nothing_is_kept_of_a_completed_job_that_says_so(floor: Floor, whose: str) -> None:
    @floor.job(keep=False if whose == "handler" else None)
    async def forgets(data: object, job: Context) -> str:
        job.log("to be forgotten")
        return "forgotten"

    @floor.job(keep=False, attempts=1)
    async def fails(data: object) -> None:
        raise ValueError("to be remembered")

    await floor.hire()

    added = await floor.queue.add("forgets", None, keep=None if whose == "handler" else False)
    failed = await floor.add("fails")

    assert await added.result(10) == "forgotten"
    await floor.reaches(failed, JobState.FAILED)
    dump = floor.dump()
    assert set(dump.jobs) == set(dump.hashes["runs"]) == {failed.encode()}
    assert dump.hashes["logs"] == {}


# ---- what a handler may ask, say and rely on


@pytest.mark.slow
async def test_progress_and_log_lines_are_seen_while_the_job_runs(floor: Floor) -> None:
    more, go_on = asyncio.Event(), asyncio.Event()

    @floor.job()
    async def works(data: object, job: Context) -> None:
        await job.progress(0.5)
        job.log("half of it")
        await more.wait()
        job.log("more of it")
        await go_on.wait()
        job.log("all of it")

    await floor.hire()
    job = await floor.add("works")

    async def seen() -> bool:
        now = await floor.queue.get(job)
        return now is not None and now.run.progress == packed(50)

    await soon(seen, "its progress")
    assert [line.partition(" ")[2] for line in await floor.queue.logs(job)] == ["half of it"]
    more.set()

    async def more_seen() -> bool:
        return len(await floor.queue.logs(job)) == 2

    await soon(more_seen, "what it said later")
    go_on.set()
    done = await floor.reaches(job, JobState.COMPLETED)
    assert done.run.progress == packed(50)
    assert len(await floor.queue.logs(job)) == 3


async def test_what_a_thread_says_is_neither_lost_nor_doubled(floor: Floor) -> None:
    lines = LOG_LINES_PENDING_MAX // 2

    @floor.job()
    def talks(data: object, job: Context) -> None:
        pause = threading.Event()
        for i in range(lines):
            job.log(f"line {i}")
            job.progress(i / lines)
            if i % 50 == 0:
                pause.wait(0.001)

    hired = await floor.hire()
    job = await floor.add("talks")
    while hired.worker.busy or not hired.worker.turned_at:
        hired.worker.look()
        await asyncio.sleep(0)

    done = await floor.reaches(job, JobState.COMPLETED)
    said = [line.partition(" ")[2] for line in await floor.queue.logs(job)]
    assert said == [f"line {i}" for i in range(lines)]
    assert done.run.progress == packed(round((lines - 1) / lines * 100))


async def test_a_handler_that_says_too_much_is_cut_and_that_is_said(floor: Floor) -> None:
    class Much(msgspec.Struct):
        text: str

    refused: list[Exception] = []

    @floor.job()
    async def talks(data: object, job: Context) -> None:
        for _ in range(LOG_LINES_PENDING_MAX + 7):
            job.log("x")
        job.log("half a pair \ud800")
        for value in (1.01, -0.1, float("nan"), Much("x" * PROGRESS_BYTES_MAX)):
            with pytest.raises(OutOfRange) as raised:
                job.progress(value)
            refused.append(raised.value)

    await floor.hire()
    job = await floor.add("talks")

    await floor.reaches(job, JobState.COMPLETED)
    *_, last = await floor.queue.logs(job)
    assert last == "8 more lines were not kept"
    assert len(refused) == 4


async def test_half_a_surrogate_pair_in_a_log_line_costs_only_itself(floor: Floor) -> None:
    @floor.job()
    async def talks(data: object, job: Context) -> None:
        job.log("before \ud800 after")

    await floor.hire()
    job = await floor.add("talks")

    await floor.reaches(job, JobState.COMPLETED)
    (line,) = await floor.queue.logs(job)
    assert line.endswith("before ? after")


async def test_a_handler_knows_its_job_its_headers_and_what_all_share(floor: Floor) -> None:
    seen: list[Context] = []

    @floor.job(attempts=4)
    async def looks(data: object, job: Context) -> None:
        seen.append(job)

    await floor.hire(state={"pool": 1})
    added = await floor.add("looks", id="signup-17", headers={"tenant": "sol"})

    done = await floor.reaches(added, JobState.COMPLETED)
    (job,) = seen
    assert (job.id, job.queue, job.name, job.attempt, job.attempts) == (
        "signup-17", QUEUE, "looks", 1, 4,
    )  # fmt: skip
    assert (job.headers, job.state) == ({"tenant": "sol"}, {"pool": 1})
    assert job.idempotency_key == f"{QUEUE}/signup-17"
    assert int(job.claimed_at.timestamp() * 1_000) == done.run.claimed_at_ms
    assert job.added_at <= job.due_at <= job.claimed_at


async def test_middleware_wraps_each_attempt_the_first_one_outermost(floor: Floor) -> None:
    said: list[str] = []
    tenant = contextvars.ContextVar("tenant", default="nobody")

    @floor.app.middleware
    async def outer(job: Context, call_next: Callable[[], Awaitable[object]]) -> object:
        said.append("outer in")
        tenant.set("sol")
        try:
            return f"{await call_next()} and more"
        finally:
            said.append("outer out")

    @floor.app.middleware
    async def inner(job: Context, call_next: Callable[[], Awaitable[object]]) -> object:
        said.append(f"inner {job.attempt}")
        return await call_next()

    @floor.job(backoff=["1ms"])
    async def works(data: object, job: Context) -> str:
        if job.attempt == 1:
            raise ValueError("not yet")
        return "done"

    @floor.job()
    def asks(data: object) -> str:
        return tenant.get()

    await floor.hire(concurrency=1)

    added = await floor.queue.add("works", None)
    asked = await floor.queue.add("asks", None)

    assert await added.result(10) == "done and more"
    assert said[:3] == ["outer in", "inner 1", "outer out"]
    assert await asked.result(10) == "sol and more"  # its thread sees what was set around it


async def test_a_failure_is_told_once_with_its_error_when_no_attempt_is_left(floor: Floor) -> None:
    told: list[tuple[int, BaseException]] = []

    @floor.app.on_failed
    async def hook(job: Context, error: BaseException) -> None:
        told.append((job.attempt, error))

    @floor.job(attempts=2, backoff=["1ms"])
    async def fails(data: object, job: Context) -> None:
        raise ValueError(f"attempt {job.attempt}")

    await floor.hire()
    job = await floor.add("fails")

    await floor.reaches(job, JobState.FAILED)
    ((attempt, error),) = told
    assert (attempt, type(error), str(error)) == (2, ValueError, "attempt 2")


async def test_the_nearest_handler_takes_a_job(floor: Floor) -> None:
    def saying(own: str) -> Callable[[object], str]:
        def says(data: object) -> str:
            return own

        return says

    for name in ("send", "sync-*", "sync-zap-*", "*"):
        floor.job(name=name)(saying(name))
    await floor.hire()

    for name, taken_by in (
        ("send", "send"), ("sync-vivareal", "sync-*"), ("sync-zap-1", "sync-zap-*"), ("x", "*"),
    ):  # fmt: skip
        added = await floor.queue.add(name, None)
        assert await added.result(10) == taken_by
