"""A backup by a real worker: pg_dump of a real server, in S3, restored elsewhere."""

import hashlib
import io
import logging
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg import sql

from processors import back_up_database
from processors.back_up_database import BackupMade
from processors.backups.keeping import delete_old, dump_key
from processors.database import Database, DatabaseServer
from processors.imobibase import QueueName
from processors.queues import create_queue
from processors.standins.postgres import programs
from processors.storage import Storage
from streamq import App, Job, JobState
from streamq.run.logs import ConsoleFormat
from streamq.testing import MovableClock, run_until_idle
from tests.processors.marks import progress_marks
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


async def test_an_incremental_backup_is_refused_with_a_sentence(
    imobibase: App, agency: Database, storage: Storage
) -> None:
    job = await backed_up(imobibase, type="incremental")

    assert job.state is JobState.FAILED
    assert job.run.attempts == 1
    assert job.run.reason.startswith("an incremental backup is not made here: pg_dump has none.")
    assert await rows(agency) == []


async def test_the_console_shows_the_backup_and_no_secret(
    imobibase: App,
    agency: Database,
    storage: Storage,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    name = agency.server.name
    monkeypatch.setenv("DATABASE_URL", databases.postgres.tcp_url_of(name))

    backup = made(await backed_up(imobibase))

    ours = [record for record in caplog.records if record.name == "BackupProcessor"]
    assert [ConsoleFormat(colour=False).format(record) for record in ours] == [
        f"[BackupProcessor] Starting full backup of {name}",
        f"[BackupProcessor] Backup completed: {backup.key}, {backup.size} bytes",
    ]
    assert databases.postgres.password not in caplog.text


async def test_the_files_of_the_application_lie_beside_the_dump(
    imobibase: App, agency: Database, storage: Storage
) -> None:
    contents = {"invoices/sol/1.pdf": b"%PDF", "reports/sol/2.xlsx": b"x" * 2_000_000}
    for key, content in contents.items():
        await storage.exports.put(key, content, "application/pdf")
    await storage.exports.put("exports/sol/1/not-a-file.zip", b"zip", "application/zip")
    async with agency.transaction() as work:
        for path in (*contents, "invoices/sol/gone.pdf", "/uploads/sol/photo 1.jpg"):
            await work.run(
                "INSERT INTO files (tenant_id, filename, original_name, mime_type, size, path)"
                " VALUES ('sol', 'a', 'a', 'application/pdf', 1, %(path)s)",
                path=path,
            )

    backup = made(await backed_up(imobibase, includeFiles=True))

    assert backup.files_key == backup.key.replace(".dump", ".files.tar")
    assert await keys(storage) == [backup.key, backup.files_key]
    archive = io.BytesIO(await storage.backups.get(backup.files_key))
    with tarfile.open(fileobj=archive) as tar:
        found = {each.name: file.read() for each in tar if (file := tar.extractfile(each))}
    assert found == contents


async def test_old_backups_go_but_never_the_newest(
    imobibase: App, clock: MovableClock, agency: Database, storage: Storage
) -> None:
    foreign = f"backups/{agency.server.name}/by-hand.dump"
    other = dump_key("another", datetime(2020, 1, 1, tzinfo=UTC))
    for key in (foreign, other):
        await storage.backups.put(key, b"x", "application/octet-stream")
    first = made(await backed_up(imobibase, retention=7))
    await clock.advance(days=6)
    second = made(await backed_up(imobibase, retention=7))
    assert (first.deleted, second.deleted) == (0, 0)
    await clock.advance(days=5)

    third = made(await backed_up(imobibase, retention=7))
    assert third.deleted == 1
    assert set(await keys(storage)) == {foreign, other, second.key, third.key}
    assert [row.status for row in await rows(agency)] == ["deleted", "completed", "completed"]

    # Were this one lost, the newest that there is must stay, however old it is.
    await storage.backups.delete([third.key])
    long_ago = datetime.now(UTC) + timedelta(days=400)
    await delete_old(storage.backups, agency.server.name, before=long_ago)
    assert set(await keys(storage)) == {foreign, other, second.key}


async def test_two_backups_of_one_database_are_not_made_at_once(
    imobibase: App, clock: MovableClock, agency: Database, storage: Storage
) -> None:
    lock = {"name": f"backup:{agency.server.name}"}
    async with agency.connection() as connection:
        await connection.execute("SELECT pg_advisory_lock(hashtextextended(%(name)s, 0))", lock)
        waiting = await backed_up(imobibase)
        assert waiting.state is JobState.DELAYED
        assert waiting.run.attempts == 0
        assert await rows(agency) == []
        await connection.execute("SELECT pg_advisory_unlock(hashtextextended(%(name)s, 0))", lock)
    await clock.advance(minutes=1)

    await run_until_idle(imobibase, "backup")

    made(await seen(waiting))


async def seen(job: Job) -> Job:
    found = await create_queue(QueueName.BACKUP).get(job.id)
    assert found is not None
    return found


@pytest.fixture
def broken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs whose pg_dump is killed half-way the first time; the file counts its runs."""
    runs = tmp_path / "runs"
    folder = tmp_path / "programs"
    folder.mkdir()
    real = programs() / "pg_dump"
    (folder / "pg_dump").write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {real} "$@"\necho run >> {runs}\n'
        f'[ $(wc -l < {runs}) = 1 ] && {{ {real} "$@" | head -c 9000; kill -9 $$; }}\n'
        f'exec {real} "$@"\n'
    )
    (folder / "pg_dump").chmod(0o755)
    (folder / "pg_restore").symlink_to(programs() / "pg_restore")
    monkeypatch.setenv("POSTGRES_PROGRAMS_DIR", str(folder))
    return runs


async def test_a_dump_that_broke_off_is_never_seen_and_the_next_attempt_makes_it(
    imobibase: App,
    clock: MovableClock,
    agency: Database,
    storage: Storage,
    broken_once: Path,
) -> None:
    job = await backed_up(imobibase)

    assert job.state is JobState.DELAYED
    assert await keys(storage) == []
    [row] = await rows(agency)
    assert (row.status, row.error) == (
        "failed",
        "pg_dump was ended by signal 9: it said nothing",
    )

    await clock.advance(seconds=5)
    await run_until_idle(imobibase, "backup")

    backup = made(await seen(job))
    assert await keys(storage) == [backup.key] == [row.key]
    [row] = await rows(agency)
    assert (row.status, row.error, row.sha256) == ("completed", None, backup.sha256)


class Lost(Exception):
    """The worker was lost here."""


@pytest.mark.parametrize(
    ("step", "done"),
    [("dump", True), ("Records.complete", False), ("Records.complete", True)],
    ids=["dumped", "visible", "recorded"],
)
async def test_an_attempt_lost_on_the_way_doubles_nothing(
    imobibase: App,
    clock: MovableClock,
    agency: Database,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    done: bool,
) -> None:
    *owner, name = step.split(".")
    place = getattr(back_up_database, owner[0]) if owner else back_up_database
    real = getattr(place, name)

    async def lost(*given: object, **named: object) -> object:
        if done:
            await real(*given, **named)
        raise Lost

    with monkeypatch.context() as broken:
        broken.setattr(place, name, lost)
        job = await backed_up(imobibase)
    assert job.state is JobState.DELAYED
    done_before = [row for row in await rows(agency) if row.status == "completed"]
    await clock.advance(seconds=5)

    await run_until_idle(imobibase, "backup")

    backup = made(await seen(job))
    assert await keys(storage) == [backup.key]
    [row] = await rows(agency)
    assert (row.key, row.status, row.error) == (backup.key, "completed", None)
    assert done_before in ([], [row]), "a second dump has other bytes"
    assert hashlib.sha256(await storage.backups.get(backup.key)).hexdigest() == row.sha256


async def test_its_progress_has_the_marks_asked_for(
    imobibase: App, agency: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = progress_marks(monkeypatch)

    made(await backed_up(imobibase))

    assert marks == [10, 40, 60, 70, 90, 100]


async def test_a_lost_workers_row_says_so_once_the_next_backup_runs(
    imobibase: App, agency: Database, storage: Storage
) -> None:
    async with agency.transaction() as work:
        await work.run(
            "INSERT INTO backups (job_id, database, type, key, status, started_at)"
            " VALUES ('lost', %(name)s, 'full', 'backups/lost.dump', 'running', '2026-01-01')",
            name=agency.server.name,
        )

    made(await backed_up(imobibase))

    lost, new = await rows(agency)
    assert (lost.status, lost.error) == ("failed", "its worker was lost")
    assert new.status == "completed"


async def test_without_a_pg_dump_of_the_servers_version_it_fails_and_says_what_to_do(
    imobibase: App,
    agency: Database,
    storage: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POSTGRES_PROGRAMS_DIR", str(tmp_path))

    job = await backed_up(imobibase)

    assert job.state is JobState.FAILED
    assert "Install postgresql-client-18, or set POSTGRES_PROGRAMS_DIR" in job.run.reason
    [row] = await rows(agency)
    assert (row.status, row.error) == ("failed", job.run.reason)


async def test_a_storage_that_is_away_is_tried_again(
    imobibase: App, agency: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:9")

    job = await backed_up(imobibase)

    assert job.state is JobState.DELAYED
    [row] = await rows(agency)
    assert row.status == "failed"
