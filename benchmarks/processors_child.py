"""One measured run of a processor in a process of its own: `invoices N`, `report FORMAT DAYS`,
`export TYPE`, or `reminders`.

What it needs is in the environment (DATABASE_URL, S3, STREAMQ_REDIS). Prints a `Run` as JSON.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import msgspec

from processors.app import app
from processors.build_report import BuildReport, build_report
from processors.export_data import ExportData, export_data
from processors.exports.tables import ExportType
from processors.exports.write import ExportFormat
from processors.imobibase import CONCURRENCY, QueueName
from processors.queues import queue_batch_invoices, run_payment_reminders
from processors.reports.kinds import ReportFormat, ReportType
from streamq.clock import Clock
from streamq.durations import Ms
from streamq.testing import perform, run_until_idle

TENANT: Final = "measured"
USER: Final = "measured-user"
FIRST_DAY: Final = date(2020, 1, 1)
LIMIT_S: Final = 600.0


class StandingClock(Clock):
    """Nothing that is added with a delay comes to its turn."""

    def __init__(self) -> None:
        self._now = Ms(time.time_ns() // 1_000_000)

    def now_ms(self) -> Ms:
        return self._now


class Run(msgspec.Struct, frozen=True):
    """What it took; memory is the process's resident, its peak and before the work."""

    seconds: float
    peak_mib: float
    before_mib: float
    made: int
    """Invoices or reminders, or bytes of the report or the export."""


async def invoices(count: int) -> int:
    """A real worker with the queue's own concurrency, until all are done; nobody is mailed."""
    wanted = [
        {"invoiceId": f"measured-{n}", "userId": USER, "sendEmail": False} for n in range(count)
    ]
    queue = app.queue(QueueName.INVOICE)
    await queue_batch_invoices(wanted)
    while (await queue.promote_all()).more:
        pass
    await run_until_idle(
        app, "invoice", concurrency=CONCURRENCY[QueueName.INVOICE], limit_s=LIMIT_S
    )
    return (await queue.counts()).completed


async def report(form: ReportFormat, days: int) -> int:
    """One attempt, without Redis."""
    data = BuildReport(
        type=ReportType.CUSTOM,
        format=form,
        user_id=USER,
        start_date=FIRST_DAY,
        end_date=FIRST_DAY + timedelta(days=days - 1),
    )
    performed = await perform(build_report, data)
    if performed.result is None:
        raise SystemExit(f"the report failed: {performed.reason or performed.error}")
    return performed.result.size


async def export(kind: ExportType) -> int:
    """One attempt; its mail is queued."""
    data = ExportData(user_id=USER, type=kind, format=ExportFormat.ZIP, email="ana@example.com")
    performed = await perform(export_data, data)
    if performed.result is None:
        raise SystemExit(f"the export failed: {performed.reason or performed.error}")
    return performed.result.size


async def reminders() -> int:
    """The planner, as a job of its queue; what it plans is never due."""
    app.clock = StandingClock()
    queue = app.queue(QueueName.PAYMENT_REMINDER)
    await run_payment_reminders()
    await run_until_idle(app, queue.name, concurrency=1, limit_s=LIMIT_S)
    return (await queue.counts()).delayed


def mib(field: str) -> float:
    """Of this process, from the kernel: `VmHWM` is the peak of what was resident, `VmRSS` is now.

    Not `ru_maxrss`: over an exec that keeps the parent's.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/self/status has no {field}")


async def measured(words: Sequence[str]) -> int:
    match words:
        case ["invoices", count]:
            return await invoices(int(count))
        case ["report", form, days]:
            return await report(ReportFormat(form), int(days))
        case ["export", kind]:
            return await export(ExportType(kind))
        case ["reminders"]:
            return await reminders()
        case _:
            raise SystemExit(f"{' '.join(words)} is no run")


def main(words: Sequence[str]) -> None:
    logging.basicConfig(level=logging.WARNING)
    before, began = mib("VmRSS"), time.perf_counter()
    made = asyncio.run(measured(words))
    took = time.perf_counter() - began
    print(msgspec.json.encode(Run(took, mib("VmHWM"), before, made)).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
