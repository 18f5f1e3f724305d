"""The mail that brings an invoice to whom it is for."""

from collections.abc import Mapping
from typing import Final

from processors.invoices.read import Invoice
from processors.invoices.ways import Pix
from processors.paper.text import clean

ITEMS_MAX: Final = 20
"""In the mail itself; a longer invoice shows them in its PDF only."""
_SUBJECT_CHARS_MAX: Final = 150


def mail_of(invoice: Invoice, pix: Pix | None, *, to: str, url: str) -> Mapping[str, object]:
    """The payload of its job. Texts of the database come into it without control characters."""
    bill = invoice.bill
    data: dict[str, object | None] = {
        "invoiceNumber": clean(bill.number),
        "amount": str(invoice.owed),
        "dueDate": bill.due_on.isoformat(),
        "downloadUrl": url,
        "issueDate": bill.issued_on.isoformat(),
        "clientName": _text(bill.client_name),
        "propertyAddress": _text(bill.property_address),
        "subtotal": str(bill.subtotal),
        "discount": str(bill.discount) if bill.discount else None,
        "tax": str(bill.tax) if bill.tax else None,
        "total": str(bill.total),
        "pixCode": pix and pix.code,
        "items": _items(invoice),
    }
    return {
        "to": to,
        "subject": clean(f"Fatura {bill.number} de {invoice.agency.name}")[:_SUBJECT_CHARS_MAX],
        "template": "invoice",
        "data": {name: value for name, value in data.items() if value is not None},
    }


def _items(invoice: Invoice) -> list[Mapping[str, object]] | None:
    if len(invoice.items) > ITEMS_MAX:
        return None
    return [
        {
            "description": _text(item.description) or "-",
            **({"details": details} if (details := _text(item.details)) else {}),
            "quantity": f"{item.quantity:f}",
            "unitPrice": str(item.unit_price),
            "total": str(item.total),
        }
        for item in invoice.items
    ]


def _text(text: str | None) -> str | None:
    return clean(text).strip() or None if text else None
