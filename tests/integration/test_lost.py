"""Replies that are lost, requests that come late, links that break: what a worker makes of them.

No job is lost, none is settled twice, none runs twice while its worker lives, and no lease is left
that nobody knows of.
"""

import asyncio
import logging

import pytest

from streamq import JobState
from streamq.store import transitions
from tests.support.journal import Journal, at_work
from tests.support.waiting import soon
from tests.support.workers import Floor, sha

STEP, RESYNC, REGISTER, ADD = map(sha, ("step", "resync", "register", "add"))
REAL_TIME_OUT_S = 10.0  # of a call: see streamq/store/client.py


@pytest.fixture
def journal(floor: Floor) -> Journal:
    return Journal(floor)


# ---- the reply of a step


async def test_a_job_whose_claim_was_never_told_runs_once(floor: Floor, journal: Journal) -> None:
    async with at_work(floor) as (_, proxy):
        fault = proxy.drop_reply(STEP)

        job = await floor.add("quick")

        await fault.struck()
        await floor.reaches(job, JobState.COMPLETED)
        assert journal.ran == [(job, 1)]


async def test_an_outcome_whose_answer_was_never_told_counts_once(
    floor: Floor, journal: Journal
) -> None:
    async with at_work(floor) as (hired, proxy):
        job = await floor.add("lasts")
        await soon(lambda: bool(journal.ran), "it runs")
        fault = proxy.drop_reply(STEP)

        journal.go_on.set()

        await fault.struck()
        after = await floor.add("quick")
        await floor.reaches(after, JobState.COMPLETED)
        assert journal.ran == [(job, 1), (after, 1)]
        assert (floor.stats()["completed"], hired.worker.busy) == (2, 0)


async def test_a_retry_that_was_settled_and_claimed_again_unheard_runs_its_second_attempt(
    floor: Floor, journal: Journal
) -> None:
    """One lost reply says both: the outcome was taken, and the same job was given out again."""
    async with at_work(floor) as (_, proxy):
        fault = proxy.drop_reply(STEP, nth=2)  # the first one claims it

        job = await floor.add("again")

        await fault.struck()
        await soon(lambda: len(journal.ran) == 2, "its second attempt")
        journal.go_on.set()
        done = await floor.reaches(job, JobState.COMPLETED)
        assert journal.ran == [(job, 1), (job, 2)]
        assert (done.run.attempts, len(done.run.errors)) == (2, 1)


async def test_a_lost_resync_is_asked_again(floor: Floor, journal: Journal) -> None:
    async with at_work(floor) as (_, proxy):
        faults = [proxy.drop_reply(STEP), proxy.drop_reply(RESYNC), proxy.drop_reply(RESYNC, nth=2)]

        job = await floor.add("quick")

        for fault in faults:
            await fault.struck()
        await floor.reaches(job, JobState.COMPLETED)
        assert journal.ran == [(job, 1)]


async def test_claims_come_back_by_a_resync_whatever_their_number(
    floor: Floor, journal: Journal
) -> None:
    async with at_work(floor, concurrency=100) as (hired, proxy):
        await floor.queue.pause()
        jobs = [await floor.add("quick", "x" * 20_000) for _ in range(100)]
        fault, other = proxy.drop_reply(STEP), proxy.drop_reply(STEP, nth=2)

        await floor.queue.resume()

        await fault.struck()
        await other.struck()
        await floor.all_reach(JobState.COMPLETED, 100)
        assert sorted(journal.ran) == sorted((job, 1) for job in jobs)
        assert hired.worker.busy == 0


async def test_a_claim_that_is_found_after_stop_is_handed_back_unrun(
    floor: Floor, journal: Journal
) -> None:
    async with at_work(floor) as (hired, proxy):
        runs = await floor.add("lasts")
        await soon(lambda: bool(journal.ran), "it runs")
        proxy.drop_reply(STEP)
        held = proxy.hold_request(RESYNC)
        job = await floor.add("quick")
        await held.struck()

        hired.worker.stop()

        await floor.reaches(job, JobState.WAITING)
        journal.go_on.set()
        await hired.leaves()
        assert journal.ran == [(runs, 1)]
        assert floor.states() == {runs: "completed", job: "waiting"}


