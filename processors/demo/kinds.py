"""A job of each of the nine kinds, by the application's own ways in, on rows of the seed data."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from processors.back_up_database import back_up_database
from processors.clean_up import Target, clean_up
from processors.days import day_of, month_before
from processors.demo.partners import LEAD_EMAIL, PORTAL
from processors.demo.products import Made, expect, only, pdf_text
from processors.demo.stage import Products, Stage, Step
from processors.export_data import export_data
from processors.exports.tables import ExportType
from processors.exports.write import ExportFormat
from processors.imobibase import QueueName
from processors.integrations.kinds import Provider
from processors.money import reais
from processors.queues import (
    queue_backup,
    queue_cleanup,
    queue_custom_report,
    queue_export,
    queue_integration_sync,
    queue_invoice,
    queue_notification,
    queue_overdue_payment_reminder,
    queue_welcome_email,
)
from processors.remind_payments import remind_payments
from processors.render_invoice import render_invoice
from processors.reports.kinds import ReportFormat
from processors.seeding.examples import FIVE_DAYS_OVERDUE, INVOICE_ID, USER_EMAIL, USER_ID
from processors.sync_integration import sync_integration
from streamq.job import Job

ADMIN_ID: Final = "1"
ADMIN_EMAIL: Final = "admin@sol.com"
NEW_USER_EMAIL: Final = "ana@example.com"
TITLE: Final = "Contrato assinado"
OVERDUE_DAYS: Final = 5
OLDER_THAN_DAYS: Final = 1


async def _add_email() -> str:
    return await queue_welcome_email(NEW_USER_EMAIL, "Ana Souza")


async def _email(stage: Stage, job: Job, products: Products) -> Sequence[Made]:
    mail = only(products.mails, "mails")
    expect(mail.to == NEW_USER_EMAIL, f"the mail is to {mail.to}")
    expect("Ana Souza" in mail.text, "the mail does not name its reader")
    return ()


async def _add_invoice() -> str:
    return await queue_invoice(invoice_id=INVOICE_ID, user_id=ADMIN_ID)


async def _invoice(stage: Stage, job: Job, products: Products) -> Sequence[Made]:
    result = render_invoice.unpacked(job.run.result)
    async with stage.database.transaction(read_only=True) as work:
        total = await work.value(
            Decimal, "SELECT total FROM invoices WHERE id = %(id)s", id=INVOICE_ID
        )
    assert total is not None
    text = pdf_text(only(products.of_kind(".pdf"), "PDFs").data)
    shown = reais(total).replace("\N{NO-BREAK SPACE}", " ")
    for part in (result.number, shown):
        expect(part in text.replace("\N{NO-BREAK SPACE}", " "), f"{part} is not in the PDF")
    expect(result.pix, "the invoice has no PIX code")
    expect(only(products.mails, "mails").links, "the mail has no link")
    return ()


async def _add_report() -> str:
    month = month_before(day_of(datetime.now(UTC)))
    return await queue_custom_report(
        month.first, month.last, ReportFormat.EXCEL, ADMIN_EMAIL, ADMIN_ID
    )


async def _report(stage: Stage, job: Job, products: Products) -> Sequence[Made]:
    only(products.of_kind(".xlsx"), "spreadsheets")
    expect(only(products.mails, "mails").links, "the mail has no link")
    return ()


async def _add_reminder() -> str:
    return await queue_overdue_payment_reminder(FIVE_DAYS_OVERDUE, OVERDUE_DAYS)


async def _reminder(stage: Stage, job: Job, products: Products) -> Sequence[Made]:
    only(products.mails, "mails")
    result = remind_payments.unpacked(job.run.result)
    async with stage.database.transaction(read_only=True) as work:
        rows = await work.value(
            int, "SELECT count(*) FROM reminder_log WHERE job_id = %(job)s", job=job.id
        )
    expect(rows == 1, f"{rows} rows in reminder_log")
    return [Made(f"reminder of payment {result.payment_id}", "a row of reminder_log")]


async def _add_backup() -> str:
    return await queue_backup()


async def _backup(stage: Stage, job: Job, products: Products) -> Sequence[Made]:
    result = back_up_database.unpacked(job.run.result)
    dump = only(products.of_kind(".dump"), "dumps")
    expect(dump.key == result.key, f"the dump is {dump.key} and not {result.key}")
    expect(hashlib.sha256(dump.data).hexdigest() == result.sha256, "its checksum is another")
    return ()


async def _add_cleanup() -> str:
    return await queue_cleanup(Target.SESSIONS, OLDER_THAN_DAYS)


async def _cleanup(stage: Stage, job: Job, products: Products) -> Sequence[Made]:
    result = clean_up.unpacked(job.run.result)
    expect(result.deleted, "there were ended sessions, and none was deleted")
    async with stage.database.transaction(read_only=True) as work:
        left = await work.value(
            int,
            "SELECT count(*) FROM user_sessions"
            " WHERE expires_at < now() - %(days)s * interval '1 day'",
            days=OLDER_THAN_DAYS,
        )
    expect(left == 0, f"{left} ended sessions are still there")
    return [Made(f"{result.deleted} ended sessions deleted", "the table user_sessions")]


async def _add_notification() -> str:
    return await queue_notification(
        user_id=[ADMIN_ID, USER_ID],
        title=TITLE,
        message="O contrato da Rua das Flores foi assinado.",
        type="success",
        action_url="/contracts/1",
    )


async def _notification(stage: Stage, job: Job, products: Products) -> Sequence[Made]:
    async with stage.database.transaction(read_only=True) as work:
        rows = await work.value(
            int,
            "SELECT count(*) FROM notifications"
            " WHERE job_id = %(job)s AND title = %(title)s AND NOT read",
            job=job.id,
            title=TITLE,
        )
    expect(rows == 2, f"{rows} rows in notifications")
    return [Made(f"{rows} notifications, not read yet", "rows of notifications")]


async def _add_export() -> str:
    return await queue_export(
        {
            "userId": USER_ID,
            "type": ExportType.ALL,
            "format": ExportFormat.ZIP,
            "email": USER_EMAIL,
        }
    )


async def _export(stage: Stage, job: Job, products: Products) -> Sequence[Made]:
    result = export_data.unpacked(job.run.result)
    archive = only(products.of_kind(".zip"), "ZIPs")
    expect(archive.key == result.key, f"the ZIP is {archive.key} and not {result.key}")
    mail = only(products.mails, "mails")
    expect(mail.to == USER_EMAIL and mail.links, f"the mail to {mail.to} has no link")
    return ()


async def _add_sync() -> str:
    return await queue_integration_sync(Provider.PORTAL)


async def _sync(stage: Stage, job: Job, products: Products) -> Sequence[Made]:
    result = sync_integration.unpacked(job.run.result)
    feed = only(products.of_kind(".xml"), "feeds")
    sent = only(stage.partners.at(f"{PORTAL}/feed"), "feeds sent to the portal")
    expect(sent.body == feed.data, "the portal was sent another feed")
    expect(result.listings, "nothing is on offer")
    async with stage.database.transaction(read_only=True) as work:
        leads = await work.value(
            int, "SELECT count(*) FROM leads WHERE email = %(email)s", email=LEAD_EMAIL
        )
    expect(leads == 1, f"the portal's lead is here {leads} times")
    return [
        Made(f"feed of {len(sent.body):,} bytes sent", f"the portal at {stage.partners.host}"),
        Made("one lead taken in", "a row of leads"),
    ]


NINE: Final = (
    Step("email", QueueName.EMAIL, _add_email, _email),
    Step("invoice", QueueName.INVOICE, _add_invoice, _invoice),
    Step("report", QueueName.REPORT, _add_report, _report),
    Step("payment-reminder", QueueName.PAYMENT_REMINDER, _add_reminder, _reminder),
    Step("backup", QueueName.BACKUP, _add_backup, _backup),
    Step("cleanup", QueueName.CLEANUP, _add_cleanup, _cleanup),
    Step("notification", QueueName.NOTIFICATION, _add_notification, _notification),
    Step("export", QueueName.EXPORT, _add_export, _export),
    Step("integration-sync", QueueName.INTEGRATION_SYNC, _add_sync, _sync),
)
