"""Three workers, a link each that breaks at random, and jobs of every kind; the seed is printed.

Whatever came to pass: each job has ended, ran exactly as often as its attempts say, and all that
stands agrees. Nobody was declared dead, so nothing may run twice.
"""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from streamq import Context, Fail, JobState, Retry
from tests.support.waiting import soon
from tests.support.workers import Floor, Watched, sha

pytestmark = pytest.mark.slow

SEEDS = (1, 2, 3)
WORKERS = 3
JOBS = 250
LIMIT_S = 45.0
STEP, RESYNC = sha("step"), sha("resync")


class Trouble:
    """Breaks links, one thing after another, until it is told to stop."""

    def __init__(self, chance: random.Random, proxies: list[Watched]) -> None:
        self._chance = chance
        self._proxies = proxies
        self.done = Counter[str]()

    async def go_on(self) -> None:
        while True:
            verb = self._chance.choice(
                ["drop_reply", "drop_resync", "hold", "reset", "cut", "down", "slow"]
            )
            self.done[verb] += 1
            proxy = self._chance.choice(self._proxies)
            await self._do(verb, proxy)
            await asyncio.sleep(self._chance.uniform(0.01, 0.1))

    async def _do(self, verb: str, proxy: Watched) -> None:
        match verb:
            case "drop_reply":
                proxy.drop_reply(STEP)
            case "drop_resync":
                proxy.drop_reply(RESYNC)
            case "hold":
                proxy.hold_request(STEP)  # and never sends it
            case "reset":
                proxy.reset(STEP)
            case "cut":
                proxy.cut()
            case "down":
                proxy.down()
                await asyncio.sleep(self._chance.uniform(0.05, 0.3))
                proxy.heal()
            case _:
                proxy.latency(ms=self._chance.choice([0, 1, 10]))


@pytest.mark.parametrize("seed", SEEDS)
async def test_links_that_break_at_random_lose_no_job_and_run_none_twice(
    floor: Floor, seed: int
) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    ran = Counter[str]()

    @floor.job(attempts=4, backoff=["20ms"])
    async def works(data: str, job: Context) -> str:
        ran[job.id] += 1
        job.log(f"attempt {job.attempt}")
        await asyncio.sleep(chance.uniform(0, 0.02))
        job.progress(0.5)
        if data == "fails" or (data == "once" and job.attempt == 1):
            raise ValueError(data)
        if data == "for good":
            raise Fail("for good")
        if data == "now" and job.attempt < 3:
            raise Retry(after="0s")
        return "x" * chance.choice([1, 2_000])

    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(floor.proxy()) for _ in range(WORKERS)]
        for proxy, slots in zip(proxies, (3, 8, 24), strict=True):
            await floor.hire(slots, url=proxy.url)
        trouble = Trouble(chance, proxies)
        troubling = asyncio.create_task(trouble.go_on())

        for _ in range(JOBS):
            kind = chance.choice(["fine", "fine", "fine", "fails", "once", "for good", "now"])
            await floor.add(
                "works",
                kind,
                delay=chance.choice([None, None, "10ms", "300ms"]),
                priority=chance.choice([None, 1, 9]),
            )
            await asyncio.sleep(0)

        async with floor.beating():
            await soon(lambda: _all_ended(floor), "all have ended", limit_s=LIMIT_S)
            troubling.cancel()
            await asyncio.wait([troubling])
            assert troubling.cancelled(), troubling.exception()
            for proxy in proxies:
                proxy.heal()
            await asyncio.gather(*(hired.leaves() for hired in floor.hired))
    print(f"trouble: {dict(trouble.done)}")

    for state in (JobState.COMPLETED, JobState.FAILED):
        for job in (await floor.queue.page(state, limit=1_000)).jobs:
            assert (job.id, ran[job.id]) == (job.id, job.run.attempts)
            wanted = job.run.attempts - (state is JobState.COMPLETED)
            assert len(job.run.errors) == wanted
    assert sum(ran.values()) == sum(floor.stats().get(f"attempts:works:{w}", 0) for w in ENDS)


ENDS = ("completed", "retried", "failed")


def _all_ended(floor: Floor) -> bool:
    states = Counter(floor.states().values())
    return states["completed"] + states["failed"] == JOBS
