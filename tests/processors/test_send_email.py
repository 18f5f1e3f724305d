"""A mail from `queue_email` to a real mail server, by a real worker: its way, and its troubles."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from processors.clients.ledger import Ledger
from processors.database import DatabaseServer
from processors.imobibase import QueueName
from processors.queues import create_queue, queue_email
from processors.settings import UnsetInProduction
from processors.storage import Storage
from streamq import App, Effect, Job, JobState
from streamq.metrics import metrics_text
from streamq.run.logs import ConsoleFormat
from streamq.settings import Env
from streamq.testing import MovableClock, run_until_idle
from tests.processors.letters import part, read
from tests.processors.mail_server import DROP, HANG, MailServer
from tests.support.waiting import soon

BOTH = ["ana@example.com", "bo@example.com"]
THREE = [*BOTH, "caio@example.com"]


@pytest.fixture
def site(imobibase: App, mails: MailServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> App:
    """The application with a mail server, a clock to move, and a folder for attachments."""
    monkeypatch.setenv("APP_URL", "https://app.imobibase.com")
    monkeypatch.setenv("FROM_EMAIL", "ImobiBase <noreply@imobibase.com>")
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{mails.port}?timeout=0.5")
    monkeypatch.setenv("MAIL_ATTACHMENTS_DIR", str(tmp_path))
    return imobibase


@pytest.fixture
def clock(imobibase: App) -> MovableClock:
    clock = MovableClock(imobibase)
    imobibase.clock = clock
    return clock


async def queued(to: str | list[str] = "user@example.com", **changed: object) -> str:
    payload: Mapping[str, object] = {
        "to": to,
        "subject": "Welcome to ImobiBase",
        "template": "welcome",
        "data": {"userName": "John Doe"},
    }
    return await queue_email({**payload, **changed})


async def seen(job_id: str) -> Job:
    job = await create_queue(QueueName.EMAIL).get(job_id)
    assert job is not None
    return job


async def work(site: App) -> None:
    await run_until_idle(site, "email")


async def work_through_retries(site: App, clock: MovableClock) -> None:
    await work(site)
    for wait_s in (5, 10):
        await clock.advance(seconds=wait_s)
        await work(site)


def had(mails: MailServer) -> list[str]:
    """Every recipient of every mail that arrived."""
    return [recipient for mail in mails.mails for recipient in mail.recipients]


async def test_a_queued_mail_is_delivered(site: App, mails: MailServer) -> None:
    job_id = await queue_email(
        to="user@example.com",
        subject="Welcome to ImobiBase",
        template="welcome",
        data={"userName": "John Doe", "loginUrl": "https://app.imobibase.com/login"},
    )

    await work(site)

    [mail] = mails.mails
    message = read(mail.content)
    assert (mail.sender, mail.recipients) == ("noreply@imobibase.com", ("user@example.com",))
    assert message["From"] == "ImobiBase <noreply@imobibase.com>"
    assert message["To"] == "user@example.com"
    assert message["Subject"] == "Welcome to ImobiBase"
    assert "Boas-vindas, John Doe!" in part(message, "plain")
    assert 'href="https://app.imobibase.com/login"' in part(message, "html")
    job = await seen(job_id)
    assert job.state is JobState.COMPLETED
    assert job.run.result is not None
    assert msgspec.msgpack.decode(job.run.result) == {
        "messageId": message["Message-ID"],
        "recipients": 1,
    }
    assert job.run.progress is not None
    assert msgspec.msgpack.decode(job.run.progress) == 100


async def test_the_console_shows_the_lines_asked_for(
    site: App, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "EmailProcessor")
    await queued()

    await work(site)

    ours = [record for record in caplog.records if record.name == "EmailProcessor"]
    assert [ConsoleFormat(colour=False).format(record) for record in ours] == [
        "[EmailProcessor] Sending email to user@example.com",
        "[EmailProcessor] Email sent successfully to: user@example.com",
    ]


@pytest.mark.parametrize(
    "name", ["send-email", "send-invoice", "send-report", "send-export", "payment-reminder", "x"]
)
async def test_every_job_of_the_queue_is_a_mail_whatever_its_name(
    site: App, mails: MailServer, name: str
) -> None:
    await create_queue(QueueName.EMAIL).add(
        name,
        {"to": BOTH, "subject": "Olá", "template": "welcome", "data": {"userName": "Ana"}},
    )

    await work(site)

    assert had(mails) == BOTH


async def test_mails_are_counted_by_template_one_for_each_recipient(
    site: App, mails: MailServer
) -> None:
    await queued(BOTH)
    await queued()

    await work(site)

    _, text = await metrics_text(site)
    counted = 'streamq_email_sent_total{provider="smtp",template="welcome"} 3.0'
    assert counted in text.decode().splitlines()


async def test_an_address_given_twice_has_one_mail(site: App, mails: MailServer) -> None:
    await queued(["Ana <ana@example.com>", "ana@EXAMPLE.com", "bo@example.com"])

    await work(site)

    assert had(mails) == BOTH


async def test_a_mail_is_from_whom_its_payload_says(site: App, mails: MailServer) -> None:
    await queued(**{"from": "Imobiliária Sol <contato@sol.com>"})

    await work(site)

    [mail] = mails.mails
    assert mail.sender == "contato@sol.com"
    assert read(mail.content)["From"] == "Imobiliária Sol <contato@sol.com>"


@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reply", ["421 busy", "451 greylisted", HANG])
async def test_what_may_pass_is_tried_again(
    site: App, clock: MovableClock, mails: MailServer, phase: str, reply: str
) -> None:
    mails.answer(phase, reply)
    job_id = await queued()

    await work(site)
    assert (await seen(job_id)).state is JobState.DELAYED

    await clock.advance(seconds=5)
    await work(site)

    job = await seen(job_id)
    assert job.state is JobState.COMPLETED
    assert job.run.attempts == 2
    assert had(mails) == ["user@example.com"]


async def test_after_a_lost_answer_to_the_text_the_second_copy_has_the_same_message_id(
    site: App, clock: MovableClock, mails: MailServer
) -> None:
    mails.answer("DATA", DROP)
    job_id = await queued()

    await work_through_retries(site, clock)

    job = await seen(job_id)
    assert job.state is JobState.COMPLETED
    assert "is not known" in job.run.errors[0].message
    assert had(mails) == ["user@example.com"] * 2
    assert len({read(mail.content)["Message-ID"] for mail in mails.mails}) == 1


@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "DATA"])
async def test_a_5xx_fails_the_job_at_once(site: App, mails: MailServer, phase: str) -> None:
    mails.answer(phase, "550 not here")
    job_id = await queued()

    await work(site)

    job = await seen(job_id)
    assert job.state is JobState.FAILED
    assert job.run.attempts == 1
    assert "550 not here" in job.run.reason
    assert mails.mails == []


async def test_a_server_that_never_takes_it_fails_the_job_after_three_attempts(
    site: App, clock: MovableClock, mails: MailServer
) -> None:
    mails.answer("RCPT", *["451 greylisted"] * 9)
    job_id = await queued()

    await work_through_retries(site, clock)

    job = await seen(job_id)
    assert job.state is JobState.FAILED
    assert job.run.attempts == 3
    assert "user@example.com: 451 greylisted" in job.run.reason


async def test_a_retry_mails_only_those_who_have_not_had_it(
    site: App, clock: MovableClock, mails: MailServer
) -> None:
    mails.answer("RCPT", "451 greylisted", to="bo@example.com")
    job_id = await queued(THREE)

    await work(site)
    assert had(mails) == ["ana@example.com", "caio@example.com"]

    await clock.advance(seconds=5)
    await work(site)

    assert (await seen(job_id)).state is JobState.COMPLETED
    assert [mail.recipients for mail in mails.mails] == [
        ("ana@example.com", "caio@example.com"),
        ("bo@example.com",),
    ]
    # It is the same message to all of them: one id, and one list of whom it is to.
    assert len({read(mail.content)["Message-ID"] for mail in mails.mails}) == 1
    assert {read(mail.content)["To"] for mail in mails.mails} == {", ".join(THREE)}


async def test_each_of_them_has_it_once_however_many_attempts_it_takes(
    site: App, clock: MovableClock, mails: MailServer
) -> None:
    mails.answer("RCPT", "451 greylisted", to="bo@example.com")
    mails.answer("RCPT", *["451 greylisted"] * 2, to="caio@example.com")
    job_id = await queued(THREE)

    await work_through_retries(site, clock)

    assert (await seen(job_id)).state is JobState.COMPLETED
    assert had(mails) == THREE


async def test_a_recipient_refused_for_good_fails_the_job_after_the_others_had_it(
    site: App, clock: MovableClock, mails: MailServer
) -> None:
    mails.answer("RCPT", *["550 no such user"] * 3, to="bo@example.com")
    mails.answer("RCPT", "451 greylisted", to="caio@example.com")
    job_id = await queued(THREE)

    await work_through_retries(site, clock)

    job = await seen(job_id)
    assert job.state is JobState.FAILED
    assert job.run.attempts == 2
    assert job.run.reason == (
        "1 of 3 recipients were refused for good: bo@example.com: 550 no such user"
    )
    assert had(mails) == ["ana@example.com", "caio@example.com"]


async def test_an_operators_retry_mails_only_the_rest(site: App, mails: MailServer) -> None:
    mails.answer("RCPT", "550 mailbox full", to="bo@example.com")
    job_id = await queued(BOTH)
    await work(site)

    assert await create_queue(QueueName.EMAIL).retry(job_id) is Effect.DONE
    await work(site)

    assert (await seen(job_id)).state is JobState.COMPLETED
    assert had(mails) == ["ana@example.com", "bo@example.com"]


async def test_an_attempt_after_a_crash_behind_the_servers_word_sends_nothing(
    site: App, mails: MailServer
) -> None:
    # The server took it and the ledger says so; then the process died, before it could settle.
    await Ledger(site.redis).add("email/signup-17", frozenset(), ["user@example.com"])
    job_id = await queue_email(
        to="user@example.com",
        subject="Olá",
        template="welcome",
        data={"userName": "Ana"},
        job_id="signup-17",
    )

    await work(site)

    assert (await seen(job_id)).state is JobState.COMPLETED
    assert mails.mails == []
    assert mails.connections == 0


async def test_a_payload_that_no_template_takes_is_parked_and_not_lost(
    site: App, mails: MailServer
) -> None:
    producer = App("elsewhere", settings=site.settings)  # knows no handler: nothing is checked
    added = await producer.queue("email").add(
        "send-email", {"to": "a@x.br", "subject": "x", "template": "welcome"}, create=True
    )
    await producer.close()

    await work(site)

    job = await seen(added.id)
    assert job.state is JobState.PARKED
    assert "missing required field userName" in job.run.reason


async def test_in_production_a_link_to_another_host_fails_the_job(
    site: App, mails: MailServer, database_server: DatabaseServer, storage: Storage
) -> None:
    site.configure(msgspec.structs.replace(site.settings, env=Env.PRODUCTION))
    data = {"userName": "Ana", "loginUrl": "https://app.imobibase.com.evil.example/login"}
    job_id = await queued(data=data)

    await work(site)

    job = await seen(job_id)
    assert job.state is JobState.FAILED
    assert "data.loginUrl: leads to app.imobibase.com.evil.example" in job.run.reason
    assert mails.mails == []


async def test_without_a_mail_server_a_mail_becomes_a_file(
    site: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SMTP_URL")
    outbox = tmp_path / "outbox"
    monkeypatch.setenv("MAIL_OUTBOX_DIR", str(outbox))

    job_id = await queued()
    await work(site)

    assert sorted(os.listdir(outbox)) == [f"{job_id}.eml", f"{job_id}.html", "index.html"]
    message = read((outbox / f"{job_id}.eml").read_bytes())
    assert message["Subject"] == "Welcome to ImobiBase"
    assert "Boas-vindas, John Doe!" in part(message, "plain")


async def test_in_production_no_worker_starts_without_a_mail_server(
    site: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.configure(msgspec.structs.replace(site.settings, env=Env.PRODUCTION))
    monkeypatch.delenv("SMTP_URL")
    job_id = await queued()

    with pytest.raises(UnsetInProduction, match="SMTP_URL"):
        await work(site)

    assert (await seen(job_id)).state is JobState.WAITING


async def test_a_hundred_mails_share_a_few_connections(site: App, mails: MailServer) -> None:
    for number in range(100):
        await queued(f"user{number}@example.com")

    await work(site)

    assert sorted(had(mails)) == sorted(f"user{number}@example.com" for number in range(100))
    assert mails.connections <= 20
    await soon(lambda: mails.open == 0, "the worker's end closes the connections")
