"""Reads the raw keys of a queue, and demands that the invariants hold, after every test.

What they are stands in `streamq.testing.invariants`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import redis

from streamq.testing.invariants import (
    ENDED,
    FEW,
    LINES,
    TYPES,
    Dump,
    Entry,
    counters_rise_above_what_is_used,
    entries_of,
    violations,
)

__all__ = [
    "ENDED",
    "FEW",
    "BrokenInvariant",
    "Dump",
    "ask",
    "check",
    "checked_queue",
    "counters_rise_above_what_is_used",
    "queues_under",
    "read",
    "violations",
]

OUTSIDE_QUEUES: Final = {"queues": "set"}
"""Keys under a prefix that belong to no queue."""


class BrokenInvariant(AssertionError):
    """The raw keys of a queue contradict each other. A test that ends so is not tried again."""


PENDING_READ_MAX: Final = 100_000
SAID_MAX: Final = 20  # violations in one message


def queues_under(raw: redis.Redis, prefix: str) -> list[str]:
    """The queues that have a key under the prefix; a key that is in no table is an error (I13)."""
    found, strange = set[str](), []
    for key in raw.scan_iter(match=f"{prefix}:*", count=1_000):
        name = cast(bytes, key).decode().removeprefix(f"{prefix}:")
        queue, closed, rest = name.removeprefix("{").partition("}:")
        if closed and name.startswith("{") and rest in TYPES:
            found.add(queue)
        elif name not in OUTSIDE_QUEUES:
            strange.append(name)
    assert not strange, f"keys that no table knows: {sorted(strange)}"
    return sorted(found)


def read(raw: redis.Redis, prefix: str, queue: str) -> Dump:
    """All that stands of a queue, in one transaction. A key of another type is an error."""
    stem = f"{prefix}:{{{queue}}}:"
    names = list(TYPES)
    wrong = [
        f"{name} is a {kind.decode()}, not a {TYPES[name]}"
        for name, kind in zip(names, ask(raw, *(("TYPE", stem + n) for n in names)), strict=True)
        if kind.decode() not in ("none", TYPES[name])
    ]
    assert not wrong, f"queue {queue}: {'; '.join(wrong)}"
    hashes = [n for n in names if TYPES[n] == "hash"]
    zsets = [n for n in names if TYPES[n] == "zset"]
    commands: list[tuple[Any, ...]] = [("HGETALL", stem + n) for n in hashes]
    commands += [("ZRANGE", stem + n, 0, -1, "WITHSCORES") for n in zsets]
    commands += [("LLEN", stem + n) for n in ("wake", "wake:0")]
    for name in LINES.values():
        commands += [
            ("XRANGE", stem + name, "-", "+"),
            ("XINFO", "GROUPS", stem + name),
            ("XINFO", "CONSUMERS", stem + name, "workers"),
            ("XPENDING", stem + name, "workers", "-", "+", PENDING_READ_MAX),
        ]
    replies = iter(ask(raw, *commands))
    dump = Dump(
        queue,
        {n: _pairs(next(replies)) for n in hashes},
        {n: {m: float(s) for m, s in _pairs(next(replies)).items()} for n in zsets},
        {n: int(next(replies)) for n in ("wake", "wake:0")},
        [],
        {},
    )
    for sign in LINES:
        entries, groups, consumers, pending = (next(replies) for _ in range(4))
        dump.entries.extend(_line(sign, entries, groups, pending))
        known = [] if isinstance(consumers, Exception) else consumers
        dump.in_groups[sign] = {_pairs(c)[b"name"] for c in known}
    return dump


def ask(raw: redis.Redis, *commands: tuple[Any, ...]) -> list[Any]:
    """The replies as they come on the wire, of one transaction; an error takes its reply's place.

    Not by the client's own pipeline: what it makes of a reply differs by protocol.
    """
    connection = raw.connection_pool.get_connection()
    try:
        connection.send_packed_command(  # type: ignore[no-untyped-call]
            connection.pack_commands([("MULTI",), *commands, ("EXEC",)])  # type: ignore[no-untyped-call]
        )
        for _ in range(len(commands) + 1):
            connection.read_response()
        return cast(list[Any], connection.read_response())
    finally:
        raw.connection_pool.release(connection)


def _pairs(reply: Any) -> dict[bytes, bytes]:
    if isinstance(reply, dict):
        return reply
    if reply and isinstance(reply[0], list):
        return {k: v for k, v in reply}
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _line(sign: str, entries: Any, groups: Any, pending: Any) -> Iterator[Entry]:
    last = b"0-0"
    for group in [] if isinstance(groups, Exception) else groups:
        fields = _pairs(group)
        if fields[b"name"] == b"workers":
            last = fields[b"last-delivered-id"]
    given = {} if isinstance(pending, Exception) else {p[0]: p[1] for p in pending}
    return entries_of(sign, ((entry, fields[1]) for entry, fields in entries), last, given)


def check(raw: redis.Redis, prefix: str, *, counters: bool = True) -> None:
    """Raises BrokenInvariant, naming each id and where it stands, unless all invariants hold."""
    for queue in queues_under(raw, prefix):
        wrong = violations(read(raw, prefix, queue), counters=counters)
        if wrong:
            raise BrokenInvariant(f"queue {queue}:\n  " + "\n  ".join(wrong[:SAID_MAX]))


@contextmanager
def checked_queue(url: str, prefix: str, *, counters: bool = True) -> Iterator[redis.Redis]:
    """What an autouse fixture wraps around a test: checks all queues under `prefix` afterwards."""
    with redis.Redis.from_url(url, protocol=2) as raw:
        yield raw
        check(raw, prefix, counters=counters)
