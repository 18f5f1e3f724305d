"""The goals that `--check` holds the figures to."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from benchmarks.figures import Figure, Side


class Of(StrEnum):
    """What a goal looks at."""

    RATIO = "ratio"
    """streamq's value by the limit's."""
    VALUE = "value"
    """streamq's own value, in the figure's unit."""


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds for one figure, found by its name and quantity. Both bounds are allowed values."""

    name: str
    quantity: str
    of: Of
    least: float | None = None
    most: float | None = None

    def judge(self, figures: Sequence[Figure]) -> "Judgement | None":
        """Whether the figure is within the bounds; None if it was not measured."""
        for figure in figures:
            if (figure.name, figure.quantity) == (self.name, self.quantity):
                got = figure.ratio if self.of is Of.RATIO else figure.median(Side.STREAMQ)
                return None if got is None else Judgement(self, got, figure.unit)
        return None


class Judgement(msgspec.Struct, frozen=True):
    goal: Goal
    got: float
    unit: str

    @property
    def reached(self) -> bool:
        goal = self.goal
        return (goal.least is None or self.got >= goal.least) and (
            goal.most is None or self.got <= goal.most
        )

    def __str__(self) -> str:
        goal = self.goal
        unit = " of the limit" if goal.of is Of.RATIO else f" {self.unit}"
        bound = f"at least {goal.least:g}" if goal.least is not None else f"at most {goal.most:g}"
        word = "reached" if self.reached else "MISSED"
        return f"{word:8} {goal.name}, {goal.quantity}: {self.got:.3g}{unit} ({bound})"


GOALS: Final = (
    Goal(name="drain, 100 slots, 1 process", quantity="rate", of=Of.RATIO, least=0.6),
    Goal(name="bulk add", quantity="rate", of=Of.RATIO, least=1.0),
    Goal(name="idle latency", quantity="p50", of=Of.RATIO, most=1.3),
    Goal(name="idle latency", quantity="p99", of=Of.RATIO, most=3.0),
    Goal(name="lateness of delayed jobs", quantity="p99", of=Of.VALUE, most=5.0),
    Goal(name="waiting job", quantity="memory", of=Of.VALUE, most=250.0),
    Goal(name="idle, 1 queue", quantity="commands", of=Of.VALUE, most=10.0),
    Goal(name="idle, 9 queues", quantity="commands", of=Of.VALUE, most=10.0),
    Goal(name="admin stats", quantity="p99", of=Of.VALUE, most=50.0),
    Goal(name="admin queues", quantity="p99", of=Of.VALUE, most=50.0),
    Goal(name="admin page", quantity="p99", of=Of.VALUE, most=50.0),
    Goal(name="admin metrics", quantity="p99", of=Of.VALUE, most=50.0),
)
"""What streamq is to reach, with all of its rules on."""


def judged(figures: Sequence[Figure], goals: Sequence[Goal] = GOALS) -> list[Judgement]:
    """Each goal whose figure was measured."""
    return [found for goal in goals if (found := goal.judge(figures)) is not None]
