"""A report from `queue_report` to its file, its row, its link and its one mail; and its trouble."""

import csv
import io
import logging
from collections.abc import AsyncGenerator, Callable
from datetime import date
from decimal import Decimal

import msgspec
import openpyxl
import pypdfium2
import pytest

from processors.database import Database, Transaction
from processors.days import Period, day_before, day_of, month_before, week_before
from processors.imobibase import QueueName
from processors.queues import create_queue, queue_custom_report, queue_monthly_report, queue_report
from processors.reports.figures import Figures
from processors.reports.payments import Payment, payments
from processors.storage import Storage
from streamq import App, Job, JobState
from streamq.run.logs import ConsoleFormat
from streamq.testing import MovableClock, run_until_idle
from tests.processors.agency_rows import TENANT, USER, add_agency, add_payment
from tests.processors.marks import progress_marks

JANUARY = {"startDate": "2025-01-01", "endDate": "2025-01-31"}


@pytest.fixture
async def site(imobibase: App, database: Database, storage: Storage) -> App:
    """The application with one agency, one rent paid in January and one that is open."""
    await add_agency(database)
    await add_payment(database, status="paid", paid=Decimal("2300.00"), paid_on=date(2025, 1, 9))
    await add_payment(database, payment_id="open", month="2025-02", due=date(2025, 1, 31))
    return imobibase


async def done(site: App, job_id: str) -> Job:
    await run_until_idle(site, "report")
    job = await create_queue(QueueName.REPORT).get(job_id)
    assert job is not None
    return job


async def built(
    site: App, storage: Storage, form: str, **more: object
) -> tuple[dict[str, object], bytes]:
    """The result and the file of a custom report of January."""
    data = {"type": "custom", "format": form, "userId": USER, **JANUARY, **more}
    job = await done(site, await queue_report(data))
    assert job.state is JobState.COMPLETED, job.run.reason
    assert job.run.result is not None
    result = msgspec.msgpack.decode(job.run.result)
    return result, await storage.exports.get(str(result["key"]))


