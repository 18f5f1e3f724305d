"""All ways in that the documents name: their parameters, and the priority and spread of each."""

import inspect
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import pytest

from processors import queues
from processors.enqueue.adding import spread
from processors.imobibase import QueueName
from processors.schedules import SCHEDULES
from streamq import App
from streamq.testing import capture_adds

MAIL = {"to": "a@example.com", "subject": "x", "template": "welcome", "data": {"userName": "Ana"}}
INVOICE = {"invoiceId": 1, "userId": 1}
REPORT = {"type": "custom", "startDate": "2025-01-01", "endDate": "2025-01-31", "format": "csv",
          "userId": 1}  # fmt: skip
REMINDER = {"contractId": 1, "type": "overdue"}
FINAL = {"contractId": 1, "type": "final-notice"}
READER = {"userId": 1, "email": "a@example.com"}
MINUTE_MS = 60_000

# name, parameters, what it is called with, queue, priority, the most that it is spread over.
HELPERS = (
    ("queue_email", "priority delay job_id", (MAIL, 4), "email", 4, 0),
    ("queue_email", "priority delay job_id", (MAIL,), "email", None, 0),
    ("queue_welcome_email", "email user_name", ("a@b.br", "Ana"), "email", None, 0),
    ("queue_password_reset_email", "email reset_token", ("a@b.br", "t"), "email", 1, 0),
    ("queue_verification_email", "email verification_token", ("a@b.br", "t"), "email", 1, 0),
    ("queue_bulk_email", "recipients subject template data",
     (["a@b.br"], "x", "welcome", {"userName": "A"}), "email", 5, MINUTE_MS),
    ("queue_invoice", "priority delay", (INVOICE,), "invoice", 3, 0),
    ("queue_invoice", "priority delay", (INVOICE, 1, 1_000), "invoice", 1, 1_000),
    ("queue_batch_invoices", "invoices", ([INVOICE, INVOICE],), "invoice", 5, MINUTE_MS),
    ("queue_report", "data priority delay", (REPORT,), "report", 3, 0),
    ("queue_report", "data priority delay", (REPORT, 9), "report", 9, 0),
    ("queue_daily_report", "user_id email", (1, "a@b.br"), "report", 4, 0),
    ("queue_weekly_report", "user_id email", (1, "a@b.br"), "report", 4, 0),
    ("queue_monthly_report", "user_id email", (1, "a@b.br"), "report", 3, 0),
    ("queue_custom_report", "start_date end_date format email user_id",
     ("2025-01-01", "2025-01-31", "pdf", "a@b.br", 1), "report", 2, 0),
    ("queue_batch_reports", "type user_emails", ("daily", [READER]), "report", 5, 5 * MINUTE_MS),
    ("queue_payment_reminder", "data priority delay", (REMINDER,), "payment-reminder", 2, 0),
    ("queue_payment_reminder", "data priority delay", (REMINDER, 7), "payment-reminder", 7, 0),
    ("queue_upcoming_payment_reminder", "contract_id", (1,), "payment-reminder", 3, 0),
    ("queue_overdue_payment_reminder", "contract_id days_overdue", (1, 5), "payment-reminder",
     1, 0),
    ("queue_final_notice", "contract_id days_overdue", (1, 30), "payment-reminder", 1, 0),
    ("queue_batch_payment_reminders", "contracts", ([REMINDER],), "payment-reminder",
     2, MINUTE_MS),
    ("queue_batch_payment_reminders", "contracts", ([FINAL],), "payment-reminder", 1, MINUTE_MS),
)  # fmt: skip
NAMES = {name for name, *_ in HELPERS} | {"queue_contract_invoice"}
RUNS = {f"run_{row.name.replace('-', '_')}" for row in SCHEDULES}
BATCHES = {name for name in NAMES if "_batch_" in name or "_bulk_" in name}


def helper(name: str) -> Callable[..., Awaitable[str | list[str]]]:
    found: Callable[..., Awaitable[str | list[str]]] = getattr(queues, name)
    return found


@pytest.mark.parametrize(("name", "parameters", "given", "queue", "priority", "spread_ms"), HELPERS)
async def test_each_has_its_parameters_its_priority_and_its_spread(
    imobibase: App, name: str, parameters: str, given: tuple[object, ...], queue: str,
    priority: int | None, spread_ms: int, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for module in ("email", "invoice", "reminder", "report"):
        monkeypatch.setattr(f"processors.enqueue.{module}.spread", lambda up_to: up_to)
    takes = [each for each in inspect.signature(helper(name)).parameters.values()
             if each.kind is each.POSITIONAL_OR_KEYWORD]  # fmt: skip
    assert [each.name for each in takes] == parameters.split()

    with capture_adds(imobibase) as captured:
        gives = await helper(name)(*given)

    ids = [one.id for one in captured]
    assert gives == (ids if name in BATCHES else ids[0])
    for one in captured:
        wanted = timedelta(milliseconds=spread_ms)
        assert (one.queue, one.options.priority) == (queue, priority)
        assert (one.delay_ms or 0) == wanted / timedelta(milliseconds=1)


def test_a_spread_is_random_from_nothing_to_its_limit() -> None:
    minute = timedelta(minutes=1)
    drawn = [spread(minute) for _ in range(200)]

    assert all(timedelta() <= one <= minute for one in drawn)
    assert len({one // timedelta(seconds=10) for one in drawn}) >= 6


def test_a_contracts_invoice_goes_by_its_contract_and_before_others() -> None:
    """Its row is made in the database: see test_queue_invoice.py."""
    from processors.enqueue.invoice import CONTRACT_PRIORITY

    takes = inspect.signature(queues.queue_contract_invoice).parameters
    assert (list(takes), CONTRACT_PRIORITY) == (["contract_id", "user_id", "send_email"], 2)


def test_each_has_a_blocking_twin_with_the_same_parameters() -> None:
    for name in NAMES | RUNS:
        twin = getattr(queues, f"{name}_sync")
        assert not inspect.iscoroutinefunction(twin)
        assert inspect.signature(twin) == inspect.signature(helper(name))
        assert {name, f"{name}_sync"} <= set(queues.__all__)


def test_the_payloads_of_the_nine_have_their_names_of_the_node_application() -> None:
    payloads = {name for name in queues.__all__ if name.endswith("JobData")}

    words = {"".join(map(str.capitalize, queue.value.split("-"))) for queue in QueueName}
    assert payloads == {f"{word}JobData" for word in words}
    assert all(issubclass(getattr(queues, name), msgspec.Struct) for name in payloads)
