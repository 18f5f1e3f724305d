"""What an exporter saw at one moment: queues, workers, schedules, Redis; and how it looks.

All of it is read from Redis, so that every exporter says the same, and a restart loses nothing.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from streamq import stats
from streamq.errors import InvalidInput
from streamq.fleet import WorkerView, worker_views
from streamq.job import Counts
from streamq.metrics.naming import why_not
from streamq.schedule import Schedule
from streamq.stats import Stats
from streamq.store import reads
from streamq.store.client import Redis
from streamq.store.keys import NAME, keys_of
from streamq.store.measures import (
    Ages,
    Measures,
    OwnKind,
    ScheduleRow,
    measures,
    own,
    rows_of,
)
from streamq.store.reads import ServerInfo
from streamq.store.scripts import link

QUEUES_MAX: Final = 40
"""Queues that are looked at; more would make one look longer than a scrape may take."""

QUEUES_KNOWN_MAX: Final = 500
"""Of which it is asked whether anybody works on them, where there are more than are looked at."""

SILENT_MS: Final = 60_000
"""A worker that was not heard of for so long does not work, whatever its row says: of a fleet that
was killed as a whole nobody is left to declare it dead."""


class Process(msgspec.Struct, frozen=True):
    """A process of the daemon that is asked, as only that one knows it."""

    name: str
    """`host:pid`."""
    busy: int
    stuck: int
    rss_bytes: int
    loop_lag_s: float


class WorkerSeen(msgspec.Struct, frozen=True):
    """A process at work on a queue."""

    name: str
    """`host:pid`."""
    queue: str
    id: str
    host: str
    build: str
    kind: str
    label: str
    slots: int
    names: tuple[str, ...]
    """Of the jobs that it runs."""
    heard_age_ms: int


class ScheduleSeen(msgspec.Struct, frozen=True):
    name: str
    queue: str
    last_slot_ms: int
    next_slot_ms: int | None
    lag_ms: int
    fired: int
    missed: int
    paused: bool


class QueueSeen(msgspec.Struct, frozen=True):
    name: str
    counts: Counts
    max_active: int | None
    ages: Ages
    stats: Stats
    workers: tuple[WorkerSeen, ...]
    """Live ones."""
    names: frozenset[str]
    """Of the jobs that a worker runs or ran, who lives or died in the last ten minutes."""
    schedules: tuple[ScheduleSeen, ...]

    @property
    def at_work(self) -> list[WorkerSeen]:
        return [worker for worker in self.workers if worker.heard_age_ms < SILENT_MS]


class RedisSeen(msgspec.Struct, frozen=True):
    info: ServerInfo
    ping_s: float


class OwnSeen(msgspec.Struct, frozen=True):
    """One of the application's metrics, and its values by its labels' values."""

    name: str
    what: OwnKind
    values: tuple[tuple[tuple[str, ...], float], ...]


class Seen(msgspec.Struct, frozen=True):
    redis: RedisSeen
    queues: tuple[QueueSeen, ...]
    own: tuple[OwnSeen, ...]
    queues_left_out: int


async def look(redis: Redis, prefix: str, first: Sequence[str]) -> Seen:
    """Looks at everything under a prefix; `first`: queues that are not left out for others.

    Raises StoreError.
    """
    info = await reads.info(redis)
    began = time.perf_counter()
    await reads.ping(redis)
    ping_s = time.perf_counter() - began
    names, own_metrics = await asyncio.gather(_queues(redis, prefix, first), own(redis, prefix))
    measured = await asyncio.gather(
        *(measures(link(redis, keys_of(prefix, n)), info.now_ms) for n in names[:QUEUES_MAX])
    )
    return Seen(
        redis=RedisSeen(info, ping_s),
        queues=tuple(_queue(each, info.now_ms) for each in measured),
        own=tuple(_own(*own_metrics)),
        queues_left_out=max(0, len(names) - QUEUES_MAX),
    )


async def _queues(redis: Redis, prefix: str, first: Sequence[str]) -> list[str]:
    used = await reads.queues(redis, prefix)
    known = sorted({*first})
    names = [*known, *(name for name in used if name not in known and NAME.fullmatch(name))]
    if len(names) > QUEUES_MAX:
        # Those that have workers before those that somebody invented.
        few = names[:QUEUES_KNOWN_MAX]
        rows = await asyncio.gather(*(rows_of(link(redis, keys_of(prefix, n))) for n in few))
        ranks = {
            name: (name not in known, count == 0) for name, count in zip(few, rows, strict=True)
        }
        names.sort(key=lambda name: ranks.get(name, (True, True)))
    return names


def _queue(seen: Measures, now_ms: int) -> QueueSeen:
    views = worker_views(seen.workers)
    return QueueSeen(
        name=seen.queue,
        counts=seen.counts,
        max_active=seen.state.max_active,
        ages=seen.ages,
        stats=stats.read(seen.stats),
        workers=tuple(_worker(view, now_ms) for view in views if view.live),
        names=frozenset(name for view in views for name in view.names),
        schedules=tuple(
            _schedule(row, seen.queue, now_ms) for row in sorted(seen.schedules, key=_name_of)
        ),
    )


def _worker(view: WorkerView, now_ms: int) -> WorkerSeen:
    return WorkerSeen(
        name=f"{view.host}:{view.pid}",
        queue=view.queue,
        id=view.id,
        host=view.host,
        build=view.build,
        kind=view.kind,
        label=view.label,
        slots=view.slots,
        names=view.names,
        heard_age_ms=max(0, now_ms - view.heard_at_ms),
    )


def _name_of(row: ScheduleRow) -> str:
    return row.name


def _schedule(row: ScheduleRow, queue: str, now_ms: int) -> ScheduleSeen:
    state = row.state
    coming = None
    if row.row is not None and not state.paused:
        coming = _next_slot(row.row, state.last_slot_ms)
    return ScheduleSeen(
        name=row.name,
        queue=queue,
        last_slot_ms=state.last_slot_ms,
        next_slot_ms=coming,
        lag_ms=0 if coming is None else max(0, now_ms - coming),
        fired=state.fired,
        missed=state.missed,
        paused=state.paused,
    )


_schedules: Final = msgspec.msgpack.Decoder(Schedule)


@lru_cache(1_024)
def _next_slot(row: bytes, after_ms: int) -> int | None:
    """The slot behind `after_ms`; None for a row of a version that declares otherwise."""
    try:
        slots = _schedules.decode(row).next_slots(after_ms, 1)
    except (msgspec.MsgspecError, InvalidInput):
        return None
    return int(slots[0]) if slots else None


def _own(
    kinds: dict[str, OwnKind], values: Iterable[tuple[tuple[str, ...], float]]
) -> Iterable[OwnSeen]:
    by_name: dict[str, list[tuple[tuple[str, ...], float]]] = {}
    for (name, *labels), value in values:
        by_name.setdefault(name, []).append((tuple(labels), value))
    for name in sorted(by_name.keys() & kinds.keys()):
        what = kinds[name]
        if why_not(name, what):
            continue  # written by somebody else: it must not spoil what all others say
        fitting = [each for each in sorted(by_name[name]) if len(each[0]) == len(what.labels)]
        yield OwnSeen(name, what, tuple(fitting))
