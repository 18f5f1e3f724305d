"""`on_failed` for jobs that failed for good though no handler of theirs raised."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from streamq import Context, JobState
from streamq.embedded import EmbeddedServer
from tests.support.waiting import soon
from tests.support.workers import Floor


@pytest.fixture
async def floor(server: EmbeddedServer, prefix: str) -> AsyncIterator[Floor]:
    async with Floor(server, prefix) as floor:
        yield floor


class Hook:
    """What the application was told: id, name, attempt, and the error's type and text."""

    def __init__(self, floor: Floor) -> None:
        self.told: list[tuple[str, str, int, str]] = []
        floor.app.on_failed(self.hear)

    async def hear(self, job: Context, error: BaseException) -> None:
        assert job.tempdir.is_dir()
        self.told.append((job.id, job.name, job.attempt, f"{type(error).__name__}: {error}"))


async def test_a_job_that_expired_before_it_began_is_told(floor: Floor) -> None:
    hook = Hook(floor)

    @floor.job()
    async def comes_late(data: object) -> None: ...

    job = await floor.add("comes_late", expires=timedelta(milliseconds=1), headers={"tenant": "a"})
    hired = await floor.hire()

    await floor.settles_and_frees(hired, job, JobState.FAILED)
    assert hook.told == [(job, "comes_late", 1, "Fail: expired")]


async def test_an_expired_job_whose_name_nobody_knows_is_told_too(floor: Floor) -> None:
    hook = Hook(floor)

    @floor.job()
    async def runs(data: object) -> None: ...

    job = await floor.add("nobodys", expires=timedelta(milliseconds=1))

    hired = await floor.hire()

    await floor.settles_and_frees(hired, job, JobState.FAILED)
    assert hook.told == [(job, "nobodys", 1, "Fail: expired")]


async def test_a_hook_that_hangs_on_an_expired_job_keeps_no_other_from_running(
    floor: Floor,
) -> None:
    go_on = asyncio.Event()

    @floor.app.on_failed
    async def hangs(job: Context, error: BaseException) -> None:
        await go_on.wait()

    @floor.job()
    async def runs(data: object) -> None: ...

    late = await floor.add("runs", expires=timedelta(milliseconds=1))
    await floor.hire(concurrency=2)
    await floor.reaches(await floor.add("runs"), JobState.COMPLETED)

    go_on.set()
    await floor.reaches(late, JobState.FAILED)


@pytest.mark.parametrize("how", ["cancel", "remove"])
async def test_a_flag_that_is_met_when_an_attempt_is_handed_in_is_told_once(
    floor: Floor, how: str
) -> None:
    hook = Hook(floor)
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

    await (floor.queue.cancel(job) if how == "cancel" else floor.queue.remove(job))
    go_on.set()

    await soon(lambda: floor.states() in ({}, {job: "failed"}), "it has ended")
    await soon(lambda: bool(hook.told), "the hook is told")
    assert hook.told == [(job, "fails", 2, "Fail: cancelled")]


@pytest.mark.parametrize("end", ["returns", "raises"])
async def test_a_flag_that_comes_too_late_is_not_told_a_second_time(floor: Floor, end: str) -> None:
    hook = Hook(floor)
    began, go_on = asyncio.Event(), asyncio.Event()

    @floor.job(attempts=1)
    async def works(data: object) -> None:
        began.set()
        await go_on.wait()
        if end == "raises":
            raise ValueError("no")

    hired = await floor.hire()
    job = await floor.add("works")
    await began.wait()

    await floor.queue.cancel(job)
    go_on.set()
    await floor.settles_and_frees(
        hired, job, JobState.COMPLETED if end == "returns" else JobState.FAILED
    )
    await hired.leaves()

    assert hook.told == ([] if end == "returns" else [(job, "works", 1, "ValueError: no")])
