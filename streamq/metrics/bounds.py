"""Which series there are: never more than SERIES_MAX, whatever stands in Redis.

A label's value is a registered name, or one of few words; all else is `unknown` or `other`, summed
up. Names stand in a queue's counters only if a process registered a handler by that name; the
limits below hold for whoever writes there by other ways, and for very large installations. What has
no series of its own is counted in `streamq_exporter_left_out`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from streamq.handlers import PATTERN
from streamq.metrics.rows import (
    CALLS,
    ITSELF,
    PROCESS,
    QUEUE,
    REDIS,
    SCHEDULE,
    WORKER,
    known_metrics,
)
from streamq.metrics.seen import OwnSeen, Process, QueueSeen, ScheduleSeen, Seen, WorkerSeen
from streamq.stats import COUNTERS, HISTOGRAMS, Counter, Histogram
from streamq.store.calls import BOUNDS_US

SERIES_MAX: Final = 5_000

UNKNOWN: Final = "unknown"
OTHER: Final = "other"
OUTCOMES: Final = frozenset(
    {
        "completed", "retried", "failed", "timeout", "snoozed", "released", "cancelled", "expired",
        "parked", "lease_lost", UNKNOWN,
    }
)  # fmt: skip

SCRIPTS_MAX: Final = 24
"""There are fewer; a newer process of the daemon's may have others."""
WORKERS_MAX: Final = 200
OWN_MAX: Final = 300  # values of the application's own metrics
LABEL_CHARS_MAX: Final = 128

JobOf = tuple[str, str]
"""A queue and the name of a job."""
ErrorOf = tuple[str, str, str]
"""A queue, the name of a job and the class of an error."""


def series_of(histogram: Histogram) -> int:
    """Its buckets, the one without a bound, their sum and count."""
    return len(histogram.bounds_ms) + 3


def _series_with(labels: frozenset[str]) -> int:
    """Series of one queue (and job) by counters and histograms that have exactly such labels."""
    words = len(OUTCOMES) if "outcome" in labels else 1
    counters = sum(words for counter in COUNTERS if frozenset(counter.labels) == labels)
    return counters + sum(series_of(h) for h in HISTOGRAMS if frozenset(h.labels) == labels)


JOB_SERIES: Final = (
    _series_with(frozenset({"job"})) + _series_with(frozenset({"job", "outcome"})) + 1
)
"""One for the errors that are `other`."""
QUEUE_SERIES: Final = sum(row.series for row in QUEUE) + _series_with(frozenset()) + JOB_SERIES
"""Those of its `unknown` jobs among them."""
SCHEDULE_SERIES: Final = sum(row.series for row in SCHEDULE)
WORKER_SERIES: Final = sum(row.series for row in WORKER)
PROCESS_SERIES: Final = sum(row.series for row in PROCESS)
_CALL_SERIES: Final = len(CALLS) + SCRIPTS_MAX * (len(BOUNDS_US) + 3)
# left_out has a series for each kind of thing
_FIXED: Final = len(REDIS) + len(ITSELF) + 10 + _CALL_SERIES


class Shown(msgspec.Struct, frozen=True):
    """What has series of its own."""

    queues: Sequence[QueueSeen]
    jobs: frozenset[JobOf]
    errors: frozenset[ErrorOf]
    schedules: Sequence[ScheduleSeen]
    workers: Sequence[WorkerSeen]
    processes: Sequence[Process]
    own: Sequence[OwnSeen]
    left_out: Mapping[str, int]

    def labels_of(
        self, queue: str, row: Counter | Histogram, values: Sequence[str]
    ) -> tuple[str, ...]:
        """The label values that stand for these: the same, or the words for the rest."""
        by_label = dict(zip(row.labels, values, strict=True))
        job = by_label.get("job", UNKNOWN)
        if (queue, job) not in self.jobs:
            job = UNKNOWN
        told = []
        for label, value in by_label.items():
            if label == "job":
                value = job
            elif label == "error":
                value = value if (queue, job, value) in self.errors else OTHER
            elif value not in OUTCOMES:
                value = UNKNOWN
            told.append(value)
        return tuple(told)


