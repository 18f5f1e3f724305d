"""One invoice and all that stands on it, read from the database as it is now."""

from datetime import date
from decimal import Decimal

import msgspec

from processors.database import Transaction
from processors.money import ZERO
from streamq import Fail


class Agency(msgspec.Struct, frozen=True):
    """Who asks for the money."""

    name: str
    primary_color: str | None
    phone: str | None
    email: str | None
    address: str | None
    cnpj: str | None
    inscricao_municipal: str | None
    creci: str | None
    bank_name: str | None
    bank_agency: str | None
    bank_account: str | None
    pix_key: str | None


class Item(msgspec.Struct, frozen=True):
    description: str
    details: str | None
    quantity: Decimal
    unit_price: Decimal
    total: Decimal


class Bill(msgspec.Struct, frozen=True):
    """The row of the invoice, with its client, its property and the payment that it is for.

    `client_...` are the renter's; of an invoice without one, those of the user that it is for.
    """

    id: str
    number: str
    status: str
    issued_on: date
    due_on: date
    subtotal: Decimal
    discount: Decimal
    tax: Decimal
    total: Decimal
    notes: str | None
    client_name: str
    client_email: str | None
    client_document: str | None
    client_address: str | None
    client_phone: str | None
    property_title: str | None
    property_address: str | None
    city: str | None
    state: str | None
    zip_code: str | None
    reference_month: str | None
    payment_status: str | None
    paid: Decimal
    paid_on: date | None


class Invoice(msgspec.Struct, frozen=True):
    agency: Agency
    bill: Bill
    items: tuple[Item, ...]

    @property
    def settled(self) -> bool:
        """Nobody owes anything on it any more."""
        bill = self.bill
        return bill.status == "paid" or bill.payment_status == "paid" or self.owed <= 0

    @property
    def owed(self) -> Decimal:
        """The total less what came in."""
        return max(self.bill.total - self.bill.paid, ZERO)


async def tenant_of(work: Transaction, invoice_id: str, user_id: str) -> str:
    """Whose invoice it is; the user must be of that agency. Raises Fail."""
    owner = await work.value(str, "SELECT tenant_id FROM invoices WHERE id = %(id)s", id=invoice_id)
    if owner is None:
        raise Fail(f"there is no invoice {invoice_id}: add the job after its row is committed")
    asked_by = await work.value(
        str,
        "SELECT tenant_id FROM users WHERE id = %(id)s AND deleted_at IS NULL",
        id=user_id,
    )
    if asked_by != owner:
        raise Fail(f"user {user_id} is not of the agency whose invoice {invoice_id} is")
    return owner


async def read_invoice(work: Transaction, invoice_id: str) -> Invoice:
    """Inside of its tenant's transaction. Raises Fail for one that must not go out."""
    bill = await work.one(Bill, _BILL, id=invoice_id)
    if bill is None:
        raise Fail(f"invoice {invoice_id} is gone")
    if bill.status == "cancelled":
        raise Fail(f"invoice {bill.number} is cancelled: make a new one")
    agency = await work.one(Agency, _AGENCY)
    assert agency is not None
    items = await work.every(Item, _ITEMS, id=invoice_id)
    if not items:
        raise Fail(f"invoice {bill.number} has no items: add them, and run it again")
    summed = sum((item.total for item in items), ZERO)
    if summed != bill.subtotal:
        raise Fail(
            f"invoice {bill.number}: its items come to {summed}, and its subtotal says"
            f" {bill.subtotal}. Mend the row, and run it again"
        )
    return Invoice(agency, bill, tuple(items))


# One agency's row is all that its transaction sees.
_AGENCY = """
    SELECT t.name, t.primary_color, t.phone, t.email, t.address, s.cnpj, s.inscricao_municipal,
        s.creci, s.bank_name, s.bank_agency, s.bank_account, s.pix_key
    FROM tenants t LEFT JOIN tenant_settings s ON s.tenant_id = t.id
"""

_BILL = """
    SELECT i.id, i.number, i.status, local_day(i.issue_date) AS issued_on,
        local_day(i.due_date) AS due_on, i.subtotal, i.discount, i.tax, i.total, i.notes,
        coalesce(r.name, u.name) AS client_name,
        CASE WHEN r.id IS NULL THEN u.email ELSE r.email END AS client_email,
        r.cpf_cnpj AS client_document, r.address AS client_address, r.phone AS client_phone,
        p.title AS property_title, p.address AS property_address, p.city, p.state, p.zip_code,
        m.reference_month, m.status AS payment_status, coalesce(m.paid_value, 0.00) AS paid,
        local_day(m.paid_date) AS paid_on
    FROM invoices i
        JOIN users u ON u.id = i.user_id
        LEFT JOIN rental_payments m ON m.id = i.rental_payment_id
        LEFT JOIN rental_contracts c ON c.id = m.rental_contract_id
        LEFT JOIN renters r ON r.id = coalesce(i.renter_id, c.renter_id)
        LEFT JOIN properties p ON p.id = c.property_id
    WHERE i.id = %(id)s
"""

_ITEMS = """
    SELECT description, details, quantity, unit_price, total
    FROM invoice_items WHERE invoice_id = %(id)s ORDER BY position
"""
