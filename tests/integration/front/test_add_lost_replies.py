"""An add whose reply is lost, refused or late: never twice, never silently not at all."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from streamq import App, NewJob, Queue, producer
from streamq.embedded import EmbeddedServer
from streamq.errors import NotApplied, OutcomeUnknown, RedisUnavailable, ScriptFault
from streamq.job import Counts, JobState
from streamq.settings import Settings
from streamq.store import transitions
from streamq.store.scripts import script
from tests.integration.front.shop import Shop, Welcome, calls_made
from tests.support.proxy import Proxy
from tests.support.waiting import soon

ADD = script("add").sha


@pytest.fixture
async def proxy(server: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.address) as started:
        yield started


@pytest.fixture
async def far(proxy: Proxy, prefix: str) -> AsyncIterator[Shop]:
    """The shop behind the proxy. Its first call has been made: the script is loaded."""
    async with App("shop", settings=Settings(), redis=proxy.url, prefix=prefix) as opened:
        shop = Shop(opened)
        await shop.welcome.add(Welcome(to="x"), id="before")
        yield shop


async def test_an_add_whose_reply_is_lost_adds_once_and_says_what_it_did(
    far: Shop, proxy: Proxy, queue: Queue, raw: Redis, prefix: str
) -> None:
    fault = proxy.drop_reply(ADD)

    first, second = await asyncio.gather(
        far.welcome.add(Welcome(to="x"), id="a"), far.welcome.add(Welcome(to="x"), id="before")
    )

    await fault.struck()
    assert (first.existed, second.existed) == (False, True)
    assert await calls_made(raw, prefix) == [2]
    assert (await queue.stats()).value("added") == 2


async def test_a_job_that_was_removed_meanwhile_is_not_added_by_the_repeat(
    far: Shop, proxy: Proxy, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_repeat = asyncio.Event()

    async def wait_for_it(*_: object) -> None:
        await may_repeat.wait()

    monkeypatch.setattr(producer.Producer, "_pause", wait_for_it)
    fault = proxy.drop_reply(ADD)
    adding = asyncio.create_task(far.welcome.add(Welcome(to="x"), id="a"))
    await fault.struck()

    await queue.remove("a")
    may_repeat.set()

    assert not (await adding).existed
    assert await queue.get("a") is None


async def test_a_late_copy_of_an_add_does_nothing(far: Shop, proxy: Proxy, queue: Queue) -> None:
    fault = proxy.hold_request(ADD)
    added = await far.welcome.add(Welcome(to="x"), id="a")
    await queue.remove("a")
    await far.welcome.add(Welcome(to="x"), id="b")

    await fault.release()

    assert not added.existed
    assert await queue.get("a") is None


async def test_the_next_add_after_one_that_was_given_up_makes_its_late_copy_stale(
    far: Shop, proxy: Proxy, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "PAUSES_S", ())
    fault = proxy.hold_request(ADD)

    with pytest.raises(OutcomeUnknown):
        await far.welcome.add(Welcome(to="x"), id="a")
    await far.welcome.add(Welcome(to="x"), id="b")
    await fault.release()

    assert await queue.get("a") is None
    assert await queue.get("b") is not None


async def test_a_caller_that_is_cancelled_takes_nobody_with_it(
    far: Shop, proxy: Proxy, queue: Queue
) -> None:
    proxy.latency(ms=50)
    first = asyncio.create_task(far.welcome.add(Welcome(to="x"), id="a"))
    together = [asyncio.create_task(far.welcome.add(Welcome(to="x"), id=f"b{i}")) for i in range(3)]
    in_flight = asyncio.create_task(far.welcome.add(Welcome(to="x"), id="c"))
    await soon(lambda: proxy.requests >= 2, "the first call is on its way")

    in_flight.cancel()
    together[1].cancel()
    late = await far.welcome.add(Welcome(to="x"), id="d")

    assert not (await first).existed
    assert not (await together[0]).existed
    assert not (await together[2]).existed
    assert not late.existed
    assert in_flight.cancelled()
    assert together[1].cancelled()


async def test_a_caller_that_is_cancelled_before_its_job_was_sent_adds_nothing(
    far: Shop, proxy: Proxy, queue: Queue
) -> None:
    proxy.latency(ms=50)
    before = proxy.requests
    first = asyncio.create_task(far.welcome.add(Welcome(to="x"), id="a"))
    await soon(lambda: proxy.requests > before, "the first call is on its way")
    waiting = asyncio.create_task(far.welcome.add(Welcome(to="x"), id="b"))
    await asyncio.sleep(0)

    waiting.cancel()
    await first
    await far.welcome.add(Welcome(to="x"), id="c")

    assert await queue.get("a") is not None
    assert await queue.get("b") is None
    assert await queue.get("c") is not None


async def test_a_list_whose_reply_is_lost_is_added_once_and_in_order(
    far: Shop, proxy: Proxy, queue: Queue
) -> None:
    fault = proxy.drop_reply(ADD, nth=2)

    added = await far.app.queue("email").add_many(_numbered(far, 2_500))

    await fault.struck()
    assert not any(one.existed for one in added)
    assert await _in_line(queue) == ["before", *[f"j{i}" for i in range(2_500)]]


async def test_an_error_within_a_list_says_which_jobs_are_there(
    far: Shop, proxy: Proxy, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "PAUSES_S", ())
    fault = proxy.hold_request(ADD, nth=2)

    with pytest.raises(OutcomeUnknown) as unknown:
        await far.app.queue("email").add_many(_numbered(far, 2_500))

    assert unknown.value.__notes__ == [
        "Of 2,500 jobs the first 1,000 are added; the next 1,000, j1000 to j1999, may be;"
        " 500 were not sent."
    ]
    assert (await queue.counts()).waiting == 1 + 1_000
    await fault.release()
    assert (await queue.counts()).waiting == 1 + 2_000


async def test_a_refusal_within_a_list_says_which_jobs_are_not_there(
    far: Shop, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "PAUSES_S", ())
    real, calls = transitions.add, 0

    async def busy_at_last(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise NotApplied("add", "LOADING")
        return await real(*args, **options)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(transitions, "add", busy_at_last)

    with pytest.raises(NotApplied) as refused:
        await far.app.queue("email").add_many(_numbered(far, 2_500))

    assert refused.value.__notes__ == [
        "Of 2,500 jobs the first 2,000 are added; the next 500, j2000 to j2499, are not;"
        " 0 were not sent."
    ]
    assert (await queue.counts()).waiting == 1 + 2_000


@pytest.mark.one_server
async def test_a_list_that_is_cancelled_leaves_nothing_behind_that_adds_on(
    far: Shop, proxy: Proxy, queue: Queue
) -> None:
    proxy.latency(ms=50)
    before, tasks = proxy.requests, asyncio.all_tasks()
    adding = asyncio.create_task(far.app.queue("email").add_many(_numbered(far, 3_500)))
    await soon(lambda: proxy.requests > before, "the first call is on its way")

    adding.cancel()
    after = await far.welcome.add(Welcome(to="x"), id="after")
    await asyncio.sleep(0)

    assert adding.cancelled()
    assert not after.existed
    assert asyncio.all_tasks() == tasks
    assert (await queue.counts()).waiting == 1 + 1_000 + 1


async def test_a_list_that_is_cancelled_before_its_first_call_adds_nothing(
    far: Shop, proxy: Proxy, queue: Queue
) -> None:
    proxy.latency(ms=50)
    before = proxy.requests
    first = asyncio.create_task(far.welcome.add(Welcome(to="x"), id="first"))
    await soon(lambda: proxy.requests > before, "the first call is on its way")
    adding = asyncio.create_task(far.app.queue("email").add_many(_numbered(far, 10)))
    await asyncio.sleep(0)

    adding.cancel()
    await first
    await far.welcome.add(Welcome(to="x"), id="after")

    assert adding.cancelled()
    assert (await queue.counts()).waiting == 3  # before, first, after


async def test_a_single_add_does_not_wait_for_the_end_of_a_list(
    far: Shop, proxy: Proxy, queue: Queue
) -> None:
    proxy.latency(ms=20)
    before = proxy.requests
    adding = asyncio.create_task(far.app.queue("email").add_many(_numbered(far, 3_500)))
    await soon(lambda: proxy.requests > before, "the first call is on its way")

    await far.welcome.add(Welcome(to="x"), id="single")
    await adding

    assert (await _in_line(queue)).index("single") == 1 + 1_000


def _numbered(shop: Shop, count: int) -> list[NewJob]:
    return [shop.welcome.new(Welcome(to="x"), id=f"j{i}") for i in range(count)]


async def _in_line(queue: Queue) -> list[str]:
    """The ids that wait, in the order in which they will be given out."""
    page = await queue.page(JobState.WAITING, limit=1_000)
    ids: list[str] = [job.id for job in page.jobs]
    while page.cursor is not None:
        page = await queue.page(JobState.WAITING, cursor=page.cursor, limit=1_000)
        ids += [job.id for job in page.jobs]
    return ids


async def test_a_link_that_drops_again_and_again_ends_in_a_word_about_it(
    far: Shop, proxy: Proxy, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "PAUSES_S", (0.0, 0.0))
    for nth in (1, 2, 3):
        proxy.hold_request(ADD, nth=nth)

    with pytest.raises(OutcomeUnknown) as caught:
        await far.welcome.add(Welcome(to="x"), id="a")
    again = await far.welcome.add(Welcome(to="x"), id="a")

    assert "repeat it with the same ids" in str(caught.value)
    assert not again.existed


async def test_redis_that_goes_away_for_a_moment_loses_no_add(
    far: Shop, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = 0

    async def away_for_two_repeats(*_: object) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 1:
            proxy.down()
        if pauses == 3:
            proxy.heal()

    monkeypatch.setattr(producer.Producer, "_pause", away_for_two_repeats)
    proxy.drop_reply(ADD)

    assert not (await far.welcome.add(Welcome(to="x"), id="a")).existed
    assert pauses == 3


async def test_an_add_while_redis_is_away_fails_and_can_be_made_again(
    far: Shop, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "PAUSES_S", (0.0, 0.0))
    proxy.down()

    with pytest.raises((RedisUnavailable, OutcomeUnknown)):  # the link takes calls, and resets them
        await far.welcome.add(Welcome(to="x"), id="b")
    proxy.heal()

    assert not (await far.welcome.add(Welcome(to="x"), id="b")).existed


async def test_a_producer_that_was_silent_for_long_takes_a_new_name(
    shop: Shop, raw: Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.welcome.add(Welcome(to="x"))
    await shop.welcome.add(Welcome(to="x"))

    monkeypatch.setattr(producer, "SILENCE_MAX_S", 0.0)
    await shop.welcome.add(Welcome(to="x"))

    assert await calls_made(raw, prefix) == [1, 2]


async def test_scripts_that_were_flushed_are_loaded_again(
    shop: Shop, queue: Queue, raw: Redis
) -> None:
    await shop.welcome.add(Welcome(to="x"))

    await raw.script_flush()
    await shop.welcome.add(Welcome(to="x"))

    assert (await queue.counts()).waiting == 2


async def test_an_add_goes_on_after_everything_was_flushed(
    shop: Shop, queue: Queue, raw: Redis, prefix: str
) -> None:
    for _ in range(3):
        await shop.welcome.add(Welcome(to="x"))
    for key in await raw.keys(f"{prefix}:*"):
        await raw.delete(key)

    added = await shop.welcome.add(Welcome(to="x"))

    assert not added.existed
    assert await queue.counts() == Counts(waiting=1)


async def test_a_refusal_for_the_moment_is_waited_out(
    far: Shop, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = 0
    real = transitions.add

    async def busy_twice(*args: object, **options: object) -> object:
        nonlocal answers
        answers += 1
        if answers <= 2:
            raise NotApplied("add", "LOADING")
        return await real(*args, **options)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(transitions, "add", busy_twice)

    added = await far.welcome.add(Welcome(to="x"))

    assert (added.existed, answers) == (False, 3)


async def test_a_fault_of_a_script_is_told_to_all_who_rode_with_it(
    shop: Shop, queue: Queue, raw: Redis, prefix: str
) -> None:
    key = f"{prefix}:{{email}}:adds"
    await raw.set(key, "not a hash")

    told = await asyncio.gather(
        *(shop.welcome.add(Welcome(to="x")) for _ in range(3)), return_exceptions=True
    )

    await raw.delete(key)
    assert [type(error) for error in told] == [ScriptFault] * 3
    assert len({id(error) for error in told}) == 3
    assert not (await shop.welcome.add(Welcome(to="x"))).existed
