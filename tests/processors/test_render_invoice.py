"""An invoice from `queue_invoice` to its PDF, its row, its link and its one mail; its trouble."""

import logging
from decimal import Decimal

import msgspec
import pypdfium2
import pytest
import zxingcpp

from processors.database import Database
from processors.imobibase import QueueName
from processors.invoices.pix import crc16
from processors.queues import create_queue, queue_invoice
from processors.storage import Storage
from streamq import App, Job, JobState
from streamq.run.logs import ConsoleFormat
from streamq.testing import run_until_idle
from tests.processors.agency_rows import (
    INVOICE,
    OTHER_USER,
    TENANT,
    USER,
    add_agency,
    add_invoice,
    add_payment,
)
from tests.processors.marks import progress_marks

KEY = f"invoices/{TENANT}/{INVOICE}.pdf"
MAIL_ID = f"invoice:{INVOICE}:email"


class Row(msgspec.Struct, frozen=True):
    """What is to be seen of an invoice in the database."""

    number: str
    status: str
    pdf_key: str | None
    issued: bool


class FileRow(msgspec.Struct, frozen=True):
    original_name: str
    mime_type: str
    size: int
    path: str
    category: str
    related_id: str
    user_id: str


@pytest.fixture
async def site(imobibase: App, database: Database, storage: Storage) -> App:
    """The application with a database, a bucket, and the invoice of the documented example."""
    await add_agency(database)
    await add_payment(database, discounts=Decimal("100.00"))
    return imobibase


async def done(site: App, job_id: str) -> Job:
    await run_until_idle(site, "invoice")
    job = await create_queue(QueueName.INVOICE).get(job_id)
    assert job is not None
    return job


async def mail_of(job_id: str = MAIL_ID) -> Job | None:
    return await create_queue(QueueName.EMAIL).get(job_id)


async def row(database: Database) -> Row:
    async with database.transaction() as work:
        found = await work.one(
            Row,
            "SELECT number, status, pdf_key, issued_at IS NOT NULL AS issued FROM invoices"
            " WHERE id = %(id)s",
            id=INVOICE,
        )
    assert found is not None
    return found


async def files(database: Database) -> list[FileRow]:
    async with database.transaction() as work:
        return await work.every(
            FileRow,
            "SELECT original_name, mime_type, size, path, category, related_id, user_id FROM files"
            " WHERE related_to = 'invoice'",
        )


