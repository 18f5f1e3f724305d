"""What needs no script: look at a queue without changing it. Plain pipelines, each bounded.

A read of several keys is not one instant: a job that moves meanwhile may show in its old place.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice

import msgspec

from streamq.errors import StoreError
from streamq.job import (
    LINES,
    NO_OPTIONS,
    NO_RUN,
    Counts,
    Job,
    JobId,
    JobState,
    Run,
    WorkerId,
    added_at_ms,
    unpack,
    unpack_run,
)
from streamq.store.client import Arg, Redis, Reply, Wire
from streamq.store.keys import Keys, queues_key
from streamq.store.replies import ScheduleState, schedule_state
from streamq.store.scripts import Link

PAGE_MAX = 1_000
COUNTED_TOGETHER = 50
"""Queues: some 900 commands, of a few microseconds each."""
WORKERS_READ_MAX = 1_000
EVENTS_READ_MAX = 200


ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.PARKED)


class QueueState(msgspec.Struct, frozen=True):
    """What holds for a queue's whole fleet. `own_…`: an operator set it; else the code did."""

    paused: bool = False
    max_active: int | None = None
    rate: tuple[int, int] | None = None
    own_max_active: bool = False
    own_rate: bool = False
    version: int = 0
    layout: int | None = None


class Ended(msgspec.Struct, frozen=True):
    """A job that completed, failed or was parked, and when."""

    id: JobId
    state: JobState
    at_ms: int


class WorkerRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker says of itself when it registers; one row a lane."""

    host: str
    pid: int
    queue: str
    slots: int
    names: tuple[str, ...]
    process: str
    """One random id a process and queue: the lanes of one worker share it."""
    build: str = ""
    daemon: str = ""
    label: str = ""
    started_at_ms: int = 0


class WorkerSeen(msgspec.Struct, frozen=True):
    """A row, and what Redis knows of it: live or dead, last heard of, and its leases."""

    id: WorkerId
    kind: str
    live: bool
    row: WorkerRow
    heard_at_ms: int
    died_at_ms: int | None = None


class Event(msgspec.Struct, frozen=True):
    """One entry of `events`: which ids reached which state, and small results by id."""

    id: str
    at_ms: int
    states: dict[str, list[JobId]]
    results: dict[str, bytes]


class ServerInfo(msgspec.Struct, frozen=True):
    """What INFO tells of the server; no other right is needed. Memory in bytes."""

    server: str
    version: str
    mode: str
    maxmemory_policy: str
    used_memory: int
    maxmemory: int
    connected_clients: int
    uptime_s: int
    evicted_keys: int
    aof_enabled: bool
    loading: bool
    role: str
    run_id: str
    now_ms: int
    """Its clock."""


_rows = msgspec.msgpack.Decoder(WorkerRow)
_results = msgspec.msgpack.Decoder(dict[str, bytes])


async def ask(at: Link, *command: Arg) -> Reply:
    return await at.wire.call(f"read of queue {at.queue}", command)


async def ask_each(at: Link, *commands: Sequence[Arg]) -> list[Reply]:
    """The replies to several questions, which go out together. Raises what `ask` raises."""
    replies = await at.wire.exchange(f"read of queue {at.queue}", commands)
    for reply in replies:
        if isinstance(reply, StoreError):
            raise reply
    return replies


def job_of(
    at: Link, job: JobId, value: bytes, run: bytes | None, state: JobState, due_ms: int | None
) -> Job:
    """A Job from its bytes; an undecodable one shows with an empty name, not as an error."""
    name, data, options, found = "", value[12:], NO_OPTIONS, NO_RUN
    try:
        found = unpack_run(run)
        record = unpack(value)
        name, data, options = record.name, bytes(record.data), record.options
    except msgspec.MsgspecError as error:
        found = msgspec.structs.replace(found, reason=f"undecodable: {error}")
    return Job(job, at.queue, name, state, data, options, added_at_ms(value), found, due_ms)


async def get(at: Link, job: JobId) -> Job | None:
    """The job of that id, or None."""
    return (await get_many(at, [job]))[0]


async def get_many(at: Link, ids: Sequence[JobId]) -> list[Job | None]:
    """The jobs of these ids (at most 1,000), None for those that are not there."""
    assert len(ids) <= PAGE_MAX
    if not ids:
        return []
    k = at.keys.names
    commands: list[tuple[Arg, ...]] = [
        ("HMGET", k["jobs"], *ids),
        ("HMGET", k["runs"], *ids),
        ("HMGET", k["leases"], *ids),
    ]
    commands += [("ZMSCORE", k[state.value], *ids) for state in ENDED]
    values, found, leases, *ended = await ask_each(at, *commands)
    states = [
        JobState.ACTIVE if lease is not None else _ended_in(scores)
        for lease, *scores in zip(leases, *ended, strict=True)
    ]
    open_ones = [i for i, value in enumerate(values) if value is not None and states[i] is None]
    due = await _due_ms(at, [(ids[i], values[i][:6]) for i in open_ones])
    due_by_place = dict(zip(open_ones, due, strict=True))
    jobs: list[Job | None] = []
    for i, (job, value) in enumerate(zip(ids, values, strict=True)):
        due_ms = due_by_place.get(i)
        state = states[i] or (JobState.WAITING if due_ms is None else JobState.DELAYED)
        jobs.append(None if value is None else job_of(at, job, value, found[i], state, due_ms))
    return jobs


def _ended_in(scores: Sequence[bytes | None]) -> JobState | None:
    return next((s for s, score in zip(ENDED, scores, strict=True) if score is not None), None)


async def runs(at: Link, ids: Sequence[JobId]) -> list[Run]:
    """The runs of these jobs (at most 1,000); an empty one where there is none that can be read."""
    assert len(ids) <= PAGE_MAX
    if not ids:
        return []
    found = []
    for value in await ask(at, "HMGET", at.keys.names["runs"], *ids):
        try:
            found.append(unpack_run(value))
        except msgspec.MsgspecError:
            found.append(NO_RUN)
    return found


async def _due_ms(at: Link, jobs: Sequence[tuple[JobId, bytes]]) -> list[int | None]:
    """When each of these, with their tickets, is due; None for one that is not delayed."""
    if not jobs:
        return []
    heads = [(line + mark).encode() for line in LINES for mark in "nrf"]
    commands: list[tuple[Arg, ...]] = [
        ("ZMSCORE", at.keys.names["delayed"], *(head + ticket + job.encode() for head in heads))
        for job, ticket in jobs
    ]
    found = await ask_each(at, *commands)
    return [next((int(float(s)) for s in scores if s is not None), None) for scores in found]


async def counts(at: Link) -> Counts:
    """How many jobs stand where. Exact, but for calls that move jobs while it is read."""
    return (await counts_of([at]))[0]


async def counts_of(ats: Sequence[Link]) -> list[Counts]:
    """The same of several queues, asked together: one exchange for each connection and 50 queues.

    Raises what a call raises.
    """
    by_wire: dict[Wire, list[int]] = {}
    for i, at in enumerate(ats):
        by_wire.setdefault(at.wire, []).append(i)
    shares = [
        places[first : first + COUNTED_TOGETHER]
        for places in by_wire.values()
        for first in range(0, len(places), COUNTED_TOGETHER)
    ]
    counted = await asyncio.gather(*(_counted([ats[i] for i in share]) for share in shares))
    found = {
        i: counts
        for share, some in zip(shares, counted, strict=True)
        for i, counts in zip(share, some, strict=True)
    }
    return [found[i] for i in range(len(ats))]


async def _counted(ats: Sequence[Link]) -> list[Counts]:
    """Of queues behind one connection."""
    commands = [_count_commands(at.keys) for at in ats]
    replies = iter(await ask_each(ats[0], *(command for each in commands for command in each)))
    return [_counts(list(islice(replies, len(each)))) for each in commands]


def _count_commands(keys: Keys) -> list[tuple[Arg, ...]]:
    k = keys.names
    return [
        *(("XLEN", key) for key in keys.lines.values()),
        ("HLEN", k["leases"]),
        ("HMGET", k["meta"], "paused", "dead"),
        *(("ZCARD", k[state]) for state in ("delayed", "completed", "failed", "parked")),
    ]


def _counts(replies: Sequence[Reply]) -> Counts:
    lines, (active, marks, *sets) = replies[: len(LINES)], replies[len(LINES) :]
    paused, dead = marks
    delayed, completed, failed, parked = sets
    waiting = max(0, sum(lines) - active - int(dead or 0))
    return Counts(waiting, delayed, active, completed, failed, parked, paused == b"1")


async def ended(at: Link, state: JobState, limit: int) -> list[Ended]:
    """The jobs that reached an ended state last, the newest first; their ids and times alone."""
    assert limit <= PAGE_MAX
    flat = await ask(
        at, "ZRANGE", at.keys.names[state.value], 0, limit - 1, "REV", "WITHSCORES"
    )  # fmt: skip
    return [
        Ended(JobId(job.decode()), state, int(float(score)))
        for job, score in zip(flat[::2], flat[1::2], strict=True)
    ]


async def older(at: Link, state: JobState, until_ms: int) -> int:
    """How many jobs reached an ended state before that moment."""
    found: int = await ask(at, "ZCOUNT", at.keys.names[state.value], "-inf", f"({until_ms}")
    return found


async def settings_of(at: Link) -> QueueState:
    """What holds for the queue's whole fleet, with the version that a change has to name."""
    paused, limit, rate, own_limit, own_rate, version, layout = await ask(
        at, "HMGET", at.keys.names["meta"], "paused", "max_active", "rate", "own_max_active",
        "own_rate", "version", "layout",
    )  # fmt: skip
    window = None
    if rate:
        starts, _, per = rate.partition(b"/")
        window = (int(starts), int(per))
    return QueueState(
        paused=paused == b"1",
        max_active=int(limit) if limit else None,
        rate=window,
        own_max_active=own_limit is not None,
        own_rate=own_rate is not None,
        version=int(version or 0),
        layout=int(layout) if layout else None,
    )


