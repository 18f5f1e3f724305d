"""Kinds of reports, their formats, and the period that each is about."""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from processors.days import (
    Period,
    day_before,
    in_numbers,
    month_before,
    month_in_words,
    week_before,
)

DAYS_MAX: Final = 3_660
"""Of a custom period: ten years."""


class ReportType(StrEnum):
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    CUSTOM = "custom"


class ReportFormat(StrEnum):
    PDF = "pdf"
    EXCEL = "excel"
    CSV = "csv"


NAMES: Final[Mapping[ReportType, str]] = MappingProxyType(
    {
        ReportType.DAILY: "diário",
        ReportType.WEEKLY: "semanal",
        ReportType.MONTHLY: "mensal",
        ReportType.CUSTOM: "por período",
    }
)

EXTENSIONS: Final[Mapping[ReportFormat, str]] = MappingProxyType(
    {ReportFormat.PDF: "pdf", ReportFormat.EXCEL: "xlsx", ReportFormat.CSV: "csv"}
)

MIME_TYPES: Final[Mapping[ReportFormat, str]] = MappingProxyType(
    {
        ReportFormat.PDF: "application/pdf",
        ReportFormat.EXCEL: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ReportFormat.CSV: "text/csv; charset=utf-8",
    }
)


def period_before(kind: ReportType, day: date) -> Period:
    """The complete day, week (Sunday to Saturday) or month before that day."""
    if kind == ReportType.DAILY:
        return day_before(day)
    if kind == ReportType.WEEKLY:
        return week_before(day)
    assert kind == ReportType.MONTHLY, f"a {kind} report has a period of its own"
    return month_before(day)


def period_of(kind: ReportType, start: date | None, end: date | None, day: date) -> Period:
    """What it is about: the period that is given, else the complete one before `day`.

    Raises ValueError for half a period, one that ends before it begins, one of over ten years, and
    a custom report without any.
    """
    if start is None and end is None and kind != ReportType.CUSTOM:
        return period_before(kind, day)
    if start is None or end is None:
        missing = "startDate" if start is None else "endDate"
        raise ValueError(f"a {kind} report needs startDate and endDate: {missing} is missing")
    period = Period(start, end)
    if period.days > DAYS_MAX:
        raise ValueError(f"a report of {period.days} days: at most {DAYS_MAX} fit into one")
    return period


def title_of(kind: ReportType) -> str:
    return f"Relatório {NAMES[kind]}"


def period_in_words(kind: ReportType, period: Period) -> str:
    """`janeiro de 2025` of a month, else its days in numbers."""
    if kind == ReportType.MONTHLY and period == month_before(_day_after(period)):
        return month_in_words(f"{period.first:%Y-%m}")
    if period.days == 1:
        return in_numbers(period.first)
    return str(period)


def filename_of(kind: ReportType, form: ReportFormat, period: Period) -> str:
    """`relatorio-mensal-2025-01-01-a-2025-01-31.pdf`."""
    name = {ReportType.DAILY: "diario", ReportType.CUSTOM: "periodo"}.get(kind, NAMES[kind])
    last = "" if period.days == 1 else f"-a-{period.last:%Y-%m-%d}"
    return f"relatorio-{name}-{period.first:%Y-%m-%d}{last}.{EXTENSIONS[form]}"


def _day_after(period: Period) -> date:
    return date.fromordinal(period.last.toordinal() + 1)