@pytest.mark.parametrize("when", ["while it runs", "when it has ended"])
async def test_what_a_job_said_during_a_turn_that_failed_is_not_lost(
    floor: Floor, journal: Journal, when: str
) -> None:
    async with at_work(floor) as (hired, proxy):
        job = await floor.add("lasts")
        await soon(lambda: bool(journal.ran), "it runs")
        fault = proxy.blackhole(STEP)  # the turn that carries its first line
        await fault.struck()

        if when == "when it has ended":
            journal.go_on.set()
            await soon(lambda: not hired.worker.running, "it has ended")
        proxy.heal()
        steps = proxy.seen.count("step")
        await soon(lambda: proxy.seen.count("step") > steps, "the next turn")
        journal.go_on.set()

        await floor.reaches(job, JobState.COMPLETED)
        said = [line.partition(" ")[2] for line in await floor.queue.logs(job)]
        assert said == ["it begins", "it ends"]


# ---- late copies


async def test_a_late_copy_of_a_step_does_nothing(floor: Floor, journal: Journal) -> None:
    """H19: after the resync it is stale, and its outcomes are settled by the turn that follows."""
    async with at_work(floor) as (_, proxy):
        jobs = [await floor.add("lasts") for _ in range(2)]
        await soon(lambda: len(journal.ran) == 2, "they run")
        first, second = proxy.hold_request(STEP), proxy.hold_request(STEP, nth=2)

        journal.go_on.set()

        await first.struck()
        await second.struck()  # after a resync: with the same outcomes
        assert (await first.release()).startswith(b"-STALE")
        for job in jobs:
            await floor.reaches(job, JobState.COMPLETED)
        assert (await second.release()).startswith(b"-STALE")
        after = await floor.add("quick")
        await floor.reaches(after, JobState.COMPLETED)
        assert floor.stats()["completed"] == 3


async def test_a_step_that_lands_before_its_resync_is_taken_and_known_of(
    floor: Floor, journal: Journal
) -> None:
    async with at_work(floor) as (_, proxy):
        job = await floor.add("lasts")
        await soon(lambda: bool(journal.ran), "it runs")
        step, resync = proxy.hold_request(STEP), proxy.hold_request(RESYNC)
        proxy.hold_request(RESYNC, nth=2)

        journal.go_on.set()
        await resync.struck()
        taken = await step.release()
        late = await resync.release()

        assert taken.startswith(b"*")
        assert late.startswith((b"*", b"-STALE"))  # as the third one came before it, or after
        await floor.reaches(await floor.add("quick"), JobState.COMPLETED)
        await floor.reaches(job, JobState.COMPLETED)
        assert floor.stats()["completed"] == 2


async def test_a_late_copy_of_a_register_changes_nothing_for_the_worker(
    floor: Floor, journal: Journal
) -> None:
    async with floor.proxy() as proxy:
        held, lost = proxy.hold_request(REGISTER), proxy.drop_reply(REGISTER, nth=2)
        hired = await floor.hire(url=proxy.url)
        await lost.struck()
        (worker,) = hired.worker.ids

        await held.release()

        rows = floor.dump().hashes["workers"]
        assert len(rows) == 3 and rows[worker.encode()].startswith(b"+")
        job = await floor.add("quick")
        await floor.reaches(job, JobState.COMPLETED)
        assert journal.ran == [(job, 1)]
        # Nobody beats for the rows of those that were never answered: they go as the dead do.
        for row in rows:
            if row.decode() != worker:
                await transitions.reap(
                    floor.link(), type(worker)(row.decode()), lease_ms=0, seen=True
                )
        await hired.leaves()


@pytest.mark.parametrize("late", [False, True])
async def test_a_job_whose_add_was_never_answered_runs_once_though_nothing_is_kept_of_it(
    floor: Floor, journal: Journal, late: bool
) -> None:
    await floor.hire()
    async with floor.proxy() as proxy:
        producer = floor.another_app(proxy.url)
        producer.declare_queue("q")
        await producer.queue("q").add("quick", None, id="first", keep=False)
        fault = proxy.hold_request(ADD) if late else proxy.drop_reply(ADD)

        added = await producer.queue("q").add("quick", None, id="second", keep=False)
        if late:
            await fault.release()

        await soon(lambda: not floor.states(), "both have run, and are gone")
        assert journal.ran == [("first", 1), ("second", 1)]
        assert not added.existed
        await producer.close()


