"""Invoices and reports, killed at any await and run again: one file, one row, one mail of each."""

import pytest

from processors.build_report import BuildReport, build_report
from processors.database import Database
from processors.enqueue.adding import create_queue
from processors.imobibase import QueueName
from processors.render_invoice import RenderInvoice, render_invoice
from processors.reports.kinds import ReportFormat, ReportType
from processors.storage import Storage
from streamq import App
from streamq.testing import perform
from tests.processors.agency_rows import INVOICE, TENANT, USER, add_agency, add_invoice, add_payment
from tests.processors.cutting import Attempt, each_await

pytestmark = pytest.mark.slow
FEWEST_AWAITS = 20


async def stored(storage: Storage, prefix: str) -> list[str]:
    return [found.key async for found in storage.exports.list(prefix)]


async def count(database: Database, statement: str) -> int:
    async with database.transaction() as work:
        row = await (await work.connection.execute(statement.encode())).fetchone()
    assert row is not None
    return int(row[0])


async def test_an_invoice(imobibase: App, database: Database, storage: Storage) -> None:
    await add_agency(database)
    await add_payment(database)
    await add_invoice(database)
    payload = RenderInvoice(invoice_id=INVOICE, user_id=USER)
    async with imobibase.living() as shared:

        def attempts(awaits: int) -> Attempt:
            return lambda: perform(render_invoice, payload, state=shared, id=f"cut-{awaits}")

        last = [awaits async for awaits in each_await(attempts, step=2)][-1]

    assert last > FEWEST_AWAITS
    assert await stored(storage, "invoices/") == [f"invoices/{TENANT}/{INVOICE}.pdf"]
    assert await count(database, "SELECT count(*) FROM files") == 1
    assert await count(database, "SELECT count(*) FROM invoices WHERE status = 'sent'") == 1
    assert (await create_queue(QueueName.EMAIL).counts()).waiting == 1


@pytest.mark.parametrize("form", ReportFormat)
async def test_a_report(
    imobibase: App, database: Database, storage: Storage, form: ReportFormat
) -> None:
    await add_agency(database)
    await add_payment(database)
    payload = BuildReport(
        type=ReportType.DAILY, format=form, user_id=USER, email="user@example.com"
    )
    async with imobibase.living() as shared:

        def attempts(awaits: int) -> Attempt:
            return lambda: perform(build_report, payload, state=shared, id=f"cut-{awaits}")

        cuts = [awaits async for awaits in each_await(attempts, step=9)]

    assert cuts[-1] > FEWEST_AWAITS
    assert len(await stored(storage, "reports/")) == len(cuts)
    assert await count(database, "SELECT count(*) FROM files") == len(cuts)
    assert (await create_queue(QueueName.EMAIL).counts()).waiting == len(cuts)
