"""Days of São Paulo: which day a moment is in, and the complete periods before one."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.days import (
    Period,
    day_before,
    day_of,
    in_numbers,
    in_words,
    moment_in_numbers,
    month_before,
    month_in_words,
    on_day,
    starts_at,
    week_before,
)

DAYS = st.dates(date(2000, 1, 1), date(2060, 12, 31))


def test_late_in_the_evening_it_is_still_that_day() -> None:
    assert day_of(datetime(2025, 1, 11, 2, 59, tzinfo=UTC)) == date(2025, 1, 10)
    assert day_of(datetime(2025, 1, 11, 3, 0, tzinfo=UTC)) == date(2025, 1, 11)
    with pytest.raises(ValueError, match="no time zone"):
        day_of(datetime(2025, 1, 11, 3, 0))  # noqa: DTZ001


def test_a_day_without_a_midnight_begins_at_one() -> None:
    assert starts_at(date(2018, 11, 4)) == datetime(2018, 11, 4, 3, 0, tzinfo=UTC)
    assert starts_at(date(2025, 1, 10)) == datetime(2025, 1, 10, 3, 0, tzinfo=UTC)


@given(DAYS)
def test_periods_before_a_day_are_complete_and_end_before_it(day: date) -> None:
    for period in (day_before(day), week_before(day), month_before(day)):
        assert period.last < day
        assert period.begins < period.ends <= starts_at(day)
    assert day_before(day).days == 1
    assert (week_before(day).days, week_before(day).first.isoweekday()) == (7, 7)
    assert month_before(day).last + timedelta(days=1) == day.replace(day=1)


def test_on_a_monday_the_week_before_ends_on_saturday() -> None:
    assert week_before(date(2025, 1, 13)) == Period(date(2025, 1, 5), date(2025, 1, 11))


def test_rent_of_the_31st_is_due_on_the_last_of_a_short_month() -> None:
    assert on_day(2025, 2, 31) == date(2025, 2, 28)
    assert on_day(2024, 2, 30) == date(2024, 2, 29)
    assert on_day(2025, 1, 31) == date(2025, 1, 31)


def test_how_days_are_written() -> None:
    day = date(2025, 1, 5)

    assert in_numbers(day) == "05/01/2025"
    assert in_words(day) == "5 de janeiro de 2025"
    assert month_in_words("2025-03") == "março de 2025"
    assert str(Period(day, day)) == "05/01/2025"
    assert str(Period(day, date(2025, 1, 11))) == "05/01/2025 a 11/01/2025"
    assert moment_in_numbers(datetime(2025, 1, 5, 2, 5, tzinfo=UTC)) == "04/01/2025 às 23:05"


def test_a_moment_is_not_written_as_a_day_without_saying_whose() -> None:
    with pytest.raises(TypeError, match="day_of"):
        in_numbers(datetime(2025, 1, 5, 2, 5, tzinfo=UTC))


def test_a_period_does_not_end_before_it_begins() -> None:
    with pytest.raises(ValueError, match="ends before"):
        Period(date(2025, 1, 2), date(2025, 1, 1))