# ---- links


@pytest.mark.parametrize("verb", ["reset", "drop_reply", "hold_request"])
@pytest.mark.slow
async def test_a_link_that_breaks_at_every_few_requests_loses_nothing(
    floor: Floor, journal: Journal, verb: str
) -> None:
    async with at_work(floor) as (_, proxy):
        for nth in (1, 2, 4, 7, 8, 12):
            getattr(proxy, verb)(STEP, nth=nth)
        for nth in (2, 5, 6):
            getattr(proxy, verb)(RESYNC, nth=nth)

        jobs = [await floor.add("quick") for _ in range(40)]

        await floor.all_reach(JobState.COMPLETED, 40)
        assert sorted(journal.ran) == sorted((job, 1) for job in jobs)


async def test_replies_cut_into_single_bytes_are_read_whole(floor: Floor, journal: Journal) -> None:
    async with floor.proxy() as proxy:
        proxy.slice()
        hired = await floor.hire(url=proxy.url)

        jobs = [await floor.add("quick", "x" * 100) for _ in range(20)]

        await floor.all_reach(JobState.COMPLETED, 20)
        assert sorted(journal.ran) == sorted((job, 1) for job in jobs)
        await hired.leaves()


@pytest.mark.slow
async def test_a_link_whose_other_end_is_gone_unnoticed_is_given_up_after_its_time(
    floor: Floor, journal: Journal
) -> None:
    async with at_work(floor) as (_, proxy):
        fault = proxy.half_open(STEP)

        job = await floor.add("quick")

        await fault.struck()
        await floor.reaches(job, JobState.COMPLETED, limit_s=REAL_TIME_OUT_S * 2)
        assert journal.ran == [(job, 1)]


async def test_what_runs_while_redis_is_away_is_settled_when_it_is_back(
    floor: Floor, journal: Journal
) -> None:
    async with at_work(floor) as (hired, proxy):
        jobs = [await floor.add("lasts") for _ in range(3)]
        await soon(lambda: len(journal.ran) == 3, "they run")

        proxy.down()
        journal.go_on.set()
        await soon(lambda: not hired.worker.running, "they have ended")
        assert set(floor.states().values()) == {"active"}
        proxy.heal()

        for job in jobs:
            await floor.reaches(job, JobState.COMPLETED)
        assert len(journal.ran) == 3


async def test_a_worker_that_starts_without_redis_waits_for_it(
    floor: Floor, journal: Journal
) -> None:
    async with floor.proxy() as proxy:
        proxy.down()
        hiring = asyncio.create_task(floor.hire(url=proxy.url))
        job = await floor.add("quick")
        await soon(lambda: len(floor.hired) == 1, "it starts")
        proxy.heal()

        await hiring
        await floor.reaches(job, JobState.COMPLETED)
        await floor.hired[0].leaves()


async def test_an_idle_worker_stops_at_once_though_redis_is_away(
    floor: Floor, journal: Journal
) -> None:
    async with at_work(floor) as (hired, proxy):
        (worker,) = hired.worker.ids
        proxy.down()

        await hired.leaves(limit_s=5)

        await transitions.reap(floor.link(), worker, lease_ms=0, seen=True)


async def test_a_worker_that_stops_while_redis_is_away_hands_in_what_has_ended(
    floor: Floor, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    async with at_work(floor) as (hired, proxy):
        job = await floor.add("lasts")
        await soon(lambda: bool(journal.ran), "it runs")
        proxy.down()
        journal.go_on.set()
        await soon(lambda: not hired.worker.running, "it has ended")

        caplog.set_level(logging.DEBUG, "streamq.worker")
        leaving = asyncio.create_task(hired.leaves())
        await soon(lambda: sum("waits" in r.message for r in caplog.records) >= 3, "it tried")
        assert not leaving.done()
        proxy.heal()

        await leaving
        assert floor.states() == {job: "completed"}
