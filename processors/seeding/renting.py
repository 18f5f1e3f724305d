"""Rent: contracts, and two years of payments, of which most came in time."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from processors.days import on_day
from processors.money import ZERO, in_cents
from processors.seeding.agency import Agency, Property
from processors.seeding.people import street

MONTHS: Final = 24
ADMINISTRATION: Final = Decimal("0.10")
FINE: Final = Decimal("0.02")
INTEREST_A_DAY: Final = Decimal("0.01") / 30

# Of a hundred payments: 85 in time, 10 up to 20 days late, 3 open for up to 30 days, 2 for longer.
ON_TIME: Final = 0.85
LATE: Final = ON_TIME + 0.10
OPEN_FOR_DAYS: Final = LATE + 0.03
LATE_DAYS_MAX: Final = 20
OPEN_DAYS: Final = 30


class Contract(msgspec.Struct, frozen=True):
    """What payments must know of one."""

    id: str
    owner_id: str
    renter_id: str
    rent: Decimal
    condo: Decimal
    iptu: Decimal
    due_day: int


class Paid(msgspec.Struct, frozen=True):
    """How a payment came in, or that it did not."""

    status: str
    on: date | None
    value: Decimal | None


def rent_out(
    agency: Agency,
    place: Property,
    *,
    contract_id: str | None = None,
    due_day: int | None = None,
    renter_without_email: bool = False,
) -> Contract:
    """A contract that runs, and the renter; no payments yet."""
    random = agency.random
    who, renter_id = agency.somebody(), agency.new_id()
    agency.rows.add(
        *("renters", renter_id, agency.id, who.name, None if renter_without_email else who.email),
        *(who.phone, who.cpf, who.profession, place.price * 4),
        *(street(random, agency.known.city), agency.moment()),
    )
    contract = Contract(
        contract_id or agency.new_id(),
        place.owner_id,
        renter_id,
        rent=place.price,
        condo=in_cents(place.price * random.randrange(10, 25) / 100),
        iptu=in_cents(place.price * random.randrange(3, 8) / 100),
        due_day=due_day or random.randrange(1, 29),
    )
    begins = agency.today - timedelta(days=30 * (MONTHS + 1) + random.randrange(120))
    ends = begins + timedelta(days=365 * 3)
    if random.random() < 0.05:  # some end within the month: mails about that are due
        ends = agency.today + timedelta(days=random.randrange(1, 30))
    agency.rows.add(
        *("rental_contracts", contract.id, agency.id, place.id, contract.owner_id, renter_id),
        *(contract.rent, contract.condo, contract.iptu, contract.due_day, begins, ends),
        *(contract.rent * 3, "active", agency.moment(), agency.moment(60)),
    )
    return contract


def due_days(today: date, due_day: int) -> list[date]:
    """The last 24 days on which rent was or will be due; the last of them is not over yet."""
    months = today.year * 12 + today.month - 1
    if on_day(today.year, today.month, due_day) < today:
        months += 1
    each = range(months - MONTHS + 1, months + 1)
    return [on_day(month // 12, month % 12 + 1, due_day) for month in each]


def drawn(agency: Agency, due: date, total: Decimal) -> Paid:
    """How it went, by chance."""
    chance, today = agency.random.random(), agency.today
    if due >= today:
        return Paid("pending", None, None)
    age = (today - due).days
    if chance < ON_TIME:
        return paid(due - timedelta(days=agency.random.randrange(4)), due, total)
    if chance < LATE:
        late = agency.random.randrange(1, LATE_DAYS_MAX + 1)
    elif chance < OPEN_FOR_DAYS:
        late = OPEN_DAYS - 1  # open until then: an old one has come in since
    else:
        return Paid("overdue", None, None)
    return paid(due + timedelta(days=late), due, total) if late <= age else OVERDUE


OVERDUE: Final = Paid("overdue", None, None)


def paid(on: date, due: date, total: Decimal) -> Paid:
    """In time, or with the fine and interest that the contract asks for."""
    late = (on - due).days
    owed = total if late <= 0 else total * (1 + FINE + INTEREST_A_DAY * late)
    return Paid("paid", on, in_cents(owed))


def bill(agency: Agency, contract: Contract, due: date, how: Paid, payment_id: str) -> Decimal:
    """One month's payment; its total."""
    month = f"{due.year:04}-{due.month:02}"
    discount = in_cents(contract.rent / 20) if agency.random.random() < 0.04 else ZERO
    total = contract.rent + contract.condo + contract.iptu - discount
    if how.value is not None and how.value < total:
        discount, total = ZERO, contract.rent + contract.condo + contract.iptu
    method = None if how.on is None else agency.random.choice(("pix", "boleto", "transfer"))
    agency.rows.add(
        *("rental_payments", payment_id, agency.id, contract.id, month, due, contract.rent),
        *(contract.condo, contract.iptu, discount, total, how.value, how.on, how.status, method),
        agency.now - timedelta(days=max((agency.today - due).days + 20, 1)),
    )
    return total


def rent_history(agency: Agency, contract: Contract) -> None:
    """24 months of it."""
    total = contract.rent + contract.condo + contract.iptu
    for due in due_days(agency.today, contract.due_day):
        bill(agency, contract, due, drawn(agency, due, total), agency.new_id())


def pay_owners(agency: Agency) -> None:
    """What was paid in a month goes to the owners, less the agency's share."""
    owner_of = {str(row[0]): str(row[3]) for row in agency.rows.of("rental_contracts")}
    gross: dict[tuple[str, str], Decimal] = {}
    for row in agency.rows.of("rental_payments"):
        contract_id, month, rent, status = str(row[2]), str(row[3]), row[5], row[12]
        if status == "paid" and isinstance(rent, Decimal):
            key = (owner_of[contract_id], month)
            gross[key] = gross.get(key, ZERO) + rent
    for (owner_id, month), amount in gross.items():
        fee = in_cents(amount * ADMINISTRATION)
        day = min(date.fromisoformat(f"{month}-28"), agency.today)
        agency.rows.add(
            *("rental_transfers", agency.id, owner_id, month, amount, fee, amount - fee),
            *("paid", day, agency.now),
        )
