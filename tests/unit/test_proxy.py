"""The proxy that misbehaves does so as it says, and is a wire otherwise."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from streamq.embedded import EmbeddedServer
from tests.support import servers
from tests.support.proxy import Proxy
from tests.support.waiting import soon

GONE = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)


@pytest.fixture
async def proxy(server: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.address) as one:
        yield one


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Redis]:
    """Without retries: what the proxy does to one request is what that request gets."""
    one = Redis.from_url(proxy.url, socket_timeout=0.5, retry=Retry(NoBackoff(), 0))
    await one.ping()
    yield one
    # Not by QUIT or a wait for the peer, which may be silent on purpose.
    await one.connection_pool.disconnect(inuse_connections=True)


async def test_without_a_fault_it_is_a_wire(proxy: Proxy, client: Redis, prefix: str) -> None:
    key, value = f"{prefix}:a", b"\r\n*3\r\n$" * 50_000

    await client.set(key, value)

    assert await client.get(key) == value


async def test_a_dropped_reply_was_applied_and_its_client_disconnected(
    proxy: Proxy, client: Redis, prefix: str
) -> None:
    fault = proxy.drop_reply(match=b"INCR")

    with pytest.raises(redis.exceptions.ConnectionError):
        await client.incr(f"{prefix}:n")

    await fault.struck()
    assert fault.reply == b":1\r\n"
    assert await client.get(f"{prefix}:n") == b"1"


async def test_a_dropped_reply_may_leave_its_client_waiting(
    proxy: Proxy, client: Redis, prefix: str
) -> None:
    proxy.drop_reply(match=b"INCR", hang=True)

    with pytest.raises(redis.exceptions.TimeoutError):
        await client.incr(f"{prefix}:n")

    assert await client.get(f"{prefix}:n") == b"1"


async def test_a_held_request_is_applied_when_released(
    proxy: Proxy, client: Redis, prefix: str
) -> None:
    fault = proxy.hold_request(match=b"INCR")
    with pytest.raises(redis.exceptions.ConnectionError):
        await client.incr(f"{prefix}:n")
    assert await client.get(f"{prefix}:n") is None
    await client.set(f"{prefix}:n", 41)

    reply = await fault.release()

    assert reply == b":42\r\n"
    assert await client.get(f"{prefix}:n") == b"42"


async def test_a_fault_strikes_the_nth_request_that_matches_and_only_once(
    proxy: Proxy, client: Redis, prefix: str
) -> None:
    key = f"{prefix}:n"
    fault = proxy.drop_reply(match=b"INCR", nth=2)

    assert await client.incr(key) == 1
    assert await client.get(key) == b"1"
    with pytest.raises(redis.exceptions.ConnectionError):
        await client.incr(key)
    await fault.struck()

    assert await client.incr(key) == 3


async def test_faults_count_the_same_requests(proxy: Proxy, client: Redis, prefix: str) -> None:
    first = proxy.reset(match=b"INCR")
    second = proxy.reset(match=b"INCR", nth=2)

    for fault in (first, second):
        with pytest.raises(redis.exceptions.ConnectionError):
            await client.incr(f"{prefix}:n")
        await fault.struck()

    assert await client.incr(f"{prefix}:n") == 1


async def test_a_reset_loses_the_request(proxy: Proxy, client: Redis, prefix: str) -> None:
    fault = proxy.reset(match=b"INCR")

    with pytest.raises(redis.exceptions.ConnectionError):
        await client.incr(f"{prefix}:n")

    await fault.struck()
    assert await client.exists(f"{prefix}:n") == 0


async def test_in_a_black_hole_the_server_is_not_told_that_the_client_left(
    proxy: Proxy, client: Redis, raw: Redis, prefix: str
) -> None:
    await client.client_setname(prefix)
    proxy.blackhole(match=b"INCR")

    with pytest.raises(redis.exceptions.TimeoutError):
        await client.incr(f"{prefix}:n")

    assert await _connected_as(raw, prefix)
    assert await client.exists(f"{prefix}:n") == 0
    proxy.heal()
    await soon(lambda: _is_gone(raw, prefix), "the server was told after all")


async def test_half_open_closes_the_servers_side_and_does_not_tell_the_client(
    proxy: Proxy, client: Redis, raw: Redis, prefix: str
) -> None:
    await client.client_setname(prefix)
    fault = proxy.half_open(match=b"INCR")

    # A time-out and not an end of the connection: nobody told it.
    asking = asyncio.create_task(_incr(client, f"{prefix}:n"))
    await fault.struck()
    await soon(lambda: _is_gone(raw, prefix), "the server saw its side close")

    assert await asking is redis.exceptions.TimeoutError
    assert await raw.exists(f"{prefix}:n") == 0


async def test_byte_by_byte_all_arrives(proxy: Proxy, client: Redis, prefix: str) -> None:
    proxy.slice()

    await client.set(f"{prefix}:a", "á\r\n" * 100)

    assert await client.get(f"{prefix}:a") == "á\r\n".encode() * 100


class _Pieces(asyncio.Protocol):
    """A client that notes in how many pieces an answer came."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)


