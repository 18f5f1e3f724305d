"""What the outside may do to the processors, by its scenarios' numbers: what no other file has.

The others: 69 test_database*, test_documents_trouble; 70 test_smtp, test_send_email,
test_mail_record; 71 test_storage; 72 test_back_up_database, test_backup_dump; 73 test_http;
74 test_export_contents, test_report_memory, test_clean_up, test_keeping_cut_short;
75 test_documents_trouble; 76 test_logs, test_daemon.
"""

import asyncio
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from processors import build_report
from processors.cleaning import rows as piles
from processors.clients.http import Http, HttpUnavailable
from processors.database import Database, DatabaseUnavailable
from processors.database.url import parse_database_url
from processors.exports import read
from processors.exports.tables import ExportType
from processors.exports.write import Export, ExportFormat, write_export
from processors.imobibase import QueueName
from processors.queues import create_queue, queue_bulk_email, queue_cleanup, queue_daily_report
from processors.storage import Storage, StoragePlace, StorageUnavailable
from streamq import App, JobState
from streamq.testing import run_until_idle
from tests.processors.agency_rows import USER, add_agency, add_payment
from tests.processors.certificates import Authority
from tests.processors.mail_server import MailServer
from tests.processors.web_server import running
from tests.support.postgres import Postgres

HANG_S = 10.0
"""What nothing here may take, though its other side says nothing for ever."""


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """The port of a server whose connections end with it."""
    ends: list[asyncio.StreamWriter] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(writer)
        with suppress(OSError):
            await serve(reader, writer)

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for end in ends:
            end.close()
            with suppress(OSError):
                await end.wait_closed()


@asynccontextmanager
async def silent(after: bytes = b"") -> AsyncIterator[int]:
    """A server that takes connections, says that much, and then nothing; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await reader.read(-1)

    async with listening(serve) as port:
        yield port


@pytest.mark.slow
async def test_69_a_database_that_hangs_at_connect_is_left_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("processors.database.pool.WAIT_LIMIT_S", 0.2)
    monkeypatch.setattr("processors.database.pool.CONNECT_LIMIT_S", 2)  # libpq knows no less
    async with silent() as port:
        database = Database(parse_database_url(f"postgresql://x:y@127.0.0.1:{port}/x"))
        await database.open()
        with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1"):
            async with asyncio.timeout(HANG_S), database.transaction():
                pass
        await database.aclose()


@pytest.mark.slow
async def test_69_a_database_that_hangs_in_a_query_is_left_with_the_job(
    database: Database, postgres: Postgres
) -> None:
    """A statement has its time from the server; a server that says nothing, from the job's own."""
    async with relay(postgres.tcp_url_of(database.server.name)) as (url, freeze):
        frozen = Database(parse_database_url(url), connections=1)
        await frozen.open()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(HANG_S), frozen.transaction() as work:
                assert await work.value(int, "SELECT 1") == 1
                freeze.set()
                async with asyncio.timeout(0.2):
                    await work.run("SELECT 1")
        await frozen.aclose()


