"""HUP: what a running daemon takes over from its settings, and what it leaves as it was."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamq import JobState
from streamq.embedded import EmbeddedServer
from streamq.store.reads import QueueState
from tests.support import handlers
from tests.support.daemons import Fleet, RunningDaemon
from tests.support.waiting import soon

pytestmark = pytest.mark.slow


@pytest.fixture
async def fleet(server: EmbeddedServer, prefix: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(server.url, prefix, tmp_path) as fleet:
        yield fleet


def says(fleet: Fleet, text: str) -> None:
    (fleet.folder / "streamq.toml").write_text(text)


async def hung_up(fleet: Fleet, daemon: RunningDaemon, text: str) -> None:
    """The file says this, and the daemon has read it again."""
    times = daemon.log.count("[Settings] read again")
    says(fleet, text)
    daemon.send(signal.SIGHUP)
    await soon(lambda: daemon.log.count("[Settings] read again") > times, "it is read again")


async def slots(fleet: Fleet) -> int:
    return sum(worker.row.slots for worker in await fleet.workers())


async def state(fleet: Fleet) -> QueueState:
    return await handlers.app.queue(handlers.QUEUE).state()


async def become(fleet: Fleet, wanted: int) -> None:
    async def there() -> bool:
        return await slots(fleet) == wanted

    await soon(there, f"{wanted} slots", limit_s=20)


async def test_the_concurrency_grows_and_shrinks_and_no_job_is_lost_or_cancelled(
    fleet: Fleet,
) -> None:
    says(fleet, "[queues.q]\nconcurrency = 1\n")
    daemon = await fleet.start()
    jobs = [await fleet.add("held") for _ in range(5)]
    await soon(lambda: len(fleet.ran()) == 1, "one job runs")

    await hung_up(fleet, daemon, "[queues.q]\nconcurrency = 4\n")
    await soon(lambda: len(fleet.ran()) == 4, "four jobs run", limit_s=20)

    await hung_up(fleet, daemon, "[queues.q]\nconcurrency = 2\n")
    first, second, *others = (ran.job for ran in fleet.ran())
    for job in (first, second):
        fleet.let_go(job)
        await fleet.reaches(job, JobState.COMPLETED)
    await fleet.beats(2)
    assert len(fleet.ran()) == 4  # two slots, and two jobs that still run

    fleet.let_go(others[0])
    await soon(lambda: len(fleet.ran()) == 5, "the last one has its slot", limit_s=20)
    for job in jobs:
        fleet.let_go(job)
        found = await fleet.reaches(job, JobState.COMPLETED)
        assert found.run.attempts == 1
    await become(fleet, 2)
    assert await daemon.stops() == 0
    assert len(fleet.ran()) == 5


async def test_the_limits_of_the_fleet_are_others_from_now_on(fleet: Fleet) -> None:
    says(fleet, "[queues.q]\nmax_active = 1\n")
    daemon = await fleet.start()
    jobs = [await fleet.add("held") for _ in range(3)]
    await soon(lambda: len(fleet.ran()) == 1, "one job runs")

    await hung_up(fleet, daemon, '[queues.q]\nmax_active = 2\nrate = "90/1m"\n')
    await soon(lambda: len(fleet.ran()) == 2, "one more", limit_s=20)
    assert (await state(fleet)).rate == (90, 60_000)

    await hung_up(fleet, daemon, "")
    await soon(lambda: len(fleet.ran()) == 3, "all of them", limit_s=20)
    found = await state(fleet)
    assert (found.max_active, found.rate) == (None, None)

    for job in jobs:
        fleet.let_go(job)
        await fleet.reaches(job, JobState.COMPLETED)
    assert await daemon.stops() == 0


async def test_what_an_operator_set_wins_over_what_is_read_again(fleet: Fleet) -> None:
    daemon = await fleet.start()
    await handlers.app.queue(handlers.QUEUE).limit(7)

    await hung_up(fleet, daemon, "[queues.q]\nmax_active = 2\nconcurrency = 3\n")
    await become(fleet, 3)
    assert (await state(fleet)).max_active == 7

    assert (await handlers.app.queue(handlers.QUEUE).limit_reset()).max_active == 2
    assert await daemon.stops() == 0


async def test_a_queues_terms_hold_for_the_jobs_that_begin_from_now_on(fleet: Fleet) -> None:
    says(fleet, "[queues.q]\nattempts = 9\n")
    daemon = await fleet.start()

    await hung_up(fleet, daemon, '[queues.q]\nattempts = 1\ntimeout = "10ms"\n')
    await become(fleet, 10)
    job = await fleet.add("lasting", 60.0)

    failed = await fleet.reaches(job, JobState.FAILED)
    assert failed.run.errors[-1].type == "TimeoutError"
    assert await daemon.stops() == 0


async def test_what_the_command_line_and_signals_said_stands(fleet: Fleet) -> None:
    daemon = await fleet.start(config={"queues": {handlers.QUEUE: 2}})
    daemon.send(signal.SIGTTIN)
    await become(fleet, 3)

    await hung_up(fleet, daemon, "[queues.q]\nconcurrency = 9\nattempts = 1\n")
    await hung_up(fleet, daemon, "[queues.q]\nconcurrency = 8\nattempts = 2\n")
    await fleet.beats(2)

    assert await slots(fleet) == 3
    assert await daemon.stops() == 0


async def test_a_queue_that_the_app_does_not_have_leaves_all_as_it_was(fleet: Fleet) -> None:
    daemon = await fleet.start()

    await hung_up(fleet, daemon, "[queues.q]\nconcurrency = 3\n[queues.qq]\nattempts = 2\n")
    await daemon.says('kept as they were: SQ310 No setting "queues.qq"')
    await fleet.beats(2)

    assert await slots(fleet) == 10
    assert await daemon.stops() == 0


async def test_what_holds_from_the_start_is_named_and_left(fleet: Fleet) -> None:
    daemon = await fleet.start()

    await hung_up(fleet, daemon, 'processes = 3\nhealth_port = 1\nlease = "9s"\n')

    await daemon.says("[Settings] from the next start only: processes, health_port")
    assert len(daemon.children) == 1
    assert await daemon.stops() == 0
