"""Leases that another one has: attempts end, their outcomes are refused, and no job is lost."""

import asyncio

import pytest

from streamq import Context, JobState
from streamq.job import JobId
from streamq.store import transitions
from tests.support.journal import Journal, at_work
from tests.support.waiting import soon
from tests.support.workers import Floor


@pytest.fixture
def journal(floor: Floor) -> Journal:
    return Journal(floor)


async def test_a_worker_declared_dead_ends_what_it_runs_and_begins_anew(
    floor: Floor, journal: Journal
) -> None:
    hired = await floor.hire(concurrency=1)
    (before,) = hired.worker.ids
    job = await floor.add("lasts")
    await soon(lambda: bool(journal.ran), "it runs")

    await transitions.reap(floor.link(), before, lease_ms=0, seen=True)
    hired.worker.heard_gone(frozenset([before]))

    # Its one slot is free for the second attempt only when the first one has ended.
    await soon(lambda: len(journal.ran) == 2, "it runs again")
    assert journal.cancelled == [job]
    (after,) = hired.worker.ids
    assert after != before
    assert hired.worker.busy == 1
    journal.go_on.set()
    done = await floor.reaches(job, JobState.COMPLETED)
    assert (done.run.worker, done.run.attempts) == (after, 1)
    assert floor.stats()["lease_lost"] == 1


async def test_the_outcome_of_a_lost_lease_is_refused(floor: Floor, journal: Journal) -> None:
    slow = await floor.hire(concurrency=1)
    job = await floor.add("lasts")
    await soon(lambda: bool(journal.ran), "it runs")
    (worker,) = slow.worker.ids
    await transitions.reap(floor.link(), worker, lease_ms=0, seen=True)
    # As one whose process stood still: it does not know yet, and ends its job.
    other = await floor.hire(concurrency=1)
    await soon(lambda: len(journal.ran) == 2, "another one has it")

    journal.go_on.set()

    done = await floor.reaches(job, JobState.COMPLETED)
    await soon(lambda: slow.worker.ids != [worker], "it registered anew")
    assert done.run.worker in other.worker.ids
    assert floor.stats()["completed"] == 1


async def test_a_job_that_repair_took_away_and_gave_again_runs_once_at_a_time(
    floor: Floor, journal: Journal
) -> None:
    hired = await floor.hire()
    job = await floor.add("lasts")
    await soon(lambda: bool(journal.ran), "it runs")

    await _take_away(floor, job)

    await soon(lambda: len(journal.ran) == 2, "it runs again")
    await soon(lambda: journal.cancelled == [job], "the first attempt is ended")
    await soon(lambda: hired.worker.busy == 1, "and its slot is free")
    journal.go_on.set()
    await floor.reaches(job, JobState.COMPLETED)
    assert floor.stats()["completed"] == 1


async def test_an_outcome_that_is_refused_does_not_hold_up_the_batch_that_it_came_in(
    floor: Floor, journal: Journal
) -> None:
    async with at_work(floor) as (mine, proxy):
        lost, kept = await floor.add("lasts"), await floor.add("lasts")
        await soon(lambda: len(journal.ran) == 2, "they run")
        mine.worker.quiet()
        await _take_away(floor, lost)
        other = await floor.hire()
        await soon(lambda: len(journal.ran) == 3, "another one has it")
        steps, resyncs = proxy.seen.count("step"), proxy.seen.count("resync")

        journal.go_on.set()

        for job in (lost, kept):
            done = await floor.reaches(job, JobState.COMPLETED)
            assert (done.run.worker in other.worker.ids) is (job == lost)
        await soon(lambda: mine.worker.idle, "both outcomes are gone")
        # Refused, and sent again without the one: no resync was needed for it.
        assert proxy.seen.count("resync") == resyncs
        assert proxy.seen.count("step") <= steps + 4
        assert floor.stats()["completed"] == 2


async def test_an_attempt_whose_lease_another_one_has_ends_as_soon_as_it_says_something(
    floor: Floor,
) -> None:
    ended: list[str] = []
    speak, go_on = asyncio.Event(), asyncio.Event()

    began: list[str] = []

    @floor.job()
    async def talks(data: object, job: Context) -> None:
        began.append(job._claim.worker)
        try:
            if len(began) == 1:
                await speak.wait()
                job.log("I am still here")
            await go_on.wait()
        except asyncio.CancelledError:
            ended.append(job._claim.worker)
            raise

    mine = await floor.hire()
    job = await floor.add("talks")
    await soon(lambda: mine.worker.busy == 1, "it runs")
    mine.worker.quiet()
    (worker,) = mine.worker.ids
    await _take_away(floor, job)
    other = await floor.hire()
    await soon(lambda: other.worker.busy == 1, "another one has it")

    speak.set()

    await soon(lambda: ended == [worker], "the first attempt was ended")
    go_on.set()
    done = await floor.reaches(job, JobState.COMPLETED)
    assert done.run.worker in other.worker.ids
    assert await floor.queue.logs(job) == []


async def _take_away(floor: Floor, job: JobId) -> None:
    """Its lease and entry vanish and it waits again, as after a fault: its worker is not asked."""
    lease = floor.dump().hashes["leases"][job.encode()]
    entry, line, *_ = lease.decode().split("|")
    floor.raw.xack(floor.keys.lines[line], "workers", entry)
    floor.raw.xdel(floor.keys.lines[line], entry)
    floor.raw.hdel(floor.keys.names["leases"], job)
    await transitions.repair(floor.link(), "jobs", [job])
