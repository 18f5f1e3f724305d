"""The nine schedules of ImobiBase, one row each: when, in São Paulo's time, and what is added.

A row without payload adds the job `plan-<name>`: the planner that is to read the database for it.
"""

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Final

import msgspec

from processors.days import TIME_ZONE
from processors.imobibase import QueueName, app
from processors.reminders.plan import plan_payment_reminders
from processors.reports.kinds import ReportType
from processors.reports.plan import PLANNERS
from streamq import Context
from streamq.adding import NewJob
from streamq.schedule import Overlap
from streamq.timetable import Planned, Planner

Payload = Mapping[str, object]

FULL_BACKUP: Final[Payload] = {"type": "full", "retention": 30}
OLD_SESSIONS: Final[Payload] = {"target": "sessions", "olderThan": 7}
OLD_LOGS: Final[Payload] = {"target": "logs", "olderThan": 30}
OLD_TEMP_FILES: Final[Payload] = {"target": "temp-files", "olderThan": 7}
OLD_EXPORTS: Final[Payload] = {"target": "old-exports", "olderThan": 7}

SYNCED_PROVIDERS: Final = ("zapier", "real-estate-portal")


async def plan_integration_sync(slot: datetime, job: Context) -> AsyncGenerator[Planned, None]:
    """A job for each provider, so that one that is away holds up no other."""
    for provider in SYNCED_PROVIDERS:
        payload = {"provider": provider, "action": "sync"}
        yield Planned(provider, NewJob(f"sync-{provider}", payload))


async def plan_cleanup_temp_files(slot: datetime, job: Context) -> AsyncGenerator[Planned, None]:
    """Temporary files, and with them the exports whose links have expired."""
    yield Planned("temp-files", NewJob("cleanup-temp-files", OLD_TEMP_FILES))
    yield Planned("old-exports", NewJob("cleanup-old-exports", OLD_EXPORTS))


class Row(msgspec.Struct, frozen=True):
    """One schedule. What is not said is the engine's: after a standstill one slot fires for all."""

    name: str
    cron: str
    queue: QueueName
    job: str | None = None
    data: Payload | None = None
    plan: Planner | None = None
    overlap: Overlap = Overlap.ALLOW


SCHEDULES: Final = (
    Row(
        "payment-reminders",
        "0 9 * * *",
        QueueName.PAYMENT_REMINDER,
        plan=plan_payment_reminders,
    ),
    Row("daily-reports", "0 0 * * *", QueueName.REPORT, plan=PLANNERS[ReportType.DAILY]),
    Row("weekly-reports", "0 8 * * 1", QueueName.REPORT, plan=PLANNERS[ReportType.WEEKLY]),
    Row("monthly-reports", "0 8 1 * *", QueueName.REPORT, plan=PLANNERS[ReportType.MONTHLY]),
    Row("cleanup-sessions", "0 * * * *", QueueName.CLEANUP, "cleanup-sessions", OLD_SESSIONS),
    Row("cleanup-logs", "0 */6 * * *", QueueName.CLEANUP, "cleanup-logs", OLD_LOGS),
    Row(
        "integration-sync",
        "0 */6 * * *",
        QueueName.INTEGRATION_SYNC,
        plan=plan_integration_sync,
    ),
    Row(
        "database-backup",
        "0 2 * * *",
        QueueName.BACKUP,
        "database-backup",
        FULL_BACKUP,
        # A second dump beside a slow one would only make both slower.
        overlap=Overlap.SKIP,
    ),
    Row("cleanup-temp-files", "0 3 * * 0", QueueName.CLEANUP, plan=plan_cleanup_temp_files),
)

for _row in SCHEDULES:
    app.schedule(
        _row.name,
        queue=_row.queue.value,
        job=_row.job,
        plan=_row.plan,
        cron=_row.cron,
        timezone=TIME_ZONE.key,
        data=_row.data,
        overlap=_row.overlap,
    )


async def run_now(name: str) -> str:
    """Adds the schedule's job now, beside its slots; the job's id. Raises UnknownSchedule."""
    return await app.schedules.run(name)


def run_now_sync(name: str) -> str:
    """`run_now` for code without an event loop. Raises SyncInLoop where one runs."""
    return app.schedules.run_sync(name)
