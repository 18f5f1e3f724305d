"""Tells users something: a row each, their open browsers at once, and by web push those that are
not open."""

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from processors.clients.mailbox import MailRefused
from processors.ids import Id, as_text
from processors.imobibase import QueueName, Shared, app, shared_of
from processors.notifications import inbox
from processors.notifications.inbox import TITLE_CHARS_MAX, Note, Untold
from processors.saying import say
from processors.templates.links import link_host
from streamq import Context, Fail, Payload, Retry
from streamq.metrics import counter

ATTEMPTS: Final = 3
TIMEOUT: Final = timedelta(minutes=10)
USERS_MAX: Final = 10_000
"""Of one job; more are several jobs, so that a retry is short."""
DATA_BYTES_MAX: Final = 8 * 1024
TOGETHER: Final = 200
"""Users whose pushes go out between two writes of who was told."""
CHANNEL: Final = "notifications:"

# A path of our own application, and not `//elsewhere`; browsers read a backslash as a slash.
_PATH: Final = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,2047}")

PUSHES: Final = counter(
    app, "streamq_pushes_total", "Push messages, by what became of them.", labels=("end",)
)

# Its lines are `[NotificationProcessor] ...` on the console.
log = logging.getLogger("NotificationProcessor")


class NotificationType(StrEnum):
    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"


class Notify(Payload, rename="camel"):
    """The same for one user or many. `data.eventType` names the event that preferences are about.

    Raises ValueError for an action that is neither a path of the application nor a link.
    """

    user_id: Id | Annotated[list[Id], Meta(min_length=1, max_length=USERS_MAX)]
    title: Annotated[str, Meta(min_length=1, max_length=TITLE_CHARS_MAX)]
    message: Annotated[str, Meta(min_length=1, max_length=2_000)]
    type: NotificationType
    action_url: str | None = None
    data: dict[str, object] | None = None

    def __post_init__(self) -> None:
        if "\x00" in self.title + self.message:
            raise ValueError("U+0000 in title or message: no text in the database may hold it")
        if self.action_url is not None:
            _check_action(self.action_url)
        if len(msgspec.json.encode(self.data)) > DATA_BYTES_MAX:
            raise ValueError(f"data is over {DATA_BYTES_MAX} bytes; give an id to read it by")

    def users(self) -> tuple[str, ...]:
        """Each once."""
        ids = self.user_id if isinstance(self.user_id, list) else [self.user_id]
        return tuple(dict.fromkeys(as_text(one) for one in ids))

    @property
    def event(self) -> str | None:
        event = (self.data or {}).get("eventType")
        return event if isinstance(event, str) else None


class Notified(msgspec.Struct, frozen=True, rename="camel"):
    """What a finished job came to. `live`: browsers' servers that heard it at once."""

    users: int
    missing: int
    live: int
    pushes: Mapping[str, int]


@app.job(QueueName.NOTIFICATION, name="send-notification", attempts=ATTEMPTS, timeout=TIMEOUT)
async def notify(data: Notify, job: Context) -> Notified:
    """Rows first, in one statement; then those whose row says that they were not told yet.

    A push that may go through later is tried again by the job, for its users only. What fails for
    good is counted: the row is there, and a browser that is off is no fault. Only if no push
    service takes our key the job fails, for that an operator must know.
    """
    shared = shared_of(job)
    note = Note(data.title, data.message, data.type.value, data.action_url, data.data)
    users = data.users()
    say(log, job, "notification.sending", f"Sending notification to {len(users)} users")
    await job.progress(0.1)
    async with shared.database.transaction() as work:
        await inbox.write(work, job.id, users, note)
        known = await inbox.known(work, job.id)
        rows = await inbox.untold(work, job.id)
    if not known:
        raise Fail(f"none of the {len(users)} users is there (first: {users[0]}): no row was made")
    await job.progress(0.3)
    live = await _publish(note, rows)
    await job.progress(0.7)
    pushes = await _tell(shared, job, note, rows, data.event)
    await job.progress(0.9)
    await job.progress(1.0)
    say(log, job, "notification.sent", f"Notification sent to {known} users: {dict(pushes)}")
    return Notified(users=known, missing=len(users) - known, live=live, pushes=pushes)


async def _publish(note: Note, rows: Sequence[Untold]) -> int:
    """To the channel `notifications:<user>`, whose subscribers hold the open browsers."""
    port, live = app.redis.shared(CHANNEL), 0
    for row in rows:
        content = {
            "id": row.id,
            "title": note.title,
            "message": note.message,
            "type": note.type,
            "actionUrl": note.action_url,
            "data": note.data,
            "createdAt": row.created_at,
        }
        live += await port.publish(row.user_id, msgspec.json.encode(content))
    return live


async def _tell(
    shared: Shared, job: Context, note: Note, rows: Sequence[Untold], event: str | None
) -> Mapping[str, int]:
    """Pushes, and who was told by now; without a key of ours nobody is pushed to."""
    if shared.settings.vapid is None:
        async with shared.database.transaction() as work:
            await inbox.told(work, [row.id for row in rows])
        return {}
    # Here, not at the top: without a key nobody needs the package that this needs.
    from processors.notifications.telling import Telling

    telling = Telling(shared, shared.settings.vapid, note, event, last=job.attempt >= job.attempts)
    for first in range(0, len(rows), TOGETHER):
        await telling.push(rows[first : first + TOGETHER])
        if first + TOGETHER < len(rows):
            await job.progress(0.7 + 0.2 * (first + TOGETHER) / len(rows))
    for end, count in telling.counts.items():
        await PUSHES.inc(count, end=end)
    for line in telling.reasons:
        job.log(line)
    if telling.later and not telling.last:
        raise Retry(
            after=telling.after, reason=f"{telling.later} pushes go out later: {telling.why}"
        )
    if telling.no_key_of_ours:
        raise Fail(
            f"no push service takes our key: {telling.why}. VAPID_PRIVATE_KEY must be the one that"
            " browsers subscribed with; the rows are written and open browsers were told"
        )
    return telling.counts


def _check_action(url: str) -> None:
    if _PATH.fullmatch(url):
        return
    try:
        link_host(url, "actionUrl")
    except MailRefused as error:
        raise ValueError(f"{error}; or a path of the application: /payments/12") from None
