"""What a contract's renter owes, read when the reminder runs; and the row that says it was sent."""

from datetime import date
from decimal import Decimal
from typing import Final

import msgspec

from processors.database import Transaction
from processors.reminders.kinds import ReminderType

# The payment that the job is about: the one as many days late as the job said when it was added,
# else the oldest. An upcoming one is not late yet, and the others are: `late` says which.
_PAYMENT: Final = """
    SELECT id, reference_month, local_day(due_date) AS due_on, total_value,
           coalesce(paid_value, 0) AS paid_value
    FROM rental_payments
    WHERE rental_contract_id = %(contract)s
      AND status IN ('pending', 'overdue', 'partially_paid')
      AND coalesce(paid_value, 0) < total_value
      AND (local_day(due_date) < %(today)s) = %(late)s
    ORDER BY (%(added)s::date - local_day(due_date) = %(days)s::integer) IS NOT TRUE,
             due_date, id
    LIMIT 1
"""
# A second job of the day finds the first one's row; the same job, killed and run again, its own,
# though midnight may lie between.
_ROW: Final = """
    INSERT INTO reminder_log AS log (tenant_id, rental_payment_id, type, sent_on, job_id)
    VALUES (
        %(tenant)s, %(payment)s::varchar, %(type)s,
        coalesce(
            (SELECT max(sent_on) FROM reminder_log
             WHERE job_id = %(job)s AND rental_payment_id = %(payment)s AND type = %(type)s
               AND sent_on >= %(added)s),
            %(today)s::date
        ),
        %(job)s
    )
    ON CONFLICT (rental_payment_id, type, sent_on) DO UPDATE SET job_id = log.job_id
    RETURNING id, job_id
"""


class Contract(msgspec.Struct, frozen=True):
    """Who rents what from whom. `email` is what somebody typed."""

    id: str
    status: str
    ends_on: date
    renter: str
    email: str | None
    address: str
    city: str
    agency: str
    pix_key: str | None


class Owed(msgspec.Struct, frozen=True):
    """A payment that is open."""

    id: str
    reference_month: str
    due_on: date
    total_value: Decimal
    paid_value: Decimal

    @property
    def open_value(self) -> Decimal:
        return self.total_value - self.paid_value


class Row(msgspec.Struct, frozen=True):
    """A row of the log of reminders or notices; `job_id`: whose it is."""

    id: str
    job_id: str


async def tenant_of(work: Transaction, contract: str) -> str | None:
    return await work.value(
        str, "SELECT tenant_id FROM rental_contracts WHERE id = %(id)s", id=contract
    )


async def contract_of(work: Transaction, contract: str) -> Contract | None:
    """None: it was deleted, or its renter was."""
    return await work.one(
        Contract,
        """
        SELECT c.id, c.status, local_day(c.end_date) AS ends_on, r.name AS renter, r.email,
               concat_ws(', ', p.address, p.city || '/' || p.state) AS address, p.city,
               t.name AS agency, s.pix_key
        FROM rental_contracts c
        JOIN renters r ON r.id = c.renter_id AND r.deleted_at IS NULL
        JOIN properties p ON p.id = c.property_id
        JOIN tenants t ON t.id = c.tenant_id
        LEFT JOIN tenant_settings s ON s.tenant_id = c.tenant_id
        WHERE c.id = %(id)s AND c.deleted_at IS NULL
        """,
        id=contract,
    )


async def switched_off(work: Transaction, event: str) -> bool:
    """Whether the agency wants no mails of that event; the transaction is the agency's."""
    enabled = await work.value(
        bool,
        "SELECT email_enabled FROM notification_preferences WHERE event_type = %(event)s",
        event=event,
    )
    return enabled is False


async def payment_of(
    work: Transaction,
    contract: str,
    kind: ReminderType,
    *,
    today: date,
    added: date,
    days_overdue: int | None,
) -> Owed | None:
    """The open payment that a reminder of that kind is about today; None: there is none (left)."""
    return await work.one(
        Owed,
        _PAYMENT,
        contract=contract,
        today=today,
        late=kind is not ReminderType.UPCOMING,
        added=added,
        days=days_overdue,
    )


async def reminder_row(
    work: Transaction,
    payment: str,
    kind: ReminderType,
    *,
    tenant: str,
    job_id: str,
    today: date,
    added: date,
) -> Row:
    """The one row of that payment, kind and day: a new one, or whoever was first's."""
    row = await work.one(
        Row,
        _ROW,
        tenant=tenant,
        payment=payment,
        type=kind.value,
        job=job_id,
        today=today,
        added=added,
    )
    assert row is not None
    return row


async def notice_row(work: Transaction, contract: Contract, *, tenant: str, job_id: str) -> Row:
    """The one row of that contract and end."""
    row = await work.one(
        Row,
        "INSERT INTO contract_notices AS log (tenant_id, rental_contract_id, ends_on, job_id)"
        " VALUES (%(tenant)s, %(contract)s, %(ends_on)s, %(job)s)"
        " ON CONFLICT (rental_contract_id, ends_on) DO UPDATE SET job_id = log.job_id"
        " RETURNING id, job_id",
        tenant=tenant,
        contract=contract.id,
        ends_on=contract.ends_on,
        job=job_id,
    )
    assert row is not None
    return row
