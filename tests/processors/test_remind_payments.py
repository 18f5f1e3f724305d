"""Reminders of rent: whom they go to, what they say, and that each comes once."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from processors.database import Database, DatabaseServer
from processors.imobibase import QueueName
from processors.invoices.pix import br_code
from processors.queues import (
    RemindPayment,
    create_queue,
    queue_batch_payment_reminders,
    queue_final_notice,
    queue_overdue_payment_reminder,
    queue_payment_reminder,
    queue_upcoming_payment_reminder,
    queue_upcoming_payment_reminder_sync,
    run_payment_reminders,
)
from processors.reminders.kinds import ReminderType
from streamq import App, Job, JobState
from streamq.errors import InvalidPayload
from streamq.testing import MovableClock, capture_adds, run_until_idle
from tests.processors.marks import progress_marks
from tests.processors.renting import Agency, today

REMINDER = QueueName.PAYMENT_REMINDER


@pytest.fixture
async def agency(database: Database, imobibase: App) -> Agency:
    """An agency; jobs of reminders run, and mails stay in their queue."""
    agency = Agency(database)
    await agency.open()
    return agency


@pytest.fixture
def clock(imobibase: App) -> MovableClock:
    clock = MovableClock(imobibase)
    imobibase.clock = clock
    return clock


async def work(imobibase: App) -> None:
    await run_until_idle(imobibase, REMINDER.value)


async def mails() -> list[Mapping[str, object]]:
    """The mails that were added, as payloads in JSON names, in the order of their addresses."""
    found = (await create_queue(QueueName.EMAIL).page(JobState.WAITING)).jobs
    payloads: list[dict[str, object]] = [msgspec.msgpack.decode(job.data) for job in found]
    return sorted(payloads, key=lambda one: str(one["to"]))


async def seen(job_id: str) -> Job:
    job = await create_queue(REMINDER).get(job_id)
    assert job is not None
    return job


async def result(job_id: str) -> object:
    job = await seen(job_id)
    assert job.state is JobState.COMPLETED, job.run
    assert job.run.result is not None
    return msgspec.msgpack.decode(job.run.result)


async def test_an_overdue_reminder_is_a_mail_to_the_renter(
    imobibase: App, agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = progress_marks(monkeypatch)
    contract = await agency.contract(-5, 25)
    job_id = await queue_overdue_payment_reminder(contract, 5)

    await work(imobibase)

    assert await mails() == [
        {
            "to": "ana@example.com",
            "subject": "Aluguel de janeiro de 2025 em atraso",
            "template": "payment-overdue",
            "data": {
                "renterName": "Ana Souza",
                "propertyAddress": "Rua das Flores, 10, São Paulo/SP",
                "rentAmount": "1550.00",
                "dueDate": (today() - timedelta(days=5)).isoformat(),
                "message": "Seu aluguel de janeiro de 2025 está em atraso há 5 dias.",
                "pixKey": "pix@sol.com",
                "pixCode": br_code(
                    key="pix@sol.com",
                    name="Imobiliária Sol",
                    city="São Paulo",
                    amount=Decimal(1550),
                    reference=f"{contract}_-5",
                ),
                "daysOverdue": 5,
            },
        }
    ]
    assert marks == [20, 50, 70, 100]
    assert (await seen(job_id)).state is JobState.COMPLETED


async def test_an_upcoming_one_is_of_the_next_payment_and_leaves_the_late_one_alone(
    imobibase: App, agency: Agency
) -> None:
    await queue_upcoming_payment_reminder(await agency.contract(-40, 1, 31))

    await work(imobibase)

    [mail] = await mails()
    assert mail["template"] == "payment-reminder"
    data = mail["data"]
    assert isinstance(data, dict)
    assert data["message"] == "Seu aluguel de fevereiro de 2025 vence amanhã."


async def test_a_final_notice_says_so_and_what_was_paid_in_part(
    imobibase: App, agency: Agency
) -> None:
    contract = await agency.contract(-30)
    await agency.pay(f"{contract}_-30", 550)
    await queue_final_notice(contract, 30)

    await work(imobibase)

    [mail] = await mails()
    data = mail["data"]
    assert isinstance(data, dict)
    assert (data["isFinalNotice"], data["rentAmount"]) == (True, "1000.00")
    assert "54071000.00" in data["pixCode"]
    assert "apesar dos avisos anteriores" in data["message"]
    assert data["message"].endswith(
        "Já recebemos R$\u00a0550,00 de R$\u00a01.550,00; faltam R$\u00a01.000,00."
    )


async def test_the_days_tell_which_of_several_late_payments_is_meant(
    imobibase: App, agency: Agency
) -> None:
    contract = await agency.contract(-40, -10)
    meant = await queue_overdue_payment_reminder(contract, 10)
    oldest = await queue_overdue_payment_reminder(contract, 2)

    await work(imobibase)

    paid = [await result(job_id) for job_id in (meant, oldest)]
    assert [one["paymentId"] for one in paid if isinstance(one, dict)] == [
        f"{contract}_-10",
        f"{contract}_-40",
    ]


@pytest.mark.parametrize("status", ["paid", "pending", "overdue", "cancelled", "refunded"])
async def test_what_was_paid_after_the_job_was_added_is_not_reminded_of(
    imobibase: App, agency: Agency, status: str
) -> None:
    contract = await agency.contract(-5)
    job_id = await queue_overdue_payment_reminder(contract, 5)
    await agency.pay(f"{contract}_-5", status=status)

    await work(imobibase)

    assert await result(job_id) == {"skipped": "nothing-open"}
    assert await mails() == []


@pytest.mark.parametrize("email", [None, "", "ana at example.com", "a@x.br, b@x.br"])
async def test_a_renter_whom_no_mail_can_reach_is_skipped(
    imobibase: App, agency: Agency, email: str | None
) -> None:
    job_id = await queue_overdue_payment_reminder(await agency.contract(-5, email=email), 5)

    await work(imobibase)

    assert await result(job_id) == {"skipped": "no-address"}
    assert await mails() == []


async def test_a_contract_that_ended_and_an_event_that_is_off_are_skipped(
    imobibase: App, agency: Agency
) -> None:
    ended = await queue_overdue_payment_reminder(await agency.contract(-5, status="terminated"), 5)
    await agency.switch_off("payment_overdue")
    off = await queue_final_notice(await agency.contract(-30), 30)
    still_on = await queue_upcoming_payment_reminder(await agency.contract(3))

    await work(imobibase)

    assert await result(ended) == {"skipped": "contract-not-active"}
    assert await result(off) == {"skipped": "switched-off"}
    assert isinstance(await result(still_on), dict)
    assert len(await mails()) == 1


async def test_a_payment_is_reminded_of_once_a_day_in_each_kind(
    imobibase: App, agency: Agency, clock: MovableClock
) -> None:
    contract = await agency.contract(-15)
    jobs = [await queue_overdue_payment_reminder(contract, 15) for _ in range(3)]

    await work(imobibase)
    assert len(await mails()) == 1
    skipped = [one for job in jobs if (one := await result(job)) == {"skipped": "already-told"}]
    assert len(skipped) == 2

    await queue_final_notice(contract, 15)
    await work(imobibase)
    assert len(await mails()) == 2

    await clock.advance(days=1)
    await queue_overdue_payment_reminder(contract, 16)
    await work(imobibase)
    assert len(await mails()) == 3


async def test_killed_before_its_mail_and_run_again_the_next_day_it_is_one_reminder(
    imobibase: App, agency: Agency, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is written, the mail is not: what a kill between the two leaves."""

    async def killed(**_: object) -> str:
        raise ConnectionError("killed here")

    contract = await agency.contract(-5)
    await queue_overdue_payment_reminder(contract, 5)
    with monkeypatch.context() as broken:
        broken.setattr("processors.remind_payments.queue_email", killed)
        await work(imobibase)
    assert await mails() == []

    await clock.advance(days=1)
    await work(imobibase)

    assert len(await mails()) == 1
    async with agency.database.transaction() as rows:
        assert await rows.value(int, "SELECT count(*) FROM reminder_log") == 1


