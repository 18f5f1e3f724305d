"""Cron expressions: five fields, read once, and the wall times that they name.

Owns what stands in a field and which days match. Knows no zone and no clock: a wall time is a
whole number of seconds, as if clocks were never changed. `dst` says which instants those are.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from streamq.errors import InvalidCron
from streamq.errors.wording import shown
from streamq.zones import DAY_S, EPOCH_DAY

EXPRESSION_CHARS_MAX: Final = 256
WAIT_YEARS_MAX: Final = 40
"""The longest wait for a day that does come: a 29 February on a given weekday, across 2100."""

# In 28 years each kind of year has its turn, leap or not, beginning on each of the weekdays: a day
# that none of them has never comes.
_ALL_KINDS_OF_YEARS: Final = (date(2001, 1, 1).toordinal(), date(2029, 1, 1).toordinal())
_PARSED_CACHED_MAX: Final = 1_024

_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LAST: Final = 0  # in the place of "which one of the month", which counts from 1

_ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

# The whole of what a field may hold, closed: croniter also reads `R` (random: each process would
# have slots of its own), `H`, `W`, and years.
_ITEM: Final = re.compile(
    r"\*(?:/\d{1,2})?|(?P<low>\d{1,2}|[a-z]{3})(?:-(?P<high>\d{1,2}|[a-z]{3}))?(?:/(?P<step>\d{1,2}))?",
    re.ASCII,
)
_NTH: Final = re.compile(r"(?P<head>[^#]+)#(?P<which>[1-5])|l[0-7]", re.ASCII)


class _Field(msgspec.Struct, frozen=True):
    word: str
    low: int
    high: int
    gives: str
    """What it takes, for a message."""
    names: tuple[str, ...] = ()


_MINUTE: Final = _Field("minute", 0, 59, "0 to 59")
_HOUR: Final = _Field("hour", 0, 23, "0 to 23")
_DAY: Final = _Field("day", 1, 31, "1 to 31 or L (the last)")
_MONTH: Final = _Field("month", 1, 12, "1 to 12 or JAN to DEC", _MONTHS)
_WEEKDAY: Final = _Field(
    "weekday",
    0,
    6,
    "0 to 7 or SUN to SAT (0 and 7: Sunday), 1#2 (the second of a month), L5 (the last)",
    _WEEKDAYS,
)
_FIELDS: Final = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


class Cron(msgspec.Struct, frozen=True):
    """An expression that was read; get it by `parse`.

    `times` are the seconds of a day, rising. A weekday is 0 (Sunday) to 6. `days` and `weekdays`
    must both hold if one of the two fields began with a star, else one of them is enough: the rule
    of Vixie's cron, under which `0 0 */2 * 1` is the Mondays among the odd days.
    """

    text: str
    times: tuple[int, ...]
    days: frozenset[int]
    last_day: bool
    months: frozenset[int]
    weekdays: frozenset[int]
    nth_weekdays: frozenset[tuple[int, int]]
    both: bool
    any_hour: bool
    """The hour field began with a star: the schedule counts real hours, not those of the wall."""

    def walls(self, from_s: int, to_s: int) -> Iterator[int]:
        """The wall times from `from_s` up to `to_s`, that one excluded; rising."""
        first_day, skipped_s = divmod(from_s, DAY_S)
        for day in self._days(first_day, -(-to_s // DAY_S)):
            start = bisect_left(self.times, skipped_s) if day == first_day else 0
            for index in range(start, len(self.times)):
                wall_s = day * DAY_S + self.times[index]
                if wall_s >= to_s:
                    return
                yield wall_s

    def _days(self, from_day: int, to_day: int) -> Iterator[int]:
        day = from_day
        while day < to_day:
            on = date.fromordinal(EPOCH_DAY + day)
            if on.month not in self.months:
                # On to the next month: a rare day is far away, and months are few.
                day += ((on.replace(day=1) + timedelta(days=32)).replace(day=1) - on).days
                continue
            if self._falls_on(on):
                yield day
            day += 1

    def _falls_on(self, on: date) -> bool:
        by_day = on.day in self.days or (self.last_day and (on + timedelta(days=1)).day == 1)
        if by_day != self.both:
            return by_day  # decided: no use where both must hold, enough where one will do
        weekday = on.isoweekday() % 7
        if weekday in self.weekdays or not self.nth_weekdays:
            return weekday in self.weekdays
        return (weekday, (on.day + 6) // 7) in self.nth_weekdays or (
            (weekday, _LAST) in self.nth_weekdays and (on + timedelta(days=7)).month != on.month
        )


@lru_cache(_PARSED_CACHED_MAX)
def parse(text: str) -> Cron:
    """Read an expression of five fields, or `@daily` and its like.

    Raises `InvalidCron`, also for one whose days never come (`0 0 30 2 *`).
    """
    if len(text) > EXPRESSION_CHARS_MAX:
        raise InvalidCron(
            text, f"has {len(text):,} signs, at most {EXPRESSION_CHARS_MAX} are read."
        )
    fields = _ALIASES.get(text.strip().lower(), text).split()
    if len(fields) != len(_FIELDS):
        raise InvalidCron(text, _miscounted(len(fields)))
    (minutes, _), (hours, _), (days, _), (months, _), (weekdays, nth) = (
        _read(text, field, said) for field, said in zip(_FIELDS, fields, strict=True)
    )
    _, said_hour, said_day, _, said_weekday = (said.lower() for said in fields)
    cron = Cron(
        text=text,
        times=tuple(
            hour * 3_600 + minute * 60 for hour in sorted(hours) for minute in sorted(minutes)
        ),
        days=days,
        last_day="l" in said_day.split(","),
        months=months,
        weekdays=weekdays,
        nth_weekdays=nth,
        both=said_day.startswith(("*", "?")) or said_weekday.startswith(("*", "?")),
        any_hour=said_hour.startswith("*"),
    )
    first, last = _ALL_KINDS_OF_YEARS
    if next(cron.walls((first - EPOCH_DAY) * DAY_S, (last - EPOCH_DAY) * DAY_S), None) is None:
        raise InvalidCron(text, "never fires: no month that it names has such a day.")
    return cron


def _miscounted(count: int) -> str:
    fields = "1 field" if count == 1 else f"{count} fields"
    why = f"has {fields}, cron needs 5 (minute hour day month weekday)."
    return f'{why} For seconds give an interval: every="10s".' if count == 6 else why


_Read = tuple[frozenset[int], frozenset[tuple[int, int]]]


def _read(text: str, field: _Field, said: str) -> _Read:
    """The values of one field, and the weekdays that count within their month."""
    items = said.lower().split(",")
    nth = [_NTH.fullmatch(item) if field is _WEEKDAY else None for item in items]
    if any(nth) and not all(nth):
        why = "L5 and 1#2 do not go with plain weekdays: make two schedules."
        raise _misread(text, field, said, why)
    values: set[int] = set()
    counted: set[tuple[int, int]] = set()
    for item, match in zip(items, nth, strict=True):
        if item == "l" and field is _DAY:
            continue  # `Cron.last_day`
        if match is None:
            item = _plain(text, field, said, item)
        elif match["head"]:
            item = f"{_plain(text, field, said, match['head'])}#{match['which']}"
        read = _expanded(field, item)
        if read is None:
            raise _misread(text, field, said)
        values |= read[0]
        counted |= read[1]
    return frozenset(values), frozenset(counted)


def _plain(text: str, field: _Field, said: str, item: str) -> str:
    """An item of a list, checked, and without what croniter would read otherwise than cron does."""
    if said == "?" and field in (_DAY, _WEEKDAY):
        return item
    match = _ITEM.fullmatch(item)
    if match is None:
        raise _misread(text, field, said)
    low, high, step = match["low"], match["high"], match["step"]
    if low is None or not (high or step):
        return item
    first, last = _number(field, low), _number(field, high or low)
    if high is None:
        # croniter takes 7/2 for 0/2: the step would begin anew with Sunday.
        return low if first >= field.high else item
    if first == last:
        return low  # croniter takes 9-9 for every hour there is
    if step and first > last:
        # croniter goes on at a wrong phase behind the end: 21-6/2 would be 21 23 2 4 6.
        why = "a range that goes over the end takes no step: write two ranges."
        raise _misread(text, field, said, why)
    return item


def _number(field: _Field, value: str) -> int:
    if value in field.names:
        return field.names.index(value) + field.low
    return int(value) if value.isdecimal() else field.low


def _expanded(field: _Field, item: str) -> _Read | None:
    """By croniter; None if it refuses.

    Item by item: what croniter makes of lists, and of fields together, is not always their sum
    (`0,*` keeps its star, `L,2-31` counts 31 values and so is every day).
    """
    # Imported at the first schedule: it brings dateutil, 30 ms, and most processes have none.
    from croniter import CroniterError, croniter

    position = _FIELDS.index(field)
    around = ["*"] * len(_FIELDS)
    around[position] = item
    try:
        expanded, nth = croniter.expand(" ".join(around))
    except CroniterError:
        return None
    if nth:
        counted = {
            (day, _LAST if w == "l" else int(w)) for day, which in nth.items() for w in which
        }
        return frozenset(), frozenset(counted)
    if expanded[position] == ["*"]:
        return frozenset(range(field.low, field.high + 1)), frozenset()
    return frozenset(int(value) for value in expanded[position]), frozenset()


def _misread(text: str, field: _Field, said: str, why: str = "") -> InvalidCron:
    takes = f"give * or {field.gives}, a range a-b, a step */n or a-b/n, or a list of these."
    return InvalidCron(text, f"has {field.word} {shown(said)}: {why or takes}")
