"""Clean-ups by a real worker: what goes, what stays, and what is never touched."""

import logging
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from processors.clean_up import CleanedUp
from processors.cleaning import rows as piles
from processors.database import Database
from processors.imobibase import QueueName
from processors.queues import create_queue
from processors.storage import Storage
from streamq import App, Job, JobState
from streamq.errors import InvalidPayload
from streamq.run.logs import ConsoleFormat
from streamq.testing import MovableClock, run_until_idle
from tests.processors.marks import progress_marks

OLD = timedelta(days=40)


@pytest.fixture
def clock(imobibase: App) -> MovableClock:
    clock = MovableClock(imobibase)
    imobibase.clock = clock
    return clock


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, for this test alone."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


async def cleaned(imobibase: App, target: str, **payload: object) -> Job:
    queue = create_queue(QueueName.CLEANUP)
    added = await queue.add(f"cleanup-{target}", {"target": target, **payload})
    await run_until_idle(imobibase, "cleanup")
    job = await queue.get(added.id)
    assert job is not None
    return job


def done(job: Job) -> CleanedUp:
    assert job.state is JobState.COMPLETED, job.run.reason
    assert job.run.result is not None
    return msgspec.msgpack.decode(job.run.result, type=CleanedUp)


async def count(database: Database, table: str) -> int:
    async with database.transaction() as work:
        [[counted]] = await (
            await work.connection.execute(f"SELECT count(*) FROM {table}".encode())
        ).fetchall()
    assert isinstance(counted, int)
    return counted


@pytest.fixture
async def logs(database: Database) -> Database:
    """2,500 old rows and 10 new ones in each table of logs."""
    async with database.transaction() as work:
        await work.run("INSERT INTO tenants (id, name, slug) VALUES ('sol', 'Sol', 'sol')")
        for age, number in (("40 days", 2_500), ("1 day", 10)):
            await work.run(
                "INSERT INTO usage_logs (tenant_id, action, created_at)"
                " SELECT 'sol', 'seen', now() AT TIME ZONE 'UTC' - %(age)s::interval"
                " FROM generate_series(1, %(number)s)",
                age=age,
                number=number,
            )
            await work.run(
                "INSERT INTO audit_logs (tenant_id, entity_type, action, occurred_at)"
                " SELECT 'sol', 'lead', 'seen', now() AT TIME ZONE 'UTC' - %(age)s::interval"
                " FROM generate_series(1, %(number)s)",
                age=age,
                number=number,
            )
            await work.run(
                "INSERT INTO compliance_audit_log (tenant_id, action, created_at)"
                " VALUES ('sol', 'export', now() AT TIME ZONE 'UTC' - %(age)s::interval)",
                age=age,
            )
    return database


async def test_old_logs_go_in_batches_and_the_legal_record_stays(
    imobibase: App, logs: Database
) -> None:
    cleaned_up = done(await cleaned(imobibase, "logs", olderThan=30))

    assert cleaned_up.places == {"usage_logs": 2_500, "audit_logs": 2_500}
    assert cleaned_up.deleted == 5_000
    assert cleaned_up.bytes > 5_000
    assert [await count(logs, table) for table in ("usage_logs", "audit_logs")] == [10, 10]
    assert await count(logs, "compliance_audit_log") == 2


async def test_a_dry_run_counts_and_deletes_nothing(imobibase: App, logs: Database) -> None:
    counted = done(await cleaned(imobibase, "logs", olderThan=30, dryRun=True))

    assert counted.dry_run
    assert counted.places == {"usage_logs": 2_500, "audit_logs": 2_500}
    assert counted.bytes > 5_000
    assert await count(logs, "usage_logs") == 2_510
    assert await count(logs, "audit_logs") == 2_510


async def test_a_run_has_a_limit_and_says_that_there_is_more(
    imobibase: App, logs: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piles, "BATCHES_MAX", 2)

    first = done(await cleaned(imobibase, "logs", olderThan=30))
    second = done(await cleaned(imobibase, "logs", olderThan=30))

    assert (first.deleted, first.more) == (4_000, True)
    assert (second.deleted, second.more) == (1_000, False)


async def test_sessions_without_an_end_and_rows_long_ended_go(
    imobibase: App, database: Database
) -> None:
    sessions = imobibase.redis.shared("sess:")
    await sessions.set("clean-up-endless", "{}")
    await sessions.set("clean-up-lives", "{}", expire="1h")
    async with database.transaction() as work:
        await work.run("INSERT INTO tenants (id, name, slug) VALUES ('sol', 'Sol', 'sol')")
        await work.run(
            "INSERT INTO users (id, tenant_id, name, email, password)"
            " VALUES ('1', 'sol', 'Ana', 'ana@sol.com', 'x')"
        )
        for age in ("8 days", "6 days", "-1 day"):
            await work.run(
                "INSERT INTO user_sessions (user_id, session_token, expires_at) VALUES"
                " ('1', gen_random_uuid(), now() AT TIME ZONE 'UTC' - %(age)s::interval)",
                age=age,
            )

    cleaned_up = done(await cleaned(imobibase, "sessions", olderThan=7))

    assert cleaned_up.places["user_sessions"] == 1
    assert cleaned_up.places["redis"] >= 1
    assert await count(database, "user_sessions") == 2
    assert await sessions.get("clean-up-endless") is None
    assert await sessions.get("clean-up-lives") == b"{}"
    await sessions.delete("clean-up-lives")


