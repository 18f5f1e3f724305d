"""The counters of a queue: what each is called and means, summed for a batch, and read back typed.

They live in Redis, in one hash of the queue, and only grow: whoever reads them sees the same, and a
restart loses nothing. A worker hands in the sums of a batch (`tally`), the scripts count what only
they know. `COUNTERS` and `HISTOGRAMS` are the whole list; an exporter walks them.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from streamq.job import End, Outcome

ERROR_CLASSES_MAX: Final = 50
"""Classes of errors that one process counts by name; further ones are `other`."""

_ERROR_NAME_CHARS_MAX: Final = 100
_OTHER: Final = "other"
_KINDS_MAX: Final = 4_096  # labels x words: bounded by what is registered; the cache all the same

_UNRUN: Final = frozenset({"", "released", "expired", "parked", "unknown"})
"""Words of outcomes whose handler was not called, or not to its own end: no times to count."""


class Counter(msgspec.Struct, frozen=True):
    """A number that only grows. In the hash: `field`, then a value for each label, split by `:`."""

    field: str
    metric: str
    help: str
    labels: tuple[str, ...] = ()


class Histogram(msgspec.Struct, frozen=True):
    """Times by bucket. In the hash: `field`, label values and the bucket's number, split by `:`;
    their sum in ms under `field` with `_ms`, and the label values.

    Bucket i holds what is at most `bounds_ms[i]`, the last one what is above all of them.
    """

    field: str
    metric: str
    help: str
    bounds_ms: tuple[int, ...]
    labels: tuple[str, ...] = ()


COUNTERS: Final = (
    Counter("added", "streamq_added_total", "Jobs added."),
    Counter("completed", "streamq_completed_total", "Jobs completed."),
    Counter("failed", "streamq_failed_total", "Jobs failed for good, cancelled ones included."),
    Counter("retried", "streamq_retried_total", "Attempts that failed with another one to come."),
    Counter("released", "streamq_released_total", "Claims handed back, no attempt used."),
    Counter("parked", "streamq_parked_total", "Jobs parked: no handler, undecodable, or suspect."),
    Counter("added", "streamq_jobs_added_total", "Jobs added, by name.", ("job",)),
    Counter(
        "existed",
        "streamq_jobs_deduplicated_total",
        "Adds of an id that was there already; they changed nothing.",
        ("job",),
    ),
    Counter(
        "finished",
        "streamq_jobs_finished_total",
        "Jobs that a worker ended: completed, failed, cancelled or expired.",
        ("job", "outcome"),
    ),
    Counter(
        "attempts",
        "streamq_attempts_total",
        "Claims by what they came to: completed, retried, failed, timeout, snoozed, released, ...",
        ("job", "outcome"),
    ),
    Counter(
        "errors",
        "streamq_job_errors_total",
        "Failed attempts by the class of the error, the first 50 of a process, then other.",
        ("job", "error"),
    ),
    Counter("stalls", "streamq_stalls_total", "Jobs taken from a worker that died."),
    Counter("poison", "streamq_poison_total", "Jobs that ended their process though alone in it."),
    Counter("lease_lost", "streamq_lease_lost_total", "Outcomes refused: their lease was gone."),
    Counter("cancelled", "streamq_cancelled_total", "Jobs cancelled before they started."),
    Counter("removed", "streamq_removed_total", "Jobs removed by operators."),
    Counter("cleaned", "streamq_cleaned_total", "Ended jobs removed for their age."),
    Counter("requeued", "streamq_requeued_total", "Failed jobs that an operator retried."),
    Counter("promoted", "streamq_promoted_total", "Delayed jobs that an operator made wait."),
    Counter("unparked", "streamq_unparked_total", "Parked jobs that wait again."),
    Counter("changed", "streamq_changed_total", "Jobs that an operator changed before they ran."),
    Counter("repaired", "streamq_repaired_total", "Items that repair put right."),
    Counter("wake_lost", "streamq_wake_lost_total", "Wake tokens whose taker died."),
    Counter("clock_jumps", "streamq_clock_jumps_total", "Jumps of Redis's clock."),
)

WAIT_BOUNDS_MS: Final = (
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000,
    3_600_000,
)  # fmt: skip
TOTAL_BOUNDS_MS: Final = (
    100, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000,
    10_800_000, 43_200_000, 86_400_000,
)  # fmt: skip

HISTOGRAMS: Final = (
    Histogram(
        "wait",
        "streamq_job_wait_seconds",
        "From when a job came to its line to when its attempt began.",
        WAIT_BOUNDS_MS,
    ),
    Histogram(
        "run",
        "streamq_job_run_seconds",
        "An attempt, from its beginning to its end.",
        WAIT_BOUNDS_MS,
        ("job",),
    ),
    Histogram(
        "total",
        "streamq_job_total_seconds",
        "From when a job was added to when it ended.",
        TOTAL_BOUNDS_MS,
    ),
)

_WAIT_FIELDS: Final = tuple(f"wait:{i}" for i in range(len(WAIT_BOUNDS_MS) + 1))
_TOTAL_FIELDS: Final = tuple(f"total:{i}" for i in range(len(TOTAL_BOUNDS_MS) + 1))


# ---- counting


def tally(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """What a batch adds to the counters, by field of the hash.

    Runs once for each step, 40,000 outcomes a second: no field's name is put together here.
    """
    sums: defaultdict[str, int] = defaultdict(int)
    for outcome in outcomes:
        fields, run_fields, run_sum, ended = _kind(outcome.name, outcome.end, outcome.count)
        for field in fields:
            sums[field] += 1
        if run_sum:
            sums[_WAIT_FIELDS[bisect_left(WAIT_BOUNDS_MS, outcome.wait_ms)]] += 1
            sums["wait_ms"] += outcome.wait_ms
            sums[run_fields[bisect_left(WAIT_BOUNDS_MS, outcome.run_ms)]] += 1
            sums[run_sum] += outcome.run_ms
        if ended:
            sums[_TOTAL_FIELDS[bisect_left(TOTAL_BOUNDS_MS, outcome.total_ms)]] += 1
            sums["total_ms"] += outcome.total_ms
        if outcome.error:
            sums[_error_field(outcome.name, outcome.error)] += 1
    return sums


@lru_cache(_KINDS_MAX)
def _kind(label: str, end: End, word: str) -> tuple[tuple[str, ...], tuple[str, ...], str, bool]:
    """Of one kind of outcome: the fields that get one more, those of its run's buckets and its
    sum (empty: its times do not count), and whether the job ended."""
    fields = []
    # Snoozed, or known to another worker only: back to `delayed` too, but no attempt failed.
    if end is not End.RETRY or word in ("retried", "timeout"):
        fields.append("retried" if end is End.RETRY else end.value)
    ended = end in (End.COMPLETED, End.FAILED)
    if ended:
        told = word if word in ("cancelled", "expired") else end.value
        fields.append(f"finished:{label}:{told}")
    if word:
        fields.append(f"attempts:{label}:{word}")
    if word in _UNRUN:
        return tuple(fields), (), "", ended
    buckets = tuple(f"run:{label}:{i}" for i in range(len(WAIT_BOUNDS_MS) + 1))
    return tuple(fields), buckets, f"run_ms:{label}", ended


_error_fields: dict[tuple[str, str], str] = {}
_error_classes: set[str] = set()


def _error_field(label: str, error: str) -> str:
    found = _error_fields.get((label, error))
    if found is not None:
        return found
    name = error[:_ERROR_NAME_CHARS_MAX]
    if name not in _error_classes:
        if len(_error_classes) >= ERROR_CLASSES_MAX:
            # Not remembered: an application that makes classes without end must not fill us.
            return f"errors:{label}:{_OTHER}"
        _error_classes.add(name)
    return _error_fields.setdefault((label, error), f"errors:{label}:{name}")


# ---- reading back


class Sample(msgspec.Struct, frozen=True):
    """One counter's value under one set of labels (in the order of `counter.labels`)."""

    counter: Counter
    labels: tuple[str, ...]
    value: int


