"""Addresses and header text: what is let in, and that it comes out as it went in."""

from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.clients.mailbox import (
    Mailbox,
    MailRefused,
    address_header,
    check_line,
    parse_mailbox,
    text_header,
)

# Each ends a line, ends a text, or turns its direction, for some reader of mails.
CONTROLS = [
    *(chr(code) for code in (*range(0x00, 0x20), *range(0x7F, 0xA0))),
    "\u2028",
    "\u2029",
    "\u202a",
    "\u202b",
    "\u202c",
    "\u202d",
    "\u202e",
    "\u2066",
    "\u2067",
    "\u2068",
    "\u2069",
    "\ud800",
    "\udc0a",
    "\udfff",
]

ONE_ADDRESS = [
    ("ana@example.com", Mailbox("", "ana@example.com")),
    ("  ana@example.com  ", Mailbox("", "ana@example.com")),
    ("<ana@example.com>", Mailbox("", "ana@example.com")),
    ("Ana Luísa <ana@example.com>", Mailbox("Ana Luísa", "ana@example.com")),
    ("Ana<ana@example.com>", Mailbox("Ana", "ana@example.com")),
    ('"Silva, Ana" <ana@example.com>', Mailbox("Silva, Ana", "ana@example.com")),
    (r'"Ana \"Aninha\" Silva" <ana@x.br>', Mailbox('Ana "Aninha" Silva', "ana@x.br")),
    ('"bo@x.br, c@x.br" <ana@x.br>', Mailbox("bo@x.br, c@x.br", "ana@x.br")),
    (
        "J. Silva <j.silva+imoveis@mail.example.com.br>",
        Mailbox("J. Silva", "j.silva+imoveis@mail.example.com.br"),
    ),
    ("O'Brien <o'brien@example.com>", Mailbox("O'Brien", "o'brien@example.com")),
    ("Ana@EXAMPLE.com", Mailbox("", "Ana@example.com")),
    ("noreply@localhost", Mailbox("", "noreply@localhost")),
    ("ana@imobiliária.com.br", Mailbox("", "ana@xn--imobiliria-y4a.com.br")),
    (f"{'a' * 64}@example.com", Mailbox("", f"{'a' * 64}@example.com")),
]

NOT_ONE_ADDRESS = [
    "",
    " ",
    "ana",
    "ana@",
    "@example.com",
    "ana@@example.com",
    "ana@example..com",
    "ana@.example.com",
    "ana@example.com.",
    "ana@-example.com",
    "ana@example-.com",
    "ana@exam ple.com",
    "ana@exam_ple.com",
    "ana@127.0.0.1",
    "ana@[127.0.0.1]",
    "ana@[IPv6:::1]",
    "ana..silva@example.com",
    ".ana@example.com",
    "ana.@example.com",
    "ana silva@example.com",
    '"ana silva"@example.com',
    "ana\u00e9@example.com",
    f"{'a' * 65}@example.com",
    f"ana@{'a' * 64}.com",
    f"ana@{'.'.join(['a' * 60] * 5)}",
    "ana@example.com, bo@example.com",
    "ana@example.com,bo@example.com",
    "ana@example.com;bo@example.com",
    "ana@example.com bo@example.com",
    "ana@example.com, ",
    ",ana@example.com",
    '"a" <x@y.br>, z@w.br',
    '"a" <x@y.br> z@w.br',
    "a <x@y.br> <z@w.br>",
    "<x@y.br><z@w.br>",
    "z@w.br <x@y.br>",
    "z@w.br, Ana <x@y.br>",
    "Silva, Ana <x@y.br>",
    "friends: ana@example.com, bo@example.com;",
    "friends:ana@example.com;",
    "undisclosed-recipients:;",
    "ana@example.com (Ana)",
    "Ana (a friend) <ana@example.com>",
    "(ana@example.com) bo@example.com",
    "<@relay.example:ana@example.com>",
    "<ana@example.com",
    "ana@example.com>",
    "Ana <>",
    "<>",
    '"Ana <ana@example.com>',
    'Ana" <ana@example.com>',
    '"Ana\\" <ana@example.com>',
    "mailto:ana@example.com",
    "ana@example.com?cc=bo@example.com",
    "ana@example.com> SIZE=1",
    "ana@example.com>\r\nRCPT TO:<bo@example.com",
    "ana@example.com\nBcc: bo@example.com",
    "ana%0d%0abcc@x@example.com",
    "=?utf-8?q?ana=40example.com=2C_bo?= <x@y.br>",
    "=?utf-8?q?x=0D=0ABcc=3A_bo=40example.com?= <ana@example.com>",
    "ana@=?utf-8?q?example.com?=",
    "ana@example.com\uff0cbo@example.com",
    "ana@example\u3002com,bo@x.br",
    "a" * 2_000 + "@example.com",
    "a" * 300 + " <ana@example.com>",
]


@pytest.mark.parametrize(("text", "expected"), ONE_ADDRESS)
def test_one_address_is_parsed(text: str, expected: Mailbox) -> None:
    assert parse_mailbox(text, "to") == expected


@pytest.mark.parametrize("text", NOT_ONE_ADDRESS)
def test_what_is_not_one_address_is_refused(text: str) -> None:
    with pytest.raises(MailRefused) as caught:
        parse_mailbox(text, "to[3]")

    assert caught.value.field == "to[3]"
    assert str(caught.value).encode()  # can be stored and printed


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: f"U+{ord(control):04X}")
@pytest.mark.parametrize(
    "around",
    ["{}ana@example.com", "Ana{} <ana@example.com>", "ana@exam{}ple.com", '"A{}" <a@b.br>'],
)
def test_no_control_character_enters_an_address(control: str, around: str) -> None:
    with pytest.raises(MailRefused):
        parse_mailbox(around.format(control), "to")


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: f"U+{ord(control):04X}")
def test_no_control_character_enters_a_header(control: str) -> None:
    with pytest.raises(MailRefused, match=f"U\\+{ord(control):04X} at character 3"):
        check_line(f"Olá{control}Bcc: bo@example.com", "subject", chars_max=200)


def test_an_encoded_word_is_not_taken_for_text() -> None:
    with pytest.raises(MailRefused, match="encoded word"):
        check_line("=?utf-8?q?x=0D=0ABcc:_bo=40example.com?=", "subject", chars_max=200)


_NAMES = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\u202e"),
    max_size=120,
).map(lambda text: " ".join(text.split()))


def _decoded(text: str) -> str:
    return str(make_header(decode_header(text)))


@given(st.lists(_NAMES, min_size=1, max_size=20))
def test_names_and_addresses_come_out_of_a_header_as_they_went_in(names: list[str]) -> None:
    mailboxes = tuple(
        Mailbox(name.replace("=?", ""), f"user{index}@example.com")
        for index, name in enumerate(names)
    )

    header = address_header("To", mailboxes)

    # Read back by the other, older parser of the standard library.
    assert [
        Mailbox(_decoded(name), address) for name, address in getaddresses([" ".join(header.lines)])
    ] == list(mailboxes)
    assert all(line.isascii() and len(line) < 998 for line in header.lines)


@given(_NAMES.filter(bool))
def test_a_subject_comes_out_as_it_went_in(subject: str) -> None:
    subject = subject.replace("=?", "") or "x"

    header = text_header("Subject", subject)

    assert _decoded("\n ".join(header.lines).replace("\n", "")) == subject
    assert all(line.isascii() and len(line) <= 78 for line in header.lines)
