"""Sleeping and waking: nobody polls, nobody spins, and whoever can take a job is told of it."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from streamq import Context, JobState
from streamq.job import JobId
from streamq.run import sleep
from tests.support.waiting import soon
from tests.support.workers import Floor, Watched


class Lasting:
    """Handlers that run until they are let go; which jobs run now."""

    def __init__(self, floor: Floor) -> None:
        self.running: set[JobId] = set()
        self.go_on = asyncio.Event()

        @floor.job()
        async def lasts(data: object, job: Context) -> None:
            self.running.add(job.id)
            try:
                await self.go_on.wait()
            finally:
                self.running.discard(job.id)

        @floor.job()
        async def quick(data: object) -> None: ...


async def _round_trips(floor: Floor, count: int = 300) -> None:
    """As long as so many round trips take: who spins makes about as many meanwhile."""
    for _ in range(count):
        await floor.queue.state()


async def _given_back(floor: Floor, lasting: Lasting, count: int) -> list[JobId]:
    """Jobs that a worker which left has handed back."""
    leaving = await floor.hire(concurrency=count)
    jobs = [await floor.add("lasts") for _ in range(count)]
    await soon(lambda: len(lasting.running) == count, "all run")
    leaving.worker.stop()
    leaving.worker.hand_back()
    await leaving.leaves()
    assert {e.line for e in floor.dump().entries} == {"0"}
    return jobs


# ---- a pause


async def test_while_paused_nothing_is_claimed_and_what_runs_finishes(floor: Floor) -> None:
    lasting = Lasting(floor)
    hired = await floor.hire(concurrency=4)
    running = await floor.add("lasts")
    await soon(lambda: running in lasting.running, "it runs")

    await floor.queue.pause()
    waiting = await floor.add("quick")
    due = await floor.add("quick", delay="1ms")
    lasting.go_on.set()

    await floor.reaches(running, JobState.COMPLETED)
    hired.worker.look()
    await _round_trips(floor, 50)
    assert {floor.states()[job] for job in (waiting, due)} <= {"waiting", "delayed"}

    await floor.queue.resume()
    await floor.all_reach(JobState.COMPLETED, 3)


async def test_between_the_answers_to_pause_and_resume_no_claim_is_made(floor: Floor) -> None:
    Lasting(floor)
    for _ in range(3):
        await floor.hire(concurrency=5)
    for i in range(10):
        for _ in range(20):
            await floor.add("quick", delay="1ms" if i % 3 == 0 else None)
        await floor.queue.pause()
        paused_at = floor.redis_ms()
        await _round_trips(floor, 5)
        resumed_at = floor.redis_ms()
        await floor.queue.resume()

        page = await floor.queue.page(JobState.COMPLETED, limit=1_000)
        claimed = [job.run.claimed_at_ms for job in page.jobs]
        assert not [at for at in claimed if paused_at < at < resumed_at]
    await floor.all_reach(JobState.COMPLETED, 200)


# ---- waking


async def test_a_delayed_job_that_is_earlier_than_all_others_wakes_somebody(floor: Floor) -> None:
    """H26: who sleeps was told the time of another job, an hour away, or no time at all."""
    Lasting(floor)
    for _ in range(3):
        await floor.hire()
    await floor.add("quick", delay="1h")
    late = [await floor.add("quick", delay="30m") for _ in range(2)]

    soonest = await floor.add("quick", delay="100ms")

    await floor.reaches(soonest, JobState.COMPLETED)
    assert {floor.states()[job] for job in late} == {"delayed"}


async def test_the_next_of_many_delayed_jobs_is_not_forgotten(floor: Floor) -> None:
    Lasting(floor)
    for _ in range(2):
        await floor.hire(concurrency=1)

    for ms in (300, 100, 200, 400):
        await floor.add("quick", delay=f"{ms}ms")

    await floor.all_reach(JobState.COMPLETED, 4)


async def test_whoever_has_a_free_slot_wakes_whichever_lane_slept(floor: Floor) -> None:
    lasting = Lasting(floor)
    hired = await floor.hire(concurrency=20)

    for i in range(20):
        job = await floor.add("lasts")
        await soon(lambda job=job: job in lasting.running, f"job {i} runs")  # type: ignore[misc]

    more = await floor.add("quick")
    await _round_trips(floor, 50)
    assert (floor.states()[more], hired.worker.busy) == ("waiting", 20)
    lasting.go_on.set()
    await floor.all_reach(JobState.COMPLETED, 21)


@pytest.mark.slow
async def test_a_worker_whose_sleep_is_cut_is_woken_all_the_same(floor: Floor) -> None:
    Lasting(floor)
    async with floor.proxy() as proxy, floor.beating():
        await floor.hire(url=proxy.url)
        await soon(lambda: "BLPOP" in proxy.seen, "it sleeps")

        proxy.cut()
        for _ in range(5):
            job = await floor.add("quick")
            await floor.reaches(job, JobState.COMPLETED)
            proxy.cut()
        await floor.hired[0].leaves()


async def test_a_worker_that_may_not_sleep_says_so_once_and_goes_on(
    floor: Floor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sleep, "PAUSE_S", 0.01)
    Lasting(floor)
    user = f"u{floor.prefix}"
    floor.raw.acl_setuser(
        user, enabled=True, passwords=["+secret"], keys=["*"], channels=["*"],
        commands=["+@all", "-blpop"],
    )  # fmt: skip
    try:
        async with floor.proxy() as proxy:
            url = proxy.url.replace("redis://", f"redis://{user}:secret@")
            hired = await floor.hire(url=url)
            await soon(lambda: proxy.seen.count("BLPOP") >= 3, "it tried to sleep")
            job = await floor.add("quick")
            hired.worker.look()
            await floor.reaches(job, JobState.COMPLETED)
            await hired.leaves()
    finally:
        floor.raw.acl_deluser(user)
    told = [r for r in caplog.records if r.levelno == logging.WARNING and "sleep of" in r.message]
    assert len(told) == 1
    assert "NOPERM" in told[0].message


# ---- given-back jobs: a tenth of the slots


async def test_a_worker_holds_no_more_given_back_jobs_than_its_share(floor: Floor) -> None:
    """H28: counted by the jobs held, and not by those that one turn takes."""
    lasting = Lasting(floor)
    given_back = set(await _given_back(floor, lasting, 6))
    hired = await floor.hire(concurrency=19)

    for _ in range(10):
        await floor.reaches(await floor.add("quick"), JobState.COMPLETED)

    assert len(given_back & lasting.running) == 1
    assert hired.worker.busy == 1
    lasting.go_on.set()
    await floor.all_reach(JobState.COMPLETED, 16)


async def test_each_lane_takes_its_share_of_the_given_back_jobs(floor: Floor) -> None:
    lasting = Lasting(floor)
    hired = await floor.hire(concurrency=40)
    hired.worker.quiet()
    given_back = set(await _given_back(floor, lasting, 6))
    first, other = hired.worker._lanes
    first.quiet = other.quiet = False

    first.nudge()  # the other one is to be woken by the token that is left then

    await soon(lambda: len(given_back & lasting.running) == 4, "a tenth of each lane's slots")
    assert [len(lane.running) for lane in (first, other)] == [2, 2]
    lasting.go_on.set()
    await floor.all_reach(JobState.COMPLETED, 6)


@pytest.fixture
def watched(floor: Floor) -> Iterator[Watched]:
    yield floor.proxy()


async def test_a_token_that_nobody_can_use_makes_nobody_spin(
    floor: Floor, watched: Watched
) -> None:
    """H21: a worker at its share, and the process for suspects, see jobs that they may not take."""
    lasting = Lasting(floor)
    await _given_back(floor, lasting, 4)
    async with watched as proxy:
        at_its_share = await floor.hire(concurrency=2, url=proxy.url)
        alone = await floor.hire(concurrency=1, url=proxy.url, kind="a")
        await soon(lambda: len(lasting.running) == 1, "its share runs")
        await _quiet(floor, proxy)

        before = len(proxy.seen)
        await _round_trips(floor)
        # The process for suspects looks every half a second, the other one sleeps.
        assert len(proxy.seen) - before <= 10

        lasting.go_on.set()
        await floor.all_reach(JobState.COMPLETED, 4)
        await asyncio.gather(at_its_share.leaves(), alone.leaves())


async def _quiet(floor: Floor, proxy: Watched) -> None:
    """Until no request was made while fifty of our own were."""
    for _ in range(50):
        before = len(proxy.seen)
        await _round_trips(floor, 50)
        if len(proxy.seen) == before:
            return
    raise AssertionError(f"it does not come to rest: {proxy.seen[-20:]}")


# ---- the budget of the idle


class Minutes:
    """Time for a lane's timers: sixty times as fast."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call_later(self, seconds: float, act, *args: object) -> asyncio.TimerHandle:  # type: ignore[no-untyped-def]
        return self._loop.call_later(seconds / 60, act, *args)

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)


@pytest.mark.slow
async def test_an_idle_worker_of_a_hundred_slots_sends_four_commands_a_minute(
    floor: Floor, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And six beats are sent for it: ten in all."""
    monkeypatch.setattr(sleep, "SLEEP_MAX_S", 1.0)  # a minute, sixty times as fast
    Lasting(floor)
    async with watched as proxy:
        hired = await floor.hire(concurrency=100, url=proxy.url)
        await floor.add("quick", delay="1h")
        for lane in hired.worker._lanes:
            lane._loop = Minutes(lane._loop)  # type: ignore[assignment]
            lane.nudge()

        minutes, begun = 3, proxy.seen.count("BLPOP")
        await soon(lambda: proxy.seen.count("BLPOP") > begun, "its sleep began anew")
        first, begun = len(proxy.seen), proxy.seen.count("BLPOP")
        await soon(lambda: proxy.seen.count("BLPOP") == begun + minutes, "so many minutes")

        assert len(proxy.seen) - first <= 4 * minutes, proxy.seen[first:]
        await hired.leaves()
