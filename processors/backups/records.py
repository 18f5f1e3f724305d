"""The table `backups`: a row for each job, whatever became of it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from processors.database import Database

_ERROR_CHARS_MAX: Final = 1_000


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """One row. Its key is given when it is made: another attempt writes the same object."""

    id: str
    key: str
    started_at: datetime
    completed: bool
    size: int | None
    sha256: str | None
    files_key: str | None


class Records:
    """The rows of one database's backups. Used by whoever has that database's backup lock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._name = database.server.name

    async def begin(self, job_id: str, *, added_at: datetime, key: str, at: datetime) -> Backup:
        """The job's row: a new one, or that of an attempt before, which may have completed.

        An id may be given again to a later job: rows from before `added_at` are of others. Rows
        that still say `running` belong to workers that are gone.
        """
        async with self._database.transaction() as work:
            await work.run(
                "UPDATE backups SET status = 'failed', error = 'its worker was lost',"
                " finished_at = %(now)s"
                " WHERE database = %(database)s AND status = 'running' AND job_id <> %(job)s",
                database=self._name,
                job=job_id,
                now=datetime.now(UTC),
            )
            mine = await work.one(
                Backup,
                "SELECT id, key, started_at, status = 'completed' AS completed, size, sha256,"
                " files_key FROM backups WHERE database = %(database)s AND job_id = %(job)s"
                " AND started_at >= %(added)s AND status <> 'deleted'",
                database=self._name,
                job=job_id,
                added=added_at,
            )
            if mine is None:
                row_id = await work.value(
                    str,
                    "INSERT INTO backups (job_id, database, type, key, status, started_at)"
                    " VALUES (%(job)s, %(database)s, 'full', %(key)s, 'running', %(at)s)"
                    " RETURNING id",
                    job=job_id,
                    database=self._name,
                    key=key,
                    at=at,
                )
                assert row_id is not None
                return Backup(
                    id=row_id,
                    key=key,
                    started_at=at,
                    completed=False,
                    size=None,
                    sha256=None,
                    files_key=None,
                )
            if not mine.completed:
                await work.run(
                    "UPDATE backups SET status = 'running', error = NULL, finished_at = NULL"
                    " WHERE id = %(id)s",
                    id=mine.id,
                )
            return mine

    async def complete(
        self, row_id: str, *, size: int, sha256: str, files_key: str | None, verified_at: datetime
    ) -> None:
        async with self._database.transaction() as work:
            await work.run(
                "UPDATE backups SET status = 'completed', size = %(size)s, sha256 = %(sha256)s,"
                " files_key = %(files_key)s, verified_at = %(verified)s, finished_at = %(now)s,"
                " error = NULL WHERE id = %(id)s",
                id=row_id,
                size=size,
                sha256=sha256,
                files_key=files_key,
                verified=verified_at,
                now=datetime.now(UTC),
            )

    async def fail(self, row_id: str, error: str) -> None:
        async with self._database.transaction() as work:
            await work.run(
                "UPDATE backups SET status = 'failed', error = %(error)s, finished_at = %(now)s"
                " WHERE id = %(id)s AND status = 'running'",
                id=row_id,
                error=error[:_ERROR_CHARS_MAX],
                now=datetime.now(UTC),
            )

    async def deleted(self, keys: Sequence[str]) -> None:
        """Their objects are gone; the rows stay and say so."""
        async with self._database.transaction() as work:
            await work.run(
                "UPDATE backups SET status = 'deleted' WHERE database = %(database)s"
                " AND key = ANY(%(keys)s)",
                database=self._name,
                keys=[*keys],
            )

    async def tables(self) -> frozenset[str]:
        """What a dump must hold the data of, as `schema name`."""
        async with self._database.transaction(read_only=True) as work:
            found = await work.every(
                _Table,
                "SELECT n.nspname || ' ' || c.relname AS name FROM pg_class c"
                " JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.relkind = 'r' AND c.relpersistence <> 't'"
                " AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'"
                " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid"
                " AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')",
            )
        return frozenset(table.name for table in found)


class _Table(msgspec.Struct, frozen=True):
    name: str
