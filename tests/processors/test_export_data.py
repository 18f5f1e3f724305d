"""An export by a real worker: what is in it and what is not, its link, its mail, its rows."""

import csv
import io
import json
import zipfile
from collections.abc import Mapping

import msgspec
import pytest

from processors.database import Database
from processors.downloads import opened
from processors.export_data import DataExported
from processors.imobibase import QueueName
from processors.queues import create_queue
from processors.storage import Storage
from streamq import App, Job, JobState
from streamq.testing import MovableClock, run_until_idle

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
