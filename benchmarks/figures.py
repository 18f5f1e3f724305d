"""A figure: one quantity, measured in rounds, of streamq and of the bare script beside it."""

import statistics
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec


class BenchmarkFault(Exception):
    """What was measured did not do the work that it was measured for."""


class Side(StrEnum):
    """Who did the work."""

    STREAMQ = "streamq"
    LIMIT = "limit"
    """The bare script: see limit.py."""
    LIMIT_SERIAL = "limit_serial"
    """The same without concurrency: its handlers are awaited one after another."""
    LIMIT_ONE_TRIP = "limit_one_trip"
    """The same, settling and reading in one round trip."""


class Better(StrEnum):
    HIGHER = "higher"
    LOWER = "lower"


class Figure(msgspec.Struct, frozen=True):
    """What one quantity came to: a value a round for each side; judged by the medians."""

    name: str
    quantity: str
    unit: str
    better: Better
    rounds: dict[Side, tuple[float, ...]]

    def median(self, side: Side) -> float | None:
        """The median of the rounds; None if that side was not measured."""
        values = self.rounds.get(side)
        return statistics.median(values) if values else None

    @property
    def ratio(self) -> float | None:
        """streamq's value by the limit's: the median of the rounds' own ratios.

        Both sides of a round ran within seconds of each other, so what else the machine did in
        that minute falls out.
        """
        ours, limit = self.rounds.get(Side.STREAMQ, ()), self.rounds.get(Side.LIMIT, ())
        pairs = [a / b for a, b in zip(ours, limit, strict=False) if b > 0]
        return statistics.median(pairs) if pairs else None

    @property
    def spread(self) -> float | None:
        """How far streamq's rounds lie apart, by their median: above 0.2, look at the machine."""
        values = self.rounds.get(Side.STREAMQ, ())
        median = statistics.median(values) if values else 0
        return (max(values) - min(values)) / median if median else None


class Sheet:
    """Collects values as the rounds go on, and hands them out as figures in order of appearance."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, str], tuple[str, Better, dict[Side, list[float]]]] = {}

    def note(
        self, name: str, quantity: str, unit: str, side: Side, value: float, *, better: Better
    ) -> None:
        """One round's value."""
        kept = self._figures.setdefault((name, quantity), (unit, better, {}))
        kept[2].setdefault(side, []).append(value)

    def figures(self) -> list[Figure]:
        return [
            Figure(name, quantity, unit, better, {s: tuple(v) for s, v in sides.items()})
            for (name, quantity), (unit, better, sides) in self._figures.items()
        ]


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least `percent` of all are not above (nearest rank)."""
    ordered = sorted(values)
    if not ordered:
        raise BenchmarkFault("a percentile of nothing: no sample was taken")
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(0, int(rank) - 1)]


def turned(sides: Sequence[Side], round_number: int) -> list[Side]:
    """The sides, each round begun by another one: none is always the first on a warm cache."""
    first = round_number % len(sides)
    return [*sides[first:], *sides[:first]]
