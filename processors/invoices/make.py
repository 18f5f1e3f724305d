"""Makes the invoice of a contract's oldest open payment: one row, one number, however often."""

from decimal import Decimal
from typing import Final

import msgspec

from processors.database import Database, Transaction
from processors.days import month_in_words
from processors.money import ZERO

NUMBER: Final = "INV-{:06d}"


class NothingToInvoice(LookupError):
    """There is no such contract, it is another agency's, or all of its payments are settled."""


class Due(msgspec.Struct, frozen=True):
    """The payment that is to be invoiced."""

    id: str
    renter_id: str
    reference_month: str
    rent_value: Decimal
    condo_fee: Decimal
    iptu_value: Decimal
    extra_charges: Decimal
    discounts: Decimal
    total_value: Decimal

    def items(self) -> list[tuple[str, Decimal]]:
        """What stands on it; together not less than the payment's total."""
        listed = [
            ("Aluguel", self.rent_value),
            ("Condomínio", self.condo_fee),
            ("IPTU", self.iptu_value),
            ("Encargos adicionais", self.extra_charges),
        ]
        found = [(what, amount) for what, amount in listed if amount]
        missing = self.total_value + self.discounts - sum((a for _, a in found), ZERO)
        return [*found, ("Ajuste", missing)] if missing > 0 else found


async def invoice_of_contract(database: Database, contract_id: str, user_id: str) -> str:
    """The id of the invoice for the oldest open payment; made in `draft` if there is none yet.

    Raises NothingToInvoice, and what a transaction raises.
    """
    async with database.transaction() as work:
        tenant = await work.value(str, _TENANT, contract=contract_id, user=user_id)
    if tenant is None:
        raise NothingToInvoice(f"user {user_id} has no rental contract {contract_id}")
    async with database.transaction(tenant=tenant) as work:
        # The lock makes a second caller wait for the first one's row.
        due = await work.one(Due, _OLDEST_OPEN, contract=contract_id)
        if due is None:
            raise NothingToInvoice(f"rental contract {contract_id} has no open payment")
        made = await work.value(
            str, "SELECT id FROM invoices WHERE rental_payment_id = %(id)s", id=due.id
        )
        return made or await _made(work, due, tenant, user_id)


async def _made(work: Transaction, due: Due, tenant: str, user_id: str) -> str:
    number = await work.value(int, _NEXT_NUMBER, tenant=tenant)
    assert number is not None
    items = due.items()
    subtotal = sum((amount for _, amount in items), ZERO)
    invoice_id = await work.value(
        str,
        _INVOICE,
        tenant=tenant,
        number=NUMBER.format(number),
        payment=due.id,
        user=user_id,
        renter=due.renter_id,
        subtotal=subtotal,
        total=due.total_value,
    )
    assert invoice_id is not None
    details = f"Referente a {month_in_words(due.reference_month)}"
    for position, (what, amount) in enumerate(items, 1):
        await work.run(
            "INSERT INTO invoice_items (invoice_id, position, description, details, unit_price,"
            " total) VALUES (%(id)s, %(position)s, %(what)s, %(details)s, %(amount)s, %(amount)s)",
            id=invoice_id,
            position=position,
            what=what,
            details=details,
            amount=amount,
        )
    return invoice_id


_TENANT = """
    SELECT c.tenant_id FROM rental_contracts c JOIN users u ON u.tenant_id = c.tenant_id
    WHERE c.id = %(contract)s AND c.deleted_at IS NULL
        AND u.id = %(user)s AND u.deleted_at IS NULL
"""

_OLDEST_OPEN = """
    SELECT p.id, c.renter_id, p.reference_month, p.rent_value,
        coalesce(p.condo_fee, 0.00) AS condo_fee, coalesce(p.iptu_value, 0.00) AS iptu_value,
        coalesce(p.extra_charges, 0.00) AS extra_charges,
        coalesce(p.discounts, 0.00) AS discounts, p.total_value
    FROM rental_payments p JOIN rental_contracts c ON c.id = p.rental_contract_id
    WHERE c.id = %(contract)s AND p.status IN ('pending', 'overdue', 'partially_paid')
    ORDER BY p.due_date, p.id
    LIMIT 1 FOR UPDATE OF p
"""

# The first one goes on from what the application gave out itself. The row is locked until the
# invoice is committed: no number is given twice, and none is lost.
_NEXT_NUMBER = """
    INSERT INTO invoice_numbers (tenant_id, last)
    SELECT %(tenant)s::varchar,
        coalesce(max(substring(number FROM '^INV-([0-9]{1,9})$')::integer), 0) + 1
    FROM invoices WHERE tenant_id = %(tenant)s::varchar
    ON CONFLICT (tenant_id) DO UPDATE SET last = invoice_numbers.last + 1
    RETURNING last
"""

_INVOICE = """
    INSERT INTO invoices (tenant_id, number, rental_payment_id, user_id, renter_id, due_date,
        subtotal, discount, total)
    SELECT %(tenant)s, %(number)s, p.id, %(user)s, %(renter)s, p.due_date,
        %(subtotal)s, %(subtotal)s - %(total)s, %(total)s
    FROM rental_payments p WHERE p.id = %(payment)s
    RETURNING id
"""
