"""Prometheus metrics: of the engine, from the counters in Redis; and of the application, by it.

`metrics_text(app)` is what a route answers, `Exporter` what stands behind a port. `counter` and
`gauge` are for handlers, and need no extra.
"""

from streamq.metrics.exporter import Exporter, metrics_text
from streamq.metrics.own import Counter, Gauge, counter, gauge
from streamq.metrics.rows import known_metrics
from streamq.metrics.seen import Process

__all__ = [
    "Counter",
    "Exporter",
    "Gauge",
    "Process",
    "counter",
    "gauge",
    "known_metrics",
    "metrics_text",
]
