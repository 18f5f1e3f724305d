"""Mails by SendGrid's API: what goes over the socket, and what each answer means."""

import base64
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from processors.clients.attachments import AttachedFile
from processors.clients.delivery import (
    DeliveryDeferred,
    DeliveryRefused,
    DeliveryUnknown,
    Letter,
)
from processors.clients.http import Http
from processors.clients.sendgrid import SendgridAccount, SendgridTransport
from processors.imobibase import QueueName
from processors.queues import create_queue, queue_email
from streamq import App, JobState
from streamq.testing import MovableClock, run_until_idle
from tests.processors import mail_server, web_server
from tests.processors.letters import letter
from tests.processors.web_server import WebServer, answer

KEY = "SG.aaaa.bbbb"
ACCEPTED = answer(202, x_message_id="14c5d75ce93")


@pytest.fixture
async def sendgrid() -> AsyncIterator[WebServer]:
    async with web_server.running(ACCEPTED) as web:
        yield web


@pytest.fixture
async def transport(sendgrid: WebServer) -> AsyncIterator[SendgridTransport]:
    http = Http(frozenset({sendgrid.origin}))
    account = SendgridAccount(KEY, f"http://{sendgrid.origin}")
    yield SendgridTransport(http, account)
    await http.aclose()


def asked(sendgrid: WebServer) -> dict[str, object]:
    [request] = sendgrid.asked
    return msgspec.json.decode(request.body, type=dict[str, object])


async def test_a_letter_is_sent_as_sendgrid_takes_it(
    sendgrid: WebServer, transport: SendgridTransport
) -> None:
    file = AttachedFile("fatura nº 1.pdf", "application/pdf", b"%PDF-1.7")
    sent = letter("Ana <ana@example.com>", "bo@example.com", files=[file], job_id="job-7")

    delivery = await transport.deliver(sent)

    assert delivery.delivered == ("ana@example.com", "bo@example.com")
    assert delivery.note == f"http://{sendgrid.origin}: 202, X-Message-Id 14c5d75ce93"
    [request] = sendgrid.asked
    assert request.line == "POST /v3/mail/send HTTP/1.1"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert asked(sendgrid) == {
        "personalizations": [
            {"to": [{"email": "ana@example.com", "name": "Ana"}, {"email": "bo@example.com"}]}
        ],
        "from": {"email": "noreply@imobibase.com", "name": "ImobiBase"},
        "subject": "Olá",
        "content": [
            {"type": "text/plain", "value": "Olá, Ana!\n"},
            {"type": "text/html", "value": "<p>Olá, Ana!</p>\n"},
        ],
        "headers": {"Message-ID": sent.message_id, "Auto-Submitted": "auto-generated"},
        "custom_args": {"job_id": "job-7"},
        # Clicks would lead to SendGrid's host, with the secrets that some links hold.
        "tracking_settings": {
            "click_tracking": {"enable": False},
            "open_tracking": {"enable": False},
        },
        "attachments": [
            {
                "content": base64.b64encode(b"%PDF-1.7").decode(),
                "type": "application/pdf",
                "filename": "fatura nº 1.pdf",
                "disposition": "attachment",
            }
        ],
    }


async def test_only_who_is_still_to_be_served_is_named(
    sendgrid: WebServer, transport: SendgridTransport
) -> None:
    whole = letter("ana@example.com", "bo@example.com")

    await transport.deliver(msgspec.structs.replace(whole, recipients=("bo@example.com",)))

    assert asked(sendgrid)["personalizations"] == [{"to": [{"email": "bo@example.com"}]}]


@pytest.mark.slow
async def test_fifteen_megabytes_of_attachments_go_out(
    sendgrid: WebServer, transport: SendgridTransport
) -> None:
    file = AttachedFile("a.bin", "application/octet-stream", bytes(15 * 1024**2))

    await transport.deliver(letter(files=[file]))

    [request] = sendgrid.asked
    assert len(request.body) > 20 * 1024**2


async def refused(transport: SendgridTransport, sent: Letter) -> Exception:
    with pytest.raises((DeliveryDeferred, DeliveryRefused)) as caught:
        await transport.deliver(sent)
    return caught.value


@pytest.mark.parametrize(
    ("status", "hint"),
    [(400, ""), (401, "set SENDGRID_API_KEY"), (403, "verified there"), (413, "send links")],
)
async def test_a_4xx_is_final_and_says_why(
    sendgrid: WebServer, transport: SendgridTransport, status: int, hint: str
) -> None:
    why = b'{"errors":[{"message":"Does not contain a valid address.","field":"from.email"}]}'
    sendgrid.reply = answer(status, why)

    error = await refused(transport, letter())

    assert isinstance(error, DeliveryRefused)
    assert f"SendGrid answered {status}: Does not contain a valid address. (from.email)" in str(
        error
    )
    assert hint in str(error)
    assert KEY not in str(error)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_429_and_5xx_may_pass(
    sendgrid: WebServer, transport: SendgridTransport, status: int
) -> None:
    sendgrid.reply = answer(status, b"<html>busy</html>")

    error = await refused(transport, letter())

    assert isinstance(error, DeliveryDeferred)
    assert error.after is None
    assert f"SendGrid answered {status}" in str(error)


