"""Which instants a cron expression's wall times are: the rule for the days when clocks change.

Two ways of counting, by the hour field, as in Vixie's and Debian's cron:

* It begins with a star (`*`, `*/6`): real hours. The schedule fires at every instant at which the
  clock on the wall shows a time of the expression: both times in the hour that comes twice, not at
  all at a time that the clock jumps over. `*/30 * * * *` is every half hour of real time.
* Hours are named (`2`, `0,12`, `9-17`): wall times, each meant once a day. One that comes twice
  fires at its first coming (`Fold`); one that is jumped over fires when the clock goes on (`Gap`).
  `0 0 * * *` in America/Sao_Paulo on 2018-11-04, when midnight did not exist, fired at 01:00.

The instants only rise, so two wall times that a gap moves to one instant fire once.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from streamq.cron import Cron
from streamq.zones import OFFSET_S_MAX, YEARS, Span, spans, year_of, year_start_s


class Gap(StrEnum):
    """What becomes of a named hour that the clock jumps over."""

    FIRST_INSTANT_AFTER = "first-instant-after"
    SKIP = "skip"


class Fold(StrEnum):
    """At which coming a named hour that comes twice fires."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


class Effect(StrEnum):
    """What the clock's change did to a wall time."""

    NONE = ""
    MOVED = "moved"
    """Does not exist on that day; fires at the first instant after the gap."""
    SKIPPED = "skipped"
    """Does not exist on that day, and is left out."""
    FIRST = "first"
    """Comes twice; this is the first time."""
    SECOND = "second"
    """Comes twice; this is the second time."""
    JOINED = "joined"
    """Its instant is that of one that was moved, and fires with it."""


class Landing(NamedTuple):
    """A wall time of the expression, and the instant that it falls on, in seconds since 1970.

    `at_s` is the end of the gap for one that is jumped over. One that does not fire is told all the
    same, for `explain`.
    """

    at_s: int
    wall_s: int
    effect: Effect
    fires: bool


class Rule(NamedTuple):
    """An expression, where its clock hangs, and what is wanted when that clock changes."""

    cron: Cron
    zone: ZoneInfo
    gap: Gap
    fold: Fold


def landings(rule: Rule, after_s: int, until_s: int) -> Iterator[Landing]:
    """Those behind `after_s` up to and with `until_s`, in the order of their instants.

    The instants of those that fire rise strictly.
    """
    from_s, to_s = max(after_s + 1, year_start_s(YEARS.start)), until_s + 1
    to_s = min(to_s, year_start_s(YEARS.stop))
    if from_s >= to_s:
        return
    for year in range(year_of(from_s), year_of(to_s - 1) + 1):
        low_s, high_s = max(from_s, year_start_s(year)), min(to_s, year_start_s(year + 1))
        # Nothing this year, wherever the clock hangs: spares looking for its changes.
        if next(rule.cron.walls(low_s - OFFSET_S_MAX, high_s + OFFSET_S_MAX), None) is None:
            continue
        for span in spans(rule.zone, year):
            if span.end_s > low_s and span.start_s < high_s:
                yield from _within(rule, span, max(low_s, span.start_s), min(high_s, span.end_s))


def _within(rule: Rule, span: Span, from_s: int, to_s: int) -> Iterator[Landing]:
    moved_s = None
    if from_s == span.start_s:
        for landing in _in_gap(rule, span):
            moved_s = span.start_s if landing.fires else moved_s
            yield landing
    any_hour, fold = rule.cron.any_hour, rule.fold
    # Local times before this one were seen before the span began; from that one on, they come again
    # when it has ended.
    seen_until_s = span.start_s + span.before_s
    again_from_s = span.end_s + span.after_s
    for wall_s in rule.cron.walls(from_s + span.offset_s, to_s + span.offset_s):
        at_s = wall_s - span.offset_s
        if wall_s < seen_until_s:
            yield Landing(at_s, wall_s, Effect.SECOND, any_hour or fold is not Fold.FIRST)
        elif wall_s >= again_from_s:
            yield Landing(at_s, wall_s, Effect.FIRST, any_hour or fold is not Fold.SECOND)
        elif at_s == moved_s:
            yield Landing(at_s, wall_s, Effect.JOINED, False)
        else:
            yield Landing(at_s, wall_s, Effect.NONE, True)


def _in_gap(rule: Rule, span: Span) -> Iterator[Landing]:
    """The wall times that were jumped over when the span began; at most one of them fires."""
    skip = rule.cron.any_hour or rule.gap is Gap.SKIP
    effect = Effect.SKIPPED if skip else Effect.MOVED
    for wall_s in rule.cron.walls(span.start_s + span.before_s, span.start_s + span.offset_s):
        yield Landing(span.start_s, wall_s, effect, effect is Effect.MOVED)
        effect = Effect.SKIPPED if skip else Effect.JOINED
