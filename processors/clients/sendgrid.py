"""Mails by SendGrid's HTTP API (`POST /v3/mail/send`), where SENDGRID_API_KEY is set."""

import asyncio
import base64
import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from processors.clients.delivery import (
    Delivery,
    DeliveryDeferred,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnknown,
    Letter,
    printable,
)
from processors.clients.http import RETRY_AFTER_MAX, Answer, Http, HttpUnavailable, Refused
from processors.clients.mailbox import Mailbox

API_URL: Final = "https://api.sendgrid.com"
DELIVERY_S_MAX: Final = 60.0
REQUEST_BYTES_MAX: Final = 30 * 1024**2
"""SendGrid's own limit, of a message with its attachments."""
_SAID_MAX: Final = 3
_DIGITS: Final = re.compile(r"[0-9]{1,12}")
_HINTS: Final[Mapping[int, str]] = {
    401: "; set SENDGRID_API_KEY to a key that is valid",
    403: "; the key needs the right to send mail, and the sender must be verified there",
    413: "; send links in place of attachments",
}


class SendgridAccount(msgspec.Struct, frozen=True):
    """Whose account, and where: the API of the European region has another address."""

    key: str
    url: str = API_URL

    def __repr__(self) -> str:
        return f"SendgridAccount(url={self.url!r})"


class _Person(msgspec.Struct, frozen=True, omit_defaults=True):
    email: str
    name: str = ""


class _Personalization(msgspec.Struct, frozen=True):
    to: Sequence[_Person]


class _Content(msgspec.Struct, frozen=True):
    type: str
    value: str


class _Attachment(msgspec.Struct, frozen=True):
    content: str
    type: str
    filename: str
    disposition: str = "attachment"


class _Switch(msgspec.Struct, frozen=True):
    enable: bool


class _Tracking(msgspec.Struct, frozen=True):
    """Off: clicks would lead to SendGrid's host with the secrets that some links hold."""

    click_tracking: _Switch = _Switch(False)
    open_tracking: _Switch = _Switch(False)


class _Request(msgspec.Struct, frozen=True, omit_defaults=True, rename={"sender": "from"}):
    personalizations: Sequence[_Personalization]
    sender: _Person
    subject: str
    content: Sequence[_Content]
    headers: Mapping[str, str]
    custom_args: Mapping[str, str]
    tracking_settings: _Tracking
    reply_to: _Person | None = None
    attachments: Sequence[_Attachment] | None = None


class _Trouble(msgspec.Struct, frozen=True):
    message: str = ""
    field: str | None = None


class _Troubles(msgspec.Struct, frozen=True):
    errors: list[_Trouble] = []


class SendgridTransport:
    """Hands letters to SendGrid, all recipients of one in one request: it takes all or none."""

    provider = "sendgrid"

    def __init__(
        self, http: Http, account: SendgridAccount, *, delivery_s: float = DELIVERY_S_MAX
    ) -> None:
        self._http = http
        self._account = account
        self._delivery_s = delivery_s

    async def deliver(self, letter: Letter) -> Delivery:
        """Raises DeliveryDeferred (429, 5xx), DeliveryUnknown (not reached, or no answer),
        DeliveryRefused (any other status).
        """
        try:
            answer = await self._http.send(
                "POST",
                f"{self._account.url}/v3/mail/send",
                body=await asyncio.to_thread(_body, letter),
                headers={
                    "authorization": f"Bearer {self._account.key}",
                    "content-type": "application/json",
                },
                body_bytes_max=REQUEST_BYTES_MAX,
                total_limit_s=self._delivery_s,
            )
        except HttpUnavailable as error:
            raise DeliveryUnknown(f"SendGrid: {error}") from error
        except Refused as error:
            raise DeliveryRefused(f"SendGrid: {error}") from error
        if not answer.ok:
            raise _judged(answer)
        accepted = answer.headers.get("x-message-id", "none")
        return Delivery(
            delivered=letter.recipients,
            note=printable(f"{answer.target}: {answer.status}, X-Message-Id {accepted}"),
        )

    async def aclose(self) -> None:
        """The client is the application's."""


def _body(letter: Letter) -> bytes:
    draft = letter.draft
    people = {mailbox.address: mailbox for mailbox in draft.recipients}
    return msgspec.json.encode(
        _Request(
            personalizations=[
                _Personalization([_person(people[one]) for one in letter.recipients])
            ],
            sender=_person(draft.sender),
            reply_to=_person(draft.reply_to) if draft.reply_to else None,
            subject=draft.subject.strip(" "),
            content=[_Content("text/plain", draft.text), _Content("text/html", draft.html)],
            attachments=[
                _Attachment(base64.b64encode(file.data).decode(), file.content_type, file.filename)
                for file in draft.files
            ]
            or None,
            headers=letter.extras,
            custom_args={"job_id": letter.job_id},
            tracking_settings=_Tracking(),
        )
    )


def _person(mailbox: Mailbox) -> _Person:
    return _Person(mailbox.address, mailbox.name)


def _judged(answer: Answer) -> DeliveryError:
    told = f"SendGrid answered {answer.status}: {_said(answer)}"
    if answer.status == 429 or answer.status >= 500:
        return DeliveryDeferred(told, after=_after(answer))
    return DeliveryRefused(f"{told}{_HINTS.get(answer.status, '')}")


def _said(answer: Answer) -> str:
    try:
        troubles = msgspec.json.decode(answer.body, type=_Troubles).errors[:_SAID_MAX]
    except (msgspec.DecodeError, msgspec.ValidationError):
        troubles = []
    if not troubles:
        return answer.said or "no reason given"
    return printable(
        "; ".join(f"{one.message} ({one.field})" if one.field else one.message for one in troubles)
    )


def _after(answer: Answer) -> timedelta | None:
    """Retry-After; else SendGrid's own header, the second of the epoch when the limit ends."""
    if (after := answer.retry_after()) is not None:
        return after
    reset = answer.headers.get("x-ratelimit-reset", "")
    if not _DIGITS.fullmatch(reset):
        return None
    wait = timedelta(seconds=max(0.0, int(reset) - time.time()))
    return min(wait, RETRY_AFTER_MAX)
