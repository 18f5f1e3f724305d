"""Mail addresses and header text: what is let in, and how it is written on the wire."""

import base64
import re
import unicodedata
from email.policy import Policy

import msgspec

NAME_CHARS_MAX = 200
ADDRESS_CHARS_MAX = 254  # RFC 5321, 4.5.3.1.3: a path of 256 with its two angle brackets
_LOCAL_CHARS_MAX = 64  # RFC 5321, 4.5.3.1.1
_DOMAIN_CHARS_MAX = 253
# A quoted name may double its length by backslashes; beyond this no text can be one address.
_FIELD_CHARS_MAX = 2 * NAME_CHARS_MAX + ADDRESS_CHARS_MAX + 8
_SHOWN_CHARS_MAX = 60

# RFC 2047: at most 75 characters an encoded word, 12 of them `=?utf-8?b?` and `?=`; 60 of base64
# hold 45 bytes.
_WORD_BYTES_MAX = 45
_LINE_CHARS_MAX = 78

# Controls (NUL, CR, LF, VT, U+0085 ...), lone surrogates, U+2028 and U+2029: each ends a line for
# some reader.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# These turn the order of what follows, so that a name shows as another: `exe.fdp` reads `pdf.exe`.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LOCAL = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)*(?=[a-z0-9-]*[a-z]){_LABEL}")
_PLAIN_PHRASE = re.compile(rf"{_ATEXT}+(?: {_ATEXT}+)*")
_MAILBOX = re.compile(
    r'(?:(?P<name>"(?:[^"\\]|\\.)*"|[^"<>,;:@()\[\]\\]*) *<(?P<angle>[^<>" ]*)>)'
    r'|(?P<bare>[^<>",;: ]+)'
)


class MailRefused(ValueError):
    """A part of a mail that must not go out. Final: no later attempt can mend it.

    `field` is the payload's name of the part, as in `to[2]` or `attachments[0].filename`.
    """

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


class Mailbox(msgspec.Struct, frozen=True):
    """One address with the name it is shown by (may be empty). Made by `parse_mailbox` only."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class Header(str):
    """A header that is already encoded and folded, line by line.

    EmailMessage's default policy takes an object with `name` and `fold` as finished. It has to: on
    CPython 3.11.7 the policy's own encoding gave back other addresses than it was given for 501 of
    6,000 lists with odd names, and decodes `=?utf-8?q?x=0ABcc:...?=` in a subject to a header of
    its own (CVE-2024-6923).
    """

    __slots__ = ("lines", "name")

    name: str
    lines: tuple[str, ...]

    def __new__(cls, name: str, lines: tuple[str, ...]) -> "Header":
        header = super().__new__(cls, " ".join(lines))
        header.name = name
        header.lines = lines
        return header

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {f'{policy.linesep} '.join(self.lines)}{policy.linesep}"


def check_line(text: str, field: str, *, chars_max: int) -> str:
    """`text` if it can stand in a header; else MailRefused.

    Refused are control characters of any kind, lone surrogates, line and paragraph separators,
    controls of the writing direction, encoded words (`=?utf-8?...?=`: give the text itself), and
    more than `chars_max` characters.
    """
    if len(text) > chars_max:
        raise MailRefused(field, f"{len(text)} characters, at most {chars_max} are allowed")
    for position, char in enumerate(text):
        if char in _BIDI_CONTROLS or unicodedata.category(char) in _REFUSED_CATEGORIES:
            raise MailRefused(
                field,
                f"U+{ord(char):04X} at character {position} cannot be in a mail header; remove it",
            )
    if "=?" in text:
        raise MailRefused(
            field, "holds '=?', the start of an encoded word; give the text as it is to be read"
        )
    return text


def parse_mailbox(text: str, field: str) -> Mailbox:
    """The one address in `text`: `ana@example.com`, `Ana <ana@example.com>` or `"Silva, Ana"
    <ana@example.com>`.

    The domain comes back in lower case, and in its ASCII form if it had other letters. Two
    addresses in one field, groups, comments, routes and quoted local parts are refused: what one
    parser reads as one address, another reads as two.
    """
    found = _MAILBOX.fullmatch(check_line(text.strip(" "), field, chars_max=_FIELD_CHARS_MAX))
    if found is None:
        raise MailRefused(field, _why_no_mailbox(text))
    name = found["name"] or ""
    if name.startswith('"'):
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    name = check_line(name.strip(" "), field, chars_max=NAME_CHARS_MAX)
    return Mailbox(name, _check_address(found["bare"] or found["angle"], field))


def address_header(name: str, mailboxes: tuple[Mailbox, ...]) -> Header:
    """A header of addresses, one to a line or more, re-emitted from their parts."""
    lines: list[str] = []
    for index, mailbox in enumerate(mailboxes):
        *phrase, last = (*_encode_phrase(mailbox.name), _in_angles(mailbox))
        lines += phrase
        lines.append(last if index == len(mailboxes) - 1 else f"{last},")
    return Header(name, tuple(lines))


def text_header(name: str, text: str) -> Header:
    """A header of free text. What is long or not ASCII goes out in encoded words, so nothing is
    ever folded.
    """
    if text.isascii() and len(name) + 2 + len(text) <= _LINE_CHARS_MAX:
        return Header(name, (text,))
    return Header(name, _encoded_words(text))


def _why_no_mailbox(text: str) -> str:
    if any(mark in text for mark in ",;:"):
        return (
            f"one address per field, got {_shown(text)}; give several as a list, "
            'and put a name with such signs in double quotes: "Silva, Ana" <ana@example.com>'
        )
    return f"{_shown(text)} is no mail address; write ana@example.com or Ana <ana@example.com>"


def _check_address(address: str, field: str) -> str:
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        raise MailRefused(
            field,
            f"{_shown(address)} has letters outside ASCII before the @, which few servers take",
        )
    if len(local) > _LOCAL_CHARS_MAX or _LOCAL.fullmatch(local) is None:
        raise MailRefused(
            field, f"{_shown(address)} is no mail address: what stands before the @ is not allowed"
        )
    try:
        domain = domain.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise MailRefused(
            field, f"{_shown(address)} is no mail address: its domain is no name of a host"
        ) from error
    if len(domain) > _DOMAIN_CHARS_MAX or _DOMAIN.fullmatch(domain) is None:
        raise MailRefused(
            field, f"{_shown(address)} is no mail address: its domain is no name of a host"
        )
    if len(local) + 1 + len(domain) > ADDRESS_CHARS_MAX:
        raise MailRefused(field, f"{_shown(address)} is longer than {ADDRESS_CHARS_MAX} characters")
    return f"{local}@{domain}"


def _in_angles(mailbox: Mailbox) -> str:
    return f"<{mailbox.address}>" if mailbox.name else mailbox.address


def _encode_phrase(name: str) -> tuple[str, ...]:
    if not name:
        return ()
    if not name.isascii():
        return _encoded_words(name)
    if _PLAIN_PHRASE.fullmatch(name):
        return (name,)
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return (f'"{escaped}"',)


def _encoded_words(text: str) -> tuple[str, ...]:
    """RFC 2047 words in base64, cut between characters; a reader joins neighbours without the space
    between them.
    """
    chunks: list[bytes] = [b""]
    for char in text:
        encoded = char.encode()
        if len(chunks[-1]) + len(encoded) > _WORD_BYTES_MAX:
            chunks.append(b"")
        chunks[-1] += encoded
    return tuple(f"=?utf-8?b?{base64.b64encode(chunk).decode()}?=" for chunk in chunks)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}...")
