"""Processes that die, stop, hang or hold on: what becomes of their jobs, and of the others'."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from streamq import JobState
from streamq.embedded import EmbeddedServer
from tests.support.daemons import Fleet
from tests.support.waiting import soon

pytestmark = pytest.mark.slow

LEASE_S = 1.5  # daemons.QUICK_LEASE


@pytest.fixture
async def fleet(server: EmbeddedServer, prefix: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(server.url, prefix, tmp_path) as fleet:
        yield fleet


async def test_a_job_whose_process_is_killed_runs_again_without_an_attempt(fleet: Fleet) -> None:
    daemon = await fleet.start()
    job = await fleet.add("held")
    first = await fleet.began(job)

    os.kill(first.pid, signal.SIGKILL)

    second = await fleet.began(job, 2)
    assert second.pid != first.pid
    fleet.let_go(job)
    found = await fleet.reaches(job, JobState.COMPLETED)
    assert found.run.attempts == 1
    assert daemon.said(f"process {first.pid} ended by SIGKILL")


async def test_a_killed_daemon_takes_its_children_along_and_leaves_no_orphan(
    fleet: Fleet,
) -> None:
    daemon = await fleet.start(grace="1s")
    job = await fleet.add("lasting", 60.0)
    began = await fleet.began(job)
    (child,) = daemon.children

    daemon.send(signal.SIGKILL)

    await daemon.says("its daemon has ended")
    await soon(lambda: not psutil.pid_exists(child), "the child ended", limit_s=20)
    found = await fleet.job(job)
    assert (found.state, found.run.attempts) == (JobState.WAITING, 0)
    assert began.pid == child


async def test_a_child_beats_for_itself_while_it_finishes_without_a_daemon(fleet: Fleet) -> None:
    # Another daemon is there to take the jobs of whoever is silent for a lease.
    daemon = await fleet.start()
    job = await fleet.add("holds_loop", LEASE_S * 3)
    await fleet.began(job)
    other = await fleet.start()

    daemon.send(signal.SIGKILL)

    await fleet.reaches(job, JobState.COMPLETED)
    assert len(fleet.ran(job)) == 1
    assert await other.stops() == 0


async def test_a_child_of_a_stopped_daemon_is_not_declared_dead(fleet: Fleet) -> None:
    daemon = await fleet.start()
    job = await fleet.add("held")
    await fleet.began(job)
    other = await fleet.start()

    daemon.send(signal.SIGSTOP)

    await daemon.says("its daemon was silent")
    await asyncio.sleep(LEASE_S)  # the silence lasts that long
    fleet.let_go(job)
    await fleet.reaches(job, JobState.COMPLETED)
    assert len(fleet.ran(job)) == 1
    daemon.send(signal.SIGCONT)
    # Its child has ended meanwhile, and another took its place.
    later = await fleet.add("quick")
    await fleet.reaches(later, JobState.COMPLETED)
    assert await other.stops() == 0
    assert await daemon.stops() == 0


@pytest.mark.parametrize("name", ["holds_loop", "holds_lock"])
async def test_a_handler_that_holds_the_process_for_two_leases_is_not_declared_dead(
    fleet: Fleet, name: str
) -> None:
    daemon = await fleet.start()
    other = await fleet.start()

    job = await fleet.add(name, LEASE_S * 2)
    found = await fleet.reaches(job, JobState.COMPLETED)

    assert len(fleet.ran(job)) == 1
    assert found.run.attempts == 1
    assert [await each.stops() for each in (daemon, other)] == [0, 0]


@pytest.mark.parametrize("name", ["holds_loop", "holds_lock"])
async def test_nor_is_one_that_holds_it_from_its_very_first_moment(fleet: Fleet, name: str) -> None:
    # It is claimed with the first turn: its process had no time to say who its workers are.
    job = await fleet.add(name, LEASE_S * 3)
    daemon = await fleet.start()

    await fleet.reaches(job, JobState.COMPLETED)

    assert len(fleet.ran(job)) == 1
    assert not daemon.said("is given back")
    assert await daemon.stops() == 0


async def test_a_process_stopped_for_longer_than_the_lease_loses_its_job_and_goes_on(
    fleet: Fleet,
) -> None:
    daemon = await fleet.start()
    job = await fleet.add("held")
    first = await fleet.began(job)
    other = await fleet.start()

    os.kill(first.pid, signal.SIGSTOP)
    second = await fleet.began(job, 2)
    os.kill(first.pid, signal.SIGCONT)

    assert second.pid != first.pid
    await daemon.says("the lease is lost, its attempt ends")
    await daemon.says("was declared dead; it registers anew")
    fleet.let_go(job)
    assert len(fleet.ran(job)) == 2
    assert [await each.stops() for each in (daemon, other)] == [0, 0]


async def test_a_process_stopped_for_less_than_the_lease_keeps_its_job(fleet: Fleet) -> None:
    daemon = await fleet.start(lease="3s")
    other = await fleet.start(lease="3s")
    job = await fleet.add("held")
    began = await fleet.began(job)

    for _ in range(3):
        await fleet.beats(1)
        os.kill(began.pid, signal.SIGSTOP)
        await fleet.beats(1)  # the other daemon's
        os.kill(began.pid, signal.SIGCONT)

    fleet.let_go(job)
    await fleet.reaches(job, JobState.COMPLETED)
    assert len(fleet.ran(job)) == 1
    assert [await each.stops() for each in (daemon, other)] == [0, 0]


async def test_a_hung_process_is_dumped_and_killed_and_its_job_is_suspect(fleet: Fleet) -> None:
    daemon = await fleet.start(hung="1s")

    job = await fleet.add("deadlocks")

    await daemon.says("made no progress")
    assert daemon.said("in deadlocks"), "its stacks are in the log"
    # Twice among others, once alone: then it is poison.
    found = await fleet.reaches(job, JobState.FAILED, limit_s=60)
    assert found.run.reason.startswith("poison: ")
    assert found.run.attempts == 0
    assert len(fleet.ran(job)) == 3
    assert await daemon.stops() == 0


@pytest.mark.parametrize("how", ["SIGSEGV", "7"])
async def test_poison_fails_and_its_neighbours_complete(fleet: Fleet, how: str) -> None:
    good = [await fleet.add("lasting", 0.05) for _ in range(50)]
    poison = await fleet.add("crashes", how)
    good += [await fleet.add("lasting", 0.05) for _ in range(49)]

    daemon = await fleet.start()

    failed = await fleet.reaches(poison, JobState.FAILED, limit_s=60)
    assert failed.run.reason.startswith("poison: ")
    cause = how if how.startswith("SIG") else f"exit code {how}"
    assert failed.run.errors[-1].message == f"its process ended by {cause}"
    for job in good:
        found = await fleet.reaches(job, JobState.COMPLETED, limit_s=60)
        assert found.run.attempts == 1
    assert len(fleet.ran(poison)) == 3
    assert await daemon.stops() == 0


async def test_a_kill_from_outside_makes_no_job_suspect(fleet: Fleet) -> None:
    daemon = await fleet.start()
    job = await fleet.add("held")

    for time in range(1, 4):
        began = await fleet.began(job, time)
        os.kill(began.pid, signal.SIGKILL)

    await fleet.began(job, 4)
    fleet.let_go(job)
    assert not daemon.said("suspects")
    assert await daemon.stops() == 0


async def test_a_process_that_dies_again_and_again_is_started_with_growing_pauses(
    fleet: Fleet,
) -> None:
    daemon = await fleet.start()

    for pause in ("0.5", "1.0", "2.0"):
        await soon(lambda: bool(daemon.children), "a child")
        os.kill(daemon.children[0], signal.SIGKILL)
        await daemon.says(f"its successor starts in {pause} s")
        await soon(lambda: not daemon.children, "its end")

    await soon(lambda: bool(daemon.children), "a child")
    assert await daemon.stops() == 0


async def test_term_to_a_child_ends_it_in_order_and_another_takes_its_place(fleet: Fleet) -> None:
    daemon = await fleet.start()
    job = await fleet.add("held")
    began = await fleet.began(job)

    os.kill(began.pid, signal.SIGTERM)

    await soon(lambda: len(daemon.children) == 2, "its successor, beside it")
    fleet.let_go(job)
    await fleet.reaches(job, JobState.COMPLETED)
    await soon(lambda: began.pid not in daemon.children, "its end")
    assert len(fleet.ran(job)) == 1
    assert await daemon.stops() == 0
