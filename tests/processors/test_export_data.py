"""An export by a real worker: what is in it and what is not, its link, its mail, its rows."""

import csv
import io
import json
import logging
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import psycopg
import pytest

import processors.export_data
from processors.database import Database
from processors.downloads import opened
from processors.export_data import DataExported
from processors.exports import write
from processors.exports.cells import json_of
from processors.exports.read import Page, find_owner
from processors.exports.requests import begin, complete
from processors.exports.tables import ExportType
from processors.exports.write import Export, ExportFormat
from processors.imobibase import QueueName
from processors.queues import create_queue
from processors.storage import Storage
from streamq import App, Job, JobState
from streamq.run.logs import ConsoleFormat
from streamq.testing import MovableClock, run_until_idle
from tests.processors.marks import progress_marks

# As the document that asked for this system gives it.
ASKED_FOR: Mapping[str, object] = {
    "userId": 123,
    "type": "all",
    "format": "zip",
    "email": "user@example.com",
}


class Request(msgspec.Struct, frozen=True):
    id: str
    status: str
    format: str
    export_url: str | None
    file_size: int | None
    error: str | None


class Audited(msgspec.Struct, frozen=True):
    action: str
    resource_type: str
    resource_id: str
    details: dict[str, object]


@pytest.fixture
def clock(imobibase: App) -> MovableClock:
    clock = MovableClock(imobibase)
    imobibase.clock = clock
    return clock


async def exported(imobibase: App, **changed: object) -> Job:
    queue = create_queue(QueueName.EXPORT)
    added = await queue.add("user-data-export", {**ASKED_FOR, **changed})
    await run_until_idle(imobibase, "export")
    job = await queue.get(added.id)
    assert job is not None
    return job


def made(job: Job) -> DataExported:
    assert job.state is JobState.COMPLETED, job.run.reason
    assert job.run.result is not None
    return msgspec.msgpack.decode(job.run.result, type=DataExported)


async def unzipped(storage: Storage, key: str) -> dict[str, bytes]:
    content = await storage.exports.get(key)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


async def requests(database: Database) -> list[Request]:
    async with database.transaction() as work:
        return await work.every(
            Request,
            "SELECT id, status, format, export_url, file_size, error FROM data_export_requests"
            " WHERE user_id = '123' ORDER BY requested_at",
        )


async def audited(database: Database) -> list[Audited]:
    async with database.transaction() as work:
        return await work.every(
            Audited,
            "SELECT action, resource_type, resource_id, details FROM compliance_audit_log"
            " WHERE user_id = '123' AND action = 'export'",
        )


async def mails() -> list[dict[str, object]]:
    page = await create_queue(QueueName.EMAIL).page(JobState.WAITING)
    return [msgspec.msgpack.decode(job.data, type=dict[str, object]) for job in page.jobs]


async def test_the_export_asked_for_holds_the_users_data_and_the_link_in_the_mail_opens_it(
    imobibase: App, seeded: Database, storage: Storage
) -> None:
    export = made(await exported(imobibase))

    files = await unzipped(storage, export.key)
    whole = json.loads(files["my-data.json"])
    assert whole["user"] == {
        "id": "123",
        "name": "John Doe",
        "email": "user@example.com",
        "role": "broker",
    }
    tables = {name.removesuffix(".csv") for name in files if name.endswith(".csv")}
    assert tables == whole["data"].keys()
    for table, rows in whole["data"].items():
        text = files[f"{table}.csv"].decode("utf-8-sig")
        as_csv = list(csv.DictReader(io.StringIO(text), delimiter=";"))
        assert [row["id"] for row in as_csv] == [row["id"] for row in rows]
    assert len(whole["data"]["rental_payments"]) > 100
    assert "LGPD" in files["README.txt"].decode("utf-8-sig")

    [request] = await requests(seeded)
    assert request == Request(
        export.request_id,
        "completed",
        "zip",
        export.key,
        len(await storage.exports.get(export.key)),
        None,
    )
    [audit] = await audited(seeded)
    assert (audit.action, audit.resource_type, audit.resource_id) == ("export", "user", "123")
    [mail] = await mails()
    assert (mail["to"], mail["template"]) == ("user@example.com", "export-ready")
    data = mail["data"]
    assert isinstance(data, dict)
    token = str(data["downloadUrl"]).rpartition("/")[2]
    assert await opened(seeded, storage, token) is not None


class Lost(Exception):
    """The worker was lost here."""


@pytest.mark.parametrize(
    ("step", "done"),
    [("write_export", True), ("complete", True), ("link_to", True), ("queue_email", True)],
)
async def test_an_attempt_lost_on_the_way_doubles_nothing(
    imobibase: App,
    clock: MovableClock,
    seeded: Database,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    done: bool,
) -> None:
    real = getattr(processors.export_data, step)

    async def lost(*given: object, **named: object) -> object:
        if done:
            await real(*given, **named)
        raise Lost

    with monkeypatch.context() as broken:
        broken.setattr(processors.export_data, step, lost)
        job = await exported(imobibase, type="user-data", format="json")
    assert job.state is JobState.DELAYED
    done_before = [found for found in await requests(seeded) if found.status == "completed"]
    for found in done_before:
        assert found.export_url is not None
        await storage.exports.put(found.export_url, b"written once", "application/json")
    await clock.advance(seconds=5)

    await run_until_idle(imobibase, "export")

    export = made(await seen(job))
    assert (await storage.exports.get(export.key) == b"written once") is bool(done_before)
    assert [found.key async for found in storage.exports.list("exports/")] == [export.key]
    [request] = await requests(seeded)
    assert (request.status, request.error) == ("completed", None)
    assert len(await audited(seeded)) == 1
    assert len(await mails()) == 1


