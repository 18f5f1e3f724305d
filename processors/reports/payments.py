"""The list of payments of a report: those due in its period and those paid in it, streamed."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import msgspec

from processors.database import Transaction
from processors.days import Period

BATCH_ROWS: Final = 1_000

STATUS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pending": "Em aberto",
        "paid": "Pago",
        "overdue": "Em atraso",
        "partially_paid": "Pago em parte",
        "cancelled": "Cancelado",
        "refunded": "Devolvido",
    }
)

HEADINGS: Final = (
    "Vencimento",
    "Referência",
    "Imóvel",
    "Inquilino",
    "Situação",
    "Valor",
    "Pago",
    "Pago em",
)


class Payment(msgspec.Struct, frozen=True):
    """One row of the list."""

    due_on: date
    reference_month: str
    place: str
    renter: str
    status: str
    total: Decimal
    paid: Decimal | None
    paid_on: date | None

    @property
    def reference(self) -> str:
        """`01/2025`."""
        return f"{self.reference_month[5:]}/{self.reference_month[:4]}"

    @property
    def state(self) -> str:
        return STATUS.get(self.status, self.status)


async def payments(
    work: Transaction, period: Period, *, today: date, rows_max: int | None
) -> AsyncGenerator[list[Payment], None]:
    """A thousand at a time, by due day; all of them if `rows_max` is None.

    Close it (`aclosing`) before the transaction ends: its cursor must not outlive that.
    """
    batch: list[Payment] = []
    rows = work.stream(
        Payment,
        _PAYMENTS,
        first=period.first,
        last=period.last,
        today=today,
        rows_max=rows_max,
    )
    assert isinstance(rows, AsyncGenerator)
    async with aclosing(rows) as found:
        async for row in found:
            batch.append(row)
            if len(batch) == BATCH_ROWS:
                yield batch
                batch = []
    if batch:
        yield batch


_PAYMENTS: Final = """
    SELECT local_day(p.due_date) AS due_on, p.reference_month, q.title AS place,
        r.name AS renter,
        CASE WHEN p.status = 'pending' AND local_day(p.due_date) < %(today)s THEN 'overdue'
            ELSE p.status END AS status,
        p.total_value AS total, p.paid_value AS paid, local_day(p.paid_date) AS paid_on
    FROM rental_payments p
        JOIN rental_contracts c ON c.id = p.rental_contract_id
        JOIN properties q ON q.id = c.property_id
        JOIN renters r ON r.id = c.renter_id
    WHERE local_day(p.due_date) BETWEEN %(first)s AND %(last)s
        OR p.status = 'paid' AND local_day(p.paid_date) BETWEEN %(first)s AND %(last)s
    ORDER BY local_day(p.due_date), p.id
    LIMIT %(rows_max)s::bigint
"""
