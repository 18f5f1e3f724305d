"""The planner of the schedule payment-reminders: what is to be reminded of today."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from processors.days import day_of
from processors.enqueue.adding import spread
from processors.enqueue.reminder import BATCH_SPREAD, PRIORITY, SEND_REMINDER
from processors.imobibase import shared_of
from processors.remind_payments import EXPIRING, REMINDERS, RemindPayment, Skipped, TellOfEnd
from processors.reminders.kinds import (
    EXPIRING_DAYS,
    FINAL_NOTICE_DAYS,
    OVERDUE_DAYS,
    UPCOMING_DAYS,
    ReminderType,
    reachable,
)
from streamq import Context
from streamq.adding import NewJob
from streamq.timetable import Planned

SEND_EXPIRING: Final = "send-contract-expiring"

_PAYMENTS: Final = """
    SELECT p.id, c.id AS contract_id, %(today)s::date - local_day(p.due_date) AS days_late, r.email
    FROM rental_payments p
    JOIN rental_contracts c
      ON c.id = p.rental_contract_id AND c.status = 'active' AND c.deleted_at IS NULL
    JOIN renters r ON r.id = c.renter_id AND r.deleted_at IS NULL
    WHERE p.status IN ('pending', 'overdue', 'partially_paid')
      AND coalesce(p.paid_value, 0) < p.total_value
      AND local_day(p.due_date) = ANY(%(due)s::date[])
"""
# From the first day on that is near enough, so that a day without a worker loses no notice.
_ENDING: Final = """
    SELECT c.id AS id, c.id AS contract_id, 0 AS days_late, r.email
    FROM rental_contracts c
    JOIN renters r ON r.id = c.renter_id AND r.deleted_at IS NULL
    WHERE c.status = 'active' AND c.deleted_at IS NULL
      AND local_day(c.end_date) BETWEEN %(today)s::date AND %(until)s::date
      AND NOT EXISTS (
          SELECT FROM contract_notices n
          WHERE n.rental_contract_id = c.id AND n.ends_on = local_day(c.end_date)
      )
"""


class Found(msgspec.Struct, frozen=True):
    """A payment (or a contract, of the same id) that its renter is to hear of."""

    id: str
    contract_id: str
    days_late: int
    email: str | None


async def plan_payment_reminders(slot: datetime, job: Context) -> AsyncGenerator[Planned, None]:
    """A job for each reminder of the day on which it runs; renters without an address are counted.

    Not of the slot's day: a planner that is late reminds of what is true now.
    """
    today = day_of(job.claimed_at)
    unreachable: Counter[str] = Counter()
    async with aclosing(_found(today, job)) as everything:
        async for kind, one in everything:
            if reachable(one.email):
                yield _planned(kind, one)
            else:
                unreachable[kind or EXPIRING] += 1
    for told, count in unreachable.items():
        await REMINDERS.inc(count, type=told, outcome=Skipped.NO_ADDRESS)
        job.log(f"{told}: {count} renters have no usable e-mail address and are not reminded")


async def _found(
    today: date, job: Context
) -> AsyncGenerator[tuple[ReminderType | None, Found], None]:
    """What there is to say; None: that a contract ends."""
    late = [-days for days in UPCOMING_DAYS] + [*OVERDUE_DAYS, FINAL_NOTICE_DAYS]
    async with shared_of(job).database.transaction(read_only=True) as work:
        due = [today - timedelta(days=days) for days in late]
        async for one in work.stream(Found, _PAYMENTS, today=today, due=due):
            yield _kind(one.days_late), one
        until = today + timedelta(days=EXPIRING_DAYS)
        async for one in work.stream(Found, _ENDING, today=today, until=until):
            yield None, one


def _kind(days_late: int) -> ReminderType:
    if days_late < 0:
        return ReminderType.UPCOMING
    return ReminderType.FINAL_NOTICE if days_late >= FINAL_NOTICE_DAYS else ReminderType.OVERDUE


def _planned(kind: ReminderType | None, one: Found) -> Planned:
    if kind is None:
        payload = TellOfEnd(contract_id=one.contract_id)
        return Planned(f"end:{one.id}", NewJob(SEND_EXPIRING, payload, delay=spread(BATCH_SPREAD)))
    reminder = RemindPayment(
        contract_id=one.contract_id,
        type=kind,
        days_overdue=max(one.days_late, 0) or None,
    )
    job = NewJob(
        SEND_REMINDER,
        reminder,
        priority=PRIORITY[kind],
        delay=spread(BATCH_SPREAD),
    )
    return Planned(f"{kind.value}:{one.id}", job)
