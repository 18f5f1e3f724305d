"""The turn that an idle worker sends ahead (see test_ahead.py): lost, late, crossed by others.

Two turns of one lane are under way then, of one number, on two connections: Redis takes one.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from streamq import JobState
from streamq.errors import ScriptFault
from streamq.job import Claim
from streamq.run import worker as worker_module
from streamq.store import transitions
from tests.support.journal import Journal, at_work
from tests.support.proxy import Fault
from tests.support.waiting import soon
from tests.support.workers import Floor, Hired, Watched, sha

STEP = sha("step")
AHEAD = 2  # the second turn of a worker that begins: the first one finds nothing


@pytest.fixture
def journal(floor: Floor) -> Journal:
    return Journal(floor)


@pytest.fixture
async def proxy(floor: Floor) -> AsyncIterator[Watched]:
    async with floor.proxy() as proxy:
        yield proxy


async def _asleep(floor: Floor, proxy: Watched) -> Hired:
    """A worker that sent its turn ahead and sleeps."""
    hired = await floor.hire(url=proxy.url)
    await soon(lambda: proxy.seen[-2:] == ["BLPOP", "step"], "it sleeps, and a turn is ahead")
    return hired


async def test_a_claim_made_ahead_that_was_never_told_runs_once(
    floor: Floor, journal: Journal, proxy: Watched
) -> None:
    fault = proxy.drop_reply(STEP, nth=AHEAD)
    hired = await _asleep(floor, proxy)

    job = await floor.add("quick")

    await fault.struck()
    await floor.reaches(job, JobState.COMPLETED)
    assert journal.ran == [(job, 1)]
    await hired.leaves()


@pytest.mark.slow
async def test_a_claim_made_ahead_over_a_dead_link_is_found_by_the_next_turn(
    floor: Floor, journal: Journal, proxy: Watched
) -> None:
    fault = proxy.drop_reply(STEP, nth=AHEAD, hang=True)
    hired = await _asleep(floor, proxy)
    job = await floor.add("quick")
    await fault.struck()

    hired.worker.look()  # its own timer, a beat: whatever makes it turn

    await floor.reaches(job, JobState.COMPLETED)
    assert journal.ran == [(job, 1)]
    proxy.heal()
    await hired.leaves()


async def test_a_turn_sent_ahead_that_arrives_late_does_nothing(
    floor: Floor, journal: Journal, proxy: Watched
) -> None:
    """H19, for the second connection."""
    held: Fault = proxy.hold_request(STEP, nth=AHEAD)
    hired = await floor.hire(url=proxy.url)
    await held.struck()
    await soon(lambda: "resync" in proxy.seen, "it asked what it holds")
    first = await floor.add("quick")  # its token goes to the pop that nobody hears any more
    hired.worker.look()
    await floor.reaches(first, JobState.COMPLETED)

    late = await held.release()

    assert b"-STALE" in late
    after = await floor.add("quick")
    hired.worker.look()
    await floor.reaches(after, JobState.COMPLETED)
    assert sorted(journal.ran) == [(first, 1), (after, 1)]
    await hired.leaves()


async def test_turns_that_cross_run_each_job_once(floor: Floor, journal: Journal) -> None:
    hired = await floor.hire(concurrency=20)
    jobs = []
    for i in range(150):
        if i % 2:
            hired.worker.look()
        jobs.append(await floor.add("quick"))
        if i % 3 == 0:
            hired.worker.look()
        if i % 5 == 0:
            await floor.reaches(jobs[-1], JobState.COMPLETED)

    await floor.all_reach(JobState.COMPLETED, 150)
    assert sorted(journal.ran) == sorted((job, 1) for job in jobs)


async def test_a_turn_sent_ahead_of_a_pause_claims_nothing_after_it(
    floor: Floor, journal: Journal, proxy: Watched
) -> None:
    hired = await _asleep(floor, proxy)
    await floor.queue.pause()

    job = await floor.add("quick")
    proxy.cut()  # Redis drops the pop, and carries out what stands behind it
    await floor.beat()

    assert (journal.ran, floor.states()) == ([], {job: "waiting"})
    await floor.queue.resume()
    await floor.reaches(job, JobState.COMPLETED)
    await hired.leaves()


async def test_a_turn_sent_ahead_by_a_worker_declared_dead_claims_nothing(
    floor: Floor, journal: Journal, proxy: Watched
) -> None:
    hired = await _asleep(floor, proxy)
    (before,) = hired.worker.ids
    await transitions.reap(floor.link(), before, lease_ms=0, seen=True)

    job = await floor.add("quick")  # and nobody tells it but that turn

    await floor.reaches(job, JobState.COMPLETED)
    assert journal.ran == [(job, 1)]
    assert hired.worker.ids != [before]
    await hired.leaves()


@pytest.mark.slow
async def test_a_fault_of_a_turn_sent_ahead_is_followed_by_a_resync(
    floor: Floor, journal: Journal
) -> None:
    async with at_work(floor, ahead=True) as (hired, proxy):
        (lane,) = hired.worker._lanes
        resyncs = proxy.seen.count("resync")

        lane.hear_ahead(ScriptFault("step", 1, "a part of it may have been done"))

        await soon(lambda: proxy.seen.count("resync") > resyncs, "it asks what it holds")


async def test_an_error_that_nobody_foresaw_as_its_claims_begin_loses_none_of_them(
    floor: Floor, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "FAULT_PAUSE_S", 0.05)
    async with at_work(floor, ahead=True) as (hired, _):
        (lane,) = hired.worker._lanes
        begin, faults = lane.begin, iter([ZeroDivisionError("a fault of ours")])

        def faulty(claim: Claim) -> None:
            if (fault := next(faults, None)) is not None:
                raise fault
            begin(claim)

        monkeypatch.setattr(lane, "begin", faulty)
        jobs = [await floor.add("quick") for _ in range(3)]

        await floor.all_reach(JobState.COMPLETED, 3)
    assert next(faults, None) is None
    assert sorted(journal.ran) == sorted((job, 1) for job in jobs)


async def test_sleeps_that_are_cut_all_the_time_run_each_job_once(
    floor: Floor, journal: Journal, proxy: Watched
) -> None:
    hired = await floor.hire(url=proxy.url)
    jobs = []
    async with floor.beating():
        for i in range(30):
            jobs.append(await floor.add("quick"))
            if i % 3 == 0:
                proxy.cut()
            await asyncio.sleep(0)
        await floor.all_reach(JobState.COMPLETED, 30)

    assert sorted(journal.ran) == sorted((job, 1) for job in jobs)
    await hired.leaves()
