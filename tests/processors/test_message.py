"""The mail that is composed: its headers, its bodies, its files, and what never gets into one."""

from datetime import UTC, datetime

import msgspec
import pytest

from processors.clients.attachments import AttachedFile
from processors.clients.delivery import Draft
from processors.clients.mailbox import Mailbox, MailRefused
from processors.clients.message import (
    RECIPIENTS_MAX,
    SUBJECT_CHARS_MAX,
    compose,
    message_id,
)
from tests.processors.letters import letter, part, read
from tests.processors.test_mailbox import CONTROLS

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
]

HOSTILE_SUBJECTS = [
    *(f"Olá{control}Bcc: evil@example.com" for control in CONTROLS),
    "Olá\r\nBcc: evil@example.com",
    "Olá\r\n\r\n<script>",
    "Olá\n\tfolded",
    "\nOlá",
    "Olá\r",
    "=?utf-8?q?x=0ABcc:_evil=40example.com?=",
    "=?utf-8?b?eApCY2M6IGV2aWxAZXhhbXBsZS5jb20=?=",
    "x =?utf-8?q?=0D=0A?= y",
    "=?",
    "",
    "   ",
    "x" * (SUBJECT_CHARS_MAX + 1),
]


@pytest.mark.parametrize("subject", HOSTILE_SUBJECTS)
def test_a_hostile_subject_is_refused(subject: str) -> None:
    with pytest.raises(MailRefused) as caught:
        letter(subject=subject)

    assert caught.value.field == "subject"


@pytest.mark.parametrize(
    "subject",
    [
        "Bcc: evil@example.com",
        "Olá %0d%0aBcc: evil@example.com",
        "Olá \\r\\nBcc: evil@example.com",
        "Fatura nº 12.345: R$ 1.550,00 🏠",
        'Ação; promoção, "casa" <b>nova</b>',
        "a" * SUBJECT_CHARS_MAX,
        "palavra " * 24,
        "日本語の件名" * 20,
    ],
)
def test_an_odd_subject_is_one_header_and_reads_as_it_was_given(subject: str) -> None:
    message = read(letter(subject=subject).content)

    assert message["Subject"] == subject.strip()
    assert message.keys() == HEADERS


@pytest.mark.parametrize("name", ["Ana\nBcc: e@x.br", "=?utf-8?q?=0ABcc:_e=40x.br?=", "A\x00na"])
@pytest.mark.parametrize("field", ["to", "from"])
def test_a_hostile_name_is_refused(name: str, field: str) -> None:
    with pytest.raises(MailRefused):
        if field == "to":
            letter(f'"{name}" <ana@example.com>')
        else:
            letter(sender=f'"{name}" <ana@example.com>')


def test_the_envelope_is_the_list_that_was_built() -> None:
    made = letter('"bo@x.br, evil@x.br" <ana@x.br>', "Caio <caio@x.br>")

    addresses = read(made.content)["To"].addresses
    assert made.recipients == ("ana@x.br", "caio@x.br")
    assert [one.addr_spec for one in addresses] == ["ana@x.br", "caio@x.br"]
    assert addresses[0].display_name == "bo@x.br, evil@x.br"


@pytest.mark.parametrize("count", [0, RECIPIENTS_MAX + 1])
def test_the_number_of_recipients_is_limited(count: int) -> None:
    draft = Draft(
        sender=Mailbox("", "a@x.br"),
        recipients=tuple(Mailbox("", f"u{number}@x.br") for number in range(count)),
        subject="Olá",
        text="",
        html="",
    )

    with pytest.raises(MailRefused, match=f"{count} recipients"):
        compose(draft, job_id="1", idempotency_key="1", at=datetime.now(UTC))


def test_a_mail_has_its_text_and_the_html_twin() -> None:
    message = read(letter(text="Olá, João!\n", html="<p>Olá, João!</p>\n").content)

    assert message.get_content_type() == "multipart/alternative"
    assert [one.get_content_type() for one in message.iter_parts()] == ["text/plain", "text/html"]
    assert part(message, "plain") == "Olá, João!\n"
    assert part(message, "html") == "<p>Olá, João!</p>\n"


def test_every_line_is_short_and_ascii() -> None:
    made = letter(
        *(f"{'Ação ' * 20}<user{number}@example.com>" for number in range(100)),
        text="ã" * 5_000,
        html="<p>" + "ã " * 5_000,
        files=[AttachedFile("relatório " * 10 + ".pdf", "application/pdf", b"\xff" * 10_000)],
    )

    assert made.content.isascii()
    assert max(len(line) for line in made.content.split(b"\r\n")) <= 998


def test_a_text_that_no_mail_can_hold_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        letter(text="half a pair: \ud800")


def test_files_are_attached_under_their_names() -> None:
    pdf = AttachedFile("fatura nº 12.pdf", "application/pdf", b"%PDF-1.7\r\n\xff")
    csv = AttachedFile("dados.csv", "text/csv", "preço;1,5\n".encode())

    attached = list(read(letter(files=[pdf, csv]).content).iter_attachments())

    assert [(one.get_filename(), one.get_content_type()) for one in attached] == [
        ("fatura nº 12.pdf", "application/pdf"),
        ("dados.csv", "text/csv"),
    ]
    assert [one.get_payload(decode=True) for one in attached] == [pdf.data, csv.data]


def test_the_message_id_is_the_jobs() -> None:
    first, again, other = letter(key="email:1"), letter(key="email:1"), letter(key="email:2")

    assert first.message_id == again.message_id != other.message_id
    assert read(first.content)["Message-ID"] == first.message_id
    assert first.message_id.endswith("@imobibase.com>")


@pytest.mark.parametrize("key", ["a@b", "a:b", "x" * 500, "é", "a>\r\nBcc: e@x.br"])
def test_a_message_id_is_well_formed_whatever_the_jobs_id(key: str) -> None:
    identity = message_id(key, "imobibase.com")

    local, _, domain = identity.strip("<>").partition("@")
    assert local.isalnum()
    assert domain == "imobibase.com"


def test_an_answer_goes_to_the_agency_and_the_readers_own_button_unsubscribes() -> None:
    sol = Mailbox("Imobiliária Sol", "contato@sol.com")
    link = f"https://app.imobibase.com/imóveis?token={'a' * 200}&b=1"
    draft = msgspec.structs.replace(letter().draft, reply_to=sol, unsubscribe=link)

    sent = compose(draft, job_id="job-1", idempotency_key="email/job-1", at=datetime.now(UTC))

    message = read(sent.content)
    assert message["Reply-To"] == "Imobiliária Sol <contato@sol.com>"
    # As it stands, on one line: an encoded word would be no link.
    button = f"List-Unsubscribe: <{link.replace('ó', '%C3%B3')}>\r\n"
    assert button.encode() in sent.content
