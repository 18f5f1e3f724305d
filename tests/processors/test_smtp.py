"""Letters through a real mail server: what is delivered, and what each kind of trouble comes to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest

from processors.clients import smtp as clients_smtp
from processors.clients.delivery import DeliveryDeferred, DeliveryRefused, DeliveryUnknown
from processors.clients.smtp import SmtpTransport
from processors.clients.smtp_url import parse_smtp_url
from tests.processors import mail_server
from tests.processors.certificates import Authority
from tests.processors.letters import letter, part, read
from tests.processors.mail_server import DROP, HANG, MailServer
from tests.support.waiting import soon

pytestmark = pytest.mark.filterwarnings(
    # aiosmtpd warns of logins without TLS; one test is about just that, on this machine.
    "ignore:Requiring AUTH while not requiring TLS:UserWarning"
)

Connect = Callable[[str], SmtpTransport]
LOGIN = f"{mail_server.USER}:{quote(mail_server.PASSWORD, safe='')}"


@asynccontextmanager
async def transport(url: str, *, delivery_s: float = 30.0) -> AsyncIterator[SmtpTransport]:
    made = SmtpTransport(parse_smtp_url(url), delivery_s=delivery_s)
    try:
        yield made
    finally:
        await made.aclose()


@pytest.fixture
async def smtp(mails: MailServer) -> AsyncIterator[SmtpTransport]:
    async with transport(f"smtp://127.0.0.1:{mails.port}?timeout=10") as made:
        yield made


async def test_a_letter_arrives_as_it_was_written(mails: MailServer, smtp: SmtpTransport) -> None:
    sent = letter("Ana Luísa <ana@example.com>", subject="Olá, São Paulo", text="Olá!\n.\n..fim\n")

    delivery = await smtp.deliver(sent)

    [mail] = mails.mails
    message = read(mail.content)
    assert delivery.delivered == ("ana@example.com",)
    assert (mail.sender, mail.recipients) == ("noreply@imobibase.com", ("ana@example.com",))
    assert message["Subject"] == "Olá, São Paulo"
    assert message["To"] == "Ana Luísa <ana@example.com>"
    assert part(message, "plain") == "Olá!\n.\n..fim\n"
    assert part(message, "html") == "<p>Olá, Ana!</p>\n"


async def test_the_server_is_told_the_size_before_the_text_is_sent() -> None:
    sent = letter()
    async with (
        mail_server.running(size_bytes_max=len(sent.content) - 1) as server,
        transport(f"smtp://127.0.0.1:{server.port}?starttls=off") as smtp,
    ):
        with pytest.raises(DeliveryRefused, match=r"did not take mail from .*552"):
            await smtp.deliver(sent)

    assert server.mails == []


async def test_every_recipient_gets_the_one_message(mails: MailServer, smtp: SmtpTransport) -> None:
    addresses = [f"user{number}@example.com" for number in range(100)]

    delivery = await smtp.deliver(letter(*addresses))

    assert [mail.recipients for mail in mails.mails] == [tuple(addresses)]
    assert delivery.delivered == tuple(addresses)


@pytest.mark.parametrize("phase", ["MAIL", "DATA"])
@pytest.mark.parametrize("code", ["421 too busy", "450 later", "451 greylisted", "452 disk full"])
async def test_4xx_for_the_letter_may_pass(
    mails: MailServer, smtp: SmtpTransport, phase: str, code: str
) -> None:
    mails.answer(phase, code)

    with pytest.raises(DeliveryDeferred, match=code) as caught:
        await smtp.deliver(letter())

    assert not isinstance(caught.value, DeliveryUnknown)
    assert mails.mails == []
    assert (await smtp.deliver(letter())).delivered == ("ana@example.com",)


@pytest.mark.parametrize("phase", ["MAIL", "DATA"])
@pytest.mark.parametrize("code", ["550 no", "552 too large", "554 spam"])
async def test_5xx_for_the_letter_is_final(
    mails: MailServer, smtp: SmtpTransport, phase: str, code: str
) -> None:
    mails.answer(phase, code)

    with pytest.raises(DeliveryRefused, match=code):
        await smtp.deliver(letter())


async def test_recipients_are_judged_one_by_one(mails: MailServer, smtp: SmtpTransport) -> None:
    mails.answer("RCPT", "550 no such user", to="gone@example.com")
    mails.answer("RCPT", "451 greylisted", to="later@example.com")
    mails.answer("RCPT", "552 too many recipients", to="many@example.com")

    delivery = await smtp.deliver(
        letter("ana@example.com", "gone@example.com", "later@example.com", "many@example.com")
    )

    assert delivery.delivered == ("ana@example.com",)
    assert {who: reply.code for who, reply in delivery.refused.items()} == {"gone@example.com": 550}
    assert {who: reply.code for who, reply in delivery.deferred.items()} == {
        "later@example.com": 451,
        "many@example.com": 552,
    }
    assert [mail.recipients for mail in mails.mails] == [("ana@example.com",)]


async def test_no_text_is_sent_when_no_recipient_is_taken(
    mails: MailServer, smtp: SmtpTransport
) -> None:
    mails.answer("RCPT", "550 no such user", to="gone@example.com")

    delivery = await smtp.deliver(letter("gone@example.com"))

    assert delivery.delivered == ()
    assert mails.mails == []
    assert (await smtp.deliver(letter())).delivered == ("ana@example.com",)
    assert mails.connections == 1


async def test_421_at_a_recipient_is_about_all_of_them(
    mails: MailServer, smtp: SmtpTransport
) -> None:
    mails.answer("RCPT", "421 shutting down", to="bo@example.com")

    with pytest.raises(DeliveryDeferred, match="421"):
        await smtp.deliver(letter("ana@example.com", "bo@example.com"))

    assert mails.mails == []


@pytest.mark.parametrize("phase", ["MAIL", "RCPT"])
@pytest.mark.parametrize("trouble", [HANG, DROP])
async def test_a_server_lost_before_the_text_has_taken_nothing(
    mails: MailServer, phase: str, trouble: str
) -> None:
    mails.answer(phase, trouble)
    async with transport(f"smtp://127.0.0.1:{mails.port}?timeout=0.3") as smtp:
        with pytest.raises(DeliveryDeferred) as caught:
            await smtp.deliver(letter())

        assert not isinstance(caught.value, DeliveryUnknown)
        assert (await smtp.deliver(letter())).delivered == ("ana@example.com",)


@pytest.mark.parametrize(("trouble", "arrived"), [(HANG, 0), (DROP, 1)])
async def test_a_server_lost_after_the_final_dot_leaves_the_outcome_unknown(
    mails: MailServer, trouble: str, arrived: int
) -> None:
    mails.answer("DATA", trouble)
    async with transport(f"smtp://127.0.0.1:{mails.port}?timeout=0.3") as smtp:
        with pytest.raises(DeliveryUnknown, match="not known"):
            await smtp.deliver(letter())
        assert len(mails.mails) == arrived

        await smtp.deliver(letter())

    # What a mailbox provider needs to drop the second copy.
    assert len({read(mail.content)["Message-ID"] for mail in mails.mails}) == 1


@pytest.mark.parametrize("answer", [b"what?\r\n", b"299 well\r\n", b"2", b""])
async def test_an_answer_to_the_text_that_is_none_leaves_the_outcome_unknown(
    answer: bytes,
) -> None:
    ok = b"250 ok\r\n"
    async with (
        mail_server.speaking(b"220 hi\r\n", ok, ok, ok, b"354 go on\r\n", answer) as port,
        transport(f"smtp://127.0.0.1:{port}?timeout=0.3") as smtp,
    ):
        with pytest.raises(DeliveryUnknown, match="not known"):
            await smtp.deliver(letter())


async def test_a_letter_has_a_time_limit_as_a_whole(mails: MailServer) -> None:
    mails.answer("RCPT", HANG)
    async with transport(f"smtp://127.0.0.1:{mails.port}?timeout=60", delivery_s=0.3) as smtp:
        with pytest.raises(DeliveryDeferred, match="longer than"):
            await smtp.deliver(letter())


async def test_a_server_that_is_not_there_may_come_back() -> None:
    async with mail_server.running() as server:
        port = server.port
    async with transport(f"smtp://127.0.0.1:{port}") as smtp:
        with pytest.raises(DeliveryDeferred, match="did not open a session"):
            await smtp.deliver(letter())


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        (b"421 busy\r\n", DeliveryDeferred),
        (b"554 no mail here\r\n", DeliveryRefused),
        (b"", DeliveryDeferred),
        (b"not a mail server\r\n", DeliveryDeferred),
        (b"220 " + b"x" * 100_000 + b"\r\n", DeliveryDeferred),
    ],
)
async def test_a_greeting_is_judged_like_any_reply(
    greeting: bytes, expected: type[Exception]
) -> None:
    async with (
        mail_server.speaking(greeting) as port,
        transport(f"smtp://127.0.0.1:{port}?timeout=0.3") as smtp,
    ):
        with pytest.raises(expected):
            await smtp.deliver(letter())


async def test_a_hostile_reply_cannot_write_into_the_log() -> None:
    async with (
        mail_server.speaking(b"554 \x1b[2J\x00\xff\x9b evil \r\n") as port,
        transport(f"smtp://127.0.0.1:{port}?timeout=5") as smtp,
    ):
        with pytest.raises(DeliveryRefused) as caught:
            await smtp.deliver(letter())

    assert str(caught.value).isprintable()
    assert str(caught.value).encode()


@pytest.mark.parametrize("starttls", ["auto", "off"])
async def test_a_server_that_knows_no_ehlo_is_greeted_with_helo(starttls: str) -> None:
    async with (
        mail_server.speaking(
            b"220 old\r\n",
            b"502 what?\r\n",  # EHLO
            b"250 old\r\n",  # HELO
            b"250 sender\r\n",
            b"250 recipient\r\n",
            b"554 enough\r\n",
        ) as port,
        transport(f"smtp://127.0.0.1:{port}?timeout=5&starttls={starttls}") as smtp,
    ):
        with pytest.raises(DeliveryRefused, match="554 enough"):
            await smtp.deliver(letter())


async def test_a_connection_serves_many_letters(mails: MailServer, smtp: SmtpTransport) -> None:
    for number in range(5):
        await smtp.deliver(letter(f"user{number}@example.com"))

    assert len(mails.mails) == 5
    assert mails.connections == 1


async def test_a_connection_is_left_after_so_many_letters(
    mails: MailServer, smtp: SmtpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients_smtp, "_LETTERS_A_CONNECTION_MAX", 2)

    for number in range(5):
        await smtp.deliver(letter(f"user{number}@example.com"))

    assert mails.connections == 3
    await soon(lambda: mails.open == 1, "those left are closed")


async def test_a_connection_that_lay_idle_too_long_is_not_tried(
    mails: MailServer, smtp: SmtpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    await smtp.deliver(letter())
    monkeypatch.setattr(clients_smtp, "_IDLE_S", 0.0)

    await smtp.deliver(letter())

    assert mails.connections == 2


async def test_letters_at_a_time_do_not_share_a_connection(
    mails: MailServer, smtp: SmtpTransport
) -> None:
    letters = [letter(f"user{number}@example.com", key=f"k{number}") for number in range(10)]

    await asyncio.gather(*(smtp.deliver(one) for one in letters))

    assert sorted(mail.recipients[0] for mail in mails.mails) == sorted(
        one.recipients[0] for one in letters
    )
    assert 1 < mails.connections <= 10


async def test_a_connection_that_died_while_idle_costs_no_attempt(
    mails: MailServer, smtp: SmtpTransport
) -> None:
    await smtp.deliver(letter())
    mails.answer("MAIL", DROP)

    delivery = await smtp.deliver(letter())

    assert delivery.delivered == ("ana@example.com",)
    assert mails.connections == 2


async def test_a_cancelled_letter_takes_its_connection_with_it(
    mails: MailServer, smtp: SmtpTransport
) -> None:
    mails.answer("RCPT", HANG)
    sending = asyncio.create_task(smtp.deliver(letter()))
    await soon(lambda: mails.hanging == 1, "the server waits at RCPT")

    sending.cancel()

    with pytest.raises(asyncio.CancelledError):
        await sending
    await soon(lambda: mails.open == 0, "the server sees the connection go")
    assert (await smtp.deliver(letter())).delivered == ("ana@example.com",)


async def test_closing_ends_the_idle_connections(mails: MailServer) -> None:
    async with transport(f"smtp://127.0.0.1:{mails.port}") as smtp:
        await asyncio.gather(*(smtp.deliver(letter()) for _ in range(3)))

        await smtp.aclose()

        await soon(lambda: mails.open == 0, "the server sees the connections go")


async def test_smtps_encrypts_from_the_first_byte(authority: Authority) -> None:
    async with (
        mail_server.running(tls=authority.server_context()) as server,
        transport(f"smtps://127.0.0.1:{server.port}?cafile={authority.path}") as smtp,
    ):
        await smtp.deliver(letter())

    assert [mail.encrypted for mail in server.mails] == [True]


@pytest.mark.parametrize(
    "url", ["smtp+starttls://127.0.0.1:{port}?", "smtp://127.0.0.1:{port}?starttls=auto&"]
)
async def test_starttls_encrypts_before_the_sender_is_named(authority: Authority, url: str) -> None:
    async with (
        mail_server.running(starttls=authority.server_context()) as server,
        transport(f"{url.format(port=server.port)}cafile={authority.path}") as smtp,
    ):
        await smtp.deliver(letter())

    assert [mail.encrypted for mail in server.mails] == [True]


async def test_no_mail_goes_out_when_starttls_was_stripped(mails: MailServer) -> None:
    async with transport(f"smtp+starttls://127.0.0.1:{mails.port}") as smtp:
        with pytest.raises(DeliveryDeferred, match="STARTTLS"):
            await smtp.deliver(letter())

    assert mails.mails == []


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls", "smtp"])
@pytest.mark.parametrize("fault", ["unknown authority", "other host"])
async def test_no_mail_goes_to_a_server_that_cannot_prove_its_name(
    authority: Authority, scheme: str, fault: str
) -> None:
    context = authority.server_context(host="other.test" if fault == "other host" else None)
    trusted = f"?cafile={authority.path}" if fault == "other host" else ""
    tls: ssl.SSLContext | None = context if scheme == "smtps" else None
    async with (
        mail_server.running(tls=tls, starttls=None if tls else context) as server,
        transport(f"{scheme}://127.0.0.1:{server.port}{trusted}") as smtp,
    ):
        with pytest.raises(DeliveryDeferred, match="certificate verify failed"):
            await smtp.deliver(letter())

    assert server.mails == []


async def test_login_by_the_urls_user_percent_decoded(authority: Authority) -> None:
    async with (
        mail_server.running(starttls=authority.server_context(), login=True) as server,
        transport(
            f"smtp+starttls://{LOGIN}@127.0.0.1:{server.port}?cafile={authority.path}"
        ) as smtp,
    ):
        await smtp.deliver(letter())

    assert len(server.mails) == 1


async def test_a_refused_login_is_final_and_does_not_show_the_password(
    authority: Authority,
) -> None:
    async with (
        mail_server.running(starttls=authority.server_context(), login=True) as server,
        transport(
            f"smtp+starttls://{mail_server.USER}:wrong-secret@127.0.0.1:{server.port}"
            f"?cafile={authority.path}"
        ) as smtp,
    ):
        with pytest.raises(DeliveryRefused, match="refused the login in SMTP_URL: 535") as caught:
            await smtp.deliver(letter())

    assert "wrong-secret" not in str(caught.value)
