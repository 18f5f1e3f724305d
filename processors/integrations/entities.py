"""What goes out: rows of properties, leads and contracts, in the order of their changes."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, LiteralString

import msgspec

from processors.database import Transaction
from processors.integrations.kinds import EntityType

OVERLAP: Final = timedelta(minutes=5)
"""Read again at each run: a transaction that was open then has changes older than the cursor.
Longer than a statement or an idle transaction may last; what did not change is not sent."""


class Lead(msgspec.Struct, frozen=True):
    id: str
    name: str
    email: str
    phone: str
    source: str
    status: str
    budget: Decimal | None
    notes: str | None
    updated_at: datetime


class Property(msgspec.Struct, frozen=True):
    id: str
    title: str
    description: str | None
    type: str
    category: str
    price: Decimal
    address: str
    city: str
    state: str
    zip_code: str | None
    bedrooms: int | None
    bathrooms: int | None
    area: int | None
    features: list[str] | None
    images: list[str] | None
    status: str
    updated_at: datetime


class Contract(msgspec.Struct, frozen=True):
    id: str
    property_id: str
    lead_id: str
    type: str
    status: str
    value: Decimal
    signed_at: datetime | None
    updated_at: datetime


Entity = Lead | Property | Contract

LEAD_COLUMNS: Final = "id, name, email, phone, source, status, budget, notes, updated_at"
PROPERTY_COLUMNS: Final = (
    "id, title, description, type, category, price, address, city, state, zip_code, bedrooms,"
    " bathrooms, area, features, images, status, updated_at"
)
_CONTRACT_COLUMNS: Final = "id, property_id, lead_id, type, status, value, signed_at, updated_at"
_SELECT: Final[Mapping[EntityType, LiteralString]] = {
    EntityType.LEAD: f"SELECT {LEAD_COLUMNS} FROM leads",
    EntityType.PROPERTY: f"SELECT {PROPERTY_COLUMNS} FROM properties",
    EntityType.CONTRACT: f"SELECT {_CONTRACT_COLUMNS} FROM contracts",
}
_TENANT_OF: Final[Mapping[EntityType, LiteralString]] = {
    EntityType.LEAD: "SELECT tenant_id FROM leads WHERE id = %(id)s",
    EntityType.PROPERTY: "SELECT tenant_id FROM properties WHERE id = %(id)s",
    EntityType.CONTRACT: "SELECT tenant_id FROM contracts WHERE id = %(id)s",
}
_CHANGED: Final = (
    " WHERE deleted_at IS NULL AND tenant_id = %(tenant)s"
    " AND (updated_at, id) > (%(at)s::timestamp, %(id)s::varchar)"
    " ORDER BY updated_at, id LIMIT %(limit)s"
)


class Place(msgspec.Struct, frozen=True):
    """A row's place in the order of changes."""

    at: datetime
    id: str

    @classmethod
    def read(cls, cursor: str | None) -> "Place":
        """Where to go on from a stored cursor; None: from the beginning of time."""
        if cursor is None:
            return cls(datetime(1, 1, 1, tzinfo=UTC), "")
        at, _, row_id = cursor.partition(" ")
        return cls(datetime.fromisoformat(at), row_id)

    def __str__(self) -> str:
        return f"{self.at.isoformat()} {self.id}"

    def overlapped(self) -> "Place":
        return self if self.at.year == 1 else Place(self.at - OVERLAP, "")


async def tenant_of(work: Transaction, kind: EntityType, row_id: str) -> str | None:
    return await work.value(str, _TENANT_OF[kind], id=row_id)


async def changed(
    work: Transaction, kind: EntityType, after: Place, *, tenant: str, limit: int
) -> list[Entity]:
    """The next rows behind that place."""
    statement = _SELECT[kind] + _CHANGED
    values = {"tenant": tenant, "at": after.at, "id": after.id, "limit": limit}
    match kind:
        case EntityType.LEAD:
            return [*await work.every(Lead, statement, **values)]
        case EntityType.PROPERTY:
            return [*await work.every(Property, statement, **values)]
        case EntityType.CONTRACT:
            return [*await work.every(Contract, statement, **values)]


async def one_of(work: Transaction, kind: EntityType, row_id: str) -> list[Entity]:
    """That row alone, unless it was deleted."""
    statement = _SELECT[kind] + " WHERE deleted_at IS NULL AND id = %(id)s"
    match kind:
        case EntityType.LEAD:
            return [*await work.every(Lead, statement, id=row_id)]
        case EntityType.PROPERTY:
            return [*await work.every(Property, statement, id=row_id)]
        case EntityType.CONTRACT:
            return [*await work.every(Contract, statement, id=row_id)]
