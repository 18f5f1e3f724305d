"""The rows of the documented examples, by their ids: user 1 and 123, invoice 12345, contracts with
payments that are five days overdue, due in three days, thirty days overdue, and without an address.
"""

from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from processors.seeding.agency import Agency
from processors.seeding.renting import OVERDUE, Paid, bill, due_days, paid, rent_out

USER_ID: Final = "123"
USER_EMAIL: Final = "user@example.com"
INVOICE_ID: Final = "12345"

FIVE_DAYS_OVERDUE: Final = "1"
"""Ids of rental contracts, and of their properties."""
DUE_IN_THREE_DAYS: Final = "2"
THIRTY_DAYS_OVERDUE: Final = "3"
WITHOUT_ADDRESS: Final = "4"

_DUE_IN_DAYS: Final = {
    FIVE_DAYS_OVERDUE: -5,
    DUE_IN_THREE_DAYS: 3,
    THIRTY_DAYS_OVERDUE: -30,
    WITHOUT_ADDRESS: -5,
}


def add_examples(agency: Agency) -> None:
    """To the first agency."""
    agency.user(USER_ID, "John Doe", USER_EMAIL, "broker")
    for contract_id, due_in in _DUE_IN_DAYS.items():
        _open(agency, contract_id, agency.today + timedelta(days=due_in))
    _invoice(agency)


def _open(agency: Agency, contract_id: str, due: date) -> None:
    """A contract of which only the payment due on that day, and what comes after it, is open."""
    place = agency.property(contract_id, agency.owner(), "aluguel", "rented")
    contract = rent_out(
        agency,
        place,
        contract_id=contract_id,
        due_day=due.day,
        renter_without_email=contract_id == WITHOUT_ADDRESS,
    )
    total = contract.rent + contract.condo + contract.iptu
    for day in due_days(agency.today, due.day):
        if day >= agency.today:
            how = Paid("pending", None, None)
        else:
            how = OVERDUE if day >= due else paid(day, day, total)
        bill(agency, contract, day, how, _payment_id(contract_id, day))


def _payment_id(contract_id: str, day: date) -> str:
    return f"{contract_id}-{day:%Y-%m}"


def _invoice(agency: Agency) -> None:
    """A draft of the rent that is due in three days."""
    due = agency.today + timedelta(days=_DUE_IN_DAYS[DUE_IN_THREE_DAYS])
    payment_id = _payment_id(DUE_IN_THREE_DAYS, due)
    payment = next(row for row in agency.rows.of("rental_payments") if row[0] == payment_id)
    contract = next(
        row for row in agency.rows.of("rental_contracts") if row[0] == DUE_IN_THREE_DAYS
    )
    rent, condo, iptu, discount, total = payment[5:10]
    assert isinstance(total, Decimal)
    assert isinstance(discount, Decimal)
    agency.rows.add(
        *("invoices", INVOICE_ID, agency.id, "INV-012345", payment_id, agency.admin, contract[4]),
        *(agency.now, due, total + discount, discount, total, "draft", agency.now),
    )
    items = (("Aluguel", rent), ("Condomínio", condo), ("IPTU", iptu))
    for position, (what, amount) in enumerate(items, 1):
        details = f"Referente a {due:%m/%Y}"
        agency.rows.add("invoice_items", INVOICE_ID, position, what, details, 1, amount, amount)
    agency.rows.add("invoice_numbers", agency.id, int(INVOICE_ID))
