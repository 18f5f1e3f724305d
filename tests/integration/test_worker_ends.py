"""How an attempt ends: by itself, by its time, by an operator, or in ways nobody thought of.

Whatever a handler does, its job comes to a state, its slot is free again, and its neighbours run.
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from streamq import Context, Fail, JobState
from streamq.run import execute
from streamq.run.judge import RESULT_BYTES_MAX
from tests.support.waiting import soon
from tests.support.workers import LIMIT_S, Floor


class Unspeakable(Exception):
    """Its own text cannot be had."""

    def __str__(self) -> str:
        raise AttributeError("no such field")


class NotAnException(BaseException):
    """What some libraries raise to get past `except Exception`."""


# ---- whatever a handler raises

RAISED = [
    ValueError("no"),
    Unspeakable(),
    NotAnException("past you"),
    SystemExit(3),
    ExceptionGroup("many", [ValueError("one"), KeyError("two")]),
    BaseExceptionGroup("worse", [SystemExit(1)]),
    StopIteration(),
    RuntimeError("half a pair: \ud800"),
    Fail("half a pair: \ud800"),
    Fail(7),  # type: ignore[arg-type]  # whatever a handler hands in
    asyncio.CancelledError(),
    TimeoutError("its own"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_whatever_a_handler_raises_its_job_is_failed_and_its_slot_free(
    floor: Floor, error: BaseException, kind: str
) -> None:
    async def in_loop(data: object) -> None:
        raise error

    def in_thread(data: object) -> None:
        raise error

    floor.job(name="raises", attempts=1)(in_loop if kind == "async" else in_thread)
    hired = await floor.hire()

    job = await floor.add("raises")

    await floor.settles_and_frees(hired, job, JobState.FAILED)
    assert not hired.run.done()


async def test_a_backoff_that_raises_loses_no_job(floor: Floor) -> None:
    def choose(attempt: int, error: Exception) -> str:
        raise AttributeError("a mistake of the application's")

    @floor.job(attempts=2, backoff=choose)
    async def fails(data: object) -> None:
        raise ValueError("no")

    hired = await floor.hire()

    job = await floor.add("fails")

    await floor.settles_and_frees(hired, job, JobState.DELAYED)
    assert any("backoff raised AttributeError" in line for line in await floor.queue.logs(job))
    errors = (await floor.reaches(job, JobState.DELAYED)).run.errors
    assert [e.type for e in errors] == ["ValueError"]


async def test_a_failure_hook_that_raises_loses_no_job_and_no_other_hook(floor: Floor) -> None:
    called: list[str] = []

    async def raises(job: Context, error: BaseException) -> None:
        called.append("raises")
        raise SystemExit(1)

    def plain(job: Context, error: BaseException) -> None:
        called.append("plain")

    async def fine(job: Context, error: BaseException) -> None:
        called.append(type(error).__name__)

    for hook in (raises, plain, fine):
        floor.app.on_failed(hook)  # type: ignore[type-var]  # one is no coroutine: an easy mistake

    @floor.job(attempts=1)
    async def fails(data: object) -> None:
        raise ValueError("no")

    hired = await floor.hire()

    job = await floor.add("fails")

    await floor.settles_and_frees(hired, job, JobState.FAILED)
    assert sorted(called) == ["ValueError", "plain", "raises"]


async def test_a_failure_hook_that_never_ends_keeps_no_job_for_ever(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "HOOKS_LIMIT_S", 0.1)

    @floor.app.on_failed
    async def hangs(job: Context, error: BaseException) -> None:
        await asyncio.Event().wait()

    @floor.job(attempts=1)
    async def fails(data: object) -> None:
        raise ValueError("no")

    hired = await floor.hire()

    job = await floor.add("fails")

    await floor.settles_and_frees(hired, job, JobState.FAILED)


async def test_a_job_cancelled_while_its_failure_is_told_is_failed(floor: Floor) -> None:
    told, go_on = asyncio.Event(), asyncio.Event()

    @floor.app.on_failed
    async def hook(job: Context, error: BaseException) -> None:
        told.set()
        await go_on.wait()

    @floor.job(attempts=1)
    async def fails(data: object) -> None:
        raise ValueError("no")

    hired = await floor.hire()
    job = await floor.add("fails")
    await told.wait()

    hired.worker.cancel_job(job)
    go_on.set()

    await floor.settles_and_frees(hired, job, JobState.FAILED)


# ---- what a handler returns


class Odd:
    """No bytes can carry it."""


@pytest.mark.parametrize("result", [Odd(), "\ud800", 2**70, b"x" * (RESULT_BYTES_MAX + 1)])
async def test_a_result_that_cannot_be_kept_is_said_and_the_job_is_done(
    floor: Floor, result: object
) -> None:
    @floor.job()
    async def returns(data: object) -> object:
        return result

    hired = await floor.hire()

    job = await floor.add("returns")

    await floor.settles_and_frees(hired, job, JobState.COMPLETED)
    assert (await floor.reaches(job, JobState.COMPLETED)).run.result is None
    (line,) = await floor.queue.logs(job)
    assert "the result was not kept" in line


async def test_an_async_function_behind_a_plain_decorator_really_runs(floor: Floor) -> None:
    def decorated(function: Callable[..., object]) -> Callable[..., object]:
        return lambda data: function(data)

    async def works(data: object) -> str:
        await asyncio.sleep(0)
        return "worked"

    floor.job(name="works")(decorated(works))
    await floor.hire()

    job = await floor.add("works")

    done = await floor.reaches(job, JobState.COMPLETED)
    assert done.run.result == msgspec.msgpack.encode("worked")


# ---- what it leaves behind


async def test_a_folder_of_its_own_goes_with_the_attempt(floor: Floor) -> None:
    folders: list[Path] = []

    @floor.job(attempts=1)
    async def writes(data: object, job: Context) -> None:
        folders.append(job.tempdir)
        (job.tempdir / "file").write_text("text")
        raise Fail("no more")

    hired = await floor.hire()

    job = await floor.add("writes")

    await floor.settles_and_frees(hired, job, JobState.FAILED)
    assert not folders[0].exists()


async def test_a_folder_stays_as_long_as_a_thread_writes_in_it(floor: Floor) -> None:
    go_on, wrote = threading.Event(), threading.Event()
    folders: list[Path] = []

    @floor.job(timeout="50ms", attempts=1)
    def writes(data: object, job: Context) -> None:
        folders.append(job.tempdir)
        go_on.wait(LIMIT_S)
        (job.tempdir / "file").write_text("text")
        wrote.set()

    hired = await floor.hire()
    job = await floor.add("writes")
    await floor.reaches(job, JobState.FAILED)

    assert folders[0].exists()
    go_on.set()

    await soon(lambda: hired.worker.busy == 0, "the thread has ended")
    assert wrote.is_set()
    assert not folders[0].exists()
