"""Time zones by their IANA names, and the spans of time through which a zone's offset stands still.

The rules come from the package `tzdata`, never from the machine: two workers whose systems are of
different age would else disagree on when a slot is, and fire it twice. Hands spans to `dst`.
"""

from collections.abc import Iterator
from datetime import date, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from streamq.errors import UnknownTimeZone

DAY_S: Final = 86_400
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
OFFSET_S_MAX: Final = DAY_S
"""PEP 495: an offset is less than a day, either way."""

YEARS: Final = range(1970, 9_001)
"""Years of UTC that are looked at: no slot lies outside them."""

# A schedule walks through a year or two around now; `explain` and a rare expression see more.
_YEARS_CACHED_MAX: Final = 2_048
_ZONES_CACHED_MAX: Final = 1_024  # the database has some 600


class Span(msgspec.Struct, frozen=True):
    """From `start_s` up to `end_s` (seconds since 1970), local time is UTC plus `offset_s`.

    `before_s` and `after_s` are the offsets on the two sides: where the clock goes at the ends.
    """

    start_s: int
    end_s: int
    offset_s: int
    before_s: int
    after_s: int


class _Change(msgspec.Struct, frozen=True):
    at_s: int
    before_s: int
    after_s: int


@lru_cache(1)
def zone_names() -> tuple[str, ...]:
    """Every name that `zone_of` takes, some 600."""
    # Imported here: whoever only adds jobs reads no zone.
    from importlib.resources import files

    return tuple(files("tzdata").joinpath("zones").read_text("ascii").split())


@lru_cache(_ZONES_CACHED_MAX)
def zone_of(name: str) -> ZoneInfo:
    """The zone of that name, as it is spelled in the database. Raises `UnknownTimeZone`."""
    from importlib.resources import files

    if name not in zone_names():  # nothing but a known name becomes a path
        raise UnknownTimeZone(name, zone_names())
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as stored:
        return ZoneInfo.from_file(stored, key=name)


def year_of(at_s: int) -> int:
    return date.fromordinal(EPOCH_DAY + at_s // DAY_S).year


def year_start_s(year: int) -> int:
    return (date(year, 1, 1).toordinal() - EPOCH_DAY) * DAY_S


def offset_s(zone: ZoneInfo, at_s: int) -> int:
    """What local time is ahead of UTC at that moment; negative in the Americas."""
    offset = datetime.fromtimestamp(at_s, zone).utcoffset()
    assert offset is not None, f"{zone} has no offset"
    return offset.days * DAY_S + offset.seconds


@lru_cache(_YEARS_CACHED_MAX)
def spans(zone: ZoneInfo, year: int) -> tuple[Span, ...]:
    """The spans that touch a year of UTC, in order.

    One that reaches into a neighbouring year keeps its true end there, so that its last hour is
    known to come twice even if the clock goes back just after New Year. One that has no end within
    the neighbouring year is cut at that year's.
    """
    changes = [change for near in (year - 1, year, year + 1) for change in _changes(zone, near)]
    start_s, before_s = year_start_s(year - 1), offset_s(zone, year_start_s(year - 1))
    last_s = year_start_s(year + 2)
    changes.append(_Change(last_s, *(changes[-1].after_s if changes else before_s,) * 2))
    found = []
    for change in changes:
        found.append(Span(start_s, change.at_s, change.before_s, before_s, change.after_s))
        start_s, before_s = change.at_s, change.before_s
    year_s, next_s = year_start_s(year), year_start_s(year + 1)
    return tuple(span for span in found if span.start_s < next_s and span.end_s > year_s)


@lru_cache(_YEARS_CACHED_MAX)
def _changes(zone: ZoneInfo, year: int) -> tuple[_Change, ...]:
    """When the offset changed in a year of UTC.

    Looks once a day, some 120 µs a year: a zone that goes forth and back within a day would be
    missed. There is none: see tests/full/cron_all.py, which looks at every hour.
    """
    found: list[_Change] = []
    first_s, last_s = year_start_s(year) - 1, year_start_s(year + 1) - 1
    seen_s, seen = first_s, offset_s(zone, first_s)
    for look_s in range(first_s + DAY_S, last_s + 1, DAY_S):
        looked = offset_s(zone, look_s)
        for change in _between(zone, seen_s, seen, look_s, looked):
            found.append(change)
        seen_s, seen = look_s, looked
    return tuple(found)


def _between(zone: ZoneInfo, low_s: int, low: int, high_s: int, high: int) -> Iterator[_Change]:
    """The changes after `low_s`, up to `high_s`: each found by halving, to the second."""
    while low != high:
        left_s, right_s, right = low_s, high_s, high
        while right_s - left_s > 1:
            middle_s = (left_s + right_s) // 2
            middle = offset_s(zone, middle_s)
            if middle == low:
                left_s = middle_s
            else:
                right_s, right = middle_s, middle
        yield _Change(right_s, low, right)
        low_s, low = right_s, right
