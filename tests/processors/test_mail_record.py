"""Mails with a database: one row a recipient, nobody twice, nobody who must have none."""

import asyncio
import contextlib
import itertools
import os
import types
from collections import Counter
from collections.abc import Coroutine, Generator, Mapping
from typing import Final

import msgspec
import pytest

from processors.database import Database
from processors.imobibase import QueueName
from processors.queues import SendEmail, create_queue, queue_email
from processors.send_email import send_email
from streamq import App, Effect, Job, JobState
from streamq.testing import MovableClock, perform, run_until_idle
from tests.processors.agency_rows import TENANT, add_agency
from tests.processors.letters import read
from tests.processors.mail_server import MailServer

ANA: Final = "ana@example.com"
BO: Final = "bo@x.example"
CAIO: Final = "caio@example.com"
AWAITS_MAX: Final = 100
ROUNDS: Final = 4
UNKNOWN_AWAITS_MAX: Final = 3


class Row(msgspec.Struct, frozen=True):
    recipient: str
    tenant_id: str | None
    template: str
    provider: str
    message_id: str
    status: str
    reply: str | None


@pytest.fixture
async def site(
    imobibase: App, database: Database, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> App:
    """The application with two agencies in its database, and a mail server."""
    await add_agency(database)
    monkeypatch.setenv("APP_URL", "https://app.imobibase.com")
    monkeypatch.setenv("FROM_EMAIL", "ImobiBase <noreply@imobibase.com>")
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{mails.port}?timeout=0.5")
    return imobibase


async def queued(
    *to: str, job_id: str | None = None, tenant: str | None = TENANT, **changed: object
) -> str:
    payload: Mapping[str, object] = {
        "to": list(to) or [ANA],
        "subject": "Olá",
        "template": "welcome",
        "data": {"userName": "Ana"},
    }
    return await queue_email({**payload, **changed}, job_id=job_id, tenant=tenant)


async def rows(database: Database, job_id: str) -> dict[str, Row]:
    async with database.transaction(read_only=True) as work:
        found = await work.every(
            Row,
            "SELECT recipient, tenant_id, template, provider, message_id, status, reply"
            " FROM email_log WHERE job_id = %(job_id)s",
            job_id=job_id,
        )
    return {row.recipient: row for row in found}


async def run(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.execute(statement.encode())


async def seen(job_id: str) -> Job:
    job = await create_queue(QueueName.EMAIL).get(job_id)
    assert job is not None
    return job


def had(mails: MailServer) -> list[str]:
    return [recipient for mail in mails.mails for recipient in mail.recipients]


async def test_each_recipient_has_a_row(site: App, database: Database, mails: MailServer) -> None:
    job_id = await queued(ANA, BO)

    await run_until_idle(site, "email")

    found = await rows(database, job_id)
    assert list(found) == [ANA, BO]
    message_id = read(mails.mails[0].content)["Message-ID"]
    for row in found.values():
        assert row.status == "sent"
        assert (row.tenant_id, row.template, row.provider) == (TENANT, "welcome", "smtp")
        assert row.message_id == message_id
        assert "250 OK" in (row.reply or "")


async def test_a_row_that_says_sent_keeps_a_job_of_that_id_from_mailing_again(
    site: App, database: Database, mails: MailServer
) -> None:
    # Of a job that is gone from Redis, and the ledger there with it.
    await run(
        database,
        "INSERT INTO email_log (job_id, recipient, template, provider, message_id, status)"
        f" VALUES ('invoice:1:email', '{ANA}', 'welcome', 'smtp', '<x@y>', 'sent')",
    )

    job_id = await queued(ANA, BO, job_id="invoice:1:email")
    await run_until_idle(site, "email")

    assert (await seen(job_id)).state is JobState.COMPLETED
    assert had(mails) == [BO]
    assert (await rows(database, job_id))[ANA].message_id == "<x@y>"


async def test_rows_tell_who_is_to_wait_and_who_was_refused(
    site: App, database: Database, mails: MailServer
) -> None:
    site.clock = clock = MovableClock(site)
    mails.answer("RCPT", "451 greylisted", to=BO)
    mails.answer("RCPT", *["550 no"] * 2, to=CAIO)
    job_id = await queued(ANA, BO, CAIO)

    await run_until_idle(site, "email")
    first = await rows(database, job_id)
    await clock.advance(seconds=5)
    await run_until_idle(site, "email")
    second = await rows(database, job_id)

    assert [(one.status, one.reply) for one in first.values()][1:] == [
        ("deferred", "451 greylisted"),
        ("refused", "550 no"),
    ]
    assert [one.status for one in second.values()] == ["sent", "sent", "refused"]
    assert had(mails) == [ANA, BO]


@pytest.mark.parametrize(
    ("reply", "status"), [("421 busy", "deferred"), ("554 spam", "refused"), ("drop", "sending")]
)
async def test_rows_tell_why_nobody_got_it(
    site: App, database: Database, mails: MailServer, reply: str, status: str
) -> None:
    mails.answer("DATA", reply)
    job_id = await queued(ANA, BO)

    await run_until_idle(site, "email")

    found = await rows(database, job_id)
    assert {row.status for row in found.values()} == {status}
    assert all(row.reply for row in found.values())


@pytest.mark.parametrize(
    ("reason", "template", "gets_it"),
    [
        ("bounce", "welcome", False),
        ("complaint", "welcome", False),
        ("unsubscribe", "welcome", True),
        ("unsubscribe", "newsletter", False),
    ],
)
async def test_who_is_on_the_suppression_list_gets_none(
    site: App, database: Database, mails: MailServer, reason: str, template: str, gets_it: bool
) -> None:
    await run(database, f"INSERT INTO email_suppressions VALUES ('{ANA}', '{reason}')")
    news = {"title": "x", "body": "y", "unsubscribeUrl": "https://app.imobibase.com/u"}
    data = news if template == "newsletter" else {"userName": "Ana"}

    job_id = await queued("Ana <Ana@Example.com>", BO, template=template, data=data)
    await run_until_idle(site, "email")

    job = await seen(job_id)
    assert job.state is JobState.COMPLETED
    assert had(mails) == (["Ana@example.com", BO] if gets_it else [BO])
    found = await rows(database, job_id)
    assert found["Ana@example.com"].status == ("sent" if gets_it else "suppressed")
    if not gets_it:
        assert found["Ana@example.com"].reply == reason
        assert "ana" not in read(mails.mails[0].content)["To"].lower()
        assert job.run.result is not None
        assert msgspec.msgpack.decode(job.run.result)["suppressed"] == 1


async def test_who_left_the_newsletter_gets_no_more_of_it(
    site: App, database: Database, mails: MailServer
) -> None:
    await run(
        database,
        "INSERT INTO newsletter_subscriptions (email, active)"
        f" VALUES ('{ANA}', false), ('{BO}', true)",
    )
    link = "https://app.imobibase.com/newsletter/cancelar?token=6f1e"
    data = {"title": "Novidades", "body": "Olá", "unsubscribeUrl": link}

    job_id = await queued(ANA, BO, template="newsletter", data=data)
    await run_until_idle(site, "email")

    assert had(mails) == [BO]
    assert (await rows(database, job_id))[ANA].reply == "unsubscribe"
    assert read(mails.mails[0].content)["List-Unsubscribe"] == f"<{link}>"


async def test_a_mail_to_nobody_completes_and_asks_no_server(
    site: App, database: Database, mails: MailServer
) -> None:
    await run(database, f"INSERT INTO email_suppressions VALUES ('{ANA}', 'bounce')")

    job_id = await queued(ANA)
    await run_until_idle(site, "email")

    assert (await seen(job_id)).state is JobState.COMPLETED
    assert mails.connections == 0


async def test_a_mailbox_that_does_not_exist_is_suppressed_from_then_on(
    site: App, database: Database, mails: MailServer
) -> None:
    mails.answer("RCPT", "550 5.1.1 user unknown", to="Ana@example.com")
    mails.answer("RCPT", "550 5.7.1 looks like spam", to=BO)
    first = await queued("Ana@example.com", BO)
    await run_until_idle(site, "email")

    second = await queued("Ana@example.com", BO)
    await run_until_idle(site, "email")

    assert (await seen(first)).state is JobState.FAILED
    assert (await seen(second)).state is JobState.COMPLETED
    assert had(mails) == [BO]
    assert (await rows(database, second))["Ana@example.com"].status == "suppressed"


async def test_an_operators_retry_mails_who_was_let_off_the_list(
    site: App, database: Database, mails: MailServer
) -> None:
    mails.answer("RCPT", "550 5.1.1 user unknown", to=ANA)
    job_id = await queued(ANA, BO)
    await run_until_idle(site, "email")
    await run(database, "DELETE FROM email_suppressions")

    assert await create_queue(QueueName.EMAIL).retry(job_id) is Effect.DONE
    await run_until_idle(site, "email")

    assert had(mails) == [BO, ANA]


async def test_a_database_that_fails_behind_the_servers_word_sends_nobody_a_second_mail(
    site: App, database: Database, mails: MailServer
) -> None:
    await run(
        database,
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'disk full'; END $$",
    )
    await run(
        database,
        "CREATE TRIGGER broken BEFORE UPDATE ON email_log FOR EACH ROW"
        " WHEN (NEW.status = 'sent') EXECUTE FUNCTION broken()",
    )
    job_id = await queued(ANA, job_id="signup-17")
    await run_until_idle(site, "email")
    assert (await rows(database, job_id))[ANA].status == "sending"
    await run(database, "DROP FUNCTION broken CASCADE")
    await create_queue(QueueName.EMAIL).remove(job_id)

    await queued(ANA, job_id="signup-17")
    await run_until_idle(site, "email")

    assert had(mails) == [ANA]
    assert (await rows(database, job_id))[ANA].status == "sent"


async def test_while_the_database_is_away_no_mail_goes_out_unrecorded(
    site: App, database: Database, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.clock = clock = MovableClock(site)
    monkeypatch.setattr("processors.database.pool.WAIT_LIMIT_S", 0.2)
    there = os.environ["DATABASE_URL"]
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@127.0.0.1:1/app")
    job_id = await queued(ANA)

    await run_until_idle(site, "email")
    waiting = await seen(job_id)
    monkeypatch.setenv("DATABASE_URL", there)
    await clock.advance(seconds=5)
    await run_until_idle(site, "email")

    assert waiting.state is JobState.DELAYED
    assert "DatabaseUnavailable" in waiting.run.errors[0].type
    assert (await seen(job_id)).state is JobState.COMPLETED
    assert had(mails) == [ANA]


@types.coroutine
def cut(work: Coroutine[object, None, object], awaits: int) -> Generator[object, None, bool]:
    """Runs it up to the end of that many awaits, and cancels it before it hears of the last one's
    result. Whether it came that far.
    """
    for _ in range(awaits):
        try:
            yield work.send(None)
        except StopIteration:
            return False
    with contextlib.suppress(asyncio.CancelledError, StopIteration):
        yield work.throw(asyncio.CancelledError())
        while True:
            yield work.send(None)
    return True


@pytest.mark.slow
async def test_a_job_cut_short_at_any_await_and_run_again_is_one_mail(
    site: App, database: Database, mails: MailServer
) -> None:
    payload = SendEmail(to=[ANA, BO], subject="Olá", template="welcome", data={"userName": "Ana"})
    twice: list[int] = []
    async with site.living() as shared:

        def attempt(job_id: str) -> Coroutine[object, None, object]:
            return perform(
                send_email,
                payload,
                name="send-email",
                state=shared,
                id=job_id,
                headers={"tenant": TENANT},
            )

        for awaits in itertools.count():
            assert awaits <= AWAITS_MAX
            # More than once: answers that come in one packet are one await and not two.
            ends = [await cut(attempt(f"{awaits}-{one}"), awaits) for one in range(ROUNDS)]
            for one in range(ROUNDS):
                await attempt(f"{awaits}-{one}")
                found = await rows(database, f"{awaits}-{one}")
                assert {row.status for row in found.values()} == {"sent"}
            copies = Counter(read(mail.content)["Message-ID"] for mail in mails.mails)
            assert len(copies) == ROUNDS
            twice += [awaits] * sum(count > 1 for count in copies.values())
            mails.mails.clear()
            if not any(ends):
                break
    # Between the text and its answer nobody knows: it is sent again, by the same Message-ID.
    assert len(set(twice)) <= UNKNOWN_AWAITS_MAX, f"two copies of one message after awaits {twice}"
