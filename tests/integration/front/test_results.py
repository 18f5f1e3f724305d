"""Waiting for a job's result: no wake-up is lost, and every end is told apart."""

import asyncio

import pytest
from redis.asyncio import Redis

from streamq import App, Queue, blocking, events
from streamq.embedded import EmbeddedServer
from streamq.errors import JobFailed, JobNotFound, OutOfRange, ResultGone, ResultTimeout
from streamq.settings import Settings
from streamq.testing import MovableClock, run_until_idle
from tests.integration.front.shop import Shop, Welcome
from tests.support.proxy import Proxy


async def test_a_result_comes_to_who_waited_before_the_job_ran(shop: Shop) -> None:
    added = await shop.welcome.add(Welcome(to="c@x.br"))
    waiting = asyncio.create_task(added.result(timeout=10))

    await run_until_idle(shop.app)

    assert await waiting == "sent to c@x.br"


async def test_a_result_comes_to_who_asks_after_the_job_ran(shop: Shop, queue: Queue) -> None:
    added = await shop.measure.add({"a": 1, "b": 2})

    await run_until_idle(shop.app)

    assert await added.result(timeout="10s") == {"sum": 3}
    assert await queue.result(added.id, timeout=10) == {"sum": 3}


async def test_all_who_wait_for_one_job_are_told(shop: Shop) -> None:
    added = await shop.slow.add(None)
    waiting = [asyncio.create_task(added.result(timeout=10)) for _ in range(20)]
    asyncio.get_running_loop().call_later(0.05, shop.may_end.set)

    await run_until_idle(shop.app)

    assert await asyncio.gather(*waiting) == ["at last"] * 20


async def test_those_who_wait_share_one_connection(shop: Shop, raw: Redis) -> None:
    added = [await shop.welcome.add(Welcome(to=str(i))) for i in range(10)]
    waiting = [asyncio.create_task(each.result(timeout=10)) for each in added]

    await _until_followed(shop.app)
    followers = [c for c in await raw.client_list() if c["name"] == "streamq-follower"]
    await run_until_idle(shop.app)
    await asyncio.gather(*waiting)

    assert len(followers) == 1


async def test_a_job_that_keeps_nothing_still_gives_its_result(shop: Shop, queue: Queue) -> None:
    before = await shop.forget.add(2)
    waiting = asyncio.create_task(before.result(timeout=10))
    after = await shop.forget.add(3)

    await run_until_idle(shop.app)

    assert await waiting == [2, 2]
    assert await queue.get(after.id) is None
    assert await after.result(timeout=10) == [3, 3, 3]


async def test_a_job_that_kept_nothing_and_returned_nothing_is_gone(shop: Shop) -> None:
    added = await shop.nothing.add(None)

    await run_until_idle(shop.app)

    with pytest.raises(ResultGone) as caught:
        await added.result(timeout=10)
    assert str(caught.value).startswith(f"SQ253 job {added.id}: its result is gone")


async def test_a_result_too_large_for_the_event_is_fetched(shop: Shop) -> None:
    long = "x" * 5_000
    added = await shop.welcome.add(Welcome(to=long))
    waiting = asyncio.create_task(added.result(timeout=10))

    await run_until_idle(shop.app)

    assert await waiting == f"sent to {long}"


async def test_a_failed_job_raises_with_the_errors_of_its_attempts(app: App, shop: Shop) -> None:
    app.clock = clock = MovableClock(app)
    retried = await shop.broken.add("no luck")
    final = await shop.broken.add("for good")

    await run_until_idle(app)
    await clock.advance(minutes=1)
    await run_until_idle(app)

    with pytest.raises(JobFailed) as caught:
        await retried.result(timeout=10)
    assert str(caught.value) == f"SQ251 job {retried.id} failed: ValueError: no luck"
    assert len(caught.value.errors) == 2
    with pytest.raises(JobFailed, match="no such person"):
        await final.result(timeout=10)


async def test_who_waits_is_told_that_the_job_was_cancelled(shop: Shop, queue: Queue) -> None:
    added = await shop.welcome.add(Welcome(to="x"))
    waiting = asyncio.create_task(added.result(timeout=10))
    await asyncio.sleep(0)

    await queue.cancel(added.id)

    with pytest.raises(JobFailed, match="cancelled"):
        await waiting