async def workers(at: Link) -> list[WorkerSeen]:
    """The queue's workers: the live ones, and those that died in the last ten minutes."""
    k = at.keys.names
    rows, turns_flat = await ask_each(at, ("HGETALL", k["workers"]), ("HGETALL", k["turns"]))
    turns = dict(zip(turns_flat[::2], turns_flat[1::2], strict=True))
    found = []
    for worker, value in list(zip(rows[::2], rows[1::2], strict=True))[:WORKERS_READ_MAX]:
        live = value[:1] == b"+"
        heard = turns.get(worker, b"0:0").split(b":")[1]
        try:
            row = _rows.decode(value[2:] if live else value[15:])
        except msgspec.MsgspecError:
            row = WorkerRow("?", 0, at.queue, 0, (), worker.decode())
        found.append(
            WorkerSeen(
                id=WorkerId(worker.decode()),
                kind=value[1:2].decode(),
                live=live,
                row=row,
                heard_at_ms=int(heard),
                died_at_ms=None if live else int(value[2:15]),
            )
        )
    return found


async def logs(at: Link, job: JobId) -> list[str]:
    """The job's own log lines that are kept (64 KiB), oldest first."""
    text = await ask(at, "HGET", at.keys.names["logs"], job)
    return text.decode("utf-8", "replace").splitlines() if text else []


async def stats(at: Link) -> dict[str, int]:
    """The monotonic counters of the queue, as they stand."""
    flat = await ask(at, "HGETALL", at.keys.names["stats"])
    return {f.decode(): int(n) for f, n in zip(flat[::2], flat[1::2], strict=True)}


