"""The ways into the queue `payment-reminder`."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

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
from processors.remind_payments import RemindPayment
from processors.reminders.kinds import ReminderType

SEND_REMINDER: Final = "send-payment-reminder"
PRIORITY_BASE: Final = 2
PRIORITY: Final[Mapping[ReminderType, int]] = MappingProxyType(
    {ReminderType.UPCOMING: 3, ReminderType.OVERDUE: 1, ReminderType.FINAL_NOTICE: 1}
)
BATCH_SPREAD: Final = timedelta(seconds=60)
"""Over which the jobs of a batch are spread, so that the mail server has no burst."""


async def queue_payment_reminder(
    data: RemindPayment | Table,
    priority: int = PRIORITY_BASE,
    delay: Delay | None = None,
) -> str:
    """Queue a reminder: a RemindPayment, or a table in JSON names."""
    return await add(_job(data, priority, delay))


def queue_payment_reminder_sync(
    data: RemindPayment | Table,
    priority: int = PRIORITY_BASE,
    delay: Delay | None = None,
) -> str:
    """`queue_payment_reminder` for code without an event loop."""
    job = _job(data, priority, delay)
    return add_sync(job, queue_payment_reminder_sync, queue_payment_reminder)


async def queue_upcoming_payment_reminder(contract_id: int | str) -> str:
    """Of the next payment that is not late yet."""
    return await add(_of(ReminderType.UPCOMING, contract_id))


def queue_upcoming_payment_reminder_sync(contract_id: int | str) -> str:
    """`queue_upcoming_payment_reminder` for code without an event loop."""
    job = _of(ReminderType.UPCOMING, contract_id)
    return add_sync(job, queue_upcoming_payment_reminder_sync, queue_upcoming_payment_reminder)


async def queue_overdue_payment_reminder(contract_id: int | str, days_overdue: int) -> str:
    """Of the payment that is so many days late; if there is none, of the oldest that is late."""
    return await add(_of(ReminderType.OVERDUE, contract_id, days_overdue))


def queue_overdue_payment_reminder_sync(contract_id: int | str, days_overdue: int) -> str:
    """`queue_overdue_payment_reminder` for code without an event loop."""
    job = _of(ReminderType.OVERDUE, contract_id, days_overdue)
    return add_sync(job, queue_overdue_payment_reminder_sync, queue_overdue_payment_reminder)


async def queue_final_notice(contract_id: int | str, days_overdue: int) -> str:
    """As an overdue reminder, in its last words."""
    return await add(_of(ReminderType.FINAL_NOTICE, contract_id, days_overdue))


def queue_final_notice_sync(contract_id: int | str, days_overdue: int) -> str:
    """`queue_final_notice` for code without an event loop."""
    job = _of(ReminderType.FINAL_NOTICE, contract_id, days_overdue)
    return add_sync(job, queue_final_notice_sync, queue_final_notice)


async def queue_batch_payment_reminders(contracts: Iterable[RemindPayment | Table]) -> list[str]:
    """Queue many, final notices first, at random moments of the next minute; ids in their order."""
    return await add_all(QueueName.PAYMENT_REMINDER, [_one_of_many(data) for data in contracts])


def queue_batch_payment_reminders_sync(contracts: Iterable[RemindPayment | Table]) -> list[str]:
    """`queue_batch_payment_reminders` for code without an event loop."""
    return add_all_sync(
        QueueName.PAYMENT_REMINDER,
        [_one_of_many(data) for data in contracts],
        queue_batch_payment_reminders_sync,
        queue_batch_payment_reminders,
    )


def _of(kind: ReminderType, contract_id: int | str, days_overdue: int | None = None) -> Job:
    data: dict[str, object] = {"contractId": contract_id, "type": kind.value}
    if days_overdue is not None:
        data["daysOverdue"] = days_overdue
    return _job(data, PRIORITY[kind])


def _one_of_many(data: RemindPayment | Table) -> Job:
    kind = data.type if isinstance(data, RemindPayment) else data.get("type")
    first = kind == ReminderType.FINAL_NOTICE
    priority = PRIORITY[ReminderType.FINAL_NOTICE] if first else PRIORITY_BASE
    return _job(data, priority, spread(BATCH_SPREAD))


def _job(data: RemindPayment | Table, priority: int, delay: Delay | None = None) -> Job:
    return Job(
        queue=QueueName.PAYMENT_REMINDER,
        name=SEND_REMINDER,
        data=data,
        priority=priority,
        delay=delay,
    )
