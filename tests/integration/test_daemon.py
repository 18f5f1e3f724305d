"""A daemon from its start to its end: real processes, told by signals."""

import fcntl
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from streamq import JobState
from streamq.embedded import EmbeddedServer
from tests.support import handlers
from tests.support.daemons import Fleet
from tests.support.waiting import soon

pytestmark = pytest.mark.slow

LONG_BACKOFF = '{ kind = "fixed", delay = "1h" }'


@pytest.fixture
async def fleet(server: EmbeddedServer, prefix: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(server.url, prefix, tmp_path) as fleet:
        yield fleet


async def test_a_job_runs_and_the_lines_are_those_of_the_console(fleet: Fleet) -> None:
    daemon = await fleet.start()

    job = await fleet.add("quick")
    await fleet.reaches(job, JobState.COMPLETED)

    assert await daemon.stops() == 0
    for line in (
        f"[QueueManager] Queue '{handlers.QUEUE}' initialized",
        f"[Worker:{handlers.QUEUE}] Processing job {job}",
        f"[Worker:{handlers.QUEUE}] Job {job} completed successfully",
    ):
        assert line in daemon.log.splitlines()


async def test_term_lets_a_running_job_end(fleet: Fleet) -> None:
    daemon = await fleet.start()
    job = await fleet.add("held")
    await fleet.began(job)

    daemon.send(signal.SIGTERM)
    await daemon.says("no more jobs are taken")
    fleet.let_go(job)

    assert await daemon.ends() == 0
    assert (await fleet.job(job)).state is JobState.COMPLETED
    assert len(fleet.ran(job)) == 1


async def test_after_term_nothing_more_is_taken(fleet: Fleet) -> None:
    daemon = await fleet.start()
    running = await fleet.add("held")
    await fleet.began(running)

    daemon.send(signal.SIGTERM)
    await daemon.says("no more jobs are taken")
    later = await fleet.add("quick")
    fleet.let_go(running)

    assert await daemon.ends() == 0
    assert (await fleet.job(later)).state is JobState.WAITING


async def test_a_job_that_outlives_the_grace_time_is_handed_back_without_an_attempt(
    fleet: Fleet,
) -> None:
    daemon = await fleet.start(grace="300ms")
    job = await fleet.add("lasting", 60.0)
    await fleet.began(job)

    assert await daemon.stops() == 0

    found = await fleet.job(job)
    assert (found.state, found.run.attempts) == (JobState.WAITING, 0)


@pytest.mark.parametrize("name", ["stubborn", "threaded", "holds_loop"])
async def test_a_handler_that_does_not_end_ends_with_its_process_and_runs_again(
    fleet: Fleet, name: str
) -> None:
    daemon = await fleet.start(grace="300ms")
    job = await fleet.add(name, 120.0)
    await fleet.began(job)

    code = await daemon.stops()

    # Handed back by its own process; or, where that could not turn, by the daemon that killed it.
    assert code == (6 if name == "holds_loop" else 0)
    found = await fleet.job(job)
    assert (found.state, found.run.attempts) == (JobState.WAITING, 0)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_hands_back_at_once(fleet: Fleet, first: signal.Signals) -> None:
    daemon = await fleet.start(grace="10m")
    job = await fleet.add("lasting", 600.0)
    await fleet.began(job)

    daemon.send(first)
    await daemon.says("no more jobs are taken")
    daemon.send(first)

    assert await daemon.ends() == (130 if first is signal.SIGINT else 0)
    found = await fleet.job(job)
    assert (found.state, found.run.attempts) == (JobState.WAITING, 0)


async def test_a_second_signal_ends_a_process_that_is_stopped(fleet: Fleet) -> None:
    daemon = await fleet.start(grace="10m", lease="60s")
    job = await fleet.add("lasting", 600.0)
    began = await fleet.began(job)
    os.kill(began.pid, signal.SIGSTOP)

    daemon.send(signal.SIGTERM)
    await daemon.says("no more jobs are taken")
    daemon.send(signal.SIGTERM)

    assert await daemon.ends() == 6
    found = await fleet.job(job)
    assert (found.state, found.run.attempts) == (JobState.WAITING, 0)


async def test_term_between_two_processes_ends_it(fleet: Fleet) -> None:
    daemon = await fleet.start()
    job = await fleet.add("crashes", "SIGSEGV")
    await daemon.says("its successor starts in")

    assert await daemon.stops() == 0

    found = await fleet.job(job)
    assert (found.state, found.run.attempts) == (JobState.WAITING, 0)


async def test_term_while_a_suspect_runs_alone_hands_it_back(fleet: Fleet) -> None:
    daemon = await fleet.start(grace="300ms")
    job = await fleet.add("crashes_twice", 60.0)
    await daemon.says("for suspects of queue", limit_s=60)
    await fleet.began(job, 3)

    assert await daemon.stops() == 0

    found = await fleet.job(job)
    assert (found.state, found.run.attempts) == (JobState.WAITING, 0)


@pytest.mark.parametrize("slow", [handlers.SLOW_IMPORT, handlers.SLOW_LIFESPAN])
async def test_term_while_a_process_starts_ends_it(fleet: Fleet, slow: str) -> None:
    daemon = await fleet.start({slow: "60"}, ready=False)
    await soon(lambda: bool(daemon.children), "its child")
    if slow == handlers.SLOW_LIFESPAN:
        await soon(lambda: fleet.notes() == ["lifespan-begins"], "its lifespan begins")

    assert await daemon.stops(limit_s=5) == 0


async def test_the_apps_lifespan_ends_in_order(fleet: Fleet) -> None:
    daemon = await fleet.start()

    await daemon.stops()

    assert fleet.notes() == ["lifespan-begins", "lifespan", "lifespan-end"]


async def test_a_lifespan_that_raises_ends_the_daemon_and_is_shown(fleet: Fleet) -> None:
    daemon = await fleet.start({handlers.FAILING_LIFESPAN: "1"}, ready=False)

    assert await daemon.ends() == 1
    assert daemon.said("RuntimeError: no database")


async def test_a_rolling_restart_under_load_uses_no_attempt(fleet: Fleet) -> None:
    daemon = await fleet.start(grace="20ms")

    jobs: list[str] = []
    for _ in range(3):
        jobs += [await fleet.add("lasting", 0.1) for _ in range(150)]
        await fleet.began(jobs[-100])
        following = await fleet.start(grace="20ms")
        assert await daemon.stops() == 0
        daemon = following

    for job in jobs:
        found = await fleet.reaches(job, JobState.COMPLETED)
        assert found.run.attempts == 1
    assert {ran.attempt for ran in fleet.ran()} == {1}


async def test_quiet_takes_no_new_jobs_and_stays(fleet: Fleet) -> None:
    daemon = await fleet.start()
    running = await fleet.add("held")
    await fleet.began(running)

    daemon.send(signal.SIGTSTP)
    await daemon.says("quiet")
    fleet.let_go(running)
    await fleet.reaches(running, JobState.COMPLETED)
    later = await fleet.add("quick")
    await fleet.beats(3)

    assert (await fleet.job(later)).state is JobState.WAITING
    assert await daemon.stops() == 0


async def test_ttin_and_ttou_change_the_concurrency(fleet: Fleet) -> None:
    daemon = await fleet.start(config={"queues": {handlers.QUEUE: 1}})
    jobs = [await fleet.add("held") for _ in range(3)]
    await soon(lambda: len(fleet.ran()) == 1, "the first job")

    daemon.send(signal.SIGTTIN)
    await soon(lambda: len(fleet.ran()) == 2, "one more slot")
    daemon.send(signal.SIGTTOU)
    await daemon.says("concurrency -1")
    daemon.send(signal.SIGTTIN)
    await soon(lambda: daemon.log.count("concurrency +1") == 2, "as many slots as jobs")
    daemon.send(signal.SIGTTIN)
    await soon(lambda: len(fleet.ran()) == 3, "one more slot again")

    assert sorted(ran.job for ran in fleet.ran()) == sorted(jobs)


async def test_usr1_writes_what_everybody_does(fleet: Fleet) -> None:
    daemon = await fleet.start()
    job = await fleet.add("lasting", 60.0)
    await fleet.began(job)

    daemon.send(signal.SIGUSR1)

    await daemon.says(f"running: {job}")
    await daemon.says("in lasting")  # the task's innermost frame
    await daemon.says("stacks of process")  # the threads', from faulthandler


async def test_usr2_switches_debug_logging(fleet: Fleet) -> None:
    daemon = await fleet.start()

    daemon.send(signal.SIGUSR2)
    await daemon.says("the log level is DEBUG")
    daemon.send(signal.SIGUSR2)
    await daemon.says("the log level is INFO")


async def test_hup_reads_the_settings_again_and_keeps_the_old_ones_if_they_are_wrong(
    fleet: Fleet,
) -> None:
    settings = fleet.folder / "streamq.toml"
    daemon = await fleet.start()

    settings.write_text('hung = "soon"\n')
    daemon.send(signal.SIGHUP)
    await daemon.says("[Settings] kept as they were: SQ311")
    settings.write_text('log_level = "DEBUG"\n')
    daemon.send(signal.SIGHUP)
    await daemon.says("[Settings] read again")

    job = await fleet.add("quick")
    await fleet.reaches(job, JobState.COMPLETED)
    assert await daemon.stops() == 0


async def test_a_burst_ends_when_nothing_waits_runs_or_is_due(fleet: Fleet) -> None:
    jobs = [await fleet.add("lasting", 0.2) for _ in range(20)]
    retried = await fleet.add("crashes", "nonsense", attempts=2)

    daemon = await fleet.start(ready=False, config={"burst": True}, defaults__backoff=LONG_BACKOFF)

    assert await daemon.ends() == 0
    assert {(await fleet.job(job)).state for job in jobs} == {JobState.COMPLETED}
    # Its retry is due in an hour, and no burst waits for that.
    assert (await fleet.job(retried)).state is JobState.DELAYED


async def test_a_burst_waits_for_what_runs_elsewhere(fleet: Fleet) -> None:
    other = await fleet.start()
    job = await fleet.add("held")
    await fleet.began(job)

    burst = await fleet.start(config={"burst": True})
    await fleet.beats(4)
    assert not burst.said("the burst is over")
    fleet.let_go(job)

    assert await burst.ends() == 0
    assert (await fleet.job(job)).state is JobState.COMPLETED
    assert await other.stops() == 0


async def test_a_burst_that_fails_ends_with_5_if_a_job_failed_while_it_lasted(
    fleet: Fleet,
) -> None:
    how = {"burst": True, "fail": True}
    await fleet.add("crashes", "nonsense", attempts=1)
    assert await (await fleet.start(ready=False, config={"burst": True})).ends() == 0

    # That one is history by now.
    poison = await fleet.add("crashes", "SIGSEGV")
    daemon = await fleet.start(ready=False, config=how)
    assert await daemon.ends(limit_s=60) == 5
    assert daemon.said("jobs that failed during the burst: 1")
    assert (await fleet.job(poison)).state is JobState.FAILED

    # A retry that is due later is no failed job.
    await fleet.add("quick")
    await fleet.add("crashes", "nonsense", attempts=2)
    daemon = await fleet.start(ready=False, config=how, defaults__backoff=LONG_BACKOFF)
    assert await daemon.ends() == 0


async def test_a_process_is_replaced_after_so_many_jobs_and_none_is_lost(fleet: Fleet) -> None:
    daemon = await fleet.start(max_jobs="5")

    jobs = []
    for _ in range(4):
        wave = [await fleet.add("lasting", 0.05) for _ in range(5)]
        jobs += wave
        for job in wave:
            await fleet.reaches(job, JobState.COMPLETED)

    await daemon.says("max_jobs is 5")
    await soon(lambda: len(daemon.children) == 1, "its successor alone")
    jobs.append(last := await fleet.add("quick"))
    await fleet.reaches(last, JobState.COMPLETED)
    assert len({ran.pid for ran in fleet.ran()}) > 1
    assert len(fleet.ran()) == len(jobs)
    assert await daemon.stops() == 0


async def test_a_process_that_grew_too_large_is_replaced(fleet: Fleet) -> None:
    daemon = await fleet.start(max_rss="150MiB")

    eater = await fleet.add("eats", 200)
    await fleet.reaches(eater, JobState.COMPLETED)
    await daemon.says("max_rss is 150 MiB")
    later = await fleet.add("quick")
    await fleet.reaches(later, JobState.COMPLETED)

    assert await daemon.stops() == 0
    assert len(fleet.ran(eater)) == 1


async def test_several_processes_share_the_work(fleet: Fleet) -> None:
    daemon = await fleet.start(processes="2", config={"queues": {handlers.QUEUE: 1}})
    await soon(_two_workers(fleet), "both processes work")

    jobs = [await fleet.add("held") for _ in range(2)]

    await soon(lambda: len({ran.pid for ran in fleet.ran()}) == 2, "jobs in both")
    assert len(daemon.children) == 2
    for job in jobs:
        fleet.let_go(job)
    assert await daemon.stops() == 0


def _two_workers(fleet: Fleet) -> Callable[[], Awaitable[bool]]:
    async def both() -> bool:
        return len(await fleet.workers()) == 2

    return both


async def test_folders_of_jobs_whose_process_was_killed_are_deleted_at_the_start(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    left, others = tmp_path / "streamq-job-x", tmp_path / "streamq-postgres-0"
    for folder in (left, others):
        folder.mkdir()
        os.utime(folder, (0, 0))

    daemon = await fleet.start()

    await daemon.says("deleted 1 folder(s) of jobs whose process is gone")
    assert (left.exists(), others.exists()) == (False, True)


async def test_jobs_go_on_though_nobody_reads_what_the_daemon_says(
    fleet: Fleet, tmp_path: Path
) -> None:
    pipe = tmp_path / "log1"  # the fleet's next log; it counts those that are there
    os.mkfifo(pipe)
    unread = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.fcntl(unread, fcntl.F_SETPIPE_SZ, 4_096)
        await fleet.start(ready=False)
        jobs = [await fleet.add("quick") for _ in range(100)]  # two lines each: three pipes full

        for job in jobs:
            await fleet.reaches(job, JobState.COMPLETED)
    finally:
        os.close(unread)