async def history(at: Link, unit: str, *, limit: int = 60) -> list[dict[str, int]]:
    """Sums per minute or hour, newest first: at, added, completed, failed, retried."""
    key = at.keys.names[{"minute": "minutes", "hour": "hours"}[unit]]
    entries = await ask(at, "XREVRANGE", key, "+", "-", "COUNT", min(limit, PAGE_MAX))
    return [
        {f.decode(): int(n) for f, n in zip(e[1][::2], e[1][1::2], strict=True)} for e in entries
    ]


def read_event(entry: Reply) -> Event:
    """An entry of `events` as a type."""
    name, fields = entry[0].decode(), entry[1]
    states: dict[str, list[JobId]] = {}
    results: dict[str, bytes] = {}
    for field, value in zip(fields[::2], fields[1::2], strict=True):
        if field == b"results":
            results = _results.decode(value)
        else:
            states.setdefault(field.decode(), []).extend(JobId(i) for i in value.decode().split())
    return Event(name, int(name.partition("-")[0]), states, results)


async def last_event_id(at: Link) -> str:
    """Where `events` ends now: follow from here."""
    newest = await ask(at, "XREVRANGE", at.keys.names["events"], "+", "-", "COUNT", 1)
    return str(newest[0][0].decode()) if newest else "0-0"


async def events(at: Link, after: str, *, block_ms: int = 0) -> list[Event]:
    """Events later than `after`, oldest first; waits up to `block_ms` for one (0: does not wait).

    Waits on `at`'s connection: give it one of its own.
    """
    block: tuple[Arg, ...] = ("BLOCK", block_ms) if block_ms else ()
    reply = await at.wire.call(
        f"events of queue {at.queue}",
        ("XREAD", "COUNT", EVENTS_READ_MAX, *block, "STREAMS", at.keys.names["events"], after),
        timeout_s=block_ms / 1000 + 10,
    )
    return [read_event(e) for e in reply[0][1]] if reply else []


async def schedule(at: Link, name: str) -> ScheduleState | None:
    """Where a schedule is; None: nobody declared it."""
    value = await ask(at, "HGET", at.keys.names["schedules"], name)
    return None if value is None else schedule_state(value)


async def note_queue(redis: Redis, prefix: str, queue: str) -> None:
    """Writes the queue's name where `queues` finds it."""
    key = queues_key(prefix)
    await redis.wire("scripts", key).call("queues", ("SADD", key, queue))


async def queues(redis: Redis, prefix: str) -> list[str]:
    """The names of all queues that were ever used under this prefix, sorted."""
    key = queues_key(prefix)
    return sorted(
        n.decode() for n in await redis.wire("scripts", key).call("queues", ("SMEMBERS", key))
    )


async def info(redis: Redis) -> ServerInfo:
    """The server behind the connection. Valkey has its version and mode in fields of its own."""
    text = await redis.wire("scripts", b"").call("info", ("INFO",))
    fields = dict(
        line.split(":", 1) for line in text.decode().splitlines() if ":" in line and line[0] != "#"
    )
    return ServerInfo(
        server=fields.get("server_name", "redis"),
        version=fields.get("valkey_version") or fields.get("redis_version", "?"),
        mode=fields.get("server_mode") or fields.get("redis_mode", "?"),
        maxmemory_policy=fields.get("maxmemory_policy", "?"),
        used_memory=int(fields.get("used_memory", 0)),
        maxmemory=int(fields.get("maxmemory", 0)),
        connected_clients=int(fields.get("connected_clients", 0)),
        uptime_s=int(fields.get("uptime_in_seconds", 0)),
        evicted_keys=int(fields.get("evicted_keys", 0)),
        aof_enabled=fields.get("aof_enabled") == "1",
        loading=fields.get("loading") == "1",
        role=fields.get("role", "?"),
        run_id=fields.get("run_id", ""),
        now_ms=int(fields.get("server_time_usec", 0)) // 1_000,
    )


async def ping(redis: Redis) -> None:
    """One round trip. Raises what a call raises."""
    await redis.wire("scripts", b"").call("ping", ("PING",))
