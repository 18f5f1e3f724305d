"""Adding jobs: what comes to stand in Redis, and what is refused before anything is sent."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import assert_type

import pytest
from redis.asyncio import Redis

from streamq import Added, App, JobState, NewJob, Payload, Queue, exponential
from streamq.adding import AddOptions
from streamq.errors import (
    BareNumber,
    InvalidDuration,
    InvalidInput,
    InvalidName,
    InvalidPayload,
    NotSerialisable,
    OutOfRange,
    PayloadTooLarge,
    RedisUnavailable,
    StoreFull,
    UnknownJobName,
    UnknownQueue,
)
from streamq.job import Counts, Options
from streamq.settings import Settings
from tests.integration.front.shop import Shop, Welcome, calls_made
from tests.support import servers


async def test_a_job_is_added_with_what_was_said_of_it_and_nothing_more(
    shop: Shop, queue: Queue
) -> None:
    added = await shop.welcome.add(
        Welcome(to="ana@x.br"),
        id="signup-17",
        delay="1m",
        priority=2,
        backoff=exponential("2s"),
        headers={"tenant": "sol"},
    )

    job = await queue.get("signup-17")

    assert_type(added, Added[str])
    assert (added.id, added.existed) == ("signup-17", False)
    assert job is not None
    assert (job.name, job.state) == ("welcome", JobState.DELAYED)
    assert job.value() == {"to": "ana@x.br", "name": "friend"}
    assert job.options.priority == 2
    assert job.options.headers == {"tenant": "sol"}
    assert job.options.attempts is job.options.timeout_ms is None  # the handler's: not the job's
    assert job.due_at_ms is not None
    assert job.due_at_ms - job.added_at_ms == 60_000


async def test_a_job_of_which_nothing_was_said_carries_no_options(
    shop: Shop, queue: Queue, raw: Redis, prefix: str
) -> None:
    data = Welcome(to="x" * 28)

    added = await shop.welcome.add(data)

    value = await raw.hget(f"{prefix}:{{email}}:jobs", added.id)
    job = await queue.get(added.id)
    assert job is not None
    assert job.options == Options()
    assert value is not None
    assert len(value) - len(job.data) == 12 + 1 + len("welcome") + 1 + 1  # head, list, name, {}


async def test_an_id_that_exists_changes_nothing(shop: Shop, queue: Queue) -> None:
    first = await shop.welcome.add(Welcome(to="ana"), id="once")

    second = await shop.welcome.add(Welcome(to="bo"), id="once", priority=1)

    job = await queue.get("once")
    assert (first.existed, second.existed) == (False, True)
    assert job is not None
    assert job.value() == {"to": "ana", "name": "friend"}
    assert await queue.counts() == Counts(waiting=1)


async def test_a_handlers_and_a_queues_priority_hold_unless_the_job_says_its_own(
    app: App, shop: Shop, raw: Redis, prefix: str
) -> None:
    app.declare_queue("late", priority=9)

    await shop.sync.add({}, name="sync-zapier")
    await shop.sync.add({}, name="sync-zapier", priority=3)
    await app.queue("late").add("anything", {})

    lines = {
        line: await raw.xlen(f"{prefix}:{{{q}}}:wait:{line}")
        for q, line in (("email", 1), ("email", 3), ("late", 9))
    }
    assert lines == {1: 1, 3: 1, 9: 1}


async def test_a_job_waits_until_the_moment_that_was_said(shop: Shop, queue: Queue) -> None:
    at = datetime.now(UTC) + timedelta(days=3)

    future = await shop.welcome.add(Welcome(to="x"), at=at)
    past = await shop.welcome.add(Welcome(to="x"), at=at - timedelta(days=9))
    at_once = await shop.welcome.add(Welcome(to="x"), delay="0s")

    found = [await queue.get(added.id) for added in (future, past, at_once)]
    assert [job and job.state for job in found] == [
        JobState.DELAYED,
        JobState.DELAYED,  # and due: it goes to its line with the next turn of a worker
        JobState.WAITING,
    ]
    assert found[0] is not None
    assert found[0].due_at_ms == int(at.timestamp() * 1000)


async def test_many_jobs_go_in_their_order_a_thousand_a_call(
    shop: Shop, queue: Queue, raw: Redis, prefix: str
) -> None:
    new = [shop.welcome.new(Welcome(to=str(i)), id=f"j{i}") for i in range(2_500)]

    added = await queue.add_many(new)

    again = await queue.add_many(new[:3])
    page = await queue.page(JobState.WAITING, limit=1_000)
    assert [a.id for a in added] == [f"j{i}" for i in range(2_500)]
    assert not any(a.existed for a in added)
    assert all(a.existed for a in again)
    assert await calls_made(raw, prefix) == [4]
    assert [job.id for job in page.jobs] == [f"j{i}" for i in range(1_000)]


@pytest.mark.one_server
async def test_a_call_carries_a_mebibyte_at_most(app: App, raw: Redis, prefix: str) -> None:
    queue = app.declare_queue("big", payload_limit="2MiB")
    new = [NewJob("store", "x" * 400_000) for _ in range(5)]

    await queue.add_many([*new, NewJob("store", "x" * 1_500_000), NewJob("store", "")])

    assert await calls_made(raw, prefix, "big") == [
        5
    ]  # 2, 2, 1, the one that is larger, and the small one
    assert (await queue.counts()).waiting == 7


async def test_adds_that_meet_ride_in_one_call(
    shop: Shop, queue: Queue, raw: Redis, prefix: str
) -> None:
    added = await asyncio.gather(
        *(shop.welcome.add(Welcome(to=str(i)), id=f"j{i % 50}") for i in range(100))
    )

    assert await calls_made(raw, prefix) == [1]
    assert [a.existed for a in added] == [False] * 50 + [True] * 50
    assert (await queue.counts()).waiting == 50


async def test_an_empty_list_adds_nothing(queue: Queue) -> None:
    assert await queue.add_many([]) == []
    assert await queue.counts() == Counts()


@pytest.mark.one_server
async def test_the_queue_is_found_by_those_who_list_queues(
    shop: Shop, raw: Redis, prefix: str
) -> None:
    await shop.welcome.add(Welcome(to="x"))

    assert await raw.smembers(f"{prefix}:queues") == {b"email"}


# ---- refused, with nothing sent


class Invoice(Payload):
    id: int


async def test_nothing_of_a_list_is_sent_if_one_job_of_it_is_wrong(
    shop: Shop, queue: Queue
) -> None:
    new = [shop.welcome.new(Welcome(to=str(i))) for i in range(1_500)]

    with pytest.raises(InvalidPayload):
        await queue.add_many([*new, NewJob("welcome", {"to": 1})])

    assert await queue.counts() == Counts()


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        ({"to": 1}, InvalidPayload, "SQ203 email/welcome: Expected str, got int - at $.to"),
        ({"name": "x"}, InvalidPayload, "SQ203 email/welcome: Object missing required field to"),
        (
            {"to": "x", "nmae": "y"},
            InvalidPayload,
            'SQ203 email/welcome: Object contains unknown field "nmae" (did you mean name?)',
        ),
        (Welcome(to="x" * 300_000), PayloadTooLarge, "SQ205 payload is 293 KiB, limit 256 KiB"),
        ({"to": float("nan")}, NotSerialisable, "SQ204 $.to is NaN."),
        ({"to": object()}, NotSerialisable, "SQ204 $.to is an object of builtins.object."),
    ],
)
async def test_a_payload_that_does_not_fit_is_refused_in_the_callers_stack(
    queue: Queue, data: object, error: type[InvalidInput], says: str
) -> None:
    with pytest.raises(error) as caught:
        await queue.add("welcome", data)

    assert str(caught.value).startswith(says)
    assert await queue.counts() == Counts()


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"delay": 5}, BareNumber, "delay=5"),
        ({"delay": "-5s"}, InvalidDuration, "negative"),
        ({"delay": "11000d"}, InvalidDuration, "ten years"),
        ({"at": NOW.replace(tzinfo=None)}, InvalidInput, "no time zone"),
        ({"at": NOW + timedelta(days=9_999)}, InvalidInput, "more than ten years"),
        ({"at": "2026-12-01"}, BareNumber, 'at="2026-12-01" is a str, no moment: give an aware'),
        ({"at": NOW, "delay": "1s"}, InvalidInput, "delay or at, not both"),
        ({"priority": 0}, OutOfRange, "priority=0 is out of range: give 1 to 10."),
        ({"priority": 11}, OutOfRange, "priority=11"),
        ({"priority": True}, OutOfRange, "priority=True"),
        ({"attempts": 0}, OutOfRange, "attempts=0 is out of range: give 1 to 1000."),
        ({"timeout": "0s"}, InvalidDuration, 'timeout="0s": no attempt ends in no time'),
        ({"timeout": 30}, BareNumber, "timeout=30"),
        ({"expires": "5s", "delay": "5s"}, InvalidInput, "it could never run"),
        ({"expires": NOW - timedelta(1)}, InvalidInput, "it could never run"),
        ({"expires": 60}, BareNumber, "expires=60"),
        ({"id": "a b"}, InvalidName, 'id "a b" is not allowed'),
        ({"id": ""}, InvalidName, 'id ""'),
        ({"id": "x" * 129}, InvalidName, "id "),
        ({"headers": {"a": 1}}, InvalidInput, "text"),
        ({"headers": ["a"]}, InvalidInput, "headers=['a'] is no mapping"),
        ({"headers": {"a": "\ud800"}}, InvalidInput, "surrogate"),
        ({"headers": {"a": "x" * 9_000}}, InvalidInput, "8,192 bytes"),
        ({"headers": {str(i): "" for i in range(65)}}, InvalidInput, "65 headers"),
        ({"payload_limit": "17MiB"}, OutOfRange, "payload_limit"),
        ({"payload_limit": "4B"}, PayloadTooLarge, "limit 4 B"),
        ({"backoff": lambda attempt, error: "1s"}, InvalidInput, "cannot travel with a job"),
        ({"prioriti": 2}, TypeError, "prioriti"),
    ],
)
async def test_an_option_that_cannot_be_right_is_refused(
    queue: Queue, options: AddOptions, error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as caught:
        await queue.add("welcome", {"to": "x"}, **options)

    assert says in str(caught.value)
    assert await queue.counts() == Counts()


async def test_an_unknown_queue_is_refused_with_a_guess(app: App, shop: Shop) -> None:
    with pytest.raises(UnknownQueue) as caught:
        await app.queue("emial").add("welcome", {"to": "x"})

    await app.queue("emial").add("welcome", {"to": "x"}, create=True)

    assert str(caught.value) == (
        'SQ201 No queue "emial" in app "shop". Did you mean "email"? Known: email'
        " (add with create=True to allow it)"
    )
    assert (await app.queue("emial").counts()).waiting == 1


async def test_an_unknown_name_is_refused_where_the_queues_handlers_are_known(
    app: App, queue: Queue
) -> None:
    plain = app.declare_queue("plain")

    with pytest.raises(UnknownJobName) as caught:
        await queue.add("welcom", {})
    await queue.add("welcom", {}, force=True)
    await plain.add("anything", {})

    assert 'SQ206 No handler for email/welcom. Did you mean "welcome"?' in str(caught.value)
    with pytest.raises(UnknownJobName):  # once forced is not for ever known
        await queue.add("welcom", {})
    assert (await queue.counts()).waiting == (await plain.counts()).waiting == 1


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "{email}", "sync-*"])
async def test_a_name_outside_its_set_is_refused(queue: Queue, name: str) -> None:
    with pytest.raises(InvalidName, match='job name "'):
        await queue.add(name, {}, force=True)


async def test_a_pattern_has_to_be_told_which_name_is_meant(shop: Shop) -> None:
    with pytest.raises(InvalidInput, match="takes many names"):
        await shop.sync.add({})
    with pytest.raises(UnknownJobName):
        await shop.sync.add({}, name="other")


async def test_a_name_under_which_no_handler_is_registered_counts_as_unknown(
    shop: Shop, queue: Queue
) -> None:
    await queue.add("custom", {}, force=True)
    await shop.sync.add({}, name="sync-zapier")

    stats = await queue.stats()

    assert stats.value("added", "unknown") == stats.value("added", "sync-*") == 1
    assert stats.value("added") == 2


# ---- Redis away, or full


async def test_an_add_says_at_once_that_redis_is_away(prefix: str) -> None:
    async with App("shop", settings=Settings(), redis="redis://127.0.0.1:1", prefix=prefix) as app:
        app.declare_queue("email")

        with pytest.raises(RedisUnavailable) as caught:
            await app.queue("email").add("welcome", {})

    assert str(caught.value).startswith(
        "SQ101 Cannot reach Redis at 127.0.0.1:1 (from App(redis=...)): "
    )


async def test_an_add_to_a_full_redis_is_refused_and_nothing_is_torn(prefix: str) -> None:
    with servers.running() as server:
        async with App(
            "shop", settings=Settings(), redis=servers.door(server.url), prefix=prefix
        ) as app:
            queue = app.declare_queue("email")
            await queue.add("welcome", {}, id="first")
            full = Redis.from_url(server.url)
            await full.config_set("maxmemory", 1)

            with pytest.raises(StoreFull) as caught:
                await queue.add("welcome", {}, id="second")
            with pytest.raises(StoreFull, match=r"^SQ123 Redis is out of memory"):
                await app.redis.set("a", "x")
            await full.config_set("maxmemory", 0)
            await full.aclose()
            added = await queue.add("welcome", {}, id="second")

            assert "Redis is out of memory; nothing was added" in str(caught.value)
            assert not added.existed
            assert (await queue.counts()).waiting == 2
