"""Old rows: deleted a thousand at a time, each batch in a short transaction of its own."""

from datetime import datetime
from typing import Final, LiteralString

import msgspec
from psycopg import sql

from processors.cleaning.swept import Swept
from processors.database import Database

BATCH_ROWS: Final = 1_000
BATCHES_MAX: Final = 1_000
"""A run deletes a million rows of a table at most."""


class Pile(msgspec.Struct, frozen=True):
    """A table, and the column whose time says how old a row is."""

    table: LiteralString
    column: LiteralString
    key: LiteralString = "id"


USER_SESSIONS: Final = Pile("user_sessions", "expires_at")
# `compliance_audit_log` is in no pile: it is a legal record, and is never cleaned.
LOG_PILES: Final = (Pile("usage_logs", "created_at"), Pile("audit_logs", "occurred_at"))
DOWNLOAD_LINKS: Final = Pile("download_links", "expires_at", "token_sha256")


class _Gone(msgspec.Struct, frozen=True):
    rows: int
    bytes: int


async def sweep_rows(database: Database, pile: Pile, before: datetime, *, dry_run: bool) -> Swept:
    """Deletes the pile's rows from before that time. Killed half-way, the next run goes on."""
    if dry_run:
        gone = await _one(database, pile, _COUNT, before)
        return Swept(gone.rows, gone.bytes)
    swept = Swept()
    for _ in range(BATCHES_MAX):
        gone = await _one(database, pile, _DELETE, before)
        swept += Swept(gone.rows, gone.bytes)
        if gone.rows < BATCH_ROWS:
            return swept
    return swept + Swept(more=True)


async def _one(database: Database, pile: Pile, text: LiteralString, before: datetime) -> _Gone:
    statement = sql.SQL(text).format(
        table=sql.Identifier(pile.table),
        column=sql.Identifier(pile.column),
        key=sql.Identifier(pile.key),
    )
    async with database.transaction() as work:
        gone = await work.one(_Gone, statement, before=before, limit=BATCH_ROWS)
    assert gone is not None
    return gone


_COUNT: Final = """
    SELECT count(*) AS rows, coalesce(sum(pg_column_size(pile.*)), 0)::bigint AS bytes
    FROM {table} AS pile WHERE {column} < %(before)s
"""
_DELETE: Final = """
    WITH old AS (
        SELECT {key} FROM {table} WHERE {column} < %(before)s
        ORDER BY {column} LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM {table} AS pile USING old WHERE pile.{key} = old.{key}
        RETURNING pg_column_size(pile.*) AS size
    )
    SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes FROM gone
"""