async def test_a_429_says_when_to_come_again(
    sendgrid: WebServer, transport: SendgridTransport
) -> None:
    sendgrid.reply = answer(429, retry_after="42")
    by_header = await refused(transport, letter())

    sendgrid.reply = answer(429, x_ratelimit_reset=str(int(time.time()) + 90))
    by_second = await refused(transport, letter())

    sendgrid.reply = answer(429, x_ratelimit_reset="9" * 12)
    by_age = await refused(transport, letter())

    assert isinstance(by_header, DeliveryDeferred)
    assert by_header.after == timedelta(seconds=42)
    assert isinstance(by_second, DeliveryDeferred)
    assert by_second.after is not None
    assert timedelta(seconds=60) < by_second.after <= timedelta(seconds=90)
    assert isinstance(by_age, DeliveryDeferred)
    assert by_age.after == timedelta(hours=1)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 2", b"no http"])
async def test_without_an_answer_nobody_knows(
    sendgrid: WebServer, transport: SendgridTransport, reply: bytes
) -> None:
    sendgrid.reply = reply

    assert isinstance(await refused(transport, letter()), DeliveryUnknown)


async def test_a_server_that_says_nothing_is_left_in_time(sendgrid: WebServer) -> None:
    async with mail_server.speaking() as port:
        http = Http(frozenset({f"127.0.0.1:{port}"}))
        account = SendgridAccount(KEY, f"http://127.0.0.1:{port}")

        error = await refused(SendgridTransport(http, account, delivery_s=0.1), letter())

        await http.aclose()
    assert isinstance(error, DeliveryUnknown)
    assert "took more than 0.1 s" in str(error)


async def test_a_redirect_is_not_followed(
    sendgrid: WebServer, transport: SendgridTransport
) -> None:
    sendgrid.reply = answer(302, location=f"http://{sendgrid.origin}/other")

    assert isinstance(await refused(transport, letter()), DeliveryRefused)
    assert len(sendgrid.asked) == 1


def test_the_key_is_in_no_print_of_its_account() -> None:
    assert KEY not in repr(SendgridAccount(KEY))


@pytest.fixture
def site(imobibase: App, sendgrid: WebServer, monkeypatch: pytest.MonkeyPatch) -> App:
    """The application with SendGrid, and a mail server that must not be asked."""
    monkeypatch.setenv("FROM_EMAIL", "ImobiBase <noreply@imobibase.com>")
    monkeypatch.setenv("SENDGRID_API_KEY", KEY)
    monkeypatch.setenv("SENDGRID_API_URL", f"http://{sendgrid.origin}")
    monkeypatch.setenv("HTTP_PRIVATE_HOSTS", sendgrid.origin)
    monkeypatch.setenv("SMTP_URL", "smtp://127.0.0.1:1")
    return imobibase


async def queued() -> str:
    return await queue_email(
        to="user@example.com", subject="Olá", template="welcome", data={"userName": "Ana"}
    )


async def test_with_a_key_a_job_is_sent_by_sendgrid(site: App, sendgrid: WebServer) -> None:
    job_id = await queued()

    await run_until_idle(site, "email")

    job = await create_queue(QueueName.EMAIL).get(job_id)
    assert job is not None
    assert job.state is JobState.COMPLETED
    assert asked(sendgrid)["custom_args"] == {"job_id": job_id}


async def test_a_job_comes_again_when_sendgrid_asks_for_it(site: App, sendgrid: WebServer) -> None:
    site.clock = clock = MovableClock(site)
    sendgrid.reply = answer(429, retry_after="90")
    job_id = await queued()
    await run_until_idle(site, "email")
    sendgrid.reply = ACCEPTED

    await clock.advance(seconds=89)
    await run_until_idle(site, "email")
    assert len(sendgrid.asked) == 1

    await clock.advance(seconds=1)
    await run_until_idle(site, "email")

    job = await create_queue(QueueName.EMAIL).get(job_id)
    assert job is not None
    assert job.state is JobState.COMPLETED
    assert job.run.attempts == 2
    ids = {msgspec.json.decode(one.body)["headers"]["Message-ID"] for one in sendgrid.asked}
    assert len(ids) == 1


async def test_a_key_that_is_not_taken_fails_the_job_at_once(
    site: App, sendgrid: WebServer
) -> None:
    sendgrid.reply = answer(401, b'{"errors":[{"message":"The provided key is invalid"}]}')
    job_id = await queued()

    await run_until_idle(site, "email")

    job = await create_queue(QueueName.EMAIL).get(job_id)
    assert job is not None
    assert job.state is JobState.FAILED
    assert job.run.attempts == 1
    assert job.run.reason == (
        "SendGrid answered 401: The provided key is invalid; set SENDGRID_API_KEY to a key that"
        " is valid"
    )
