"""The ways into the queue `invoice`."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from processors.database import Database
from processors.enqueue.adding import (
    Delay,
    Job,
    Table,
    add,
    add_all,
    add_all_sync,
    add_sync,
    payload_of,
    spread,
)
from processors.ids import as_text
from processors.imobibase import QueueName
from processors.invoices.make import invoice_of_contract
from processors.render_invoice import GENERATE_INVOICE, RenderInvoice
from processors.settings import database_server
from streamq import blocking

PRIORITY: Final = 3
CONTRACT_PRIORITY: Final = 2
BATCH_PRIORITY: Final = 5
BATCH_SPREAD: Final = timedelta(seconds=60)


async def queue_invoice(
    data: RenderInvoice | Table | None = None,
    /,
    priority: int = PRIORITY,
    delay: Delay | None = None,
    *,
    invoice_id: int | str | None = None,
    user_id: int | str | None = None,
    send_email: bool | None = None,
) -> str:
    """Queue an invoice: its fields by name, or a whole payload (a RenderInvoice, or a table in JSON
    names).

    Raises InvalidInput (nothing was sent) and what `Queue.add` raises.
    """
    return await add(_job(_payload(data, invoice_id, user_id, send_email), priority, delay))


def queue_invoice_sync(
    data: RenderInvoice | Table | None = None,
    /,
    priority: int = PRIORITY,
    delay: Delay | None = None,
    *,
    invoice_id: int | str | None = None,
    user_id: int | str | None = None,
    send_email: bool | None = None,
) -> str:
    """`queue_invoice` for code without an event loop."""
    job = _job(_payload(data, invoice_id, user_id, send_email), priority, delay)
    return add_sync(job, queue_invoice_sync, queue_invoice)


async def queue_contract_invoice(
    contract_id: int | str, user_id: int | str, send_email: bool = True
) -> str:
    """Makes the invoice of the contract's oldest open payment, if there is none yet, and queues it.

    It is this process that reads DATABASE_URL. Raises NothingToInvoice, UnsetDatabase,
    DatabaseUnavailable, and what `Queue.add` raises: then the invoice is there, and a second call
    queues the same one.
    """
    database = Database(database_server(), connections=1)
    await database.open()
    try:
        made = await invoice_of_contract(database, as_text(contract_id), as_text(user_id))
    finally:
        await database.aclose()
    return await queue_invoice(
        invoice_id=made, user_id=user_id, send_email=send_email, priority=CONTRACT_PRIORITY
    )


def queue_contract_invoice_sync(
    contract_id: int | str, user_id: int | str, send_email: bool = True
) -> str:
    """`queue_contract_invoice` for code without an event loop."""
    return blocking.run(
        lambda: queue_contract_invoice(contract_id, user_id, send_email),
        called="queue_contract_invoice_sync",
        instead="queue_contract_invoice",
    )


async def queue_batch_invoices(invoices: Iterable[RenderInvoice | Table]) -> list[str]:
    """Queue many, over the next minute; their ids, in their order. All are checked first."""
    return await add_all(QueueName.INVOICE, _batch(invoices))


def queue_batch_invoices_sync(invoices: Iterable[RenderInvoice | Table]) -> list[str]:
    """`queue_batch_invoices` for code without an event loop."""
    return add_all_sync(
        QueueName.INVOICE, _batch(invoices), queue_batch_invoices_sync, queue_batch_invoices
    )


def _payload(
    data: RenderInvoice | Table | None,
    invoice_id: int | str | None,
    user_id: int | str | None,
    send_email: bool | None,
) -> RenderInvoice | Table:
    fields = {"invoiceId": invoice_id, "userId": user_id, "sendEmail": send_email}
    return payload_of(data, fields)


def _batch(invoices: Iterable[RenderInvoice | Table]) -> list[Job]:
    return [_job(each, BATCH_PRIORITY, spread(BATCH_SPREAD)) for each in invoices]


def _job(data: RenderInvoice | Table, priority: int, delay: Delay | None) -> Job:
    return Job(
        queue=QueueName.INVOICE, name=GENERATE_INVOICE, data=data, priority=priority, delay=delay
    )
