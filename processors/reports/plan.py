"""The planners of the report schedules: a job for each subscriber, on the period before it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from types import MappingProxyType
from typing import Final

import msgspec

from processors.build_report import GENERATE_REPORT, BuildReport
from processors.days import day_of
from processors.enqueue.adding import spread
from processors.enqueue.report import BATCH_SPREAD, PRIORITY
from processors.imobibase import shared_of
from processors.reports.kinds import ReportFormat, ReportType, period_before
from streamq import Context
from streamq.adding import NewJob
from streamq.timetable import Planned, Planner


class Subscriber(msgspec.Struct, frozen=True):
    user_id: str
    email: str
    format: ReportFormat


def _planner(kind: ReportType) -> Planner:
    async def plan(slot: datetime, job: Context) -> AsyncGenerator[Planned, None]:
        """Of the slot's own period, however late it runs."""
        period = period_before(kind, day_of(slot))
        async with shared_of(job).database.transaction(read_only=True) as work:
            found = work.stream(Subscriber, _SUBSCRIBERS, kind=kind)
            assert isinstance(found, AsyncGenerator)
            async with aclosing(found) as subscribers:
                async for one in subscribers:
                    data = BuildReport(
                        type=kind,
                        format=one.format,
                        user_id=one.user_id,
                        start_date=period.first,
                        end_date=period.last,
                        email=one.email,
                    )
                    new = NewJob(
                        GENERATE_REPORT, data, priority=PRIORITY[kind], delay=spread(BATCH_SPREAD)
                    )
                    yield Planned(one.user_id, new)

    return plan


_SUBSCRIBERS: Final = """
    SELECT s.user_id, u.email, s.format
    FROM report_subscriptions s
        JOIN users u ON u.id = s.user_id AND u.deleted_at IS NULL
        JOIN tenants t ON t.id = s.tenant_id AND t.deleted_at IS NULL
    WHERE s.type = %(kind)s AND s.active
    ORDER BY s.tenant_id, s.user_id
"""

PLANNERS: Final[Mapping[ReportType, Planner]] = MappingProxyType(
    {kind: _planner(kind) for kind in (ReportType.DAILY, ReportType.WEEKLY, ReportType.MONTHLY)}
)