async def test_two_workers_at_once_make_one_reminder(imobibase: App, agency: Agency) -> None:
    contract = await agency.contract(-5)
    await asyncio.gather(*(queue_overdue_payment_reminder(contract, 5) for _ in range(8)))

    await run_until_idle(imobibase, REMINDER.value, concurrency=8)

    assert len(await mails()) == 1


async def test_a_contract_that_is_not_there_fails_the_job(
    imobibase: App, database_server: DatabaseServer
) -> None:
    job_id = await queue_overdue_payment_reminder("nowhere", 5)

    await work(imobibase)

    job = await seen(job_id)
    assert (job.state, job.run.attempts) == (JobState.FAILED, 1)
    assert "there is no rental contract nowhere" in job.run.reason


async def test_the_planner_finds_the_days_of_each_kind_and_what_ends_soon(
    imobibase: App, agency: Agency, clock: MovableClock
) -> None:
    planned = [3, 1, -1, -5, -10, -15, -30]
    for days in [*planned, 4, 2, 0, -2, -14, -31]:
        await agency.contract(days, email=f"{'planned' if days in planned else 'no'}@example.com")
    await agency.contract(-5, status="terminated")
    await agency.contract(-5, email=None)
    await agency.pay(f"{await agency.contract(-5)}_-5")
    ending = [await agency.contract(ends=ends) for ends in (30, 1)]
    await agency.contract(ends=31)

    await run_payment_reminders()
    await work(imobibase)
    await clock.advance(minutes=1)
    await work(imobibase)

    sent = await mails()
    by_template = {
        template: sum(mail["template"] == template for mail in sent)
        for template in ("payment-reminder", "payment-overdue", "contract-expiring")
    }
    assert by_template == {
        "payment-reminder": 2,
        "payment-overdue": 5,
        "contract-expiring": len(ending),
    }
    assert all(mail["to"] == "planned@example.com" for mail in sent[len(ending) :])
    finals = [mail for mail in sent if "final" in str(mail["subject"])]
    assert len(finals) == 1


