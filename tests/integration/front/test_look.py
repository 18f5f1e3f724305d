"""What the root tells of a Redis and its workers: enough for an operator, nothing changed."""

import pytest

from streamq import App, JobState, Queue, Word
from streamq.errors import InvalidInput, OutOfRange, RedisUnavailable
from streamq.settings import Settings
from streamq.testing import MovableClock, run_until_idle
from streamq.testing.idle import working
from tests.integration.front.shop import Shop, Welcome
from tests.support.waiting import soon


async def test_every_queue_that_was_used_is_listed_known_here_or_not(app: App, shop: Shop) -> None:
    assert await app.used_queues() == []

    await shop.welcome.add(Welcome(to="x"))
    await app.queue("other").add("x", {}, create=True, force=True)

    assert await app.used_queues() == ["email", "other"]


async def test_the_server_tells_what_it_is(app: App) -> None:
    told = await app.server()

    assert told.mode in ("standalone", "cluster")
    assert told.version[0].isdigit()
    assert told.used_memory > 0
    assert told.now_ms > 1_700_000_000_000


async def test_a_ping_says_that_redis_is_away() -> None:
    async with App("x", settings=Settings(), redis="redis://127.0.0.1:1") as app:
        with pytest.raises(RedisUnavailable):
            await app.ping()


async def test_an_order_that_no_daemon_hears_says_so(app: App) -> None:
    assert await app.tell(Word.QUIET, "nobody") == 0


async def test_the_lanes_of_a_worker_are_summed(app: App, shop: Shop, queue: Queue) -> None:
    async with working(app, ["email"], None, 20):
        await soon(lambda: _registered(queue, lanes=2), "both lanes are there")

        (worker,) = await queue.fleet()

    assert (worker.live, worker.slots, worker.lanes) == (True, 20, 2)
    assert worker.kind == "embedded"
    assert "welcome" in worker.names


async def _registered(queue: Queue, lanes: int) -> bool:
    return len(await queue.workers()) == lanes


async def test_jobs_that_ended_longer_ago_are_counted(app: App, shop: Shop, queue: Queue) -> None:
    app.clock = clock = MovableClock(app)
    await shop.welcome.add(Welcome(to="x"))
    await run_until_idle(app)
    await clock.advance(hours=2)
    await shop.welcome.add(Welcome(to="y"))
    await run_until_idle(app)

    assert await queue.older(JobState.COMPLETED, "1h") == 1
    assert await queue.older(JobState.COMPLETED, "3h") == 0
    assert await queue.older(JobState.FAILED, "0s") == 0
    with pytest.raises(InvalidInput):
        await queue.older(JobState.WAITING, "1h")


async def test_the_jobs_that_ended_last_come_first(app: App, shop: Shop, queue: Queue) -> None:
    app.clock = clock = MovableClock(app)
    for job in ("a", "b", "c"):
        if job == "b":
            await shop.broken.add("for good", id=job)
        else:
            await shop.welcome.add(Welcome(to="x"), id=job)
        await run_until_idle(app)
        await clock.advance(seconds=1)

    found = await queue.ended(limit=2)

    assert [(each.id, each.state) for each in found] == [
        ("c", JobState.COMPLETED),
        ("b", JobState.FAILED),
    ]
    assert found[0].at_ms - found[1].at_ms >= 1_000
    assert [each.id for each in await queue.ended([JobState.FAILED], limit=9)] == ["b"]
    jobs = await queue.get_many(["b", "nobody", "c"])
    assert [job and job.id for job in jobs] == ["b", None, "c"]
    runs = await queue.runs(["b", "nobody", "c"])
    assert [(run.attempts, run.reason) for run in runs] == [(1, "no such person"), (0, ""), (1, "")]
    for refused in (queue.ended(limit=0), queue.ended([JobState.WAITING], limit=1)):
        with pytest.raises(InvalidInput):
            await refused
    for too_many in (queue.get_many, queue.runs):
        with pytest.raises(OutOfRange):
            await too_many(["x"] * 1_001)


async def test_a_follower_goes_on_from_where_the_events_ended(
    app: App, shop: Shop, queue: Queue
) -> None:
    assert await queue.last_event() == "0-0"
    await shop.welcome.add(Welcome(to="x"), id="a")
    after = await queue.last_event()
    await shop.welcome.add(Welcome(to="x"), id="b")

    following = queue.follow(after=after)
    first = await anext(following)
    await following.aclose()

    assert (first.id, first.state) == ("b", JobState.WAITING)
