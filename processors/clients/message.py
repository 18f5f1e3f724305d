"""Composes a mail: one EmailMessage with a text part, its HTML twin and the attached files, and its
envelope.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import quote

from processors.clients.delivery import Draft, Letter
from processors.clients.mailbox import (
    Header,
    MailRefused,
    address_header,
    check_line,
    text_header,
)

RECIPIENTS_MAX = 100  # what every mail server must take in one message (RFC 5321, 4.5.3.1.8)
SUBJECT_CHARS_MAX = 200
_LINE_BYTES_MAX = 998  # RFC 5322, 2.1.1
_MESSAGE_ID_HEX_CHARS = 40
_URL_SIGNS = "%/:?#[]@!$&'()*+,;=~"


def check_subject(subject: str) -> str:
    """`subject` without blanks around it; MailRefused if blank, too long or with controls in it."""
    subject = subject.strip(" ")
    if not subject:
        raise MailRefused("subject", "is blank")
    return check_line(subject, "subject", chars_max=SUBJECT_CHARS_MAX)


def message_id(key: str, domain: str) -> str:
    """The Message-ID of the mail that `key` names: equal for equal keys, so that a repeat is seen
    as one.

    A digest, for a job's id may hold signs that a Message-ID may not.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()[:_MESSAGE_ID_HEX_CHARS]
    return f"<{digest}@{domain}>"


def compose(
    draft: Draft,
    *,
    job_id: str,
    idempotency_key: str,
    at: datetime,
    to: Sequence[str] | None = None,
) -> Letter:
    """The letter of a draft. `at` is its Date; `to` are the addresses still to be served (default:
    all).

    The To header always names all recipients, so that a retry for some is the same message.
    """
    addresses = tuple(mailbox.address for mailbox in draft.recipients)
    if not 1 <= len(addresses) <= RECIPIENTS_MAX:
        raise MailRefused(
            "to", f"{len(addresses)} recipients, from 1 to {RECIPIENTS_MAX} are allowed"
        )
    identity = message_id(idempotency_key, draft.sender.domain)
    extras = _extras(draft, identity)
    message = EmailMessage()
    for header in (
        address_header("From", (draft.sender,)),
        *([address_header("Reply-To", (draft.reply_to,))] if draft.reply_to else []),
        address_header("To", draft.recipients),
        text_header("Subject", check_subject(draft.subject)),
        text_header("Date", format_datetime(at)),
        # Not as free text: encoded words are no link and no id.
        *(Header(name, (text,)) for name, text in extras.items()),
    ):
        message[header.name] = header
    _fill(message, draft)
    content = message.as_bytes(policy=SMTP)
    _check_wire(content, message)
    return Letter(
        job_id=job_id,
        message_id=identity,
        sender=draft.sender.address,
        recipients=addresses if to is None else tuple(to),
        content=content,
        draft=draft,
        extras=extras,
    )


def _extras(draft: Draft, identity: str) -> Mapping[str, str]:
    # Auto-Submitted: so that no out-of-office answer comes back (RFC 3834, 5).
    extras = {"Message-ID": identity, "Auto-Submitted": "auto-generated"}
    if draft.unsubscribe is not None:
        extras["List-Unsubscribe"] = f"<{quote(draft.unsubscribe, safe=_URL_SIGNS)}>"
    return extras


def _fill(message: EmailMessage, draft: Draft) -> None:
    # Quoted-printable: short lines and ASCII only, which every server on the way takes as it is.
    message.set_content(draft.text, charset="utf-8", cte="quoted-printable")
    message.add_alternative(draft.html, subtype="html", charset="utf-8", cte="quoted-printable")
    for file in draft.files:
        maintype, _, subtype = file.content_type.partition("/")
        message.add_attachment(
            file.data, maintype=maintype, subtype=subtype, filename=file.filename
        )


def _check_wire(content: bytes, message: EmailMessage) -> None:
    """The last look, at the very bytes: the headers we set and no other, no line too long, no stray
    CR or LF.
    """
    head, _, _ = content.partition(b"\r\n\r\n")
    names = [
        line.partition(b":")[0].decode("ascii", "replace")
        for line in head.split(b"\r\n")
        if not line.startswith(b" ")
    ]
    bare = content.replace(b"\r\n", b"")
    if names != list(message.keys()) or b"\r" in bare or b"\n" in bare:
        raise MailRefused("headers", f"came out as {names}, which is not what was set")
    if max(map(len, content.split(b"\r\n"))) > _LINE_BYTES_MAX or not content.isascii():
        raise MailRefused("content", "came out with a line that mail servers do not take")
