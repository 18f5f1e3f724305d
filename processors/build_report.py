"""Builds one report: a file in the bucket, its row in `files`, a link, and one mail about it."""

import asyncio
import hashlib
import logging
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from processors.clients.mailbox import parse_mailbox
from processors.days import Period, day_of
from processors.downloads import Download, link_to
from processors.enqueue.email import queue_email
from processors.filing import Filed, file_away
from processors.ids import Id, as_text
from processors.imobibase import QueueName, Shared, app, shared_of
from processors.paper.text import clean
from processors.reports.figures import Figures, Report, read_report
from processors.reports.kinds import (
    MIME_TYPES,
    ReportFormat,
    ReportType,
    filename_of,
    period_in_words,
    period_of,
    title_of,
)
from processors.reports.payments import payments
from processors.reports.shown import Title, Writer
from processors.saying import say
from processors.storage.bucket import CHUNK_BYTES
from streamq import Context, Fail, Payload
from streamq.errors import InvalidInput

GENERATE_REPORT: Final = "generate-report"
ATTEMPTS: Final = 3
TIMEOUT: Final = timedelta(minutes=15)
STATEMENT_LIMIT_MS: Final = 300_000
_DIGEST_CHARS: Final = 24

# Its lines are `[ReportProcessor] ...` on the console.
log = logging.getLogger("ReportProcessor")


class BuildReport(Payload, rename="camel"):
    """What report, for whom. Of daily, weekly and monthly ones without dates it is the complete
    period before the day on which the job was added; all days are São Paulo's.

    `user_id` says whose agency's it is; without it the address must be a user's. Mailed if there is
    an address.
    """

    type: ReportType
    format: ReportFormat
    user_id: Id | None = None
    start_date: date | None = None
    end_date: date | None = None
    email: str | None = None

    def __post_init__(self) -> None:
        if self.user_id is None and self.email is None:
            raise ValueError("a report needs userId, or the email of a user")
        if self.email is not None:
            parse_mailbox(self.email, "email")
        self.period(date.max)

    def period(self, day: date) -> Period:
        return period_of(self.type, self.start_date, self.end_date, day)


class ReportBuilt(msgspec.Struct, frozen=True, rename="camel"):
    """What a finished job says of its report."""

    file_id: str
    key: str
    size: int
    first_day: date
    last_day: date
    emailed: bool
    figures: Figures


class Asker(msgspec.Struct, frozen=True):
    """Who the report is for."""

    id: str
    tenant_id: str


class Order(msgspec.Struct, frozen=True):
    """One report, all of it settled: run again, it is the same one."""

    data: BuildReport
    asker: Asker
    period: Period
    digest: str
    """Of the job: all its attempts make one object and one mail."""

    @property
    def filename(self) -> str:
        return filename_of(self.data.type, self.data.format, self.period)

    @property
    def key(self) -> str:
        return f"reports/{self.asker.tenant_id}/{self.digest}/{self.filename}"


@app.job(QueueName.REPORT, name=GENERATE_REPORT, attempts=ATTEMPTS, timeout=TIMEOUT)
async def build_report(data: BuildReport, job: Context) -> ReportBuilt:
    """The list of payments goes from a cursor into a file of the job's own, a thousand at a time,
    and from there up in parts: 100,000 of them need no more memory than one.
    """
    shared = shared_of(job)
    say(log, job, "report.building", f"Generating {data.type} report")
    await job.progress(0.1)
    order = Order(
        data=data,
        asker=await _asker(shared, data),
        period=data.period(day_of(job.added_at)),
        digest=hashlib.sha256(job.idempotency_key.encode()).hexdigest()[:_DIGEST_CHARS],
    )
    await job.progress(0.2)
    path = job.tempdir / order.filename
    report = await _written(shared, job, order, path)
    await job.progress(0.8)
    filed = await _stored(shared, order, path)
    await job.progress(0.9)
    await _mailed(shared, job, order, filed)
    await job.progress(1.0)
    say(log, job, "report.built", f"Report {order.filename} generated successfully")
    return ReportBuilt(
        file_id=filed.id,
        key=filed.key,
        size=filed.size,
        first_day=order.period.first,
        last_day=order.period.last,
        emailed=data.email is not None,
        figures=report.figures,
    )


