"""The ways into the queue `email`: what each helper puts there, and what it refuses."""

import pytest

from processors.enqueue.email import BULK_RECIPIENTS_MAX
from processors.imobibase import QueueName
from processors.queues import (
    create_queue,
    queue_bulk_email,
    queue_bulk_email_sync,
    queue_email,
    queue_password_reset_email,
    queue_password_reset_email_sync,
    queue_verification_email,
    queue_verification_email_sync,
    queue_welcome_email,
)
from streamq import App, Job, JobState
from streamq.errors import InvalidInput, InvalidPayload, SyncInLoop
from streamq.testing import MovableClock, run_until_idle
from tests.processors.letters import part, read
from tests.processors.mail_server import MailServer
from tests.processors.test_queues import stored

NEWS = {
    "title": "Novidades",
    "body": "Olá",
    "unsubscribeUrl": "https://app.imobibase.com/u",
}


async def added(job_id: str) -> Job:
    job = await create_queue(QueueName.EMAIL).get(job_id)
    assert job is not None
    return job


@pytest.mark.usefixtures("imobibase")
async def test_a_reset_is_the_token_and_goes_first() -> None:
    job = await added(await queue_password_reset_email("ana@example.com", "t0ken"))

    assert job.options.priority == 1
    assert stored(job) == {
        "to": "ana@example.com",
        "subject": "Redefinição de senha",
        "template": "password-reset",
        "data": {"resetToken": "t0ken", "expiresIn": "1 hora"},
    }


@pytest.mark.usefixtures("imobibase")
async def test_a_verification_is_the_token_and_goes_first() -> None:
    job = await added(await queue_verification_email("ana@example.com", "t0ken"))

    assert job.options.priority == 1
    assert stored(job) == {
        "to": "ana@example.com",
        "subject": "Confirme o seu e-mail",
        "template": "verification",
        "data": {"verificationToken": "t0ken"},
    }


@pytest.mark.usefixtures("imobibase")
async def test_every_helper_takes_the_options_of_a_mail() -> None:
    options = {"priority": 7, "delay": 1_000, "job_id": "x-1", "name": "send-x", "tenant": "sol"}

    for number, job_id in enumerate(
        (
            await queue_welcome_email("ana@example.com", "Ana", priority=7, tenant="sol"),
            await queue_password_reset_email("ana@example.com", "t", priority=7, tenant="sol"),
            await queue_verification_email("ana@example.com", "t", priority=7, tenant="sol"),
        )
    ):
        job = await added(job_id)
        assert (number, job.options.priority, job.options.headers) == (number, 7, {"tenant": "sol"})
    whole = await added(
        await queue_email(
            to="ana@example.com",
            subject="Olá",
            template="welcome",
            data={"userName": "Ana"},
            priority=7,
            delay=1_000,
            job_id="x-1",
            name="send-x",
            tenant="sol",
        )
    )
    assert (whole.id, whole.name, whole.options.headers) == (
        "x-1",
        options["name"],
        {"tenant": "sol"},
    )
    assert whole.state is JobState.DELAYED


async def test_an_option_that_there_is_not_is_refused_and_not_passed_over() -> None:
    with pytest.raises(TypeError, match="prioritty"):
        await queue_welcome_email("ana@example.com", "Ana", prioritty=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="prioritty"):
        await queue_bulk_email(["ana@example.com"], "x", "newsletter", NEWS, prioritty=1)  # type: ignore[call-arg]


@pytest.mark.usefixtures("imobibase")
async def test_a_bulk_mail_is_one_job_a_recipient_spread_over_a_minute() -> None:
    addresses = [f"user{number}@example.com" for number in range(50)]

    ids = await queue_bulk_email(addresses, "Novidades", "newsletter", NEWS, tenant="sol")

    jobs = [await added(job_id) for job_id in ids]
    assert [stored(job)["to"] for job in jobs] == addresses  # type: ignore[index]
    assert {job.options.priority for job in jobs} == {5}
    assert all(job.options.headers == {"tenant": "sol"} for job in jobs)
    assert {job.state for job in jobs} <= {JobState.DELAYED, JobState.WAITING}
    due = [job.due_at_ms - job.added_at_ms for job in jobs if job.due_at_ms is not None]
    assert max(due) <= 60_000
    assert max(due) - min(due) > 10_000


