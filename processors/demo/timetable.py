"""Every schedule once, as if its time had come."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from processors.clean_up import clean_up
from processors.demo.partners import HOOK
from processors.demo.products import Made, expect
from processors.demo.stage import Products, Stage, Step
from processors.schedules import SCHEDULES, Row, run_now
from streamq.job import Job
from streamq.planning import Plan

_REPORT: Final = ".pdf"
# What must lie there behind each, beside mails; the others leave nothing to open.
_OBJECTS: Final[Mapping[str, str]] = {
    "daily-reports": _REPORT,
    "weekly-reports": _REPORT,
    "monthly-reports": _REPORT,
    "database-backup": ".dump",
}


def steps() -> Sequence[Step]:
    """In the order of the timetable."""
    return [_step(row) for row in SCHEDULES]


def _step(row: Row) -> Step:
    async def verify(stage: Stage, job: Job, products: Products) -> Sequence[Made]:
        made = _told(row, job)
        if suffix := _OBJECTS.get(row.name):
            expect(products.of_kind(suffix), f"no {suffix} came of it")
        if suffix == _REPORT:
            expect(len(products.mails) == len(products.objects), "not a mail for each report")
        if row.name == "payment-reminders":
            expect(products.mails, "nobody was reminded")
        if row.name == "integration-sync":
            hooked = stage.partners.at(HOOK)
            expect(hooked, "the webhook was not called")
            signed = all("x-imobibase-signature" in one.headers for one in hooked)
            expect(signed, "what the webhook was sent is not signed")
            sent = Made(f"{len(hooked)} signed deliveries", f"the webhook at {stage.partners.host}")
            return [*made, sent]
        return made

    return Step(f"schedule {row.name}", row.queue, partial(run_now, row.name), verify)


def _told(row: Row, job: Job) -> list[Made]:
    """Of its own job: what a planner has planned, what a clean-up has deleted."""
    assert job.run.result is not None
    if row.plan is not None:
        plan = msgspec.msgpack.decode(job.run.result, type=Plan)
        expect(plan.planned, "it planned nothing")
        return [Made(f"{plan.planned} jobs planned, all completed", f"the queue {row.queue}")]
    if row.job is not None and row.job.startswith("cleanup-"):
        result = clean_up.unpacked(job.run.result)
        return [Made(f"{result.deleted} deleted of {', '.join(result.places)}", "")]
    return []