async def test_69_a_database_with_too_many_connections_or_a_full_disk_is_trouble_that_passes(
    database: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.database.pool.WAIT_LIMIT_S", 0.2)
    role = f"many_{database.server.name}"
    server = parse_database_url(postgres.tcp_url_of(database.server.name))
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p' CONNECTION LIMIT 0".encode())
        place = f"{server.host}:{server.port}/{server.name}"
        crowded = Database(parse_database_url(f"postgresql://{role}:p@{place}"))
        await crowded.open()
        with pytest.raises(DatabaseUnavailable, match="too many connections"):
            async with crowded.transaction():
                pass
        await crowded.aclose()
        connection.execute(f"DROP ROLE {role}".encode())

    with pytest.raises(DatabaseUnavailable, match="No space left"):
        async with database.transaction() as work:
            await work.run(
                "DO $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device'"
                " USING ERRCODE = 'disk_full'; END $$"
            )


async def test_70_each_of_many_has_one_mail_though_the_server_is_full_for_a_while(
    imobibase: App, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{mails.port}")
    monkeypatch.setattr("processors.enqueue.email.BULK_SPREAD", timedelta())
    readers = [f"r{n}@example.com" for n in range(60)]
    mails.answer("DATA", "552 mailbox full", "250 taken")

    await queue_bulk_email(readers, "Olá", "welcome", {"userName": "Ana"})
    await run_until_idle(imobibase, "email")

    counts = await create_queue(QueueName.EMAIL).counts()
    had = [one for mail in mails.mails for one in mail.recipients]
    assert (counts.completed, counts.failed) == (59, 1)
    assert (len(had), len(set(had))) == (59, 59)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "timeout|timed out"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "timeout|timed out"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nx-amz-checksum-crc32: AAAAAA==\r\n\r\nbody",
            "hecksum",
        ),
    ],
    ids=["hangs", "hangs half-way", "wrong checksum"],
)
async def test_71_an_object_that_does_not_come_or_comes_damaged_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, says: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stand-in")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "stand-in")
    monkeypatch.setattr("processors.storage.client.ATTEMPTS", 1)
    monkeypatch.setattr("processors.storage.client.ANSWER_LIMIT_S", 0.3)
    async with silent(answer) as port:
        place = StoragePlace(backups="back", exports="exports", endpoint=f"http://127.0.0.1:{port}")
        storage = Storage(place)
        with pytest.raises(StorageUnavailable, match=says):
            async with asyncio.timeout(HANG_S):
                await storage.exports.get("a/1")
        await storage.aclose()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_73_a_webhook_that_speaks_only_old_tls_is_not_spoken_to(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    old = authority.server_context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    async with running(tls=old) as web:
        tls = ssl.create_default_context(cafile=authority.path)
        client = Http(frozenset({f"localhost:{web.port}"}), tls=tls)
        with pytest.raises(HttpUnavailable):
            await client.send("POST", f"https://localhost:{web.port}/", body=b"x")
        assert web.asked == []


async def test_74_an_export_and_a_clean_up_hold_no_transaction_for_longer_than_a_page(
    imobibase: App, seeded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "PAGE_ROWS", 5)
    monkeypatch.setattr(piles, "BATCH_ROWS", 5)
    owner = await read.find_owner(seeded, "1")
    assert owner is not None
    seen = []

    async def write(chunk: bytes) -> None:
        seen.append(await others(seeded))

    at = datetime.now(UTC)
    export = Export(owner=owner, type=ExportType.ALL, format=ExportFormat.JSON, at=at)
    await write_export(seeded, export, write, lambda done, tables: None)
    async with seeded.transaction() as work:
        await work.run(
            "INSERT INTO usage_logs (tenant_id, action, created_at) SELECT tenant_id, 'x',"
            " now() - interval '90 days' FROM users, generate_series(1, 20)"
        )
    ends = await ended_transactions(seeded)
    await queue_cleanup("logs")
    await run_until_idle(imobibase, "cleanup")

    assert len(seen) > 20
    assert set(seen) == {0}
    assert await ended_transactions(seeded) - ends > 4


async def test_75_a_report_on_a_full_disk_is_tried_again_and_leaves_nothing(
    imobibase: App, database: Database, storage: Storage, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await add_agency(database)
    await add_payment(database)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    writer = build_report._writer

    def on_a_full_disk(*given: object) -> object:
        path = next(one for one in given if isinstance(one, Path))
        path.symlink_to("/dev/full")
        return writer(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(build_report, "_writer", on_a_full_disk)
    job_id = await queue_daily_report(USER, "user@example.com")
    await run_until_idle(imobibase, "report")

    job = await create_queue(QueueName.REPORT).get(job_id)
    assert job is not None
    assert job.state is JobState.DELAYED
    assert "No space left on device" in job.run.errors[0].message
    assert os.listdir(tmp_path) == []
    assert [one async for one in storage.exports.list("reports/")] == []


async def others(database: Database) -> int:
    """Transactions on this database that are open, but for the one that asks."""
    async with database.transaction() as work:
        found = await work.value(
            int,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND xact_start IS NOT NULL AND pid <> pg_backend_pid()",
        )
    assert found is not None
    return found


async def ended_transactions(database: Database) -> int:
    async with database.transaction() as work:
        found = await work.value(int, "SELECT pg_current_xact_id()::text::bigint")
    assert found is not None
    return found


@asynccontextmanager
async def relay(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """That database behind a link which goes dead, without a word, once the event is set."""
    server, dead = parse_database_url(url), asyncio.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not dead.is_set():
                writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if dead.is_set():  # a request to cancel: it is not waited for
            writer.close()
            return
        there, back = await asyncio.open_connection(server.host, int(server.port))
        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            back.close()

    async with listening(serve) as port:
        yield url.replace(f":{server.port}", f":{port}"), dead
