"""The few plain commands that an application may send to Redis beside its jobs."""

from collections.abc import AsyncIterator, Sequence

from streamq.store.client import Redis, Reply
from streamq.store.keys import app_key

SCAN_PAGE = 500
SCANS_MAX = 1_000_000  # pages of one walk


async def _ask(redis: Redis, key: bytes, *command: bytes | str | int) -> Reply:
    return await redis.wire("scripts", key).call(str(command[0]), command)


async def get(redis: Redis, prefix: str, name: str) -> bytes | None:
    key = app_key(prefix, name)
    found: bytes | None = await _ask(redis, key, "GET", key)
    return found


async def put(
    redis: Redis,
    prefix: str,
    name: str,
    value: bytes | str,
    *,
    expire_ms: int | None = None,
    only_new: bool = False,
) -> bool:
    """Whether it was written: not if `only_new` and the name was there."""
    key = app_key(prefix, name)
    expire = () if expire_ms is None else ("PX", expire_ms)
    new = ("NX",) if only_new else ()
    return await _ask(redis, key, "SET", key, value, *expire, *new) is not None


async def delete(redis: Redis, prefix: str, names: Sequence[str]) -> int:
    """How many were there. One call each: on a cluster they live in several slots."""
    return sum([await _ask(redis, k, "DEL", k) for k in (app_key(prefix, n) for n in names)])


async def scan(redis: Redis, prefix: str, stem: str) -> AsyncIterator[str]:
    """Names that begin with `stem`; what comes or goes meanwhile may be missed or seen twice."""
    start = app_key(prefix, stem) if stem else app_key(prefix, "x")[:-1]
    cursor = b"0"
    for _ in range(SCANS_MAX):
        cursor, keys = await _ask(
            redis, start, "SCAN", cursor, "MATCH", _escaped(start) + b"*", "COUNT", SCAN_PAGE
        )
        for key in keys:
            yield key[len(app_key(prefix, "x")) - 1 :].decode()
        if cursor == b"0":
            return


def _escaped(text: bytes) -> bytes:
    """A glob that means the text itself."""
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]\\^-" else bytes([c]) for c in text)


async def increment(
    redis: Redis, prefix: str, name: str, by: int, *, expire_ms: int | None = None
) -> int:
    """The counter's new value. `expire_ms`: from its first increment on."""
    key = app_key(prefix, name)
    if expire_ms is not None:
        # First, so that a counter never lives on without its end: the first one makes it with one.
        await _ask(redis, key, "SET", key, 0, "PX", expire_ms, "NX")
    return int(await _ask(redis, key, "INCRBY", key, by))


async def append(redis: Redis, prefix: str, name: str, value: bytes | str, *, keep: int) -> None:
    """Adds to the end of a list, which keeps its newest `keep` values."""
    key = app_key(prefix, name)
    await _ask(redis, key, "RPUSH", key, value)
    await _ask(redis, key, "LTRIM", key, -keep, -1)


async def tail(redis: Redis, prefix: str, name: str, limit: int) -> list[bytes]:
    """The newest values of a list, oldest first."""
    key = app_key(prefix, name)
    found: list[bytes] = await _ask(redis, key, "LRANGE", key, -limit, -1)
    return found


async def publish(redis: Redis, prefix: str, channel: str, message: bytes | str) -> int:
    """How many heard it."""
    key = app_key(prefix, channel)
    return int(await _ask(redis, key, "PUBLISH", key, message))
