"""The usage examples of the document that asked for this system, in Python, word by word.

Each runs to its end by a real worker, on the seed data's rows.
"""

import random

import msgspec
import pytest

from processors.queues import (
    QueueName,
    create_queue,
    queue_custom_report,
    queue_email,
    queue_invoice,
    queue_overdue_payment_reminder,
)
from processors.seeding.examples import FIVE_DAYS_OVERDUE
from processors.storage import Storage
from streamq import App, JobState
from streamq.testing import capture_adds, run_until_idle
from tests.processors.mail_server import MailServer

WELCOME = {
    "to": "user@example.com",
    "subject": "Welcome to ImobiBase",
    "template": "welcome",
    "data": {"userName": "John Doe", "loginUrl": "https://app.imobibase.com/login"},
}


async def completed(queue: QueueName, job_id: str) -> dict[str, object]:
    job = await create_queue(queue).get(job_id)
    assert job is not None
    assert job.state is JobState.COMPLETED, job.run.reason
    result: dict[str, object] = msgspec.msgpack.decode(job.run.result or b"\x80")
    return result


@pytest.mark.slow
@pytest.mark.usefixtures("seeded")
async def test_the_five_examples_come_to_their_ends(
    imobibase: App, storage: Storage, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{mails.port}")
    user_id, contract_id = 1, FIVE_DAYS_OVERDUE

    mail = await queue_email(
        to="user@example.com",
        subject="Welcome to ImobiBase",
        template="welcome",
        data={"userName": "John Doe", "loginUrl": "https://app.imobibase.com/login"},
    )
    invoice = await queue_invoice(invoice_id=12345, user_id=1, send_email=True)
    report = await queue_custom_report(
        "2025-01-01", "2025-01-31", "pdf", "user@example.com", user_id
    )
    reminder = await queue_overdue_payment_reminder(contract_id, 5)  # 5 days overdue
    export_queue = create_queue(QueueName.EXPORT)
    export = await export_queue.add(
        "user-data-export",
        {"userId": 123, "type": "all", "format": "zip", "email": "user@example.com"},
    )
    await run_until_idle(imobibase, limit_s=60)

    await completed(QueueName.EMAIL, mail)
    await completed(QueueName.PAYMENT_REMINDER, reminder)
    keys = [
        str((await completed(queue, job_id))["key"])
        for queue, job_id in (
            (QueueName.INVOICE, invoice),
            (QueueName.REPORT, report),
            (QueueName.EXPORT, export.id),
        )
    ]
    heads = [(await storage.exports.get(key))[:4] for key in keys]
    assert heads == [b"%PDF", b"%PDF", b"PK\x03\x04"]
    assert len(mails.mails) == 5


async def test_the_examples_of_priorities_delays_and_batches_are_queued_so(imobibase: App) -> None:
    data, recipients = WELCOME, ["a@example.com", "b@example.com"]
    with capture_adds(imobibase) as captured:
        await queue_email(data, priority=1)
        await queue_email(data, delay=60000)
        for _recipient in recipients:
            await queue_email(data, priority=5, delay=random.random() * 60000)
        await queue_email(
            to="test@example.com",
            subject="Test Email",
            template="welcome",
            data={"userName": "Test User"},
        )

    first, later, *batch, test = captured
    assert (first.options.priority, first.delay_ms, later.delay_ms) == (1, None, 60_000)
    assert all(one.options.priority == 5 and (one.delay_ms or 0) <= 60_000 for one in batch)
    assert (len(batch), test.data) == (
        2,
        {
            "to": "test@example.com",
            "subject": "Test Email",
            "template": "welcome",
            "data": {"userName": "Test User"},
        },
    )
