"""Days and moments, as people in São Paulo see them; the database and the code keep UTC."""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

TIME_ZONE: Final = ZoneInfo("America/Sao_Paulo")

_MONTHS: Final = (
    *("janeiro", "fevereiro", "março", "abril", "maio", "junho"),
    *("julho", "agosto", "setembro", "outubro", "novembro", "dezembro"),
)


class Period(msgspec.Struct, frozen=True):
    """Whole days of São Paulo, both ends in it."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"a period from {self.first} to {self.last} ends before it begins")

    @property
    def begins(self) -> datetime:
        """The first moment in it, in UTC: `created_at >= begins`."""
        return starts_at(self.first)

    @property
    def ends(self) -> datetime:
        """The first moment after it, in UTC: `created_at < ends`."""
        return starts_at(self.last + timedelta(days=1))

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        """`01/01/2025 a 31/01/2025`, or the day alone."""
        if self.first == self.last:
            return in_numbers(self.first)
        return f"{in_numbers(self.first)} a {in_numbers(self.last)}"


def day_of(moment: datetime) -> date:
    """The day in São Paulo at that moment. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; give an aware datetime")
    return moment.astimezone(TIME_ZONE).date()


def starts_at(day: date) -> datetime:
    """The first moment of that day in São Paulo, in UTC.

    Until 2019 some days there began at 01:00: the clock went forward at midnight.
    """
    return datetime.combine(day, time(), TIME_ZONE).astimezone(UTC)


def day_before(day: date) -> Period:
    """The complete day before that day."""
    before = day - timedelta(days=1)
    return Period(before, before)


def week_before(day: date) -> Period:
    """The complete week before the one of that day; weeks begin on Sunday."""
    sunday = day - timedelta(days=(day.weekday() + 1) % 7)
    return Period(sunday - timedelta(days=7), sunday - timedelta(days=1))


def month_before(day: date) -> Period:
    """The complete month before the one of that day."""
    last = day.replace(day=1) - timedelta(days=1)
    return Period(last.replace(day=1), last)


def on_day(year: int, month: int, day: int) -> date:
    """That day of the month, or the month's last if it is shorter: rent due on the 31st."""
    return date(year, month, min(day, monthrange(year, month)[1]))


def in_numbers(day: date) -> str:
    """`31/01/2025`. Of a moment, take `day_of` first."""
    if isinstance(day, datetime):
        raise TypeError(f"{day!r} is a moment: say which day it is in São Paulo with day_of")
    return f"{day.day:02}/{day.month:02}/{day.year:04}"


def in_words(day: date) -> str:
    """`31 de janeiro de 2025`."""
    return f"{day.day} de {_MONTHS[day.month - 1]} de {day.year}"


def month_in_words(month: str) -> str:
    """`janeiro de 2025`, of a reference month `2025-01`. Raises ValueError."""
    first = date.fromisoformat(f"{month}-01")
    return f"{_MONTHS[first.month - 1]} de {first.year}"


def moment_in_numbers(moment: datetime) -> str:
    """`31/01/2025 às 09:05`, in São Paulo."""
    local = moment.astimezone(TIME_ZONE)
    return f"{in_numbers(day_of(moment))} às {local:%H:%M}"
