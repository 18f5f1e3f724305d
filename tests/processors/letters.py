"""Letters and drafts for tests that care about one part of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from processors.clients.attachments import AttachedFile
from processors.clients.delivery import Draft, Letter
from processors.clients.mailbox import parse_mailbox
from processors.clients.message import compose

SENDER = "ImobiBase <noreply@imobibase.com>"


def letter(
    *to: str,
    sender: str = SENDER,
    subject: str = "Olá",
    text: str = "Olá, Ana!\n",
    html: str = "<p>Olá, Ana!</p>\n",
    files: Sequence[AttachedFile] = (),
    job_id: str = "job-1",
    key: str = "email:job-1",
) -> Letter:
    draft = Draft(
        sender=parse_mailbox(sender, "from"),
        recipients=tuple(parse_mailbox(one, "to") for one in to or ("ana@example.com",)),
        subject=subject,
        text=text,
        html=html,
        files=files,
    )
    return compose(draft, job_id=job_id, idempotency_key=key, at=datetime.now(UTC))


def read(content: bytes) -> EmailMessage:
    """A mail as a reader sees it."""
    message = message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def part(message: EmailMessage, kind: str) -> str:
    """The text of the body of that kind, `plain` or `html`."""
    body = message.get_body((kind,))
    assert isinstance(body, EmailMessage)
    content = body.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")
