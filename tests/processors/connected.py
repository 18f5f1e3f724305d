"""Rows of agencies that have connected a provider, for tests of synchronisation."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from psycopg.types.json import Json

from processors.database import Database


class Lead(msgspec.Struct, frozen=True):
    """What a test looks at."""

    name: str
    email: str
    phone: str
    notes: str | None
    source: str


async def agency(
    database: Database,
    tenant: str,
    provider: str,
    config: Mapping[str, object] | None = None,
    *,
    status: str = "connected",
) -> None:
    async with database.transaction() as work:
        await work.run(
            "INSERT INTO tenants (id, name, slug, email, phone)"
            " VALUES (%(id)s, 'Imobiliária Sol', %(slug)s, 'contato@sol.com', '11 3333-0000')",
            id=tenant,
            slug=tenant,
        )
        await work.run(
            "INSERT INTO integration_configs (tenant_id, integration_name, status, config)"
            " VALUES (%(id)s, %(provider)s, %(status)s, %(config)s)",
            id=tenant,
            provider=provider,
            status=status,
            config=Json(config or {}),
        )


async def add_lead(database: Database, tenant: str, lead: str, **changed: str) -> str:
    values = {"name": "Ana Souza", "email": f"{lead}@example.com", "phone": "1", **changed}
    async with database.transaction() as work:
        await work.run(
            "INSERT INTO leads (id, tenant_id, name, email, phone, source)"
            " VALUES (%(id)s, %(tenant)s, %(name)s, %(email)s, %(phone)s, 'website')",
            id=lead,
            tenant=tenant,
            **values,
        )
    return lead


async def change_lead(
    database: Database,
    lead: str,
    name: str,
    *,
    email: str | None = None,
    after: datetime | None = None,
) -> None:
    """As the application does it, with the time of the change: now, and later than `after`."""
    async with database.transaction() as work:
        await work.run(
            "UPDATE leads SET name = %(name)s, email = coalesce(%(email)s, email),"
            " updated_at = greatest(clock_timestamp(), %(after)s::timestamp + interval '1 ms')"
            " WHERE id = %(id)s",
            name=name,
            email=email,
            after=after,
            id=lead,
        )


async def leads(database: Database, tenant: str) -> list[Lead]:
    """By address."""
    async with database.transaction() as work:
        return await work.every(
            Lead,
            "SELECT name, email, phone, notes, source FROM leads WHERE tenant_id = %(tenant)s"
            " ORDER BY email, created_at",
            tenant=tenant,
        )


async def status(database: Database, tenant: str) -> str | None:
    async with database.transaction() as work:
        return await work.value(
            str, "SELECT status FROM integration_configs WHERE tenant_id = %(t)s", t=tenant
        )
