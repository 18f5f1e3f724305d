"""The application's own values in Redis: `app.redis`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from streamq import App
from streamq.embedded import EmbeddedServer
from streamq.errors import BareNumber, InvalidName, OutOfRange
from streamq.settings import Settings
from tests.support import servers
from tests.support.waiting import soon


@pytest.fixture
async def app(server: EmbeddedServer, prefix: str, raw: Redis) -> AsyncIterator[App]:
    """An App without a queue: its own values are no keys of one."""
    async with App(
        "shop", settings=Settings(), redis=servers.door(server.url), prefix=f"{prefix}v"
    ) as opened:
        yield opened
    async for key in raw.scan_iter(f"{prefix}v:*", count=1_000):
        await raw.delete(key)


async def test_a_value_is_kept_read_and_deleted(app: App) -> None:
    nothing = await app.redis.get("a")
    await app.redis.set("a", "ação")
    await app.redis.set("b", b"\x00\xff")

    values = [await app.redis.get("a"), await app.redis.get("b")]
    gone = await app.redis.delete("a", "b", "never")

    assert nothing is None
    assert values == ["ação".encode(), b"\x00\xff"]
    assert gone == 2
    assert await app.redis.get("a") is None


@pytest.mark.one_server
async def test_a_value_ends_at_its_time(app: App, raw: Redis, prefix: str) -> None:
    await app.redis.set("a", "x", expire="1h")
    await app.redis.set("b", "x", expire=timedelta(milliseconds=1))

    left = await raw.pttl(f"{prefix}v:app:a")

    assert 0 < left <= 3_600_000
    await soon(lambda: _gone(app, "b"), "it ended")
    with pytest.raises(BareNumber):
        await app.redis.set("a", "x", expire=5)  # type: ignore[arg-type]


async def _gone(app: App, name: str) -> bool:
    return await app.redis.get(name) is None


async def test_only_one_of_many_takes_a_name_that_is_new(app: App) -> None:
    took = await asyncio.gather(*(app.redis.set("lock", str(i), only_new=True) for i in range(10)))

    assert sum(took) == 1


async def test_names_are_found_by_how_they_begin(app: App) -> None:
    names = {f"seen:{i}" for i in range(1_200)}
    for name in (*names, "other", "seen"):
        await app.redis.set(name, "")

    found = {name async for name in app.redis.scan("seen:")}
    all_ = {name async for name in app.redis.scan()}

    assert found == names
    assert all_ == names | {"other", "seen"}


@pytest.mark.one_server
async def test_a_counter_counts_and_ends_at_the_time_of_its_first_increment(
    app: App, raw: Redis, prefix: str
) -> None:
    counts = [await app.redis.increment("hits", expire="1h") for _ in range(3)]
    await app.redis.increment("plain", by=-5)

    assert counts == [1, 2, 3]
    assert 0 < await raw.pttl(f"{prefix}v:app:hits") <= 3_600_000
    assert await app.redis.get("plain") == b"-5"
    assert await raw.pttl(f"{prefix}v:app:plain") == -1


async def test_a_list_keeps_its_newest_values(app: App) -> None:
    for i in range(7):
        await app.redis.append("audit", str(i), keep=5)

    assert await app.redis.tail("audit") == [b"2", b"3", b"4", b"5", b"6"]
    assert await app.redis.tail("audit", 2) == [b"5", b"6"]
    assert await app.redis.tail("never") == []
    with pytest.raises(OutOfRange):
        await app.redis.append("audit", "x", keep=0)


@pytest.mark.one_server
async def test_a_counter_without_its_end_is_given_one_by_its_first_increment(
    app: App, raw: Redis, prefix: str
) -> None:
    """As one is that ended between the two commands of an increment."""
    await app.redis.increment("hits", by=-1)
    await app.redis.increment("hits", expire="1h")

    again = await app.redis.increment("hits", expire="1h")

    assert again == 1
    assert 0 < await raw.pttl(f"{prefix}v:app:hits") <= 3_600_000


async def test_a_value_that_is_read_may_live_on(app: App) -> None:
    await app.redis.set("a", "x", expire="1h")

    assert await app.redis.get("a", renew="2h") == b"x"

    left = await app.redis.ms_left("a")
    assert left is not None and 3_600_000 < left <= 7_200_000
    assert await app.redis.get("never", renew="2h") is None
    assert await app.redis.ms_left("never") == 0


async def test_a_value_without_an_end_is_told_from_one_that_is_gone(app: App) -> None:
    await app.redis.set("a", "x")

    assert await app.redis.ms_left("a") is None


async def test_a_journal_is_read_page_by_page_from_its_end(app: App) -> None:
    ids = [await app.redis.write("audit", str(i), keep=1_000) for i in range(5)]

    first = await app.redis.written("audit", 2)
    rest = await app.redis.written("audit", before=first[-1].id)

    assert [entry.value for entry in (*first, *rest)] == [b"4", b"3", b"2", b"1", b"0"]
    assert [entry.id for entry in (*first, *rest)] == ids[::-1]
    assert first[0].at_ms >= rest[-1].at_ms > 1_600_000_000_000
    assert await app.redis.written("never") == []


@pytest.mark.one_server
async def test_a_journal_keeps_about_its_newest_entries(app: App, raw: Redis, prefix: str) -> None:
    for i in range(400):
        await app.redis.write("audit", str(i), keep=10)

    assert 10 <= await raw.xlen(f"{prefix}v:app:audit") < 300
    assert (await app.redis.written("audit", 1))[0].value == b"399"


@pytest.mark.parametrize("before", ["", "x", "1", "1-1-1", "(1-1", "+"])
async def test_what_is_no_place_of_a_journal_is_refused(app: App, before: str) -> None:
    with pytest.raises(InvalidName):
        await app.redis.written("audit", before=before)


@pytest.mark.one_server
async def test_the_admins_values_and_those_of_others_have_roots_of_their_own(
    app: App, raw: Redis, prefix: str
) -> None:
    theirs = app.redis.shared(f"{prefix}-sess:")
    await app.redis.admin.set("a", "admin")
    await theirs.set("a", "shared")
    try:
        assert await app.redis.get("a") is None
        assert await raw.get(f"{prefix}v:admin:a") == b"admin"
        assert await raw.get(f"{prefix}-sess:a") == b"shared"
        assert [name async for name in theirs.scan()] == ["a"]
    finally:
        await theirs.delete("a")


@pytest.mark.parametrize("root", ["", "sess", ":", "{email}:", "a b:", "*:", "{prefix}v:"])
async def test_a_root_that_could_reach_our_own_keys_is_refused(
    app: App, root: str, prefix: str
) -> None:
    with pytest.raises(InvalidName):
        await app.redis.shared(root.replace("{prefix}", prefix)).get("queues")


@pytest.mark.one_server
async def test_a_message_is_heard_by_who_listens(app: App, raw: Redis, prefix: str) -> None:
    async with raw.pubsub() as listener:
        await listener.subscribe(f"{prefix}v:app:news")
        await listener.get_message(timeout=5)

        heard_by = await app.redis.publish("news", "hello")

        message = await listener.get_message(timeout=5)
    assert heard_by == 1
    assert message is not None
    assert message["data"] == b"hello"


@pytest.mark.parametrize("name", ["", "a b", "{email}:jobs", "x" * 129])
async def test_a_name_that_could_forge_another_key_is_refused(app: App, name: str) -> None:
    with pytest.raises(InvalidName):
        await app.redis.get(name)
