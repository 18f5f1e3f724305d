"""One measured run of a processor in a process of its own: `invoices N` or `report FORMAT DAYS`.

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
from processors.imobibase import CONCURRENCY, QueueName
from processors.queues import queue_batch_invoices
from processors.reports.kinds import ReportFormat, ReportType
from streamq.testing import perform, run_until_idle

TENANT: Final = "measured"
USER: Final = "measured-user"
FIRST_DAY: Final = date(2020, 1, 1)
LIMIT_S: Final = 600.0


class Run(msgspec.Struct, frozen=True):
    """What it took; memory is the process's resident, its peak and before the work."""

    seconds: float
    peak_mib: float
    before_mib: float
    made: int
    """Invoices, or bytes of the report."""


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


def mib(field: str) -> float:
    """Of this process, from the kernel: `VmHWM` is the peak of what was resident, `VmRSS` is now.

    Not `ru_maxrss`: over an exec that keeps the parent's.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/self/status has no {field}")


def main(words: Sequence[str]) -> None:
    logging.basicConfig(level=logging.WARNING)
    before, began = mib("VmRSS"), time.perf_counter()
    if words[0] == "invoices":
        made = asyncio.run(invoices(int(words[1])))
    else:
        made = asyncio.run(report(ReportFormat(words[1]), int(words[2])))
    took = time.perf_counter() - began
    print(msgspec.json.encode(Run(took, mib("VmHWM"), before, made)).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