def text_of(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(pdf)
    return "\n".join(page.get_textpage().get_text_range() for page in document)


async def mails() -> list[Job]:
    page = await create_queue(QueueName.EMAIL).page(JobState.WAITING)
    return list(page.jobs)


async def test_the_documented_example_makes_a_pdf_a_row_a_link_and_a_mail(
    site: App, database: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = progress_marks(monkeypatch)
    job = await done(
        site, await queue_custom_report("2025-01-01", "2025-01-31", "pdf", "user@example.com", 1)
    )

    assert job.state is JobState.COMPLETED, job.run.reason
    assert marks == [10, 20, 50, 80, 90, 100]
    [found] = [one async for one in storage.exports.list(f"reports/{TENANT}/")]
    assert found.key.endswith("/relatorio-periodo-2025-01-01-a-2025-01-31.pdf")
    text = text_of(await storage.exports.get(found.key)).replace("\u00a0", " ")
    for shown in (
        "Imobiliária Sol", "01/01/2025 a 31/01/2025", "Receita de aluguéis", "R$ 2.300,00",
        "100,0%", "Ayşe Şahin Özgür", "Apartamento na Vila Mariana",
    ):  # fmt: skip
        assert shown in text, shown
    async with database.transaction() as work:
        path = await work.value(str, "SELECT path FROM files WHERE related_to = 'report'")
    assert path == found.key
    [mail] = await mails()
    assert mail.name == "send-report"
    payload = msgspec.msgpack.decode(mail.data)
    assert (payload["to"], payload["template"]) == ("user@example.com", "report-ready")
    assert payload["data"]["period"] == "01/01/2025 a 31/01/2025"
    assert payload["data"]["downloadUrl"].startswith("http://127.0.0.1:5000/downloads/")


async def test_its_figures_are_those_of_the_contract(
    site: App, database: Database, storage: Storage
) -> None:
    async with database.transaction() as work:
        for statement in _BUSINESS:
            await work.connection.execute(statement.encode())

    result, _ = await built(site, storage, "csv")

    assert result["figures"] == {
        "totalProperties": 3,
        "activeContracts": 1,
        "occupancyRate": "0.5000",
        "revenue": "2300.00",
        "sales": "500000.00",
        "commissions": "30000.00",
        "expenses": "120.50",
        "newLeads": 1,
        "closedDeals": 1,
        "visits": 1,
        "payments": 2,
    }


async def test_its_csv_is_one_that_excel_in_brazil_opens_right(
    site: App, database: Database, storage: Storage
) -> None:
    async with database.transaction() as work:
        await work.run("UPDATE renters SET name = '=1+1'")

    _, data = await built(site, storage, "csv")

    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert ["Receita de aluguéis", "2300,00"] in rows
    start = rows.index(
        ["Vencimento", "Referência", "Imóvel", "Inquilino", "Situação", "Valor", "Pago", "Pago em"]
    )
    assert rows[start + 1 :] == [
        ["10/01/2025", "01/2025", "Apartamento na Vila Mariana", "'=1+1", "Pago",
         "2300,00", "2300,00", "09/01/2025"],
        ["31/01/2025", "02/2025", "Apartamento na Vila Mariana", "'=1+1", "Em atraso",
         "2300,00", "", ""],
    ]  # fmt: skip


async def test_a_payment_made_while_it_is_written_is_in_neither_its_sums_nor_its_list(
    site: App, database: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def paid_meanwhile(
        work: Transaction, period: Period, *, today: date, rows_max: int | None
    ) -> AsyncGenerator[list[Payment], None]:
        day = date(2025, 1, 20)
        await add_payment(database, payment_id="late", month="2025-03", due=day, status="paid",
                          paid=Decimal(7), paid_on=day)  # fmt: skip
        async for batch in payments(work, period, today=today, rows_max=rows_max):
            yield batch

    monkeypatch.setattr("processors.build_report.payments", paid_meanwhile)
    result, data = await built(site, storage, "csv")

    figures = msgspec.convert(result["figures"], Figures)
    assert (figures.payments, figures.revenue) == (2, Decimal("2300.00"))
    assert "20/01/2025" not in data.decode("utf-8-sig")
    async with database.transaction() as work:
        assert await work.value(int, "SELECT count(*) FROM rental_payments") == 3


async def test_its_workbook_has_charts_of_its_own_numbers_and_no_formula(
    site: App, database: Database, storage: Storage
) -> None:
    async with database.transaction() as work:
        await work.run("UPDATE renters SET name = '=1+1'")
        await work.run(_LEAD)

    _, data = await built(site, storage, "excel")

    book = openpyxl.load_workbook(io.BytesIO(data))
    assert book.sheetnames == ["Resumo", "Imóveis", "Corretores", "Atividade", "Pagamentos"]
    assert len(book["Resumo"]._charts) == 2
    cells = {row[0].value: row[1].value for row in book["Resumo"].iter_rows(min_row=5, max_col=2)}
    assert cells["Receita de aluguéis"] == 2300
    due, *between, paid = (cell.value for cell in book["Pagamentos"][2])
    assert (f"{due:%d/%m/%Y}", f"{paid:%d/%m/%Y}") == ("10/01/2025", "09/01/2025")
    assert between == ["01/2025", "Apartamento na Vila Mariana", "=1+1", "Pago", 2300, 2300]
    assert book["Pagamentos"]["D2"].data_type == "s"
    happened = [[cell.value for cell in row] for row in book["Atividade"].iter_rows(min_row=2)]
    assert [(f"{day:%d/%m/%Y}", *what) for day, *what in happened] == [
        ("31/01/2025", "Novo lead", "Caio", None),
        ("09/01/2025", "Pagamento", "Apartamento na Vila Mariana · =1+1", 2300),
    ]


@pytest.mark.parametrize(
    ("kind", "before"), [("daily", day_before), ("weekly", week_before), ("monthly", month_before)]
)
async def test_without_dates_it_is_of_the_complete_period_before_it_was_added(
    site: App, kind: str, before: Callable[[date], Period]
) -> None:
    site.clock = clock = MovableClock(site)
    period = before(day_of(clock.now()))
    job_id = await queue_report({"type": kind, "format": "csv", "userId": USER})
    await clock.advance(days=40)  # it waited, and is still of the same day

    job = await done(site, job_id)

    assert job.run.result is not None
    result = msgspec.msgpack.decode(job.run.result)
    days = (result["firstDay"], result["lastDay"])
    assert days == (period.first.isoformat(), period.last.isoformat())


async def test_run_again_it_makes_nothing_twice(
    site: App, database: Database, storage: Storage
) -> None:
    job_id = await queue_monthly_report(USER, "user@example.com")
    await done(site, job_id)
    mailed = [mail.id for mail in await mails()]

    await create_queue(QueueName.REPORT).remove(job_id)
    await create_queue(QueueName.REPORT).add(
        "generate-report",
        {"type": "monthly", "format": "pdf", "userId": USER, "email": "user@example.com"},
        id=job_id,
    )
    await done(site, job_id)

    assert [mail.id for mail in await mails()] == mailed
    assert len([one async for one in storage.exports.list("reports/")]) == 1
    async with database.transaction() as work:
        assert await work.value(int, "SELECT count(*) FROM files") == 1


async def test_without_user_id_it_is_of_the_agency_of_the_addresss_user(
    site: App, storage: Storage
) -> None:
    job = await done(
        site, await queue_custom_report("2025-01-01", "2025-01-01", "csv", "User@Example.com")
    )

    assert job.state is JobState.COMPLETED
    assert len([one async for one in storage.exports.list(f"reports/{TENANT}/")]) == 1


@pytest.mark.parametrize("who", [{"userId": "nobody"}, {"email": "nobody@example.com"}])
async def test_for_nobody_there_is_no_report(site: App, who: dict[str, str]) -> None:
    job = await done(site, await queue_report({"type": "daily", "format": "pdf", **who}))

    assert (job.state, job.run.attempts) == (JobState.FAILED, 1)
    assert "there is no user" in job.run.reason


async def test_another_agencys_money_is_in_no_report(
    site: App, database: Database, storage: Storage
) -> None:
    data = {"type": "custom", "format": "csv", "userId": "2", **JANUARY}

    job = await done(site, await queue_report(data))

    assert job.run.result is not None
    result = msgspec.msgpack.decode(job.run.result)
    assert result["figures"]["revenue"] == "0.00"
    assert result["figures"]["payments"] == 0
    assert b"Mariana" not in await storage.exports.get(result["key"])


async def test_the_console_shows_its_beginning_and_its_end(
    site: App, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ReportProcessor")

    await built(site, storage, "csv")

    ours = [record for record in caplog.records if record.name == "ReportProcessor"]
    assert [ConsoleFormat(colour=False).format(record) for record in ours] == [
        "[ReportProcessor] Generating custom report",
        "[ReportProcessor] Report relatorio-periodo-2025-01-01-a-2025-01-31.csv generated"
        " successfully",
    ]


_LEAD = (
    "INSERT INTO leads (id, tenant_id, name, email, phone, source, created_at)"
    " VALUES ('lead-1', 'sol', 'Caio', 'caio@example.com', '1', 'olx', '2025-01-31 23:00')"
)

# One of each that counts, and one beside it that does not.
_BUSINESS = (
    _LEAD,
    # Half past two in UTC is still the day before in São Paulo.
    "INSERT INTO leads (id, tenant_id, name, email, phone, source, created_at) VALUES"
    " ('lead-2', 'sol', 'Duda', 'duda@example.com', '1', 'olx', '2025-01-01 02:30'),"
    " ('lead-3', 'nova-casa', 'Eva', 'eva@example.com', '1', 'olx', '2025-01-15')",
    "INSERT INTO properties (id, tenant_id, title, type, category, price, address, city, state)"
    " VALUES ('property-2', 'sol', 'Casa', 'casa', 'aluguel', 1, 'x', 'y', 'SP'),"
    " ('property-3', 'sol', 'Terreno', 'terreno', 'venda', 1, 'x', 'y', 'SP'),"
    " ('property-4', 'nova-casa', 'Outra', 'casa', 'aluguel', 1, 'x', 'y', 'RJ')",
    "INSERT INTO property_sales (tenant_id, property_id, buyer_lead_id, broker_id, sale_value,"
    " sale_date, commission_value, status) VALUES"
    " ('sol', 'property-3', 'lead-1', '1', 500000, '2025-01-31', 30000, 'completed'),"
    " ('sol', 'property-3', 'lead-1', '1', 700000, '2025-01-15', 42000, 'cancelled'),"
    " ('sol', 'property-3', 'lead-1', '1', 900000, '2025-02-01', 54000, 'completed')",
    "INSERT INTO finance_entries (tenant_id, description, amount, flow, entry_date, status) VALUES"
    " ('sol', 'luz', 120.50, 'out', '2025-01-31', 'completed'),"
    " ('sol', 'água', 80, 'out', '2025-01-15', 'pending'),"
    " ('sol', 'juros', 10, 'in', '2025-01-15', 'completed'),"
    " ('nova-casa', 'luz', 999, 'out', '2025-01-15', 'completed')",
    "INSERT INTO visits (tenant_id, property_id, scheduled_for, status) VALUES"
    " ('sol', 'property-2', '2025-01-15 15:00', 'completed'),"
    " ('sol', 'property-2', '2025-01-15 15:00', 'no-show')",
)