def text_of(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(pdf)
    return "\n".join(page.get_textpage().get_text_range() for page in document).replace("\r", "")


def codes_in(pdf: bytes) -> list[str]:
    """What a camera would read from its first page."""
    image = pypdfium2.PdfDocument(pdf)[0].render(scale=2).to_pil()
    return [found.text for found in zxingcpp.read_barcodes(image)]


async def test_an_invoice_becomes_a_pdf_a_row_a_link_and_a_mail(
    site: App, database: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = progress_marks(monkeypatch)
    await add_invoice(database)

    job = await done(site, await queue_invoice(invoice_id=12345, user_id=1))

    assert job.state is JobState.COMPLETED, job.run.reason
    assert marks == [10, 30, 60, 80, 100]
    pdf = await storage.exports.get(KEY)
    text = text_of(pdf)
    for shown in (
        "INV-012345", "Imobiliária Sol", "Ayşe Şahin Özgür", "529.982.247-25", "10/01/2025",
        "Janeiro de 2025", "Aluguel", "R$\u00a01.550,00", "Descontos", "-R$\u00a0100,00",
        "R$\u00a02.200,00", "Apartamento na Vila Mariana", "Página 1 de",
    ):  # fmt: skip
        assert shown in text.replace("R$ ", "R$\u00a0"), shown
    assert await row(database) == Row("INV-012345", "sent", KEY, True)
    assert await files(database) == [
        FileRow(
            "fatura-INV-012345.pdf", "application/pdf", len(pdf), KEY, "document", INVOICE, USER
        )
    ]
    mail = await mail_of()
    assert mail is not None
    assert mail.name == "send-invoice"
    payload = msgspec.msgpack.decode(mail.data)
    assert payload["to"] == "renter@example.com"
    assert payload["data"]["downloadUrl"].startswith("http://127.0.0.1:5000/downloads/")
    assert (payload["data"]["amount"], payload["data"]["dueDate"]) == ("2200.00", "2025-01-10")


async def test_its_qr_and_its_copy_and_paste_code_are_one_pix_with_a_valid_crc(
    site: App, database: Database, storage: Storage
) -> None:
    await add_invoice(database)

    await done(site, await queue_invoice(invoice_id=INVOICE, user_id=USER))

    pdf = await storage.exports.get(KEY)
    [code] = codes_in(pdf)
    assert code in text_of(pdf)
    assert f"{crc16(code[:-4].encode()):04X}" == code[-4:]
    assert "br.gov.bcb.pix011411222333000181" in code
    assert "54072200.00" in code
    assert "0509INV012345" in code
    mail = await mail_of()
    assert mail is not None
    assert msgspec.msgpack.decode(mail.data)["data"]["pixCode"] == code


async def test_run_again_it_makes_nothing_twice(
    site: App, database: Database, storage: Storage
) -> None:
    await add_invoice(database)
    await done(site, await queue_invoice(invoice_id=INVOICE, user_id=USER))
    first, pdf = await files(database), await storage.exports.get(KEY)

    again = await done(site, await queue_invoice(invoice_id=INVOICE, user_id=USER))

    assert again.state is JobState.COMPLETED
    assert await files(database) == first
    assert await storage.exports.get(KEY) == pdf
    assert await row(database) == Row("INV-012345", "sent", KEY, True)
    assert [found.key async for found in storage.exports.list("invoices/")] == [KEY]
    assert (await create_queue(QueueName.EMAIL).counts()).waiting == 1


async def test_the_console_shows_its_beginning_and_its_end(
    site: App, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "InvoiceProcessor")
    await add_invoice(database)

    await done(site, await queue_invoice(invoice_id=INVOICE, user_id=USER))

    ours = [record for record in caplog.records if record.name == "InvoiceProcessor"]
    assert [ConsoleFormat(colour=False).format(record) for record in ours] == [
        "[InvoiceProcessor] Generating invoice 12345",
        "[InvoiceProcessor] Invoice INV-012345 generated successfully",
    ]


async def test_without_send_email_it_is_issued_and_nobody_is_mailed(
    site: App, database: Database
) -> None:
    await add_invoice(database)

    await done(site, await queue_invoice(invoice_id=INVOICE, user_id=USER, send_email=False))

    assert (await row(database)).status == "issued"
    assert await mail_of() is None


async def test_a_client_without_an_address_is_no_failure(site: App, database: Database) -> None:
    await add_invoice(database)
    async with database.transaction() as work:
        await work.run("UPDATE renters SET email = NULL")

    job = await done(site, await queue_invoice(invoice_id=INVOICE, user_id=USER))

    assert job.state is JobState.COMPLETED
    assert (await row(database)).status == "issued"
    assert await mail_of() is None


@pytest.mark.parametrize("key", ["", "conta do banco", "123.456.789-00"])
async def test_without_a_key_that_banks_take_there_is_no_pix_and_the_account_is_shown(
    site: App, database: Database, storage: Storage, key: str
) -> None:
    await add_invoice(database)
    async with database.transaction() as work:
        await work.run("UPDATE tenant_settings SET pix_key = %(key)s", key=key)

    job = await done(site, await queue_invoice(invoice_id=INVOICE, user_id=USER))

    pdf = await storage.exports.get(KEY)
    assert job.state is JobState.COMPLETED
    assert codes_in(pdf) == []
    assert "Banco do Brasil" in text_of(pdf)


async def test_of_a_part_that_was_paid_only_the_rest_is_asked_for(
    site: App, database: Database, storage: Storage
) -> None:
    await add_invoice(database)
    async with database.transaction() as work:
        await work.run(
            "UPDATE rental_payments SET status = 'partially_paid', paid_value = 1000,"
            " paid_date = '2025-01-08'"
        )

    await done(site, await queue_invoice(invoice_id=INVOICE, user_id=USER))

    pdf = await storage.exports.get(KEY)
    assert "Já pago em 08/01/2025" in text_of(pdf)
    assert "54071200.00" in codes_in(pdf)[0]


async def test_a_paid_one_says_so_and_nobody_is_asked_to_pay_again(
    site: App, database: Database, storage: Storage
) -> None:
    await add_invoice(database, status="paid")

    await done(site, await queue_invoice(invoice_id=INVOICE, user_id=USER))

    pdf = await storage.exports.get(KEY)
    assert "Pagamento recebido" in text_of(pdf)
    assert codes_in(pdf) == []
    assert await mail_of() is None
    assert (await row(database)).status == "paid"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE invoices SET status = 'cancelled'", "is cancelled"),
        ("DELETE FROM invoice_items", "has no items"),
        ("UPDATE invoice_items SET total = 1 WHERE position = 1", "Mend the row"),
        ("UPDATE renters SET email = 'no address'", "cannot be mailed"),
    ],
)
async def test_one_that_must_not_go_out_fails_at_once_and_says_what_to_do(
    site: App, database: Database, change: str, says: str
) -> None:
    await add_invoice(database)
    async with database.transaction() as work:
        await work.connection.execute(change.encode())

    job = await done(site, await queue_invoice(invoice_id=INVOICE, user_id=USER))

    assert (job.state, job.run.attempts) == (JobState.FAILED, 1)
    assert says in job.run.reason
    assert await mail_of() is None


@pytest.mark.parametrize(
    ("invoice", "user", "says"),
    [("nowhere", USER, "there is no invoice"), (INVOICE, OTHER_USER, "is not of the agency")],
)
async def test_another_agencys_invoice_is_none(
    site: App, database: Database, storage: Storage, invoice: str, user: str, says: str
) -> None:
    await add_invoice(database)

    job = await done(site, await queue_invoice(invoice_id=invoice, user_id=user))

    assert (job.state, job.run.attempts) == (JobState.FAILED, 1)
    assert says in job.run.reason
    assert [found async for found in storage.exports.list("invoices/")] == []


async def test_one_that_is_cancelled_while_it_is_drawn_is_not_mailed(
    site: App, database: Database
) -> None:
    await add_invoice(database)
    async with database.transaction() as work:  # readable, and to whoever writes it cancelled
        await work.run(
            "CREATE POLICY cancelled ON invoices AS RESTRICTIVE FOR UPDATE TO imobibase_tenant"
            " USING (false)"
        )

    job = await done(site, await queue_invoice(invoice_id=INVOICE, user_id=USER))

    assert job.state is JobState.FAILED
    assert "was cancelled meanwhile" in job.run.reason
    assert await mail_of() is None
    assert await files(database) == []
