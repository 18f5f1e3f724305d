"""The few plain commands that an application may send to Redis beside its jobs.

A value's key is a root (see keys.py: the application's, the admin's, one shared with others) and a
name.
"""

from collections.abc import AsyncIterator, Sequence

import msgspec

from streamq.store.client import Redis, Reply
from streamq.store.keys import value_key

SCAN_PAGE = 500
SCANS_MAX = 1_000_000  # pages of one walk

_GONE, _WITHOUT_END = -2, -1  # what PTTL answers


class Written(msgspec.Struct, frozen=True):
    """One entry of a journal; `id` is its place in it, and begins with its moment in epoch ms."""

    id: str
    value: bytes

    @property
    def at_ms(self) -> int:
        return int(self.id.partition("-")[0])


async def _ask(redis: Redis, key: bytes, *command: bytes | str | int) -> Reply:
    return await redis.wire("scripts", key).call(str(command[0]), command)


async def get(redis: Redis, root: bytes, name: str) -> bytes | None:
    key = value_key(root, name)
    found: bytes | None = await _ask(redis, key, "GET", key)
    return found


async def get_renewed(redis: Redis, root: bytes, name: str, expire_ms: int) -> bytes | None:
    """The value, which then lives on for so long."""
    key = value_key(root, name)
    found: bytes | None = await _ask(redis, key, "GETEX", key, "PX", expire_ms)
    return found


async def put(
    redis: Redis,
    root: bytes,
    name: str,
    value: bytes | str,
    *,
    expire_ms: int | None = None,
    only_new: bool = False,
) -> bool:
    """Whether it was written: not if `only_new` and the name was there."""
    key = value_key(root, name)
    expire = () if expire_ms is None else ("PX", expire_ms)
    new = ("NX",) if only_new else ()
    return await _ask(redis, key, "SET", key, value, *expire, *new) is not None


async def delete(redis: Redis, root: bytes, names: Sequence[str]) -> int:
    """How many were there. One call each: on a cluster they live in several slots."""
    return sum([await _ask(redis, k, "DEL", k) for k in (value_key(root, n) for n in names)])


async def ms_left(redis: Redis, root: bytes, name: str) -> int | None:
    """How long a value still lives: 0 if it is not there, None if it never ends."""
    key = value_key(root, name)
    left = int(await _ask(redis, key, "PTTL", key))
    return None if left == _WITHOUT_END else 0 if left == _GONE else left


async def scan(redis: Redis, root: bytes, stem: str) -> AsyncIterator[str]:
    """Names that begin with `stem`; what comes or goes meanwhile may be missed or seen twice."""
    pattern = _escaped(value_key(root, stem) if stem else root) + b"*"
    for wire in await redis.everywhere("scripts"):
        cursor = b"0"
        for _ in range(SCANS_MAX):
            command = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_PAGE)
            cursor, keys = await wire.call("SCAN", command)
            for key in keys:
                # Whoever shares a root may have names there that are none to us.
                yield key[len(root) :].decode(errors="replace")
            if cursor == b"0":
                break


def _escaped(text: bytes) -> bytes:
    """A glob that means the text itself."""
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]\\^-" else bytes([c]) for c in text)


async def increment(
    redis: Redis, root: bytes, name: str, by: int, *, expire_ms: int | None = None
) -> int:
    """The counter's new value. `expire_ms`: from its first increment on."""
    key = value_key(root, name)
    if expire_ms is None:
        return int(await _ask(redis, key, "INCRBY", key, by))
    # First, so that who dies between the two leaves no counter without its end.
    await _ask(redis, key, "SET", key, 0, "PX", expire_ms, "NX")
    value = int(await _ask(redis, key, "INCRBY", key, by))
    if value == by:
        # The first one; or the old counter ended between the two, and this one has no end yet.
        await _ask(redis, key, "PEXPIRE", key, expire_ms)
    return value


async def append(redis: Redis, root: bytes, name: str, value: bytes | str, *, keep: int) -> None:
    """Adds to the end of a list, which keeps its newest `keep` values."""
    key = value_key(root, name)
    await _ask(redis, key, "RPUSH", key, value)
    await _ask(redis, key, "LTRIM", key, -keep, -1)


async def tail(redis: Redis, root: bytes, name: str, limit: int) -> list[bytes]:
    """The newest values of a list, oldest first."""
    key = value_key(root, name)
    found: list[bytes] = await _ask(redis, key, "LRANGE", key, -limit, -1)
    return found


async def write(redis: Redis, root: bytes, name: str, value: bytes | str, *, keep: int) -> str:
    """Adds to a journal, which keeps about its newest `keep` entries; the id of the new one."""
    key = value_key(root, name)
    new: bytes = await _ask(redis, key, "XADD", key, "MAXLEN", "~", keep, "*", "v", value)
    return new.decode()


async def written(
    redis: Redis, root: bytes, name: str, limit: int, *, before: str | None
) -> list[Written]:
    """The newest entries of a journal, newest first; `before` an entry, or from the last one on."""
    key = value_key(root, name)
    last = "+" if before is None else f"({before}"
    found = await _ask(redis, key, "XREVRANGE", key, last, "-", "COUNT", limit)
    return [Written(entry.decode(), fields[1]) for entry, fields in found]


async def publish(redis: Redis, root: bytes, channel: str, message: bytes | str) -> int:
    """How many heard it."""
    key = value_key(root, channel)
    return int(await _ask(redis, key, "PUBLISH", key, message))