class Distribution(msgspec.Struct, frozen=True):
    """One histogram under one set of labels; `counts` has one more than there are bounds."""

    histogram: Histogram
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    sum_ms: int

    @property
    def count(self) -> int:
        return sum(self.counts)


class Stats(msgspec.Struct, frozen=True):
    """All counters of a queue at one moment."""

    samples: tuple[Sample, ...]
    distributions: tuple[Distribution, ...]

    def value(self, field: str, *labels: str) -> int:
        """A counter's value, 0 if it never counted."""
        return next(
            (s.value for s in self.samples if s.counter.field == field and s.labels == labels), 0
        )


_counters_by_key: Final = {(c.field, len(c.labels)): c for c in COUNTERS}
_histograms_by_field: Final = {h.field: h for h in HISTOGRAMS}


def read(hash_: Mapping[str, int]) -> Stats:
    """The counters in a queue's hash; a field that this version does not know is left out."""
    samples = []
    buckets: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for key, value in sorted(hash_.items()):
        field, _, rest = key.partition(":")
        if (histogram := _histograms_by_field.get(field)) is not None:
            *labels, bucket = rest.split(":")
            counts = buckets.setdefault(
                (field, tuple(labels)), [0] * (len(histogram.bounds_ms) + 1)
            )
            if bucket.isdigit() and int(bucket) < len(counts):
                counts[int(bucket)] = value
            continue
        # The last label may hold a colon (the class of an error may be called anything).
        labels = rest.split(":", 1) if rest else []
        if (counter := _counters_by_key.get((field, len(labels)))) is not None:
            samples.append(Sample(counter, tuple(labels), value))
    distributions = tuple(
        Distribution(
            _histograms_by_field[field],
            labels,
            tuple(counts),
            hash_.get(":".join((f"{field}_ms", *labels)), 0),
        )
        for (field, labels), counts in buckets.items()
        if len(labels) == len(_histograms_by_field[field].labels)
    )
    return Stats(tuple(samples), distributions)
