"""Where Redis is: a URL taken apart, and the server behind a sentinel or a cluster found.

Hands `client.py` the arguments of one connection. The only other place with redis-py.
"""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

import msgspec
from redis.asyncio.connection import (
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AuthenticationError, RedisError

from streamq.errors import RedisRefusedPassword, RedisUnavailable

CONNECT_TIMEOUT_S = 2.0  # a refused or silent server is reported after this, not after a minute
KEYS_TRIED_MAX = 10_000_000  # until one is in a range of slots, which may be a single one
SENTINEL_PORT = 26379
REDIS_PORT = 6379

AnyConnection = Connection | UnixDomainSocketConnection


class Address(msgspec.Struct, frozen=True):
    """A URL of Redis and what named it (`REDIS_URL`, `--redis`, …), for messages.

    Schemes: redis, rediss, unix, redis+sentinel://host,host/service/db, redis+cluster://host,host.
    """

    url: str
    origin: str = "the default"
    tls: bool = False

    @property
    def shown(self) -> str:
        """The place without user or password."""
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            return parts.path
        return parts.netloc.rpartition("@")[2] or "localhost"

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def user(self) -> str:
        return urlsplit(self.url).username or "default"


def open_connection(kwargs: Mapping[str, object], *, client_name: str) -> AnyConnection:
    """A connection of redis-py with our settings and none of its defaults.

    Its own are a read time-out of 5 s and ten silent repeats of a command: a repeated `step` would
    settle twice. Ours never repeats and never times out by itself: each call brings its limit.
    Raises TypeError for an argument that a connection does not take.
    """
    given = dict(kwargs)
    kind = given.pop("connection_class", Connection)
    assert isinstance(kind, type)
    given.update(
        socket_timeout=None,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        health_check_interval=0,
        client_name=client_name,
        protocol=2,
    )
    if kind is not UnixDomainSocketConnection:
        given.setdefault("socket_keepalive", True)
    connection = kind(**given)
    assert isinstance(connection, Connection | UnixDomainSocketConnection)
    return connection


def _plain(address: Address, netloc: str, path: str) -> dict[str, object]:
    parts = urlsplit(address.url)
    scheme = "rediss" if address.tls or parts.query.find("tls=1") >= 0 else "redis"
    user, at, _ = parts.netloc.rpartition("@")
    return dict(parse_url(urlunsplit((scheme, f"{user}{at}{netloc}", path, "", ""))))


def _hosts(address: Address, port: int) -> list[str]:
    listed = urlsplit(address.url).netloc.rpartition("@")[2].split(",")
    # Behind the bracket of an IPv6 address: it is full of colons itself.
    return [h if ":" in h.rpartition("]")[2] else f"{h}:{port}" for h in listed if h]


async def resolve(address: Address, key: bytes) -> dict[str, object]:
    """The arguments of a connection to the server that holds `key`.

    Raises RedisUnavailable when no sentinel or node of the list answers, and for a URL that
    cannot be read.
    """
    scheme = address.scheme
    if scheme == "redis+sentinel":
        return await _by_sentinel(address)
    if scheme == "redis+cluster":
        return await _by_cluster(address, key)
    try:
        found = dict(parse_url(address.url))
        if address.tls and scheme == "redis":
            found["connection_class"] = SSLConnection
        open_connection(found, client_name="streamq-resolve")  # opens nothing yet
    except (ValueError, TypeError) as error:
        # TypeError: a word in the URL's query that is for a pool, or for nobody.
        raise RedisUnavailable(address.shown, address.origin, f"its URL: {error}") from error
    return found


async def _ask(kwargs: Mapping[str, object], *command: str) -> object:
    connection = open_connection(kwargs, client_name="streamq-resolve")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S * 2):
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command(*command)
            return await connection.read_response(disable_decoding=True)
    finally:
        await connection.disconnect(nowait=True)


def is_refused_password(error: BaseException) -> bool:
    """Of a connection that was not made."""
    # redis-py 8.1 wraps it in a ConnectionError, whose text is not the server's word.
    words = str(error)
    return (
        isinstance(error, AuthenticationError)
        or isinstance(error.__cause__, AuthenticationError)
        or "NOAUTH" in words
        or "WRONGPASS" in words
    )


async def _first_answer(
    address: Address, hosts: list[str], *command: str, with_login: bool
) -> tuple[str, list[object]]:
    """The host that answered, and what. Raises RedisUnavailable, RedisRefusedPassword."""
    why = "no host is named"
    for host in hosts:
        kwargs = _plain(address, host, "")
        if not with_login:
            kwargs.pop("username", None)
            kwargs.pop("password", None)
        try:
            answer = await _ask(kwargs, *command)
        except (RedisError, OSError, TimeoutError) as error:
            if with_login and is_refused_password(error):
                raise RedisRefusedPassword(address.origin, address.user) from error
            why = f"{host}: {error}"
            continue
        if isinstance(answer, list):
            return host, answer
        why = f"{host} does not know it"
    raise RedisUnavailable(address.shown, address.origin, why)


async def _by_sentinel(address: Address) -> dict[str, object]:
    service, _, db = urlsplit(address.url).path.strip("/").partition("/")
    _, (host, port) = await _first_answer(
        address,
        _hosts(address, SENTINEL_PORT),
        "SENTINEL",
        "GET-MASTER-ADDR-BY-NAME",
        service or "master",
        with_login=False,
    )
    return _plain(address, _netloc(host, port), f"/{db}" if db else "")


async def _by_cluster(address: Address, key: bytes) -> dict[str, object]:
    slot = key_slot(key)
    for first, last, node in await _slots(address):
        if first <= slot <= last:
            return _plain(address, node, "")
    raise RedisUnavailable(address.shown, address.origin, f"no node holds slot {slot}")


async def key_of_each_master(address: Address) -> list[bytes]:
    """For what has to be asked of the whole of Redis: a key that each master of a cluster holds.

    Raises what `resolve` raises.
    """
    if address.scheme != "redis+cluster":
        return [b""]
    # The master's last range is as good as any other.
    ranges = {node: (first, last) for first, last, node in await _slots(address)}
    return [
        next(key for n in range(KEYS_TRIED_MAX) if first <= key_slot(key := b"%d" % n) <= last)
        for first, last in ranges.values()
    ]


async def _slots(address: Address) -> list[tuple[int, int, str]]:
    """First and last slot of each range, and the master that holds it."""
    asked, ranges = await _first_answer(
        address, _hosts(address, REDIS_PORT), "CLUSTER", "SLOTS", with_login=True
    )
    found = []
    for held in ranges:
        assert isinstance(held, list)
        first, last, (host, port, *_) = held[:3]
        # A node that was not told its own name has none: it is the one that was asked.
        found.append((int(first), int(last), _netloc(host or _host_of(asked), port)))
    return found


def _host_of(netloc: str) -> bytes:
    return netloc.rpartition(":")[0].strip("[]").encode()


def _netloc(host: object, port: object) -> str:
    assert isinstance(host, bytes) and isinstance(port, bytes | int)
    name = host.decode()
    return f"[{name}]:{int(port)}" if ":" in name else f"{name}:{int(port)}"
