"""Metrics of the application: `counter` and `gauge`, for handlers to count what only they know.

They are kept in Redis, so that every exporter says the same and a restart loses nothing: each call
is one small command, on a connection of its own. What happens ten thousand times a second is
counted by the engine already; what a handler counts is mails sent, bytes backed up.

    SENT = counter(app, "shop_mails_total", "Mails handed over.", labels=("template",))

    await SENT.inc(template="welcome")
"""

import logging
import math
import threading
from collections.abc import Sequence
from typing import Final

from streamq import blocking
from streamq.errors import InvalidMetric, NotApplied, OutcomeUnknown, RedisUnavailable, StoreError
from streamq.harmless import harmless
from streamq.home import Home
from streamq.metrics.naming import COUNTER, GAUGE, why_not
from streamq.metrics.rows import known_metrics
from streamq.store import measures
from streamq.store.measures import OwnKind

VALUES_MAX: Final = 100
"""Sets of label values of one metric in one process; further ones are `other`."""
VALUE_CHARS_MAX: Final = 64
_OTHER: Final = "other"

log = logging.getLogger("streamq.metrics")


class _Own:
    """One metric: its name, its labels, and which sets of their values there are."""

    def __init__(self, home: Home, name: str, what: OwnKind) -> None:
        why = why_not(name, what)
        if name in known_metrics():
            why = "that is a metric of streamq's own"
        if why:
            raise InvalidMetric(name, why)
        self.name = name
        self._home = home
        self._what = what
        self._known: set[tuple[str, ...]] = set()
        self._lock = threading.Lock()  # handlers that are plain functions call from threads

    def _values(self, labels: dict[str, str]) -> tuple[str, ...]:
        if labels.keys() != set(self._what.labels):
            wanted = ", ".join(self._what.labels) or "none"
            given = ", ".join(labels) or "none"
            raise InvalidMetric(self.name, f"its labels are {wanted}; given were {given}")
        values = tuple(
            harmless(str(labels[label]))[:VALUE_CHARS_MAX] for label in self._what.labels
        )
        with self._lock:
            if values not in self._known:
                if len(self._known) >= VALUES_MAX:
                    return (_OTHER,) * len(values)
                self._known.add(values)
        return values

    async def _define(self) -> None:
        session = self._home.session()
        await measures.define(session.redis, session.prefix, self.name, self._what)


class Counter(_Own):
    """A number that only grows. Make it by `counter`."""

    def __init__(self, home: Home, name: str, what: OwnKind) -> None:
        super().__init__(home, name, what)
        self._owed: dict[tuple[str, ...], float] = {}

    async def inc(self, by: float = 1, **labels: str) -> None:
        """Adds. Never fails for Redis's sake: while it is away the sums are kept here.

        An answer that was lost may cost a count; nothing is counted twice. Raises InvalidMetric for
        other labels than it has, or what is no number above 0.
        """
        if isinstance(by, bool) or not isinstance(by, int | float) or not 0 < by < math.inf:
            raise InvalidMetric(self.name, f"it cannot grow by {by!r}: give a number above 0")
        values = self._values(labels)
        if self._home.recorder is not None:
            return  # a test without a Redis
        with self._lock:
            total = by + self._owed.pop(values, 0)
        session = self._home.session()
        try:
            now = await measures.bump(session.redis, session.prefix, self.name, values, total)
            if now == total:  # the first of it: or Redis was emptied
                await self._define()
        except OutcomeUnknown as error:
            log.debug("metric %s: %s", self.name, error)
        except StoreError as error:
            log.debug("metric %s: %s", self.name, error)
            if isinstance(error, RedisUnavailable | NotApplied):
                with self._lock:
                    self._owed[values] = self._owed.get(values, 0) + total

    def inc_sync(self, by: float = 1, **labels: str) -> None:
        """`inc` for a plain function. Raises SyncInLoop where an event loop runs."""
        blocking.run(lambda: self.inc(by, **labels), called="inc_sync", instead="inc")


class Gauge(_Own):
    """A number that goes up and down; the last one that was set. Make it by `gauge`."""

    async def set(self, value: float, **labels: str) -> None:
        """Never fails for Redis's sake: a value that did not arrive is told in the log.

        Raises InvalidMetric for other labels than it has, or what is no finite number.
        """
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise InvalidMetric(self.name, f"it cannot be {value!r}: give a number")
        values = self._values(labels)
        if self._home.recorder is not None:
            return
        session = self._home.session()
        try:
            is_new = await measures.put(session.redis, session.prefix, self.name, values, value)
            if is_new:
                await self._define()
        except StoreError as error:
            log.warning("metric %s was not set: %s", self.name, error)

    def set_sync(self, value: float, **labels: str) -> None:
        """`set` for a plain function. Raises SyncInLoop where an event loop runs."""
        blocking.run(lambda: self.set(value, **labels), called="set_sync", instead="set")


def counter(app: Home, name: str, says: str, *, labels: Sequence[str] = ()) -> Counter:
    """A counter of an App; its name ends with `_total`. Raises InvalidMetric."""
    return Counter(app, name, OwnKind(COUNTER, says, tuple(labels)))


def gauge(app: Home, name: str, says: str, *, labels: Sequence[str] = ()) -> Gauge:
    """A gauge of an App. Raises InvalidMetric."""
    return Gauge(app, name, OwnKind(GAUGE, says, tuple(labels)))
