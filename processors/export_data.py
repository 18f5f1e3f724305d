"""Gives users their data (LGPD, art. 18): the jobs `user-data-export` of the queue `export`."""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from processors.database import DatabaseUnavailable
from processors.downloads import LIFETIME, Download, link_to
from processors.enqueue.email import queue_email
from processors.exports.read import find_owner
from processors.exports.requests import Request, begin, complete, fail
from processors.exports.tables import ExportType
from processors.exports.write import FILE_KINDS, Export, ExportFormat, write_export
from processors.ids import Id, as_text
from processors.imobibase import QueueName, Shared, app, shared_of
from processors.saying import say
from streamq import Context, Fail, Payload

ATTEMPTS: Final = 3
TIMEOUT: Final = timedelta(hours=2)
SUBJECT: Final = "Os seus dados estão prontos para baixar"

log = logging.getLogger("ExportProcessor")


class ExportData(Payload, rename="camel"):
    """One export of one user's data, as their role allows."""

    user_id: Id
    type: ExportType
    format: ExportFormat
    email: Annotated[str, Meta(max_length=320, examples=["user@example.com"])]
    """The user's own address; the mail goes nowhere else."""


class DataExported(Struct, frozen=True, rename="camel"):
    """What a finished job says of its export. The link is in the mail alone."""

    request_id: str
    key: str
    size: int
    expires_at: datetime


@app.job(QueueName.EXPORT, name="user-data-export", attempts=ATTEMPTS, timeout=TIMEOUT)
async def export_data(data: ExportData, job: Context) -> DataExported:
    """Streams the data into one object, and mails its owner a link that lives for seven days.

    Another attempt goes on with the same request, object, audit row and mail. Fails at once for a
    user who is not there, and for an address that is not the user's own.
    """
    shared = shared_of(job)
    owner = await find_owner(shared.database, as_text(data.user_id))
    if owner is None:
        raise Fail(f"there is no user {as_text(data.user_id)}: nothing can be exported")
    export = Export(owner=owner, type=data.type, format=data.format, at=job.claimed_at)
    say(log, job, "export.started", f"Exporting data ({data.type}) of user {owner.id}")
    request = await begin(shared.database, _key_of(job), export)
    await job.progress(0.1)
    try:
        if data.email.strip().casefold() != owner.email.casefold():
            raise Fail(
                f"an export goes to the user's own address only, and the payload's email is not"
                f" that of user {owner.id}"
            )
        done = await _exported(request, export, shared, job)
    except BaseException as error:
        said = str(error) or type(error).__name__
        with contextlib.suppress(DatabaseUnavailable, Fail):
            await asyncio.shield(fail(shared.database, request, owner.tenant_id, said))
        raise
    await job.progress(1.0)
    say(log, job, "export.completed", f"Export {request.id} completed: {done.size} bytes")
    return done


async def _exported(request: Request, export: Export, shared: Shared, job: Context) -> DataExported:
    """Stores it if no attempt before has, and queues the mail that an attempt before may have."""
    owner = export.owner
    if request.completed_at is None:
        request = await _stored(request, export, shared, job)
    assert request.size is not None
    assert request.completed_at is not None
    assert request.expires_at is not None
    download = Download(
        key=request.key,
        filename=request.filename,
        mime_type=FILE_KINDS[export.format].mime_type,
    )
    async with shared.database.transaction(tenant=owner.tenant_id) as work:
        link = await link_to(
            work,
            download,
            app_url=shared.settings.app_url,
            tenant=owner.tenant_id,
            user=owner.id,
        )
    await job.progress(0.85)
    await queue_email(
        to=owner.email,
        subject=SUBJECT,
        template="export-ready",
        data={
            "exportType": export.type.value,
            "format": export.format.value,
            "downloadUrl": link,
            "expiresIn": f"{LIFETIME.days} days",
            "generatedAt": request.completed_at.isoformat(),
        },
        job_id=f"export:{request.id}:email",
        name="send-export",
        tenant=owner.tenant_id,
    )
    return DataExported(request.id, request.key, request.size, request.expires_at)


async def _stored(request: Request, export: Export, shared: Shared, job: Context) -> Request:
    def written(done: int, tables: int) -> None:
        job.progress(0.4 + 0.3 * done / tables)

    await job.progress(0.4)
    kind = FILE_KINDS[export.format]
    async with shared.storage.exports.upload(request.key, kind.mime_type) as upload:
        rows = await write_export(shared.database, export, upload.write, written)
    ends = datetime.now(UTC) + LIFETIME
    async with shared.database.transaction(tenant=export.owner.tenant_id) as work:
        await complete(work, request, export, size=upload.size, ends=ends, rows=rows)
    job.log(f"{sum(rows.values())} rows of {len(rows)} tables, {upload.size} bytes")
    return replace(request, completed_at=export.at, size=upload.size, expires_at=ends)


def _key_of(job: Context) -> str:
    """The job, and no later one that is given the same id."""
    return f"{job.id}@{job.added_at.timestamp() * 1000:.0f}"
