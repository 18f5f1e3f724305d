"""Selling: leads and where they come from, visits, sales with their commissions, the books."""

from datetime import timedelta
from decimal import Decimal
from typing import Final

from processors.money import in_cents
from processors.seeding.agency import HISTORY_DAYS, Agency, Property

COMMISSION: Final = Decimal("0.06")
BROKERS_SHARE: Final = Decimal("0.50")

_SOURCES: Final = {
    **{"website": 24, "zapimoveis": 18, "vivareal": 14, "whatsapp": 12, "instagram": 9, "olx": 8},
    **{"referral": 6, "facebook": 4, "google": 3, "walk-in": 2},
}
_STATES: Final = {
    **{"new": 25, "contacted": 20, "qualified": 15, "proposal": 8, "negotiation": 6, "won": 8},
    **{"lost": 14, "archived": 4},
}
_VISITS: Final = {"completed": 60, "cancelled": 15, "no-show": 10}
_COSTS: Final = ("Aluguel do escritório", "Salários", "Portais e anúncios", "Internet e telefone")


def attract(agency: Agency, leads: int) -> list[str]:
    """People who asked for something; their ids."""
    random = agency.random
    found: list[str] = []
    for _ in range(leads):
        who, lead_id, agent = agency.somebody(), agency.new_id(), random.choice(agency.brokers)
        created = agency.moment()
        updated = created + (agency.now - created) * random.random()
        status = "new" if (agency.now - created).days < 3 else _one_of(agency, _STATES)
        agency.rows.add(
            *("leads", lead_id, agency.id, who.name, who.email, who.phone),
            *(_one_of(agency, _SOURCES), status, Decimal(random.randrange(2_000, 900_000, 500))),
            *(agent, random.choice(("apartamento", "casa")), agency.known.city.name),
            *(created, updated),
        )
        if status != "new":
            said = "Retornou a ligação; prefere visitar no sábado."
            agency.rows.add("interactions", lead_id, agent, "call", said, updated)
        found.append(lead_id)
    return found


def show(agency: Agency, places: list[Property], leads: list[str]) -> None:
    """Visits: two years of them, and those of the coming days."""
    random = agency.random
    for place in places:
        at = agency.moment() if random.random() < 0.9 else agency.now + timedelta(days=2)
        status = _one_of(agency, _VISITS) if at < agency.now else "scheduled"
        agency.rows.add(
            *("visits", agency.id, place.id, random.choice(leads), at, status),
            *(random.choice(agency.brokers), at - timedelta(days=3)),
        )


def sell(agency: Agency, place: Property, buyer: str) -> None:
    """A sale, its contract, and the commission that agency and broker share."""
    random, rows = agency.random, agency.rows
    sale_id, agent = agency.new_id(), random.choice(agency.brokers)
    day = agency.today - timedelta(days=random.randrange(1, HISTORY_DAYS))
    at = agency.moment((agency.today - day).days + 2)
    value = in_cents(place.price * random.randrange(92, 101) / 100)
    commission = in_cents(value * COMMISSION)
    rows.add(
        *("property_sales", sale_id, agency.id, place.id, buyer, place.owner_id, agent, value),
        *(day, 6, commission, "completed", at),
    )
    rows.add("contracts", agency.id, place.id, buyer, "sale", "signed", value, at, at, at)
    rows.add(
        *("commissions", agency.id, sale_id, agent, "sale", value, 6, commission),
        *(in_cents(commission * BROKERS_SHARE), "paid", at, at),
    )
    what = f"Comissão de venda: {place.address}"
    rows.add(
        *("finance_entries", agency.id, "sale", sale_id, what, commission, "in", day),
        *("completed", at),
    )


def keep_books(agency: Agency) -> None:
    """What an agency spends, month by month."""
    for month in range(HISTORY_DAYS // 30):
        day = agency.today - timedelta(days=30 * month + 5)
        for cost in _COSTS:
            amount = Decimal(agency.random.randrange(300, 9_000, 10))
            status = "completed" if month else "pending"
            agency.rows.add(
                *("finance_entries", agency.id, None, None, cost, amount, "out", day),
                *(status, agency.now - timedelta(days=30 * month + 5)),
            )


def _one_of(agency: Agency, weights: dict[str, int]) -> str:
    return agency.random.choices([*weights], [*weights.values()])[0]
