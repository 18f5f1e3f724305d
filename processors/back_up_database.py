"""Backs the database up: the jobs `database-backup` of the queue `backup`."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

import psycopg
from msgspec import Meta, Struct

from processors.backups.dump import DumpFailed, dump
from processors.backups.files import MIME_TYPE, archive
from processors.backups.keeping import delete_old, dump_key, files_key
from processors.backups.programs import Programs, programs_for
from processors.backups.records import Backup, Records
from processors.database import Database, DatabaseUnavailable
from processors.imobibase import QueueName, Shared, app, shared_of
from processors.saying import say
from processors.storage import StorageUnavailable
from streamq import Context, Fail, Payload, Snooze

ATTEMPTS: Final = 3
TIMEOUT: Final = timedelta(hours=12)
BUSY_WAIT: Final = timedelta(minutes=1)
"""Between two looks whether another backup of this database has ended."""
BUSY_LIMIT: Final = TIMEOUT + timedelta(hours=1)
_DUMP_TYPE: Final = "application/vnd.postgresql.dump"

log = logging.getLogger("BackupProcessor")


class BackupType(StrEnum):
    FULL = "full"
    INCREMENTAL = "incremental"


class BackUpDatabase(Payload, rename="camel"):
    """One backup of the database of DATABASE_URL, to BACKUP_BUCKET."""

    type: BackupType = BackupType.FULL
    include_files: bool = False
    """The files that the table `files` knows, as a second object."""
    retention: Annotated[int, Meta(ge=1, le=3_650)] = 30
    """Days: older backups of this database are deleted, but never the newest."""


class BackupMade(Struct, frozen=True, rename="camel"):
    """What a finished job says of its backup."""

    id: str
    """Of its row in `backups`."""
    key: str
    size: int
    sha256: str
    files_key: str | None
    deleted: int
    """Old objects that went."""


@app.job(QueueName.BACKUP, name="database-backup", attempts=ATTEMPTS, timeout=TIMEOUT)
async def back_up_database(data: BackUpDatabase, job: Context) -> BackupMade:
    """Streams a dump to S3, where it is there for others only once it was read back and is good.

    Another attempt writes the same object, and one whose work was done does nothing twice. What
    will not pass fails at once: no pg_dump of the server's version, a right that is missing.
    """
    if data.type is BackupType.INCREMENTAL:
        raise Fail(
            "an incremental backup is not made here: pg_dump has none. Ask for type full, or set up"
            " WAL archiving on the server for restores to a point in time"
        )
    shared = shared_of(job)
    name = shared.database.server.name
    async with _alone(shared.database, job):
        say(job=job, log=log, event="backup.started", text=f"Starting full backup of {name}")
        records = Records(shared.database)
        row = await records.begin(
            job.id,
            added_at=job.added_at,
            key=dump_key(name, job.claimed_at),
            at=job.claimed_at,
        )
        await job.progress(0.1)
        if not row.completed or await shared.storage.backups.info(row.key) is None:
            row = await _made(row, records, data, job)
        await job.progress(0.9)
        before = job.claimed_at - timedelta(days=data.retention)
        deleted = await delete_old(shared.storage.backups, name, before=before)
        await records.deleted(deleted)
    await job.progress(1.0)
    assert row.size is not None and row.sha256 is not None
    say(log, job, "backup.completed", f"Backup completed: {row.key}, {row.size} bytes")
    return BackupMade(row.id, row.key, row.size, row.sha256, row.files_key, len(deleted))


@asynccontextmanager
async def _alone(database: Database, job: Context) -> AsyncIterator[None]:
    """Has the database's backup lock, whoever else makes backups of it, by whatever means."""
    name = {"name": f"backup:{database.server.name}"}
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT pg_try_advisory_lock(hashtextextended(%(name)s, 0))", name
        )
        if await cursor.fetchone() != (True,):
            if job.claimed_at - job.added_at > BUSY_LIMIT:
                raise Fail(
                    f"another backup of {database.server} has not ended in {BUSY_LIMIT}: end the"
                    " session that holds the lock (pg_locks, locktype advisory)"
                )
            raise Snooze(BUSY_WAIT, f"another backup of {database.server} is being made")
        try:
            yield
        finally:
            try:
                await connection.execute(
                    "SELECT pg_advisory_unlock(hashtextextended(%(name)s, 0))", name
                )
            except psycopg.Error:
                await connection.close()  # the lock ends with its session


async def _made(row: Backup, records: Records, data: BackUpDatabase, job: Context) -> Backup:
    try:
        return await _stored(row, records, data, job)
    except BaseException as error:
        with contextlib.suppress(DatabaseUnavailable, Fail):
            await asyncio.shield(records.fail(row.id, str(error) or type(error).__name__))
        raise


async def _stored(row: Backup, records: Records, data: BackUpDatabase, job: Context) -> Backup:
    shared = shared_of(job)
    bucket = shared.storage.backups
    programs = await _programs(shared)
    expected = await records.tables()
    beside: str | None = None
    async with bucket.upload(row.key, _DUMP_TYPE) as upload:
        dumped = await dump(shared.database.server, programs, job.tempdir, upload.write)
        if missing := expected - dumped.tables:
            raise DumpFailed(f"the dump has no data of {', '.join(sorted(missing)[:5])}")
        if dumped.warnings:
            job.log(f"pg_dump: {dumped.warnings}")
        verified_at = datetime.now(UTC)
        await job.progress(0.4)
        if data.include_files:
            beside = await _archived(row, shared, job)
        await job.progress(0.6)
    await job.progress(0.7)
    found = await bucket.info(row.key)
    if found is None or found.size != upload.size:
        raise StorageUnavailable(f"{bucket.name}/{row.key} is not there as it was sent")
    await records.complete(
        row.id,
        size=upload.size,
        sha256=upload.sha256,
        files_key=beside,
        verified_at=verified_at,
    )
    job.log(f"{row.key}: {len(dumped.tables)} tables, {upload.size} bytes, {upload.sha256}")
    return Backup(
        id=row.id,
        key=row.key,
        started_at=row.started_at,
        completed=True,
        size=upload.size,
        sha256=upload.sha256,
        files_key=beside,
    )


async def _archived(row: Backup, shared: Shared, job: Context) -> str:
    key = files_key(row.key)
    async with shared.storage.backups.upload(key, MIME_TYPE) as upload:
        archived = await archive(shared.database, shared.storage.exports, upload)
    job.log(f"{key}: {archived.files} files, {archived.missing} are not in our bucket")
    return key


async def _programs(shared: Shared) -> Programs:
    async with shared.database.transaction(read_only=True) as work:
        version = await work.value(str, "SHOW server_version_num")
    assert version is not None
    return await programs_for(int(version), shared.settings.postgres_programs)
