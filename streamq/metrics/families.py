"""From what was seen to what Prometheus reads. The one place that knows its client library."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from streamq.metrics.bounds import LABEL_CHARS_MAX, SCRIPTS_MAX, Shown
from streamq.metrics.rows import (
    AGE,
    CALLS,
    EXPORTER_UP,
    ITSELF,
    LEFT_OUT,
    PROCESS,
    QUEUE,
    RECONNECTS,
    REDIS,
    SCHEDULE,
    SCRAPE,
    SCRIPT_SECONDS,
    UP,
    WORKER,
    Kind,
    Row,
)
from streamq.metrics.seen import OwnSeen, QueueSeen, RedisSeen
from streamq.stats import COUNTERS, HISTOGRAMS, Histogram
from streamq.store.calls import BOUNDS_US, Calls

T = TypeVar("T")
Family = GaugeMetricFamily | CounterMetricFamily


class Reading(Collector):
    """One answer to a scrape, as a collector of prometheus_client."""

    def __init__(
        self,
        redis: RedisSeen | None,
        shown: Shown | None,
        calls: Calls,
        *,
        up: bool,
        scrape_s: float,
        age_s: float | None,
    ) -> None:
        """`redis`, `shown`: what was seen last; None as long as nothing was."""
        self._redis = redis
        self._shown = shown
        self._calls = calls
        self._up = up
        self._scrape_s = scrape_s
        self._age_s = age_s

    def collect(self) -> Iterator[Metric]:
        yield from self._itself()
        yield from _calls(self._calls)
        if self._redis is not None:
            yield from _families(REDIS, (), [self._redis], lambda _: ())
        if (shown := self._shown) is None:
            return
        yield from _families(QUEUE, ("queue",), shown.queues, lambda q: (q.name,))
        yield from _counters(shown)
        yield from _histograms(shown)
        yield from _families(
            SCHEDULE, ("schedule", "queue"), shown.schedules, lambda s: (s.name, s.queue)
        )
        yield from _families(
            WORKER, ("worker", "queue"), shown.workers, lambda w: (w.name, w.queue)
        )
        yield from _families(PROCESS, ("worker",), shown.processes, lambda p: (p.name,))
        yield from map(_own, shown.own)

    def _itself(self) -> Iterator[Metric]:
        said = {EXPORTER_UP: 1.0, UP: float(self._up), SCRAPE: self._scrape_s}
        if self._age_s is not None:
            said[AGE] = self._age_s
        for name, value in said.items():
            yield GaugeMetricFamily(name, ITSELF[name], value=value)
        if self._shown is not None:
            family = GaugeMetricFamily(LEFT_OUT, ITSELF[LEFT_OUT], labels=("what",))
            for what, count in self._shown.left_out.items():
                family.add_metric((what,), count)
            yield family


def plain(reading: Reading) -> tuple[str, bytes]:
    """The text format, and its content type."""
    return exposition.CONTENT_TYPE_PLAIN_0_0_4, exposition.generate_latest(_registry(reading))


def open_metrics(reading: Reading) -> tuple[str, bytes]:
    """OpenMetrics 1.0, and its content type."""
    return openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest(_registry(reading))  # type: ignore[no-untyped-call]


def _registry(reading: Reading) -> CollectorRegistry:
    # Of its own: the default one tells of this process and this Python, which nobody asked for.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(reading)
    return registry


def _families(
    rows: Iterable[Row[T]],
    labels: Sequence[str],
    things: Sequence[T],
    name_of: Callable[[T], tuple[str, ...]],
) -> Iterator[Metric]:
    for row in rows:
        family = _family(row.metric, row.help, row.kind, (*labels, *row.labels))
        for thing in things:
            for values, number in row.values(thing):
                family.add_metric((*name_of(thing), *_short(values)), number)
        yield family


def _family(name: str, says: str, kind: Kind, labels: Sequence[str]) -> Family:
    make = GaugeMetricFamily if kind is Kind.GAUGE else CounterMetricFamily
    return make(name, says, labels=labels)


def _counters(shown: Shown) -> Iterator[Metric]:
    for counter in COUNTERS:
        family = CounterMetricFamily(
            counter.metric, counter.help, labels=("queue", *counter.labels)
        )
        for queue in shown.queues:
            # A counter without labels is there from the start: what appears with a 1 has no rise.
            sums: defaultdict[tuple[str, ...], int] = defaultdict(int)
            if not counter.labels:
                sums[()] = 0
            for sample in queue.stats.samples:
                if sample.counter is counter:
                    sums[shown.labels_of(queue.name, counter, sample.labels)] += sample.value
            for labels, value in sorted(sums.items()):
                family.add_metric((queue.name, *labels), value)
        yield family


def _histograms(shown: Shown) -> Iterator[Metric]:
    for histogram in HISTOGRAMS:
        family = HistogramMetricFamily(
            histogram.metric, histogram.help, labels=("queue", *histogram.labels)
        )
        for queue in shown.queues:
            for labels, counts, sum_ms in _summed(shown, queue, histogram):
                bounds_s = (ms / 1_000 for ms in histogram.bounds_ms)
                family.add_metric(
                    (queue.name, *labels), _buckets(bounds_s, counts), sum_value=sum_ms / 1_000
                )
        yield family


def _summed(
    shown: Shown, queue: QueueSeen, histogram: Histogram
) -> Iterator[tuple[tuple[str, ...], list[int], int]]:
    """Distributions by their bounded labels."""
    counts: dict[tuple[str, ...], list[int]] = {}
    sums: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for each in queue.stats.distributions:
        if each.histogram is histogram:
            labels = shown.labels_of(queue.name, histogram, each.labels)
            before = counts.get(labels, [0] * len(each.counts))
            counts[labels] = [a + b for a, b in zip(before, each.counts, strict=True)]
            sums[labels] += each.sum_ms
    for labels in sorted(counts):
        yield labels, counts[labels], sums[labels]


def _buckets(bounds_s: Iterable[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative, by their bounds."""
    bounds = [f"{bound:.1f}" if bound.is_integer() else f"{bound:g}" for bound in bounds_s]
    total, buckets = 0, []
    for bound, count in zip((*bounds, "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _calls(calls: Calls) -> Iterator[Metric]:
    yield CounterMetricFamily(RECONNECTS, CALLS[RECONNECTS], value=calls.reconnects)
    family = HistogramMetricFamily(SCRIPT_SECONDS, CALLS[SCRIPT_SECONDS], labels=("script",))
    for name, times in sorted(calls.scripts.items())[:SCRIPTS_MAX]:
        buckets = _buckets((us / 1e6 for us in BOUNDS_US), times.counts)
        family.add_metric((name,), buckets, sum_value=times.sum_us / 1e6)
    yield family


def _own(metric: OwnSeen) -> Metric:
    family = _family(metric.name, metric.what.help, Kind(metric.what.kind), metric.what.labels)
    for labels, value in metric.values:
        family.add_metric(_short(labels), value)
    return family


def _short(values: Iterable[str]) -> list[str]:
    return [value[:LABEL_CHARS_MAX] for value in values]