async def test_who_waits_is_told_that_the_job_was_removed(shop: Shop, queue: Queue) -> None:
    added = await shop.welcome.add(Welcome(to="x"))
    waiting = asyncio.create_task(added.result(timeout=10))
    await asyncio.sleep(0)

    await queue.remove(added.id)

    with pytest.raises(ResultGone):
        await waiting


async def test_a_wait_ends_at_its_limit_and_the_job_goes_on(shop: Shop, queue: Queue) -> None:
    added = await shop.welcome.add(Welcome(to="x"))

    with pytest.raises(ResultTimeout) as caught:
        await added.result(timeout=0.05)

    assert isinstance(caught.value, TimeoutError)
    assert str(caught.value) == (
        f"SQ252 job {added.id} has no result after 0.05 s. It goes on; ask again later."
    )
    assert (await queue.counts()).waiting == 1


async def test_an_id_that_never_was_is_told_apart_from_one_that_is_gone(queue: Queue) -> None:
    with pytest.raises(JobNotFound, match='No job "nobody" in queue email'):
        await queue.result("nobody", timeout=10)


@pytest.mark.parametrize("limit", [-1, 100_000, True])
async def test_an_absurd_limit_is_refused(shop: Shop, limit: float) -> None:
    added = await shop.welcome.add(Welcome(to="x"))

    with pytest.raises(OutOfRange):
        await added.result(timeout=limit)


async def test_a_wait_outlives_a_lost_connection(
    server: EmbeddedServer, prefix: str, shop: Shop
) -> None:
    async with (
        Proxy(server.address) as proxy,
        App("shop", settings=Settings(), redis=proxy.url, prefix=prefix) as app,
    ):
        far = Shop(app)
        forgotten, kept = await far.forget.add(1), await far.welcome.add(Welcome(to="x"))
        waiting = asyncio.gather(forgotten.result(timeout=10), kept.result(timeout=10))
        await _until_followed(app)
        proxy.cut()

        await run_until_idle(shop.app)

        assert list(await waiting) == [[1], "sent to x"]


async def _until_followed(app: App) -> None:
    results = app.session().results("email")
    async with asyncio.timeout(10):
        await results._followed()


async def test_a_missed_event_is_caught_by_another_look(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_AGAIN_S", 0.05)
    added = await shop.welcome.add(Welcome(to="x"))
    monkeypatch.setattr(events.Results, "_tell", lambda self, entry: None)
    waiting = asyncio.create_task(added.result(timeout=10))

    await run_until_idle(shop.app)

    assert await waiting == "sent to x"


async def test_the_follower_ends_with_the_app(app: App, shop: Shop) -> None:
    added = await shop.welcome.add(Welcome(to="x"))
    with pytest.raises(ResultTimeout):
        await added.result(timeout=0.05)

    await app.close()

    assert app.session().results("email")._follower is None


async def test_a_blocking_wait_gives_the_result_in_a_thread(shop: Shop) -> None:
    added = await asyncio.to_thread(shop.welcome.add_sync, Welcome(to="x"))
    waiting = asyncio.create_task(asyncio.to_thread(added.result_sync, 10))

    await run_until_idle(shop.app)

    assert await waiting == "sent to x"
    assert blocking.loop_in_use() is not None


async def test_transitions_are_followed_in_their_order(shop: Shop, queue: Queue) -> None:
    following = queue.follow(after="0-0")
    added = await shop.welcome.add(Welcome(to="x"))
    await run_until_idle(shop.app)

    async with asyncio.timeout(10):
        seen = [await anext(following) for _ in range(3)]
    await following.aclose()

    assert [(t.id, t.state) for t in seen] == [
        (added.id, "waiting"),
        (added.id, "active"),
        (added.id, "completed"),
    ]
    assert seen[2].result is not None


async def test_a_follower_goes_on_where_it_was_when_the_connection_is_lost(
    server: EmbeddedServer, prefix: str, shop: Shop
) -> None:
    async with (
        Proxy(server.address) as proxy,
        App("shop", settings=Settings(), redis=proxy.url, prefix=prefix) as app,
    ):
        following = app.queue("email").follow(after="0-0")
        await shop.welcome.add(Welcome(to="x"), id="a")
        async with asyncio.timeout(10):
            first = await anext(following)
            proxy.cut()
            await shop.welcome.add(Welcome(to="x"), id="b")
            second = await anext(following)
        await following.aclose()

    assert (first.id, second.id) == ("a", "b")
