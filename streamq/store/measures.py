"""What is measured of a queue: plain reads of a few kilobytes, whatever the queue holds.

And the application's own metrics, which stand beside its other values in one hash: `=name` is what
a metric is, `["name", label values...]` what it has come to.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec

from streamq.job import ALONE, GIVEN_BACK, Counts, Line
from streamq.store.client import ErrorReply, Redis
from streamq.store.keys import GROUP, app_root, value_key
from streamq.store.reads import QueueState, WorkerSeen, ask, counts, settings_of, stats, workers
from streamq.store.replies import ScheduleState, schedule_state
from streamq.store.scripts import Link

OWN_NAME: Final = "streamq.metrics"
OWN_READ_MAX: Final = 5_000  # fields of the application's own metrics
SCHEDULES_READ_MAX: Final = 500
OWN_LIMIT_S: Final = 1.0
"""For a metric to be written: what it counts matters more than the count."""

_DECLARED_DIGITS: Final = 13  # of the time in front of a schedule's row


class Ages(msgspec.Struct, frozen=True):
    """Of the oldest one, in ms; None where there is none.

    `waiting`: since it came to its line; `due`: since a delayed one should have; `active`: since
    it was claimed.
    """

    waiting: int | None = None
    due: int | None = None
    active: int | None = None


class ScheduleRow(msgspec.Struct, frozen=True):
    """A schedule as Redis has it; `row` is what declared it, None if nobody does any more."""

    name: str
    state: ScheduleState
    row: bytes | None


class Measures(msgspec.Struct, frozen=True):
    """Everything that is measured of one queue, but for what its jobs are."""

    queue: str
    counts: Counts
    state: QueueState
    ages: Ages
    stats: Mapping[str, int]
    workers: tuple[WorkerSeen, ...]
    schedules: tuple[ScheduleRow, ...]


class OwnKind(msgspec.Struct, frozen=True):
    """What one of the application's metrics is: counter or gauge."""

    kind: str
    help: str
    labels: tuple[str, ...]


_kinds = msgspec.json.Decoder(OwnKind)
_fields = msgspec.json.Decoder(tuple[str, ...])


async def measures(at: Link, now_ms: int) -> Measures:
    """One queue, read in two waves of commands. `now_ms`: Redis's time, for the ages."""
    read = await asyncio.gather(
        counts(at), settings_of(at), ages(at, now_ms), stats(at), workers(at), _schedules(at)
    )
    found, state, ages_, sums, seen, schedules = read
    return Measures(at.queue, found, state, ages_, sums, tuple(seen), tuple(schedules))


async def server_ms(at: Link) -> int:
    """What time it is in Redis."""
    seconds, micros = await ask(at, "TIME")
    return int(seconds) * 1_000 + int(micros) // 1_000


async def rows_of(at: Link) -> int:
    """How many workers' rows a queue has, those that died lately among them."""
    found: int = await ask(at, "HLEN", at.keys.names["workers"])
    return found


async def ages(at: Link, now_ms: int) -> Ages:
    """How old the oldest are."""
    used, delayed = await asyncio.gather(
        ask(at, "HGET", at.keys.names["meta"], "lines"),
        ask(at, "ZRANGE", at.keys.names["delayed"], 0, 0, "WITHSCORES"),
    )
    lines = [GIVEN_BACK, *map(Line, (used or b"").decode()), ALONE]
    moments = await asyncio.gather(*(_line_moments(at, line) for line in lines))
    waiting = [came_ms for came_ms, _ in moments if came_ms is not None]
    active = [idle_ms for _, idle_ms in moments if idle_ms is not None]
    due_ms = int(float(delayed[1])) if delayed else now_ms + 1
    return Ages(
        waiting=max(0, now_ms - min(waiting)) if waiting else None,
        due=now_ms - due_ms if due_ms <= now_ms else None,
        active=max(active, default=None),
    )


async def _line_moments(at: Link, line: Line) -> tuple[int | None, int | None]:
    """When the first that waits in a line came to it; and for how long, in ms, the first that was
    given out of it has run: they are given out in their order."""
    key = at.keys.lines[line]
    if not await ask(at, "XLEN", key):
        return None, None
    try:
        groups, pending = await asyncio.gather(
            ask(at, "XINFO", "GROUPS", key), ask(at, "XPENDING", key, GROUP, "-", "+", 1)
        )
    except ErrorReply:  # it went meanwhile, or has no group: nothing can be given out of it
        return None, None
    given_out = "0-0"
    for group in groups:
        fields = dict(zip(group[::2], group[1::2], strict=True))
        if fields[b"name"] == GROUP.encode():
            given_out = fields[b"last-delivered-id"].decode()
    first = await ask(at, "XRANGE", key, f"({given_out}", "+", "COUNT", 1)
    came_ms = int(first[0][0].partition(b"-")[0]) if first else None
    return came_ms, int(pending[0][2]) if pending else None


async def _schedules(at: Link) -> list[ScheduleRow]:
    states, rows = await asyncio.gather(
        ask(at, "HGETALL", at.keys.names["schedules"]), ask(at, "HGETALL", at.keys.names["rows"])
    )
    declared = dict(zip(rows[::2], rows[1::2], strict=True))
    found = []
    for name, value in list(zip(states[::2], states[1::2], strict=True))[:SCHEDULES_READ_MAX]:
        row = declared[name][_DECLARED_DIGITS:] if name in declared else None
        with suppress(ValueError):  # of a later version, or somebody else's
            found.append(ScheduleRow(name.decode(), schedule_state(value), row))
    return found


# ---- the application's own


def own_key(prefix: str) -> bytes:
    return value_key(app_root(prefix), OWN_NAME)


async def define(redis: Redis, prefix: str, name: str, what: OwnKind) -> None:
    """Says what a metric is, for whoever reads it."""
    key = own_key(prefix)
    command = ("HSET", key, f"={name}", msgspec.json.encode(what))
    await redis.wire("metrics", key).call("metric", command, timeout_s=OWN_LIMIT_S)


async def bump(redis: Redis, prefix: str, name: str, values: tuple[str, ...], by: float) -> float:
    """Adds to a counter; what it has come to."""
    key = own_key(prefix)
    command = ("HINCRBYFLOAT", key, msgspec.json.encode((name, *values)), repr(by))
    return float(await redis.wire("metrics", key).call("metric", command, timeout_s=OWN_LIMIT_S))


async def put(redis: Redis, prefix: str, name: str, values: tuple[str, ...], value: float) -> bool:
    """Sets a gauge; whether it had no value before."""
    key = own_key(prefix)
    command = ("HSET", key, msgspec.json.encode((name, *values)), repr(value))
    reply = await redis.wire("metrics", key).call("metric", command, timeout_s=OWN_LIMIT_S)
    return int(reply) == 1


async def own(
    redis: Redis, prefix: str
) -> tuple[dict[str, OwnKind], list[tuple[tuple[str, ...], float]]]:
    """What the application's metrics are, by name; and (name, label values...) with its value."""
    key = own_key(prefix)
    flat = await redis.wire("metrics", key).call("metrics", ("HGETALL", key))
    kinds: dict[str, OwnKind] = {}
    values: list[tuple[tuple[str, ...], float]] = []
    for field, value in list(zip(flat[::2], flat[1::2], strict=True))[:OWN_READ_MAX]:
        try:
            if field[:1] == b"=":
                kinds[field[1:].decode()] = _kinds.decode(value)
            else:
                values.append((_fields.decode(field), float(value)))
        except (ValueError, msgspec.MsgspecError):
            continue  # of a later version, or somebody else's
    return kinds, values