class _Room:
    """Series that are still to be had."""

    def __init__(self, series: int) -> None:
        self._left = series
        self.left_out: dict[str, int] = {}

    def take(self, what: str, wanted: int, each: int, most: int | None = None) -> int:
        """How many of `wanted` things, of so many series each, have theirs; at most `most`."""
        fitting = min(wanted, self._left // each, wanted if most is None else most)
        self._left -= fitting * each
        self.left_out[what] = wanted - fitting
        return fitting


def shown(seen: Seen, processes: Sequence[Process]) -> Shown:
    """What has series: queues first, then what there are few of, then jobs, then their errors."""
    room = _Room(SERIES_MAX - _FIXED)
    # Those that somebody works on before those that somebody invented.
    queues = sorted(seen.queues, key=lambda q: not q.workers)
    queues = sorted(queues[: room.take("queues", len(queues), QUEUE_SERIES)], key=lambda q: q.name)
    room.left_out["queues"] += seen.queues_left_out
    schedules = [schedule for queue in queues for schedule in queue.schedules]
    schedules = schedules[: room.take("schedules", len(schedules), SCHEDULE_SERIES)]
    own, own_values = _own(seen.own)
    room.take("own", own_values, 1, OWN_MAX)
    processes = processes[: room.take("processes", len(processes), PROCESS_SERIES, WORKERS_MAX)]
    workers = _workers(queues)
    workers = workers[: room.take("workers", len(workers), WORKER_SERIES, WORKERS_MAX)]
    jobs = _jobs(queues)
    named = frozenset(jobs[: room.take("jobs", len(jobs), JOB_SERIES)])
    errors = _errors(queues, named)
    errors = errors[: room.take("errors", len(errors), 1)]
    return Shown(
        queues, named, frozenset(errors), schedules, workers, processes, own, room.left_out
    )


def _jobs(queues: Iterable[QueueSeen]) -> list[JobOf]:
    """The names of jobs that were counted: those of workers first, then by the alphabet, so that
    every exporter leaves out the same."""
    listed: list[JobOf] = []
    others: list[JobOf] = []
    for queue in queues:
        stats = queue.stats
        counted = {s.labels[0] for s in stats.samples if "job" in s.counter.labels}
        counted |= {d.labels[0] for d in stats.distributions if "job" in d.histogram.labels}
        for name in counted - {UNKNOWN}:
            if PATTERN.fullmatch(name):
                (listed if name in queue.names else others).append((queue.name, name))
    return sorted(listed) + sorted(others)


def _errors(queues: Iterable[QueueSeen], jobs: frozenset[JobOf]) -> list[ErrorOf]:
    """Classes of errors of these jobs, those that came most often first."""
    counted: dict[ErrorOf, int] = {}
    for queue in queues:
        for sample in queue.stats.samples:
            if sample.counter.labels == ("job", "error"):
                job, error = sample.labels
                if (queue.name, job) in jobs and error != OTHER and len(error) <= LABEL_CHARS_MAX:
                    counted[queue.name, job, error] = sample.value
    return sorted(counted, key=lambda each: (-counted[each], each))


def _workers(queues: Iterable[QueueSeen]) -> list[WorkerSeen]:
    """One for each process and queue: of a process id that was given out again, the later one."""
    found: dict[tuple[str, str], WorkerSeen] = {}
    for queue in queues:
        for worker in sorted(queue.workers, key=lambda w: -w.heard_age_ms):
            found[worker.name, worker.queue] = worker
    return sorted(found.values(), key=lambda w: (w.name, w.queue))


def _own(metrics: Iterable[OwnSeen]) -> tuple[list[OwnSeen], int]:
    """The application's metrics, cut to OWN_MAX values; and how many values there were."""
    ours = known_metrics()
    kept, count = [], 0
    for metric in metrics:
        if metric.name in ours:
            continue
        values = metric.values[: max(0, OWN_MAX - count)]
        count += len(metric.values)
        if values:
            kept.append(msgspec.structs.replace(metric, values=values))
    return kept, count
