"""What is handed to a mail transport, and what comes back: per recipient, or as an error for all of
them.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

import msgspec

from processors.clients.attachments import AttachedFile
from processors.clients.mailbox import Mailbox

REPLY_CHARS_MAX = 300


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail says and to whom, before it is bytes."""

    sender: Mailbox
    recipients: tuple[Mailbox, ...]
    subject: str
    text: str
    html: str
    files: Sequence[AttachedFile] = ()
    reply_to: Mailbox | None = None
    unsubscribe: str | None = None
    """A link for the mail reader's own button."""


class Letter(msgspec.Struct, frozen=True):
    """A mail ready to go: the bytes, and the envelope that we built (never read back from the
    headers).
    """

    job_id: str
    message_id: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    draft: Draft
    """What `content` says, for services that want it in parts."""
    extras: Mapping[str, str]
    """The headers of `content` that are neither of an address, nor the subject or the date."""


class Reply(msgspec.Struct, frozen=True):
    """A mail server's answer, in print that is safe to log."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class Delivery(msgspec.Struct, frozen=True):
    """What became of each recipient of one letter; every one stands in exactly one of the three."""

    delivered: tuple[str, ...] = ()
    deferred: dict[str, Reply] = {}
    refused: dict[str, Reply] = {}
    note: str = ""
    """Where it went, for the job's log: the server's last reply, or the path of a file."""


class DeliveryError(Exception):
    """No recipient can be said to have the letter."""


class DeliveryDeferred(DeliveryError):
    """Not now: the server said 4xx, was not reached, or did not answer in time. A later attempt may
    go through, not before `after` if the server asked for that.
    """

    def __init__(self, reason: str, *, after: timedelta | None = None) -> None:
        self.after = after
        super().__init__(reason)


class DeliveryUnknown(DeliveryDeferred):
    """The letter was under way when the connection broke: the server may have taken it, or not.

    It is sent again with the same Message-ID, by which mailbox providers drop the second copy.
    """


class DeliveryRefused(DeliveryError):
    """The server said 5xx: for good."""


class Transport(Protocol):
    """A way for letters to leave this process."""

    @property
    def provider(self) -> str:
        """Its name in metrics."""

    async def deliver(self, letter: Letter) -> Delivery:
        """Hand over one letter. Raises DeliveryError where nobody got it, or nobody knows."""

    async def aclose(self) -> None:
        """Give back connections. The transport is not used after."""


def printable(text: str) -> str:
    """A server's words without controls, half surrogates (bytes that were no UTF-8) and line ends,
    cut to 300.
    """
    cleaned = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(cleaned.split())[:REPLY_CHARS_MAX]
