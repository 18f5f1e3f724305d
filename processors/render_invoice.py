"""Renders one invoice: a PDF with PIX in the bucket, its row in `files`, and one mail about it."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from processors.downloads import Download, link_to
from processors.enqueue.email import queue_email
from processors.filing import Filed, file_away
from processors.ids import Id, as_text
from processors.imobibase import QueueName, Shared, app, shared_of
from processors.invoices.mail import mail_of
from processors.invoices.read import Invoice, read_invoice, tenant_of
from processors.invoices.ways import Pix, pix_of
from processors.saying import say
from streamq import Context, Fail, Payload
from streamq.errors import InvalidInput

GENERATE_INVOICE: Final = "generate-invoice"
ATTEMPTS: Final = 3
TIMEOUT: Final = timedelta(minutes=2)
LINK_LIFETIME: Final = timedelta(days=60)
"""An invoice is looked for long after it was paid."""
PDF: Final = "application/pdf"

# Its lines are `[InvoiceProcessor] ...` on the console.
log = logging.getLogger("InvoiceProcessor")


class RenderInvoice(Payload, rename="camel"):
    """Which invoice, and who asks for it: a user of the same agency."""

    invoice_id: Id
    user_id: Id
    send_email: bool = True


class InvoiceRendered(msgspec.Struct, frozen=True, rename="camel"):
    """What a finished job says of its invoice."""

    invoice_id: str
    number: str
    file_id: str
    key: str
    size: int
    pix: bool
    """Whether it can be paid by PIX: False if nothing is owed, or the agency's key is none."""
    emailed: bool


@app.job(QueueName.INVOICE, name=GENERATE_INVOICE, attempts=ATTEMPTS, timeout=TIMEOUT)
async def render_invoice(data: RenderInvoice, job: Context) -> InvoiceRendered:
    """Run again, it changes the same object and the same rows, and adds the same mail job: its
    number stands in its row since that was made.

    Failed at once by an invoice that must not go out: cancelled, empty, of another agency, or one
    that does not add up.
    """
    shared = shared_of(job)
    invoice_id, user_id = as_text(data.invoice_id), as_text(data.user_id)
    say(log, job, "invoice.rendering", f"Generating invoice {invoice_id}")
    await job.progress(0.1)
    async with shared.database.transaction(read_only=True) as work:
        tenant = await tenant_of(work, invoice_id, user_id)
    async with shared.database.transaction(tenant=tenant, read_only=True) as work:
        invoice = await read_invoice(work, invoice_id)
    await job.progress(0.3)
    pix = pix_of(invoice)
    if pix is None and not invoice.settled:
        job.log("no PIX on it: the agency's pix_key is not set, or is no key that a bank takes")
    pdf = await asyncio.to_thread(_drawn, invoice, pix)
    await job.progress(0.6)
    filed = _filed(tenant, invoice, pdf)
    await shared.storage.exports.put(filed.key, pdf, PDF)
    emailed = await _issued(shared, job, invoice, pix, filed, tenant=tenant, data=data)
    await job.progress(1.0)
    say(log, job, "invoice.rendered", f"Invoice {invoice.bill.number} generated successfully")
    return InvoiceRendered(
        invoice_id=invoice_id,
        number=invoice.bill.number,
        file_id=filed.id,
        key=filed.key,
        size=filed.size,
        pix=pix is not None,
        emailed=emailed,
    )


def _drawn(invoice: Invoice, pix: Pix | None) -> bytes:
    from processors.invoices.draw import draw_invoice

    return draw_invoice(invoice, pix)


def _filed(tenant: str, invoice: Invoice, pdf: bytes) -> Filed:
    return Filed(
        key=f"invoices/{tenant}/{invoice.bill.id}.pdf",
        filename=f"fatura-{invoice.bill.number}.pdf",
        mime_type=PDF,
        size=len(pdf),
        sha256=hashlib.sha256(pdf).hexdigest(),
        related_to="invoice",
        related_id=invoice.bill.id,
    )


async def _issued(
    shared: Shared,
    job: Context,
    invoice: Invoice,
    pix: Pix | None,
    filed: Filed,
    *,
    tenant: str,
    data: RenderInvoice,
) -> bool:
    """Writes down that it is issued, and sees to its mail; whether there is one."""
    user, to = as_text(data.user_id), _recipient(invoice)
    wanted = data.send_email and to is not None and not invoice.settled
    url = ""
    async with shared.database.transaction(tenant=tenant) as work:
        if not await work.run(_ISSUED, id=invoice.bill.id, key=filed.key, at=job.claimed_at):
            raise Fail(f"invoice {invoice.bill.number} was cancelled meanwhile: nobody is mailed")
        await file_away(work, filed, tenant=tenant, user=user)
        if wanted:
            url = await link_to(
                work,
                Download(key=filed.key, filename=filed.filename, mime_type=PDF),
                app_url=shared.settings.app_url,
                tenant=tenant,
                user=user,
                lifetime=LINK_LIFETIME,
            )
    await job.progress(0.8)
    if not wanted or to is None:
        why = "it is settled" if invoice.settled else "its client has no address"
        job.log(f"no mail: {why if data.send_email else 'none was asked for'}")
        return False
    await _mailed(invoice, mail_of(invoice, pix, to=to, url=url), tenant)
    async with shared.database.transaction(tenant=tenant) as work:
        await work.run(
            "UPDATE invoices SET status = 'sent' WHERE id = %(id)s AND status = 'issued'",
            id=invoice.bill.id,
        )
    return True


async def _mailed(invoice: Invoice, mail: Mapping[str, object], tenant: str) -> None:
    """One mail an invoice: a second run adds the same id, which Redis and `email_log` know."""
    job_id = f"invoice:{invoice.bill.id}:email"
    try:
        await queue_email(mail, name="send-invoice", job_id=job_id, tenant=tenant)
    except InvalidInput as error:
        raise Fail(f"invoice {invoice.bill.number} cannot be mailed: {error}") from error


def _recipient(invoice: Invoice) -> str | None:
    return (invoice.bill.client_email or "").strip() or None


_ISSUED: Final = """
    UPDATE invoices SET pdf_key = %(key)s,
        issued_at = coalesce(issued_at, %(at)s::timestamp),
        status = CASE status WHEN 'draft' THEN 'issued' ELSE status END
    WHERE id = %(id)s AND status <> 'cancelled'
"""
