"""The ways into the queue `invoice`; and invoices made of a contract, with one number each."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from processors.database import Database
from processors.imobibase import QueueName, app
from processors.invoices.make import NothingToInvoice, invoice_of_contract
from processors.queues import (
    create_queue,
    queue_batch_invoices,
    queue_contract_invoice,
    queue_invoice,
    queue_invoice_sync,
)
from streamq import App
from streamq.errors import InvalidInput, InvalidPayload, SyncInLoop
from streamq.testing import capture_adds
from tests.processors.agency_rows import (
    CONTRACT,
    OTHER_USER,
    PAYMENT,
    USER,
    add_agency,
    add_payment,
)

EXAMPLE = {"invoiceId": 12345, "userId": 1, "sendEmail": True}


class Made(msgspec.Struct, frozen=True):
    id: str
    number: str
    status: str
    subtotal: Decimal
    discount: Decimal
    total: Decimal


async def invoices(database: Database) -> list[Made]:
    async with database.transaction() as work:
        return await work.every(
            Made,
            "SELECT id, number, status, subtotal, discount, total FROM invoices ORDER BY number",
        )


@pytest.mark.usefixtures("imobibase")
async def test_the_documented_example_is_one_job_of_priority_3() -> None:
    with capture_adds(app) as captured:
        await queue_invoice(EXAMPLE)
        await queue_invoice(invoice_id=12345, user_id=1, send_email=True)

    for job in captured:
        assert (job.queue, job.name, job.options.priority) == ("invoice", "generate-invoice", 3)
        assert job.data == EXAMPLE


@pytest.mark.usefixtures("imobibase")
async def test_a_batch_is_spread_over_a_minute_at_priority_5() -> None:
    with capture_adds(app) as captured:
        ids = await queue_batch_invoices([{"invoiceId": n, "userId": 1} for n in range(50)])

    assert [job.id for job in captured] == ids
    assert {job.options.priority for job in captured} == {5}
    delays = [job.delay_ms or 0 for job in captured]
    assert 0 <= min(delays) < max(delays) <= 60_000


@pytest.mark.usefixtures("imobibase")
async def test_what_is_no_invoice_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidPayload, match="userId"):
        await queue_invoice(invoice_id=1)
    with pytest.raises(InvalidPayload):
        await queue_invoice({"invoiceId": "../1", "userId": 1})
    with pytest.raises(InvalidInput, match="not both"):
        await queue_invoice(EXAMPLE, user_id=1)
    with pytest.raises(SyncInLoop, match="queue_invoice"):
        queue_invoice_sync(EXAMPLE)


async def test_a_contracts_invoice_is_made_of_its_oldest_open_payment(
    imobibase: App, database: Database
) -> None:
    await add_agency(database)
    await add_payment(database, status="paid", month="2024-12")
    await add_payment(database, payment_id="later", month="2025-02")
    await add_payment(database, payment_id="oldest", discounts=Decimal("100.00"))
    async with database.transaction() as work:
        await work.run("UPDATE rental_payments SET due_date = '2025-03-10' WHERE id = 'later'")

    job = await create_queue(QueueName.INVOICE).get(await queue_contract_invoice(CONTRACT, USER))

    [made] = await invoices(database)
    assert job is not None
    assert msgspec.msgpack.decode(job.data)["invoiceId"] == made.id
    assert (made.number, made.status) == ("INV-000001", "draft")
    assert (made.subtotal, made.discount, made.total) == (
        Decimal(2300),
        Decimal(100),
        Decimal(2200),
    )
    async with database.transaction() as work:
        paid_by = await work.value(str, "SELECT rental_payment_id FROM invoices")
    assert paid_by == "oldest"


async def test_however_often_and_however_many_at_once_it_is_one_invoice_and_one_number(
    imobibase: App, database: Database
) -> None:
    await add_agency(database)
    await add_payment(database)

    ids = await asyncio.gather(*(invoice_of_contract(database, CONTRACT, USER) for _ in range(8)))

    assert {made.id for made in await invoices(database)} == set(ids)
    assert [made.number for made in await invoices(database)] == ["INV-000001"]


async def test_numbers_leave_none_out_and_go_on_from_what_the_application_gave(
    imobibase: App, database: Database
) -> None:
    await add_agency(database)
    await add_payment(database)
    first = await invoice_of_contract(database, CONTRACT, USER)
    async with database.transaction() as work:
        await work.run("UPDATE invoices SET number = 'INV-000041'")
        await work.run("DELETE FROM invoice_numbers")
        await work.run("UPDATE rental_payments SET status = 'paid'")
    await add_payment(database, payment_id="second", month="2025-02")
    async with database.transaction() as work:  # the second item fails: nothing is made
        await work.run(
            "ALTER TABLE invoice_items ADD CONSTRAINT never CHECK (total <> 600) NOT VALID"
        )
    with pytest.raises(Exception, match="never"):
        await invoice_of_contract(database, CONTRACT, USER)
    async with database.transaction() as work:
        await work.run("ALTER TABLE invoice_items DROP CONSTRAINT never")

    second = await invoice_of_contract(database, CONTRACT, USER)

    numbers = {made.id: made.number for made in await invoices(database)}
    assert numbers == {first: "INV-000041", second: "INV-000042"}


async def test_a_total_that_its_parts_do_not_make_up_is_the_payments_own(
    imobibase: App, database: Database
) -> None:
    await add_agency(database)
    await add_payment(database)
    async with database.transaction() as work:
        await work.run("UPDATE rental_payments SET total_value = 2350.10")

    await invoice_of_contract(database, CONTRACT, USER)

    [made] = await invoices(database)
    assert (made.subtotal, made.discount, made.total) == (
        Decimal("2350.10"),
        Decimal(0),
        Decimal("2350.10"),
    )


async def test_without_an_open_payment_or_for_another_agency_nothing_is_made(
    imobibase: App, database: Database
) -> None:
    await add_agency(database)
    await add_payment(database, payment_id=PAYMENT, status="paid")

    with pytest.raises(NothingToInvoice, match="no open payment"):
        await queue_contract_invoice(CONTRACT, USER)
    with pytest.raises(NothingToInvoice, match="has no rental contract"):
        await queue_contract_invoice(CONTRACT, OTHER_USER)
    assert await invoices(database) == []