async def test_byte_by_byte_comes_in_many_pieces(proxy: Proxy) -> None:
    proxy.slice()
    at = proxy.url.removeprefix("redis://").partition("/")[0].split(":")
    wire, seen = await asyncio.get_running_loop().create_connection(_Pieces, at[0], int(at[1]))

    wire.write(b"ECHO " + b"x" * 100 + b"\r\n")
    await soon(lambda: len(b"".join(seen.pieces)) == 108, "the whole answer came")

    assert len(seen.pieces) > 20  # the kernel may put some together
    wire.close()


async def test_latency_longer_than_the_clients_patience_times_it_out(
    proxy: Proxy, client: Redis
) -> None:
    proxy.latency(ms=600)
    with pytest.raises(redis.exceptions.TimeoutError):
        await client.ping()

    proxy.heal()

    assert await client.ping()


async def test_while_down_nothing_connects_and_after_it_all_do(proxy: Proxy, client: Redis) -> None:
    proxy.down()
    for _ in range(3):
        with pytest.raises(GONE):
            await client.ping()

    proxy.heal()

    assert await client.ping()


async def test_a_cut_ends_what_is_connected_and_lets_new_connections_pass(
    proxy: Proxy, client: Redis, raw: Redis, prefix: str
) -> None:
    waiting = asyncio.create_task(_pop(client, f"{prefix}:nothing-comes"))
    await soon(lambda: _is_blocked(raw), "the pop waits in the server")

    proxy.cut()

    assert await waiting is redis.exceptions.ConnectionError
    assert await client.ping()


async def test_a_server_that_is_away_resets_its_clients(
    proxy: Proxy, client: Redis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    proxy.upstream = tmp_path_factory.mktemp("none") / "none.sock"
    proxy.cut()

    with pytest.raises(GONE):
        await client.ping()


@pytest.fixture
def tcp_server() -> Iterator[EmbeddedServer]:
    with servers.running(tcp=True) as one:
        yield one


async def test_it_stands_before_a_server_on_tcp_too(tcp_server: EmbeddedServer) -> None:
    once = Retry(NoBackoff(), 0)
    async with Proxy(tcp_server.address) as proxy, Redis.from_url(proxy.url, retry=once) as client:
        fault = proxy.hold_request(match=b"INCR")
        with pytest.raises(redis.exceptions.ConnectionError):
            await client.incr("n")

        assert await fault.release() == b":1\r\n"


async def test_closing_the_proxy_ends_every_connection(server: EmbeddedServer, raw: Redis) -> None:
    name = "closing-proxy"
    async with Proxy(server.address) as proxy:
        one = Redis.from_url(proxy.url, client_name=name, socket_timeout=0.5)
        proxy.blackhole(match=b"GET")
        with contextlib.suppress(*GONE):
            await one.get("nothing")
        await one.connection_pool.disconnect()

    await soon(lambda: _is_gone(raw, name), "no connection of the proxy is left")


async def _incr(client: Redis, key: str) -> type[BaseException] | None:
    try:
        await client.incr(key)
    except GONE as error:
        return type(error)
    return None


async def _pop(client: Redis, key: str) -> type[BaseException] | None:
    try:
        await client.blpop([key], timeout=0)
    except GONE as error:
        return type(error)
    return None


async def _connected_as(raw: Redis, name: str) -> bool:
    return any(each["name"] == name for each in await raw.client_list())


async def _is_blocked(raw: Redis) -> bool:
    return any(each["cmd"] == "blpop" for each in await raw.client_list())


async def _is_gone(raw: Redis, name: str) -> bool:
    return not await _connected_as(raw, name)
