"""Reminds a renter of a payment, or of a contract's end: looks again whether there is reason to,
writes the row that makes it once, and adds the mail."""

import logging
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from processors.days import day_of
from processors.enqueue.email import queue_email
from processors.ids import Id, as_text
from processors.imobibase import QueueName, Shared, app, shared_of
from processors.reminders import owed, words
from processors.reminders.kinds import (
    CONTRACT_EXPIRING,
    EXPIRING_DAYS,
    ReminderType,
    event_of,
    reachable,
)
from processors.reminders.owed import Contract, Row
from processors.reminders.words import Mail
from processors.saying import say
from streamq import Context, Fail, Payload
from streamq.errors import InvalidInput
from streamq.metrics import counter

ATTEMPTS = 3
TIMEOUT = timedelta(minutes=1)
EXPIRING = "contract-expiring"
"""The kind of a notice of a contract's end, where it is counted."""
MAIL = "payment-reminder"
"""What the jobs of its mails are called."""

REMINDERS = counter(
    app,
    "streamq_payment_reminders_total",
    "Reminders and notices, by kind and by what they came to.",
    labels=("type", "outcome"),
)

# Its lines are `[PaymentReminderProcessor] ...` on the console.
log = logging.getLogger("PaymentReminderProcessor")


class RemindPayment(Payload, rename="camel"):
    """A reminder of an open payment of that contract."""

    contract_id: Id
    type: ReminderType
    days_overdue: Annotated[int, Meta(ge=0, le=36_500)] | None = None
    """Tells which of several open payments is meant; the mail says how many days it is today."""


class TellOfEnd(Payload, rename="camel"):
    """A notice that the contract ends soon."""

    contract_id: Id


class Skipped(StrEnum):
    """Why nobody was mailed. The job is completed all the same: no later attempt can change it."""

    NOTHING_OPEN = "nothing-open"
    CONTRACT_NOT_ACTIVE = "contract-not-active"
    NOT_ENDING = "not-ending-soon"
    NO_ADDRESS = "no-address"
    SWITCHED_OFF = "switched-off"
    ALREADY_TOLD = "already-told"


class Reminded(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a finished job came to: a mail job, or why there is none."""

    email_job_id: str | None = None
    payment_id: str | None = None
    skipped: Skipped | None = None


class Due(msgspec.Struct, frozen=True):
    """A mail that is to go out, and the row that says so."""

    tenant: str
    contract: Contract
    mail: Mail
    row: Row
    payment_id: str | None = None


@app.job(
    QueueName.PAYMENT_REMINDER, name="send-payment-reminder", attempts=ATTEMPTS, timeout=TIMEOUT
)
async def remind_payments(data: RemindPayment, job: Context) -> Reminded:
    """Skips what is paid by now, what was reminded of today, and renters whom no mail can reach."""
    await job.progress(0.2)
    due = await _due(shared_of(job), data, job)
    await job.progress(0.5)
    return await _told(job, data.type.value, due)


@app.job(
    QueueName.PAYMENT_REMINDER,
    name="send-contract-expiring",
    attempts=ATTEMPTS,
    timeout=TIMEOUT,
)
async def tell_of_end(data: TellOfEnd, job: Context) -> Reminded:
    """Once for each end of a contract."""
    await job.progress(0.2)
    due = await _ending(shared_of(job), data, job)
    await job.progress(0.5)
    return await _told(job, EXPIRING, due)


async def _due(shared: Shared, data: RemindPayment, job: Context) -> Due | Skipped:
    tenant = await _tenant(shared, data.contract_id)
    today, added = day_of(job.claimed_at), day_of(job.added_at)
    async with shared.database.transaction(tenant=tenant) as work:
        contract = await owed.contract_of(work, as_text(data.contract_id))
        if contract is None or contract.status != "active":
            return Skipped.CONTRACT_NOT_ACTIVE
        payment = await owed.payment_of(
            work,
            contract.id,
            data.type,
            today=today,
            added=added,
            days_overdue=data.days_overdue,
        )
        if payment is None:
            return Skipped.NOTHING_OPEN
        if not reachable(contract.email):
            return Skipped.NO_ADDRESS
        if await owed.switched_off(work, event_of(data.type)):
            return Skipped.SWITCHED_OFF
        row = await owed.reminder_row(
            work, payment.id, data.type, tenant=tenant, job_id=job.id, today=today, added=added
        )
        mail = words.reminder(data.type, contract, payment, today)
        return Due(tenant, contract, mail, row, payment.id)


async def _ending(shared: Shared, data: TellOfEnd, job: Context) -> Due | Skipped:
    tenant = await _tenant(shared, data.contract_id)
    today = day_of(job.claimed_at)
    async with shared.database.transaction(tenant=tenant) as work:
        contract = await owed.contract_of(work, as_text(data.contract_id))
        if contract is None or contract.status != "active":
            return Skipped.CONTRACT_NOT_ACTIVE
        if not 0 <= (contract.ends_on - today).days <= EXPIRING_DAYS:
            return Skipped.NOT_ENDING
        if not reachable(contract.email):
            return Skipped.NO_ADDRESS
        if await owed.switched_off(work, CONTRACT_EXPIRING):
            return Skipped.SWITCHED_OFF
        row = await owed.notice_row(work, contract, tenant=tenant, job_id=job.id)
        return Due(tenant, contract, words.expiring(contract, today), row)


async def _tenant(shared: Shared, contract_id: int | str) -> str:
    async with shared.database.transaction(read_only=True) as work:
        tenant = await owed.tenant_of(work, as_text(contract_id))
    if tenant is None:
        raise Fail(
            f"there is no rental contract {contract_id} (contractId is rental_contracts.id):"
            " was it deleted, or is it of another database?"
        )
    return tenant


async def _told(job: Context, kind: str, due: Due | Skipped) -> Reminded:
    if isinstance(due, Due) and due.row.job_id != job.id:
        due = Skipped.ALREADY_TOLD  # that job adds the mail, or fails where an operator sees it
    if isinstance(due, Skipped):
        await REMINDERS.inc(type=kind, outcome=due.value)
        job.log(f"nobody was mailed: {due}")
        await job.progress(1.0)
        return Reminded(skipped=due)
    assert due.contract.email is not None
    say(
        log,
        job,
        "reminder.sending",
        f"Sending {kind} for contract {due.contract.id} to {due.contract.email}",
    )
    await job.progress(0.7)
    try:
        # The row's id and not the job's: however often this runs, it is one mail.
        mail_job = await queue_email(
            to=due.contract.email,
            subject=due.mail.subject,
            template=due.mail.template,
            data=due.mail.data,
            job_id=f"reminder:{due.row.id}",
            name=MAIL,
            tenant=due.tenant,
        )
    except InvalidInput as error:
        raise Fail(f"contract {due.contract.id}: no mail can be made of its data: {error}") from (
            error
        )
    await REMINDERS.inc(type=kind, outcome="mailed")
    await job.progress(1.0)
    say(
        log,
        job,
        "reminder.queued",
        f"Queued {kind} for contract {due.contract.id} as mail {mail_job}",
    )
    return Reminded(email_job_id=mail_job, payment_id=due.payment_id)
