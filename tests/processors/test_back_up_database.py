"""A backup by a real worker: pg_dump of a real server, in S3, restored elsewhere."""

import hashlib
import subprocess
from collections.abc import Iterator

import msgspec
import psycopg
import pytest
from psycopg import sql

from processors.back_up_database import BackupMade
from processors.database import Database, DatabaseServer
from processors.imobibase import QueueName
from processors.queues import create_queue
from processors.standins.postgres import programs
from processors.storage import Storage
from streamq import App, Job, JobState
from streamq.testing import MovableClock, run_until_idle
from tests.support.postgres import Databases


class Row(msgspec.Struct, frozen=True):
    job_id: str
    key: str
    files_key: str | None
    size: int | None
    sha256: str | None
    status: str
    error: str | None


@pytest.fixture
def clock(imobibase: App) -> MovableClock:
    clock = MovableClock(imobibase)
    imobibase.clock = clock
    return clock


@pytest.fixture
async def agency(database: Database) -> Database:
    """A database with rows to lose."""
    async with database.transaction() as work:
        await work.run("INSERT INTO tenants (id, name, slug) VALUES ('sol', 'Sol', 'sol')")
        renters = [("sol", f"Zoë {number}", "+5511999990000") for number in range(500)]
        await work.copy_in("renters", ["tenant_id", "name", "phone"], renters)
    return database


@pytest.fixture
def empty(databases: Databases) -> Iterator[DatabaseServer]:
    """A database of the same server with nothing in it."""
    with databases.fresh() as server:
        yield server


async def backed_up(imobibase: App, **payload: object) -> Job:
    queue = create_queue(QueueName.BACKUP)
    added = await queue.add("database-backup", {"type": "full", **payload})
    await run_until_idle(imobibase, "backup")
    job = await queue.get(added.id)
    assert job is not None
    return job


def made(job: Job) -> BackupMade:
    assert job.state is JobState.COMPLETED, job.run.reason
    assert job.run.result is not None
    return msgspec.msgpack.decode(job.run.result, type=BackupMade)


async def rows(database: Database) -> list[Row]:
    async with database.transaction() as work:
        return await work.every(
            Row,
            "SELECT job_id, key, files_key, size, sha256, status, error FROM backups"
            " ORDER BY started_at",
        )


async def keys(storage: Storage) -> list[str]:
    return [found.key async for found in storage.backups.list("backups/")]


def counts(server: DatabaseServer) -> dict[str, int]:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        counted = dict[str, int]()
        for (table,) in tables:
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            [[counted[table]]] = connection.execute(count).fetchall()
    return counted


def restore(dump: bytes, into: DatabaseServer) -> None:
    subprocess.run(
        [programs() / "pg_restore", "--exit-on-error", "--dbname", into.name],
        env={"PGHOST": into.host, "PGPORT": into.port, "PGUSER": into.user},
        input=dump,
        check=True,
        capture_output=True,
    )


async def test_a_backup_restores_into_an_empty_database_row_by_row(
    imobibase: App, agency: Database, storage: Storage, empty: DatabaseServer
) -> None:
    job = await backed_up(imobibase)

    backup = made(job)
    dump = await storage.backups.get(backup.key)
    assert (len(dump), hashlib.sha256(dump).hexdigest()) == (backup.size, backup.sha256)
    before = counts(agency.server)
    restore(dump, empty)
    assert counts(empty) == before
    assert before["renters"] == 500
    [row] = await rows(agency)
    assert row == Row(job.id, backup.key, None, len(dump), backup.sha256, "completed", None)