async def _asker(shared: Shared, data: BuildReport) -> Asker:
    async with shared.database.transaction(read_only=True) as work:
        asker = await work.one(
            Asker,
            "SELECT id, tenant_id FROM users WHERE deleted_at IS NULL"
            " AND CASE WHEN %(id)s::varchar IS NULL THEN lower(email) = lower(%(email)s::varchar)"
            " ELSE id = %(id)s::varchar END ORDER BY id LIMIT 1",
            id=None if data.user_id is None else as_text(data.user_id),
            email=data.email,
        )
    if asker is None:
        who = "of that address" if data.user_id is None else as_text(data.user_id)
        raise Fail(f"there is no user {who}: a report is one of a user's agency")
    return asker


async def _written(shared: Shared, job: Context, order: Order, path: Path) -> Report:
    """The file at `path`, whole."""
    today = day_of(job.claimed_at)
    async with shared.database.transaction(
        tenant=order.asker.tenant_id, snapshot=True, statement_limit_ms=STATEMENT_LIMIT_MS
    ) as work:
        report = await read_report(work, order.period, today=today)
        title = Title(
            heading=title_of(order.data.type),
            period=period_in_words(order.data.type, order.period),
            made_at=job.claimed_at,
        )
        writer = await asyncio.to_thread(_writer, order.data.format, path, title, report)
        listed = payments(work, order.period, today=today, rows_max=writer.rows_max)
        await job.progress(0.5)
        async with aclosing(listed) as batches:
            async for batch in batches:
                await asyncio.to_thread(writer.add, batch)
    await asyncio.to_thread(writer.close)
    return report


def _writer(form: ReportFormat, path: Path, title: Title, report: Report) -> Writer:
    # Imported when there is one to write: a process that only adds needs none of the libraries.
    match form:
        case ReportFormat.PDF:
            from processors.reports.as_pdf import PdfWriter

            return PdfWriter(path, title, report)
        case ReportFormat.EXCEL:
            from processors.reports.as_xlsx import XlsxWriter

            return XlsxWriter(path, title, report)
        case ReportFormat.CSV:
            from processors.reports.as_csv import CsvWriter

            return CsvWriter(path, title, report)


async def _stored(shared: Shared, order: Order, path: Path) -> Filed:
    mime_type = MIME_TYPES[order.data.format]
    async with shared.storage.exports.upload(order.key, mime_type) as upload:
        with await asyncio.to_thread(path.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                await upload.write(chunk)
    filed = Filed(
        key=order.key,
        filename=order.filename,
        mime_type=mime_type,
        size=upload.size,
        sha256=upload.sha256,
        related_to="report",
    )
    tenant = order.asker.tenant_id
    async with shared.database.transaction(tenant=tenant) as work:
        await file_away(work, filed, tenant=tenant, user=order.asker.id)
    return filed


async def _mailed(shared: Shared, job: Context, order: Order, filed: Filed) -> None:
    """A second run adds the same id, which Redis and `email_log` know."""
    if order.data.email is None:
        job.log("no mail: no address was given")
        return
    tenant = order.asker.tenant_id
    async with shared.database.transaction(tenant=tenant) as work:
        url = await link_to(
            work,
            Download(key=filed.key, filename=filed.filename, mime_type=filed.mime_type),
            app_url=shared.settings.app_url,
            tenant=tenant,
            user=order.asker.id,
        )
    period = period_in_words(order.data.type, order.period)
    mail = {
        "to": order.data.email,
        "subject": clean(f"{title_of(order.data.type)}: {period}"),
        "template": "report-ready",
        "data": {
            "reportType": order.data.type,
            "period": period,
            "downloadUrl": url,
            "generatedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }
    try:
        await queue_email(
            mail, name="send-report", job_id=f"report:{order.digest}:email", tenant=tenant
        )
    except InvalidInput as error:
        raise Fail(f"the report is made, and cannot be mailed: {error}") from error
