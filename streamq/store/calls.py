"""What a process saw of its own calls: how long each script took, how often a connection broke.

Only grows for as long as the process lives. A process tells its daemon, who sums it up for metrics.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

BOUNDS_US: Final = (500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
                    1_000_000)  # fmt: skip
"""Of the buckets; the last one has what took longer."""


class ScriptTimes(msgspec.Struct, frozen=True, array_like=True):
    """Of one script, as its caller has it: the way to Redis and back included."""

    counts: tuple[int, ...]
    """By bucket, one more than there are bounds."""
    sum_us: int

    def __add__(self, other: "ScriptTimes") -> "ScriptTimes":
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return ScriptTimes(counts, self.sum_us + other.sum_us)


class Calls(msgspec.Struct, frozen=True):
    """The calls of one process, or of several."""

    reconnects: int = 0
    scripts: Mapping[str, ScriptTimes] = {}


def total(calls: Iterable[Calls]) -> Calls:
    """Those of several processes together."""
    reconnects, scripts = 0, dict[str, ScriptTimes]()
    for each in calls:
        reconnects += each.reconnects
        for name, times in each.scripts.items():
            scripts[name] = scripts[name] + times if name in scripts else times
    return Calls(reconnects, scripts)


_counts: Final[defaultdict[str, list[int]]] = defaultdict(lambda: [0] * (len(BOUNDS_US) + 1))
_sums_us: Final[defaultdict[str, int]] = defaultdict(int)
_reconnects = 0


def reconnected() -> None:
    """A connection was made anew where there had been one."""
    global _reconnects
    _reconnects += 1


def took(script: str, seconds: float) -> None:
    """A script was called and answered."""
    us = int(seconds * 1e6)
    _counts[script][bisect_left(BOUNDS_US, us)] += 1
    _sums_us[script] += us


def own() -> Calls:
    """Those of this process, up to now."""
    # A copy first: another thread's loop may call a script for the first time meanwhile.
    scripts = {name: ScriptTimes(tuple(n), _sums_us[name]) for name, n in list(_counts.items())}
    return Calls(_reconnects, scripts)
