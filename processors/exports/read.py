"""Reading what is exported: one agency's rows, page by page, each in a short transaction."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
from psycopg import sql

from processors.database import Database
from processors.exports.tables import Table

PAGE_ROWS: Final = 2_000
"""In memory at a time, of however many there are."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose export it is, as the database has them."""

    id: str
    tenant_id: str
    tenant: str
    tenant_email: str | None
    tenant_phone: str | None
    name: str
    email: str
    email_verified: bool
    role: str


class Page(msgspec.Struct, frozen=True):
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


async def find_owner(database: Database, user_id: str) -> Owner | None:
    async with database.transaction(read_only=True) as work:
        return await work.one(
            Owner,
            "SELECT u.id, u.tenant_id, t.name AS tenant, t.email AS tenant_email,"
            " t.phone AS tenant_phone, u.name, u.email,"
            " coalesce(u.email_verified, false) AS email_verified, u.role"
            " FROM users u JOIN tenants t ON t.id = u.tenant_id"
            " WHERE u.id = %(id)s AND u.deleted_at IS NULL",
            id=user_id,
        )


async def pages(database: Database, table: Table, owner: Owner) -> AsyncIterator[Page]:
    """The owner's rows of that table, by id; at least one page, which may be empty.

    Each page is a transaction of its own, fenced to the agency: memory stays flat, and ten million
    rows hold up no vacuum. Rows that change meanwhile are in it as they were when their page came.
    """
    statement = sql.SQL(
        "SELECT {columns} FROM {table} WHERE id > %(after)s AND ({rows})"
        " ORDER BY id LIMIT %(limit)s"
    ).format(
        columns=sql.SQL(table.columns),
        table=sql.Identifier(table.name),
        rows=sql.SQL(table.rows(owner.role)),
    )
    values = {
        "user": owner.id,
        "tenant": owner.tenant_id,
        "mine": owner.email.lower() if owner.email_verified else None,
        "limit": PAGE_ROWS,
    }
    after = ""
    while True:
        async with database.transaction(tenant=owner.tenant_id, read_only=True) as work:
            cursor = await work.connection.execute(statement, {**values, "after": after})
            columns = [column.name for column in cursor.description or ()]
            page = Page(columns, await cursor.fetchall())
        yield page
        if len(page.rows) < PAGE_ROWS:
            return
        after = str(page.rows[-1][columns.index("id")])