def aged(path: Path, text: str = "x", age: timedelta = OLD) -> Path:
    """A file that was last changed that long ago, and its folders with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    age_all(path, age)
    return path


def age_all(path: Path, age: timedelta = OLD) -> None:
    then = (datetime.now(UTC) - age).timestamp()
    os.utime(path, (then, then), follow_symlinks=False)


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


async def test_old_temporary_files_of_ours_go_and_nothing_else(
    imobibase: App, database: Database, temp: Path
) -> None:
    aged(temp / "imobibase-old.pdf", "12345")
    aged(temp / "imobibase-new.pdf", age=timedelta(days=1))
    aged(temp / "other-old.pdf")
    aged(temp / "imobibase-used/old.csv")
    aged(temp / "imobibase-used/deep/new.csv", age=timedelta(hours=1))
    aged(temp / "imobibase-left/deep/old.csv", "123")
    for folder in ("imobibase-left/deep", "imobibase-left"):
        age_all(temp / folder)

    cleaned_up = done(await cleaned(imobibase, "temp-files", olderThan=7))

    assert (cleaned_up.deleted, cleaned_up.bytes, cleaned_up.skipped) == (2, 8, 0)
    assert tree(temp) == {
        "imobibase-new.pdf",
        "other-old.pdf",
        "imobibase-used",
        "imobibase-used/old.csv",
        "imobibase-used/deep",
        "imobibase-used/deep/new.csv",
    }


async def test_a_link_goes_and_what_it_leads_to_stays(
    imobibase: App, database: Database, temp: Path, tmp_path: Path
) -> None:
    outside = aged(tmp_path / "outside" / "precious.txt")
    age_all(outside.parent)
    (temp / "imobibase-link").symlink_to(outside)
    (temp / "imobibase-folder").symlink_to(outside.parent)
    aged(temp / "imobibase-tree/old")
    (temp / "imobibase-tree/link").symlink_to(outside.parent)
    for link in ("imobibase-link", "imobibase-folder", "imobibase-tree/link", "imobibase-tree"):
        age_all(temp / link)

    done(await cleaned(imobibase, "temp-files", olderThan=7))

    assert tree(temp) == set()
    assert outside.read_text() == "x"


async def test_old_log_files_go_by_their_names(
    imobibase: App, database: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    for name in ("app.log.1", "streamq.log-20250101.gz", "streamq.log", "data.db", "deep/app.log"):
        aged(folder / name)
    aged(folder / "app.log", age=timedelta(days=2))
    imobibase.configure(msgspec.structs.replace(imobibase.settings, log_dir=str(folder)))

    cleaned_up = done(await cleaned(imobibase, "logs", olderThan=30))

    assert cleaned_up.places["LOG_DIR"] == 2
    assert tree(folder) == {"app.log", "streamq.log", "data.db", "deep", "deep/app.log"}


async def test_exports_whose_links_have_ended_go_and_their_requests_stay(
    imobibase: App, clock: MovableClock, database: Database, storage: Storage
) -> None:
    ends: Mapping[str, str | None] = {"ended": "-1 hour", "lives": "1 day", "working": None}
    async with database.transaction() as work:
        await work.run("INSERT INTO tenants (id, name, slug) VALUES ('sol', 'Sol', 'sol')")
        for name, end in ends.items():
            key = f"exports/sol/1/{name}.zip"
            await storage.exports.put(key, b"zip", "application/zip")
            await work.run(
                "INSERT INTO data_export_requests (id, tenant_id, status, file_url, export_url,"
                " expires_at) VALUES (%(name)s, 'sol', %(status)s, %(key)s, %(key)s,"
                " now() AT TIME ZONE 'UTC' + interval '8 days' + %(end)s::interval)",
                name=name,
                status="completed" if end else "processing",
                key=key,
                end=end,
            )
    await storage.exports.put("exports/sol/1/left.zip", b"zip", "application/zip")
    await storage.exports.put("invoices/sol/1.pdf", b"pdf", "application/pdf")
    assert done(await cleaned(imobibase, "old-exports", olderThan=7)).deleted == 0
    await clock.advance(days=8)

    cleaned_up = done(await cleaned(imobibase, "old-exports", olderThan=7))

    assert cleaned_up.places == {"objects": 2, "download_links": 0}
    assert [found.key async for found in storage.exports.list("exports/")] == [
        "exports/sol/1/lives.zip",
        "exports/sol/1/working.zip",
    ]
    assert await storage.exports.info("invoices/sol/1.pdf") is not None
    assert await count(database, "data_export_requests WHERE file_url IS NULL") == 1
    assert await count(database, "data_export_requests") == 3


@pytest.mark.parametrize(
    "payload",
    [{"target": "users"}, {"target": "logs", "olderThan": 0}, {"target": "logs", "roots": "/"}],
)
async def test_what_is_no_clean_up_is_refused_when_it_is_added(
    imobibase: App, payload: Mapping[str, object]
) -> None:
    with pytest.raises(InvalidPayload):
        await create_queue(QueueName.CLEANUP).add("cleanup-logs", payload)


async def test_its_progress_and_its_lines_are_those_asked_for(
    imobibase: App,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "CleanupProcessor")
    marks = progress_marks(monkeypatch)

    done(await cleaned(imobibase, "logs"))

    assert marks == [10, 100]
    ours = [record for record in caplog.records if record.name == "CleanupProcessor"]
    assert [ConsoleFormat(colour=False).format(record) for record in ours] == [
        "[CleanupProcessor] Cleaning up logs older than 30 days",
        "[CleanupProcessor] Cleanup of logs completed: 0 deleted",
    ]
