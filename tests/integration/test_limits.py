"""Limits of a whole fleet: so many at a time, so many starts in any window; and their changes."""

import asyncio
from collections.abc import Sequence

import pytest

from streamq import JobState
from streamq.errors import VersionConflict
from streamq.store import reads, transitions
from tests.support.workers import Floor, sha


class Crowd:
    """A handler that knows how many of it run at a time, and ran at most."""

    def __init__(self, floor: Floor) -> None:
        self.now = self.most = 0

        @floor.job()
        async def crowds(data: object) -> None:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.005)
            self.now -= 1

    async def leases_stay_below(self, floor: Floor, limit: int, until: asyncio.Event) -> None:
        """Looks at the leases again and again."""
        while not until.is_set():
            assert len(floor.dump().hashes["leases"]) <= limit
            await asyncio.sleep(0)


async def test_no_more_jobs_run_at_a_time_than_the_limit_of_the_fleet_allows(floor: Floor) -> None:
    floor.app.declare_queue("q", max_active=4)
    crowd, done = Crowd(floor), asyncio.Event()
    for _ in range(3):
        await floor.hire(concurrency=10)
    watching = asyncio.create_task(crowd.leases_stay_below(floor, 4, done))

    for _ in range(120):
        await floor.add("crowds")

    await floor.all_reach(JobState.COMPLETED, 120)
    done.set()
    await watching
    assert 1 < crowd.most <= 4  # whether all four meet is up to the machine


async def test_a_limit_changes_while_jobs_run(floor: Floor) -> None:
    crowd = Crowd(floor)
    for _ in range(3):
        await floor.hire(concurrency=10)
    await floor.queue.limit(2)
    for _ in range(40):
        await floor.add("crowds")
    await floor.all_reach(JobState.COMPLETED, 40)
    assert crowd.most == 2

    await floor.queue.limit(None)
    await floor.queue.pause()
    for _ in range(60):
        await floor.add("crowds")
    await floor.queue.resume()

    await floor.all_reach(JobState.COMPLETED, 100)
    assert crowd.most > 2


async def test_what_an_operator_says_wins_over_the_code_until_it_is_reset(floor: Floor) -> None:
    floor.app.declare_queue("q", max_active=4)
    crowd = Crowd(floor)
    await floor.hire(concurrency=10)
    await floor.queue.limit(1)

    await floor.hire(concurrency=10)  # registers with the code's word
    assert (await floor.queue.state()).max_active == 1
    for _ in range(20):
        await floor.add("crowds")
    await floor.all_reach(JobState.COMPLETED, 20)
    assert crowd.most == 1

    assert (await floor.queue.limit_reset()).max_active == 4


# ---- a rate


def _most_in_any_window(starts_ms: Sequence[int], window_ms: int) -> int:
    starts, most, first = sorted(starts_ms), 0, 0
    for last, at in enumerate(starts):
        while starts[first] <= at - window_ms:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.slow
async def test_no_more_jobs_start_in_any_window_than_the_rate_allows(floor: Floor) -> None:
    floor.app.declare_queue("q", rate=(10, "200ms"))
    Crowd(floor)
    for _ in range(3):
        await floor.hire(concurrency=10)

    for i in range(60):
        await floor.add("crowds", delay="50ms" if i % 7 == 0 else None)

    await floor.all_reach(JobState.COMPLETED, 60)
    page = await floor.queue.page(JobState.COMPLETED, limit=1_000)
    starts = [job.run.claimed_at_ms for job in page.jobs]
    assert _most_in_any_window(starts, 200) == 10


async def test_a_rate_that_opens_wakes_somebody(floor: Floor) -> None:
    floor.app.declare_queue("q", rate=(1, "100ms"))
    Crowd(floor)
    for _ in range(2):
        await floor.hire()

    for _ in range(6):
        await floor.add("crowds")

    await floor.all_reach(JobState.COMPLETED, 6)


async def test_a_rate_that_is_taken_away_lets_all_run(floor: Floor) -> None:
    Crowd(floor)
    await floor.hire(concurrency=10)
    await floor.queue.limit(rate=(1, "1h"))
    for _ in range(20):
        await floor.add("crowds")
    await floor.all_reach(JobState.COMPLETED, 1)

    await floor.queue.limit(rate=None)

    await floor.all_reach(JobState.COMPLETED, 20)


# ---- late copies


async def test_a_late_copy_of_a_pause_does_not_pause_again_after_a_resume(floor: Floor) -> None:
    """H25: settings carry a version."""
    Crowd(floor)
    await floor.hire()
    async with floor.proxy() as proxy:
        operator = floor.another_app(proxy.url)
        await operator.queue("q").state()
        held = proxy.hold_request(match=sha("limit"))

        pausing = asyncio.create_task(operator.queue("q").pause())
        await held.struck()
        await pausing  # it looked again, and paused
        assert (await floor.queue.state()).paused
        await floor.queue.resume()
        late = await held.release()

        assert late.startswith(b"-VERSION")
        assert not (await floor.queue.state()).paused
        await floor.reaches(await floor.add("crowds"), JobState.COMPLETED)
        await operator.close()


async def test_two_operators_do_not_undo_each_other_unseen(floor: Floor) -> None:
    Crowd(floor)
    await floor.hire()
    seen = await reads.settings_of(floor.link())
    await floor.queue.limit(3)

    with pytest.raises(VersionConflict):
        await transitions.limit(floor.link(), seen.version, max_active="9")

    assert (await floor.queue.state()).max_active == 3
