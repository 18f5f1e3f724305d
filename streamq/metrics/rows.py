"""The table of gauges: what each metric is called and means, and how it is taken of what was seen.

Counters and histograms of jobs stand in `streamq.stats`; together they are all metrics there are,
but for those of the application (`own`). The exporter walks the rows and knows no metric by name.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import cache
from typing import Final, Generic, TypeVar

import msgspec

from streamq.job import JobState
from streamq.metrics.seen import Process, QueueSeen, RedisSeen, ScheduleSeen, WorkerSeen
from streamq.stats import COUNTERS, HISTOGRAMS

T = TypeVar("T")


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"


Value = tuple[tuple[str, ...], float]
"""The values of a row's own labels, and what was measured."""


class Row(msgspec.Struct, Generic[T], frozen=True):
    """One metric of one kind of thing: `values` of it, at most `series` of them."""

    metric: str
    help: str
    values: Callable[[T], Iterable[Value]]
    kind: Kind = Kind.GAUGE
    labels: tuple[str, ...] = ()
    """Beside those that name the thing itself."""
    series: int = 1


def _one(value: float | None) -> list[Value]:
    return [] if value is None else [((), float(value))]


def _seconds(ms: float | None) -> list[Value]:
    return _one(None if ms is None else ms / 1_000)


# ---- a queue, by its name

_STATES: Final[Sequence[JobState]] = (
    JobState.WAITING, JobState.ACTIVE, JobState.DELAYED, JobState.COMPLETED, JobState.FAILED,
    JobState.PARKED,
)  # fmt: skip


def _jobs(queue: QueueSeen) -> Iterator[Value]:
    for state in _STATES:
        yield (state.value,), getattr(queue.counts, state.value)


def _oldest(queue: QueueSeen) -> Iterator[Value]:
    ages = queue.ages
    for state, ms in (
        ("waiting", ages.waiting),
        ("delayed_due", ages.due),
        ("active", ages.active),
    ):
        # None there is no gap: 0 is what an alert compares with.
        yield (state,), (ms or 0) / 1_000


QUEUE: Final[tuple[Row[QueueSeen], ...]] = (
    Row("streamq_jobs", "Jobs of a queue by state.", _jobs, labels=("state",), series=6),
    Row(
        "streamq_queue_oldest_age_seconds",
        "How long the first in line waits, the first delayed job is overdue, an attempt runs.",
        _oldest,
        labels=("state",),
        series=3,
    ),
    Row("streamq_queue_paused", "1 while no job is started.", lambda q: _one(q.counts.paused)),
    Row(
        "streamq_queue_max_active",
        "Jobs at a time in the whole fleet; absent without a limit.",
        lambda q: _one(q.max_active),
    ),
    Row(
        "streamq_queue_workers",
        "Processes at work on a queue that were heard of in the last minute.",
        lambda q: _one(len(q.at_work)),
    ),
    Row(
        "streamq_queue_slots",
        "Jobs that these can run at a time.",
        lambda q: _one(sum(worker.slots for worker in q.at_work)),
    ),
)

# ---- a schedule, by its name and queue

SCHEDULE: Final[tuple[Row[ScheduleSeen], ...]] = (
    Row(
        "streamq_schedule_lag_seconds",
        "By how much the next fire is overdue; 0 if it is to come.",
        lambda s: _seconds(s.lag_ms),
    ),
    Row(
        "streamq_schedule_last_fire_timestamp_seconds",
        "The last slot that was seen to: fired, or passed over by a policy.",
        lambda s: _seconds(s.last_slot_ms),
    ),
    Row(
        "streamq_schedule_next_fire_timestamp_seconds",
        "The slot that comes next; absent while paused, or declared by nobody.",
        lambda s: _seconds(s.next_slot_ms),
    ),
    Row("streamq_schedule_paused", "1 while it does not fire.", lambda s: _one(s.paused)),
    Row(
        "streamq_schedule_fires_total",
        "Slots that added a job.",
        lambda s: _one(s.fired),
        kind=Kind.COUNTER,
    ),
    Row(
        "streamq_schedule_misses_total",
        "Slots that added no job: left out by the misfire policy, or by the overlap policy.",
        lambda s: _one(s.missed),
        kind=Kind.COUNTER,
    ),
)

# ---- a worker, by its process (`host:pid`) and its queue

WORKER: Final[tuple[Row[WorkerSeen], ...]] = (
    Row(
        "streamq_worker_info",
        "1 for each process at work on a queue: which it is.",
        lambda w: [((w.id, w.host, w.build, w.kind, w.label), 1.0)],
        labels=("id", "host", "build", "kind", "label"),
    ),
    Row("streamq_worker_slots", "Jobs that it can run at a time.", lambda w: _one(w.slots)),
    Row(
        "streamq_worker_heartbeat_age_seconds",
        "Since it was last heard of.",
        lambda w: _seconds(w.heard_age_ms),
    ),
)

# ---- a process of the daemon whose port is asked

PROCESS: Final[tuple[Row[Process], ...]] = (
    Row("streamq_worker_busy", "Slots in use, all queues.", lambda p: _one(p.busy)),
    Row(
        "streamq_worker_stuck",
        "Slots held by threads that outlived their attempt.",
        lambda p: _one(p.stuck),
    ),
    Row(
        "streamq_worker_loop_lag_seconds",
        "By how much its last sign of life is late: its loop stands still.",
        lambda p: _one(p.loop_lag_s),
    ),
    Row("streamq_worker_resident_bytes", "Its memory.", lambda p: _one(p.rss_bytes)),
)

# ---- Redis, which is one

REDIS: Final[tuple[Row[RedisSeen], ...]] = (
    Row("streamq_redis_ping_seconds", "One round trip.", lambda r: _one(r.ping_s)),
    Row("streamq_redis_used_memory_bytes", "Memory in use.", lambda r: _one(r.info.used_memory)),
    Row("streamq_redis_maxmemory_bytes", "0: no limit.", lambda r: _one(r.info.maxmemory)),
    Row(
        "streamq_redis_connected_clients", "Connections.", lambda r: _one(r.info.connected_clients)
    ),
    Row(
        "streamq_redis_evicted_keys_total",
        "Keys that it dropped for want of memory: jobs may be among them.",
        lambda r: _one(r.info.evicted_keys),
        kind=Kind.COUNTER,
    ),
)

# ---- the calls of the processes behind the port that is asked

RECONNECTS: Final = "streamq_redis_reconnects_total"
SCRIPT_SECONDS: Final = "streamq_script_seconds"
CALLS: Final = {
    RECONNECTS: "Connections to Redis that were made anew.",
    SCRIPT_SECONDS: "Calls of a script, the way to Redis and back included.",
}

# ---- the exporter itself

UP: Final = "streamq_redis_up"
EXPORTER_UP: Final = "streamq_exporter_up"
SCRAPE: Final = "streamq_exporter_scrape_seconds"
AGE: Final = "streamq_exporter_age_seconds"
LEFT_OUT: Final = "streamq_exporter_left_out"
ITSELF: Final = {
    UP: "1 if Redis answered the last question; else all else is from when it did.",
    EXPORTER_UP: "1.",
    SCRAPE: "How long the last reading of Redis took.",
    AGE: "How old the values are.",
    LEFT_OUT: "Things without series of their own, since there is a limit of them.",
}


@cache
def known_metrics() -> frozenset[str]:
    """The names of all metrics that are ours."""
    tables = (QUEUE, SCHEDULE, WORKER, PROCESS, REDIS, COUNTERS, HISTOGRAMS)
    return frozenset(row.metric for table in tables for row in table) | ITSELF.keys() | CALLS.keys()
