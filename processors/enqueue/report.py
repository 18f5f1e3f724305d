"""The ways into the queue `report`.

Without dates a daily, weekly or monthly report is of the complete period before the day on which it
is added. Days are given as `date` or as `"2025-01-31"`.
"""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from processors.build_report import GENERATE_REPORT, BuildReport
from processors.enqueue.adding import (
    Delay,
    Job,
    Table,
    add,
    add_all,
    add_all_sync,
    add_sync,
    spread,
)
from processors.imobibase import QueueName
from processors.reports.kinds import ReportFormat, ReportType

PRIORITY_BASE: Final = 3
PRIORITY: Final[Mapping[ReportType, int]] = MappingProxyType(
    {
        ReportType.DAILY: 4,
        ReportType.WEEKLY: 4,
        ReportType.MONTHLY: 3,
        ReportType.CUSTOM: 2,
    }
)
BATCH_PRIORITY: Final = 5
BATCH_SPREAD: Final = timedelta(minutes=5)


async def queue_report(
    data: BuildReport | Table, priority: int = PRIORITY_BASE, delay: Delay | None = None
) -> str:
    """Queue a report: a BuildReport, or a table in JSON names."""
    return await add(_job(data, priority, delay))


def queue_report_sync(
    data: BuildReport | Table, priority: int = PRIORITY_BASE, delay: Delay | None = None
) -> str:
    """`queue_report` for code without an event loop."""
    return add_sync(_job(data, priority, delay), queue_report_sync, queue_report)


async def queue_daily_report(user_id: int | str, email: str) -> str:
    """Of yesterday, as PDF."""
    return await add(_of(ReportType.DAILY, user_id, email))


def queue_daily_report_sync(user_id: int | str, email: str) -> str:
    """`queue_daily_report` for code without an event loop."""
    return add_sync(
        _of(ReportType.DAILY, user_id, email), queue_daily_report_sync, queue_daily_report
    )


async def queue_weekly_report(user_id: int | str, email: str) -> str:
    """Of the last complete week, Sunday to Saturday, as PDF."""
    return await add(_of(ReportType.WEEKLY, user_id, email))


def queue_weekly_report_sync(user_id: int | str, email: str) -> str:
    """`queue_weekly_report` for code without an event loop."""
    return add_sync(
        _of(ReportType.WEEKLY, user_id, email), queue_weekly_report_sync, queue_weekly_report
    )


async def queue_monthly_report(user_id: int | str, email: str) -> str:
    """Of last month, as PDF."""
    return await add(_of(ReportType.MONTHLY, user_id, email))


def queue_monthly_report_sync(user_id: int | str, email: str) -> str:
    """`queue_monthly_report` for code without an event loop."""
    return add_sync(
        _of(ReportType.MONTHLY, user_id, email), queue_monthly_report_sync, queue_monthly_report
    )


async def queue_custom_report(
    start_date: date | str,
    end_date: date | str,
    format: ReportFormat | str,
    email: str,
    user_id: int | str | None = None,
) -> str:
    """Of those days, both in it; without `user_id`, of the agency of the user with that address."""
    return await add(_custom(start_date, end_date, format, email, user_id))


def queue_custom_report_sync(
    start_date: date | str,
    end_date: date | str,
    format: ReportFormat | str,
    email: str,
    user_id: int | str | None = None,
) -> str:
    """`queue_custom_report` for code without an event loop."""
    job = _custom(start_date, end_date, format, email, user_id)
    return add_sync(job, queue_custom_report_sync, queue_custom_report)


async def queue_batch_reports(type: ReportType | str, user_emails: Iterable[Table]) -> list[str]:
    """One for each `{"userId": ..., "email": ...}`, over the next five minutes; their ids."""
    return await add_all(QueueName.REPORT, _batch(type, user_emails))


def queue_batch_reports_sync(type: ReportType | str, user_emails: Iterable[Table]) -> list[str]:
    """`queue_batch_reports` for code without an event loop."""
    return add_all_sync(
        QueueName.REPORT, _batch(type, user_emails), queue_batch_reports_sync, queue_batch_reports
    )


def _of(kind: ReportType, user_id: int | str, email: str) -> Job:
    return _job(
        {"type": kind, "format": ReportFormat.PDF, "userId": user_id, "email": email},
        PRIORITY[kind],
    )


def _custom(
    start: date | str, end: date | str, form: str, email: str, user_id: int | str | None
) -> Job:
    data: dict[str, object] = {
        "type": ReportType.CUSTOM,
        "format": form,
        "email": email,
        "startDate": str(start),
        "endDate": str(end),
    }
    if user_id is not None:
        data["userId"] = user_id
    return _job(data, PRIORITY[ReportType.CUSTOM])


def _batch(kind: str, user_emails: Iterable[Table]) -> list[Job]:
    return [
        _job(
            {"type": kind, "format": ReportFormat.PDF, **each}, BATCH_PRIORITY, spread(BATCH_SPREAD)
        )
        for each in user_emails
    ]


def _job(data: BuildReport | Table, priority: int, delay: Delay | None = None) -> Job:
    return Job(
        queue=QueueName.REPORT, name=GENERATE_REPORT, data=data, priority=priority, delay=delay
    )