async def test_run_twice_the_planner_reminds_of_nothing_twice(
    imobibase: App, agency: Agency, clock: MovableClock
) -> None:
    await agency.contract(-5, ends=10)
    for _ in range(2):
        await run_payment_reminders()
        await work(imobibase)
        await clock.advance(minutes=1)
        await work(imobibase)

    templates = sorted(str(mail["template"]) for mail in await mails())
    assert templates == ["contract-expiring", "payment-overdue"]


async def test_a_contract_that_is_prolonged_is_told_of_its_new_end(
    imobibase: App, agency: Agency, clock: MovableClock
) -> None:
    contract = await agency.contract(ends=10)
    for _ in range(2):
        await run_payment_reminders()
        await work(imobibase)
        await clock.advance(minutes=1)
        await work(imobibase)
        async with agency.database.transaction() as rows:
            await rows.run(
                "UPDATE rental_contracts SET end_date = end_date + interval '15 days'"
                " WHERE id = %(id)s",
                id=contract,
            )

    ends = [mail["data"] for mail in await mails()]
    told = {one["endDate"] for one in ends if isinstance(one, dict)}
    assert told == {(today() + timedelta(days=days)).isoformat() for days in (10, 25)}


async def test_the_console_shows_what_is_sent_to_whom(
    imobibase: App, agency: Agency, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "PaymentReminderProcessor")
    contract = await agency.contract(-5)
    await queue_overdue_payment_reminder(contract, 5)

    await work(imobibase)

    said = [one.message for one in caplog.records if one.name == "PaymentReminderProcessor"]
    assert said[0] == f"Sending overdue for contract {contract} to ana@example.com"


@pytest.mark.usefixtures("imobibase")
async def test_each_way_in_has_its_priority_and_a_batch_its_spread(imobibase: App) -> None:
    with capture_adds(imobibase) as captured:
        await queue_payment_reminder({"contractId": 7, "type": "upcoming"})
        await queue_upcoming_payment_reminder(7)
        await queue_overdue_payment_reminder(7, 5)
        await queue_final_notice("7", 30)
        ids = await queue_batch_payment_reminders(
            [
                {"contractId": 7, "type": "final-notice", "daysOverdue": 30},
                RemindPayment(contract_id=7, type=ReminderType.OVERDUE),
            ]
        )

    assert [one.name for one in captured] == ["send-payment-reminder"] * 6
    assert [one.options.priority for one in captured] == [2, 3, 1, 1, 1, 2]
    assert [one.data for one in captured][1:4] == [
        {"contractId": 7, "type": "upcoming"},
        {"contractId": 7, "type": "overdue", "daysOverdue": 5},
        {"contractId": "7", "type": "final-notice", "daysOverdue": 30},
    ]
    assert ids == [one.id for one in captured][4:]


@pytest.mark.usefixtures("imobibase")
@pytest.mark.parametrize(
    "data",
    [
        {"contractId": 7, "type": "late"},
        {"contractId": "../7", "type": "overdue"},
        {"contractId": 7, "type": "overdue", "daysOverdue": -1},
        {"type": "overdue"},
    ],
)
async def test_what_is_no_reminder_is_refused_before_it_is_sent(data: Mapping[str, object]) -> None:
    with pytest.raises(InvalidPayload):
        await queue_payment_reminder(data)


def test_a_way_in_has_a_blocking_twin(imobibase_sync: App) -> None:
    assert queue_upcoming_payment_reminder_sync(7)
