"""Sends one message to many browsers, and sorts what their push services answered."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from processors.clients.http import Answer, Http, HttpUnavailable, Refused
from processors.notifications.inbox import TITLE_CHARS_MAX, Note, Subscription
from processors.notifications.vapid import Vapid
from processors.notifications.webpush import (
    PLAIN_BYTES_MAX,
    BadSubscription,
    authorization,
    encrypt,
    subscriber,
)

AT_ONCE: Final = 20
"""As many as the client has connections."""
KEPT_FOR: Final = timedelta(days=1)
"""How long a push service keeps a message for a browser that is off."""
MESSAGE_CHARS_MAX: Final = 300
"""More is shown by no system's notification; the row has it all."""
ACTION_CHARS_MAX: Final = 400
# Six bytes: an escape of JSON. 300: names and ids.
assert (TITLE_CHARS_MAX + MESSAGE_CHARS_MAX) * 6 + ACTION_CHARS_MAX + 300 <= PLAIN_BYTES_MAX


class End(StrEnum):
    """What became of one push."""

    TAKEN = "taken"
    GONE = "gone"
    """The browser unsubscribed: the subscription is to be removed."""
    REFUSED = "refused"
    """It would be no other next time."""
    OURS = "ours"
    """Refused for our key: that is ours to mend, and no fault of the browser's."""
    LATER = "later"


class Pushed(msgspec.Struct, frozen=True):
    """One subscription's end; `after`: when its service wants to be asked again."""

    subscription: Subscription
    end: End
    reason: str = ""
    after: timedelta | None = None


async def push_all(
    http: Http, vapid: Vapid, to: Sequence[tuple[Subscription, bytes]]
) -> list[Pushed]:
    """Every message to its browser, 20 at a time. Raises nothing of theirs."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(subscription: Subscription, message: bytes) -> Pushed:
        async with slots:
            return await _push(http, vapid, subscription, message)

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(one(*each)) for each in to]
    return [each.result() for each in running]


def message_of(note: Note, row_id: str) -> bytes:
    """What a service worker is given. `tag`: a second copy replaces the first on the screen."""
    content: dict[str, object] = {
        "id": row_id,
        "tag": row_id,
        "title": note.title,
        "message": note.message[:MESSAGE_CHARS_MAX],
        "type": note.type,
    }
    if note.action_url is not None and len(note.action_url) <= ACTION_CHARS_MAX:
        content["actionUrl"] = note.action_url
    return msgspec.json.encode(content)


async def _push(http: Http, vapid: Vapid, subscription: Subscription, message: bytes) -> Pushed:
    try:
        body = encrypt(message, subscriber(subscription.p256dh, subscription.auth))
        answer = await http.send(
            "POST", subscription.endpoint, body=body, headers=_headers(vapid, subscription.endpoint)
        )
    except (BadSubscription, Refused) as error:
        return Pushed(subscription, End.REFUSED, str(error))
    except HttpUnavailable as error:
        return Pushed(subscription, End.LATER, str(error))
    return _sorted(subscription, answer)


def _headers(vapid: Vapid, endpoint: str) -> Mapping[str, str]:
    return {
        "Authorization": authorization(vapid, endpoint, datetime.now(UTC)),
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(int(KEPT_FOR.total_seconds())),
        "Urgency": "normal",
    }


def _sorted(subscription: Subscription, answer: Answer) -> Pushed:
    reason = f"{answer.target} answered {answer.status}: {answer.said[:200]}"
    if answer.ok:
        return Pushed(subscription, End.TAKEN)
    if answer.status in (404, 410):
        return Pushed(subscription, End.GONE, reason)
    if answer.status in (401, 403):
        return Pushed(subscription, End.OURS, reason)
    if answer.status == 429 or answer.status >= 500:
        return Pushed(subscription, End.LATER, reason, answer.retry_after())
    return Pushed(subscription, End.REFUSED, reason)