async def seen(job: Job) -> Job:
    found = await create_queue(QueueName.EXPORT).get(job.id)
    assert found is not None
    return found


async def test_a_request_that_the_application_wrote_down_is_the_one_that_is_completed(
    imobibase: App, seeded: Database, storage: Storage
) -> None:
    async with seeded.transaction() as work:
        await work.run(
            "INSERT INTO data_export_requests (id, user_id, tenant_id, format)"
            " SELECT 'asked', id, tenant_id, 'json' FROM users WHERE id = '123'"
        )

    export = made(await exported(imobibase, type="user-data", format="json"))

    [request] = await requests(seeded)
    assert (request.id, export.request_id, request.status) == ("asked", "asked", "completed")


async def test_a_second_export_is_a_request_of_its_own(
    imobibase: App, seeded: Database, storage: Storage
) -> None:
    first = made(await exported(imobibase, type="user-data", format="json"))
    second = made(await exported(imobibase, type="user-data", format="json"))

    assert first.key != second.key
    assert len(await requests(seeded)) == len(await audited(seeded)) == len(await mails()) == 2


async def test_an_export_goes_to_the_users_own_address_only(
    imobibase: App, seeded: Database, storage: Storage
) -> None:
    job = await exported(imobibase, email="someone@example.com")

    assert job.state is JobState.FAILED
    assert job.run.attempts == 1
    assert "an export goes to the user's own address only" in job.run.reason
    assert "someone" not in job.run.reason
    assert [found.key async for found in storage.exports.list("exports/")] == []
    assert await mails() == []
    [request] = await requests(seeded)
    assert (request.status, request.error) == ("failed", job.run.reason)

    made(await exported(imobibase, email=" User@Example.com ", type="user-data"))


async def test_of_a_user_who_is_not_there_nothing_is_exported(
    imobibase: App, seeded: Database, storage: Storage
) -> None:
    job = await exported(imobibase, userId="nobody")

    assert job.state is JobState.FAILED
    assert job.run.reason == "there is no user nobody: nothing can be exported"


async def test_a_storage_that_is_away_is_tried_again_and_the_request_says_so_meanwhile(
    imobibase: App,
    clock: MovableClock,
    seeded: Database,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as away:
        away.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:9")
        job = await exported(imobibase, type="user-data", format="json")
    [request] = await requests(seeded)
    assert (job.state, request.status) == (JobState.DELAYED, "failed")
    await clock.advance(seconds=5)

    await run_until_idle(imobibase, "export")

    [request] = await requests(seeded)
    assert (request.status, request.error) == ("completed", None)


async def test_the_console_shows_the_export_and_neither_its_link_nor_its_reader(
    imobibase: App, seeded: Database, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    export = made(await exported(imobibase, type="user-data", format="json"))

    ours = [record for record in caplog.records if record.name == "ExportProcessor"]
    assert [ConsoleFormat(colour=False).format(record) for record in ours] == [
        "[ExportProcessor] Exporting data (user-data) of user 123",
        f"[ExportProcessor] Export {export.request_id} completed: {export.size} bytes",
    ]
    for secret in ("/downloads/", "X-Amz-Signature", "John Doe"):
        assert secret not in caplog.text


async def test_its_progress_has_the_marks_asked_for(
    imobibase: App, seeded: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = progress_marks(monkeypatch)

    made(await exported(imobibase, type="contracts"))

    assert marks == sorted(marks)
    assert {10, 40, 70, 85, 100} <= {*marks}


async def test_two_attempts_that_both_complete_it_write_one_audit_row(
    seeded: Database,
) -> None:
    owner = await find_owner(seeded, "123")
    assert owner is not None
    at = datetime.now(UTC)
    export = Export(owner=owner, type=ExportType.ALL, format=ExportFormat.ZIP, at=at)
    first = await begin(seeded, "one@1", export)
    second = await begin(seeded, "one@1", export)
    assert first == second

    for request in (first, second):
        async with seeded.transaction(tenant=owner.tenant_id) as work:
            await complete(work, request, export, size=1, ends=at, rows={})

    assert len(await audited(seeded)) == 1


async def test_a_database_that_was_restarted_between_two_pages_is_not_noticed(
    imobibase: App, seeded: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []

    def ends_others(page: Page, *, first: bool) -> bytes:
        if not ended:
            with psycopg.connect(seeded.server.conninfo(), autocommit=True) as connection:
                ended.extend(
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
        return json_of(page, first=first)

    monkeypatch.setattr(write, "json_of", ends_others)

    job = await exported(imobibase, type="contracts", format="json")

    assert ended
    assert job.run.attempts == 1
    whole = json.loads(await storage.exports.get(made(job).key))
    assert len(whole["data"]["rental_payments"]) > 100
