"""How an invoice can be paid by PIX."""

import re
from typing import Final

import msgspec

from processors.invoices.pix import br_code, pix_key
from processors.invoices.read import Invoice

# The city before the state in an address: "Av. Paulista, 1000 - São Paulo/SP".
_CITY: Final = re.compile(r"([^\d,/-]{3,}?)\s*[,/-]\s*[A-Z]{2}\b")


class Pix(msgspec.Struct, frozen=True):
    key: str
    code: str


def pix_of(invoice: Invoice) -> Pix | None:
    """None: nothing is owed, or the agency has no key that a bank would take."""
    bill, agency = invoice.bill, invoice.agency
    key = pix_key(agency.pix_key or "")
    if key is None or invoice.settled:
        return None
    found = _CITY.findall(agency.address or "")
    code = br_code(
        key=key,
        name=agency.name,
        city=found[-1] if found else bill.city or "",
        amount=invoice.owed,
        reference=bill.number,
    )
    return Pix(key, code)