@pytest.mark.usefixtures("imobibase")
async def test_a_recipient_may_have_variables_of_its_own() -> None:
    own = {
        f"{name}@example.com": {"unsubscribeUrl": f"https://app.imobibase.com/u?of={name}"}
        for name in ("ana", "bo")
    }

    ids = await queue_bulk_email(own, "Novidades", "newsletter", {"title": "x", "body": "y"})

    links = [stored(await added(job_id))["data"]["unsubscribeUrl"] for job_id in ids]  # type: ignore[index]
    assert links == [one["unsubscribeUrl"] for one in own.values()]


@pytest.mark.usefixtures("imobibase")
async def test_an_address_that_is_given_twice_has_one_bulk_mail() -> None:
    twice = ["ana@example.com", "Ana <ana@EXAMPLE.com>", "bo@example.com"]

    assert len(await queue_bulk_email(twice, "x", "newsletter", NEWS)) == 2


@pytest.mark.usefixtures("imobibase")
async def test_a_bulk_call_made_again_under_its_id_adds_only_who_was_not_there() -> None:
    first = await queue_bulk_email(["ana@x.br", "bo@x.br"], "x", "newsletter", NEWS, job_id="n-1")
    again = await queue_bulk_email(["bo@x.br", "caio@x.br"], "x", "newsletter", NEWS, job_id="n-1")
    other = await queue_bulk_email(["bo@x.br"], "x", "newsletter", NEWS, job_id="n-2")

    assert again[0] == first[1]
    counts = await create_queue(QueueName.EMAIL).counts()
    assert counts.delayed + counts.waiting == 4
    assert len({*first, *again, *other}) == 4


@pytest.mark.usefixtures("imobibase")
async def test_a_bulk_call_is_added_whole_or_not_at_all() -> None:
    with pytest.raises(InvalidInput, match=f"1001 recipients, at most {BULK_RECIPIENTS_MAX}"):
        await queue_bulk_email([f"u{n}@x.br" for n in range(1_001)], "x", "newsletter", NEWS)
    with pytest.raises(InvalidInput, match="recipients: one address per field"):
        await queue_bulk_email(["ana@x.br", "bo@x.br, caio@x.br"], "x", "newsletter", NEWS)
    with pytest.raises(InvalidPayload, match="missing required field unsubscribeUrl"):
        await queue_bulk_email(["ana@x.br"], "x", "newsletter", {"title": "x", "body": "y"})

    counts = await create_queue(QueueName.EMAIL).counts()
    assert counts.delayed + counts.waiting == 0


async def test_none_of_a_bulk_mail_sees_anothers_address(
    imobibase: App, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{mails.port}")
    imobibase.clock = clock = MovableClock(imobibase)
    to = [f"user{number}@example.com" for number in range(20)]
    await queue_bulk_email(to, "Novidades", "newsletter", NEWS)

    await clock.advance(seconds=61)
    await run_until_idle(imobibase, "email")

    assert sorted(one for mail in mails.mails for one in mail.recipients) == sorted(to)
    assert {read(mail.content)["To"] for mail in mails.mails} == set(to)


async def test_a_token_becomes_a_link_where_the_application_is(
    imobibase: App, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{mails.port}")
    monkeypatch.setenv("APP_URL", "https://app.imobibase.com")
    await queue_password_reset_email("ana@example.com", "t0ken")
    await queue_verification_email("ana@example.com", "t0ken")

    await run_until_idle(imobibase, "email")

    texts = "".join(part(read(mail.content), "plain") for mail in mails.mails)
    assert "\nhttps://app.imobibase.com/reset-password?token=t0ken\n" in texts
    assert "\nhttps://app.imobibase.com/verify-email?token=t0ken\n" in texts


@pytest.mark.usefixtures("imobibase_sync")
def test_every_helper_has_a_twin_for_code_without_a_loop() -> None:
    ids = [
        queue_password_reset_email_sync("ana@example.com", "t"),
        queue_verification_email_sync("ana@example.com", "t"),
        *queue_bulk_email_sync(["ana@x.br", "bo@x.br"], "x", "newsletter", NEWS),
    ]

    assert len(set(ids)) == 4


@pytest.mark.usefixtures("imobibase")
async def test_a_twin_refuses_a_loop_and_names_what_to_await() -> None:
    with pytest.raises(SyncInLoop, match=r"use await queue_bulk_email\(\)"):
        queue_bulk_email_sync(["ana@x.br"], "x", "newsletter", NEWS)
    with pytest.raises(SyncInLoop, match=r"use await queue_password_reset_email\(\)"):
        queue_password_reset_email_sync("ana@example.com", "t")
    with pytest.raises(SyncInLoop, match=r"use await queue_verification_email\(\)"):
        queue_verification_email_sync("ana@example.com", "t")
