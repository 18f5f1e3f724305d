"""One connection shared by many callers: each gets its own reply, or learns that there is none."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from streamq.embedded import EmbeddedServer
from streamq.errors import NotApplied, OutcomeUnknown, RedisRefusedPassword, StoreFull
from streamq.store import calls
from streamq.store.address import Address
from streamq.store.client import ConnectionChanged, ErrorReply, Wire
from tests.support import servers
from tests.support.proxy import Proxy
from tests.support.waiting import soon


@pytest.fixture
async def wire(server: EmbeddedServer) -> AsyncIterator[Wire]:
    opened = Wire(Address(server.url, "the test"), b"", name="the-wire")
    yield opened
    await opened.close()


async def _echo(wire: Wire, text: str) -> str:
    said: bytes = await wire.call("echo", ("ECHO", text))
    return said.decode()


# ---- replies


async def test_each_of_many_callers_gets_its_own_reply(wire: Wire) -> None:
    texts = [f"text {i}" for i in range(300)]

    said = await asyncio.gather(*(_echo(wire, text) for text in texts))

    assert said == texts
    assert wire.generation == 1


async def test_the_library_repeats_nothing_and_gives_up_nothing_by_itself(wire: Wire) -> None:
    """H2: its own are ten repeats of a command, and a time-out of five seconds."""
    await wire.open()

    connection = wire._connection
    assert connection is not None
    assert connection.retry.get_retries() == 0
    assert (connection.socket_timeout, connection.health_check_interval) == (None, 0)


@pytest.mark.parametrize("when", ["its reply is read", "it waits behind another"])
async def test_the_reply_of_a_cancelled_call_is_handed_to_nobody_else(
    wire: Wire, when: str
) -> None:
    """H18."""
    await wire.open()
    blocked = asyncio.create_task(wire.call("pop", ("BLPOP", "nothing", 20)))
    behind = asyncio.create_task(_echo(wire, "behind"))
    await asyncio.sleep(0)  # both are sent at their first step
    cancelled, other = (blocked, behind) if when == "its reply is read" else (behind, blocked)

    cancelled.cancel()

    with pytest.raises(asyncio.CancelledError):
        await cancelled
    with pytest.raises(OutcomeUnknown):
        await other
    assert await _echo(wire, "after") == "after"
    assert wire.generation == 2


@pytest.mark.one_server
async def test_a_call_that_takes_too_long_is_given_up_with_those_behind_it(wire: Wire) -> None:
    blocked = asyncio.create_task(wire.call("pop", ("BLPOP", "nothing", 20), timeout_s=0.05))
    behind = asyncio.create_task(_echo(wire, "behind"))

    for waiting in (blocked, behind):
        with pytest.raises(OutcomeUnknown):
            await waiting
    assert await _echo(wire, "after") == "after"


async def test_what_cannot_be_sent_disturbs_nobody(wire: Wire) -> None:
    other = asyncio.create_task(_echo(wire, "other"))
    await wire.open()

    with pytest.raises(UnicodeEncodeError):
        await _echo(wire, "half a pair \ud800")

    assert await other == "other"
    assert wire.generation == 1


# ---- connections


async def test_a_connection_that_was_closed_while_nobody_used_it_costs_no_call(
    server: EmbeddedServer,
) -> None:
    before = calls.own().reconnects
    async with Proxy(server.address) as proxy:
        wire = Wire(Address(proxy.url, "the test"), b"", name="the-wire")
        for generation in (1, 2, 3):
            assert await _echo(wire, "still") == "still"
            assert wire.generation == generation
            proxy.cut()
            connection = wire._connection
            assert connection is not None
            reader = connection._reader
            assert reader is not None
            await soon(lambda r=reader: r.at_eof() or r.exception() is not None, "it is told")  # type: ignore[misc]
        await wire.close()
    assert calls.own().reconnects - before == 2, "the first connection is none anew"


async def test_who_depends_on_a_connection_is_told_that_it_is_another_one(wire: Wire) -> None:
    generation = await wire.open()
    await wire.call("ping", ("PING",), generation=generation)
    await wire.close()

    with pytest.raises(ConnectionChanged):
        await wire.call("ping", ("PING",), generation=generation)

    assert wire.generation == generation + 1


async def test_callers_that_come_at_once_open_one_connection(wire: Wire) -> None:
    await asyncio.gather(*(wire.open() for _ in range(20)), _echo(wire, "with them"))

    assert wire.generation == 1


async def test_an_opening_that_is_cancelled_leaves_nothing_open(server: EmbeddedServer) -> None:
    async with Proxy(server.address) as proxy:
        proxy.blackhole(match=b"CLIENT")
        wire = Wire(Address(proxy.url, "the test"), b"", name="the-wire")
        opening = asyncio.create_task(wire.open())
        await soon(lambda: proxy.requests > 0, "it has begun")

        opening.cancel()

        with pytest.raises(asyncio.CancelledError):
            await opening
        assert not wire.connected
        assert await _echo(wire, "after") == "after"
        await wire.close()


# ---- error replies


@pytest.mark.one_server
async def test_an_error_reply_is_an_error_of_ours_and_leaves_the_connection(
    wire: Wire, prefix: str
) -> None:
    await wire.call("set", ("SET", f"{prefix}:text", "text"))

    with pytest.raises(ErrorReply) as wrong:
        await wire.call("look", ("LLEN", f"{prefix}:text"))
    with pytest.raises(ErrorReply) as unknown:
        await wire.call("look", ("NOSUCHCOMMAND",))

    assert (wrong.value.word, unknown.value.word) == ("WRONGTYPE", "ERR")
    assert wrong.value.text.startswith("WRONGTYPE Operation")
    assert wire.generation == 1


async def test_a_replica_is_left_and_its_master_looked_for(server: EmbeddedServer) -> None:
    with servers.running(server.binary, tcp=True) as own:
        wire = Wire(Address(own.url, "the test"), b"", name="the-wire")
        await wire.call("demote", ("REPLICAOF", "127.0.0.1", "1"))

        with pytest.raises(NotApplied) as refused:
            await wire.call("set", ("SET", "key", "value"))

        assert refused.value.word == "READONLY"
        assert not wire.connected  # it may be another server that the next call finds
        await wire.call("promote", ("REPLICAOF", "NO", "ONE"))
        await wire.call("set", ("SET", "key", "value"))
        await wire.close()


async def test_a_full_server_is_a_typed_refusal(server: EmbeddedServer) -> None:
    with servers.running(server.binary) as own:
        wire = Wire(Address(own.url, "the test"), b"", name="the-wire")
        await wire.call("limit", ("CONFIG", "SET", "maxmemory", "1"))

        with pytest.raises(StoreFull):
            await wire.call("set", ("SET", "key", "value"))
        with pytest.raises(StoreFull):
            await wire.call("set", ("EVAL", "return redis.call('SET', KEYS[1], '1')", 1, "key"))

        await wire.close()


async def test_a_password_that_is_asked_for_later_is_asked_of_a_new_connection(
    server: EmbeddedServer,
) -> None:
    with servers.running(server.binary) as own:
        wire = Wire(Address(own.url, "the test"), b"", name="the-wire")
        await wire.call("lock", ("CONFIG", "SET", "requirepass", "secret"))
        assert await wire.call("ping", ("PING",)) == b"PONG"
        await wire.call("forget", ("RESET",))

        with pytest.raises(NotApplied) as refused:
            await wire.call("ping", ("PING",))
        assert refused.value.word == "NOAUTH"
        with pytest.raises(RedisRefusedPassword):
            await wire.call("ping", ("PING",))
        await wire.close()
