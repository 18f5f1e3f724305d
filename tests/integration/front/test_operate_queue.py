"""Pausing and limiting a queue, and what there is to see of it."""

import asyncio

import pytest

from streamq import App, JobState, Queue
from streamq.errors import InvalidInput, OutOfRange, VersionConflict
from streamq.job import Counts, Run
from streamq.store import transitions
from streamq.testing import run_until_idle
from streamq.testing.idle import working
from tests.integration.front.shop import Shop, Welcome
from tests.support.waiting import soon

# ---- the queue


async def test_a_paused_queue_gives_nothing_out_until_it_is_resumed(
    app: App, shop: Shop, queue: Queue
) -> None:
    await queue.pause()
    await queue.pause()
    await shop.welcome.add(Welcome(to="x"))
    await run_until_idle(app)
    paused = await queue.counts()

    await queue.resume()
    await queue.resume()
    await run_until_idle(app)

    assert (paused.paused, paused.waiting) == (True, 1)
    assert await queue.counts() == Counts(completed=1)
    assert (await queue.state()).version == 2  # what is so already is not written again


async def test_two_operators_at_once_both_get_their_way(queue: Queue) -> None:
    await asyncio.gather(
        queue.pause(), queue.limit(5), queue.limit(rate=(10, "1s")), return_exceptions=False
    )

    state = await queue.state()

    assert (state.paused, state.max_active, state.rate) == (True, 5, (10, 1_000))


async def test_limits_are_set_left_alone_and_given_back_to_the_code(app: App, queue: Queue) -> None:
    queue = app.declare_queue("few", max_active=3, rate=(7, "1m"))
    await run_until_idle(app, "few")  # its worker says what the code says

    code = await queue.state()
    other = await queue.limit(9)
    none = await queue.limit(None, rate=None)
    reset = await queue.limit_reset()

    assert (code.max_active, code.rate, code.own_max_active) == (3, (7, 60_000), False)
    assert (other.max_active, other.rate, other.own_max_active) == (9, (7, 60_000), True)
    assert (none.max_active, none.rate) == (None, None)
    assert (reset.max_active, reset.rate, reset.own_max_active) == (3, (7, 60_000), False)


@pytest.mark.parametrize(
    ("max_active", "rate"), [(0, None), (True, None), (5, (0, "1s")), (5, (1, "2d"))]
)
async def test_a_limit_out_of_its_range_is_refused(
    queue: Queue, max_active: int, rate: tuple[int, str] | None
) -> None:
    with pytest.raises(OutOfRange):
        await queue.limit(max_active, rate=rate)


async def test_settings_that_change_again_and_again_end_the_call(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    async def always_changed(*_: object, **__: object) -> int:
        nonlocal calls
        calls += 1
        raise VersionConflict("email", "7")

    monkeypatch.setattr(transitions, "limit", always_changed)

    with pytest.raises(VersionConflict):
        await queue.pause()
    assert calls == 3


# ---- looking


async def test_pages_of_a_state_hold_each_job_once(app: App, shop: Shop, queue: Queue) -> None:
    for i in range(25):
        await shop.measure.add({}, id=f"j{i}")
    await run_until_idle(app)

    seen, cursor = [], None
    for _ in range(3):
        page = await queue.page(JobState.COMPLETED, cursor=cursor, limit=10)
        seen += [job.id for job in page.jobs]
        cursor = page.cursor

    assert cursor is None
    assert sorted(seen) == sorted(f"j{i}" for i in range(25))
    with pytest.raises(InvalidInput, match="Begin without a cursor"):
        await queue.page(JobState.COMPLETED, cursor="never given out")


async def test_a_queue_tells_its_workers_its_counters_and_its_history(
    app: App, shop: Shop, queue: Queue
) -> None:
    async with working(app, ["email"], None, 4):
        await soon(lambda: _has_workers(queue), "it is registered")
        (worker,) = await queue.workers()
        await shop.measure.add({})
        await soon(lambda: _completed(queue), "it ran")

    stats = await queue.stats()
    assert worker.row.slots == 4
    assert "welcome" in worker.row.names
    assert stats.value("completed") == stats.value("finished", "measure", "completed") == 1
    assert {"at", "added", "completed", "failed", "retried"} == {*(await queue.history("hour"))[0]}


async def _has_workers(queue: Queue) -> bool:
    return len(await queue.workers()) == 1


async def _completed(queue: Queue) -> bool:
    return (await queue.counts()).completed == 1


async def test_a_job_shows_its_run(app: App, shop: Shop, queue: Queue) -> None:
    added = await shop.broken.add("for good")
    await run_until_idle(app)

    job = await queue.get(added.id)

    assert job is not None
    assert isinstance(job.run, Run)
    assert (job.run.attempts, job.run.reason) == (1, "no such person")
    assert job.run.errors[0].type == "Fail"
    assert job.added_at_ms <= job.run.claimed_at_ms <= job.run.finished_at_ms
