"""Rows of notifications, and the push subscriptions of their users."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from psycopg.types.json import Json

from processors.database import Transaction

TITLE_CHARS_MAX: Final = 200
BROWSERS_MAX: Final = 10
"""Of one user; the newest count."""
DEAD_AFTER: Final = timedelta(days=7)
"""A subscription that failed for so long without one success is removed."""


class Note(msgspec.Struct, frozen=True):
    """What all its users are told."""

    title: str
    message: str
    type: str
    action_url: str | None
    data: dict[str, object] | None


class Untold(msgspec.Struct, frozen=True):
    """A row whose user was not told yet."""

    id: str
    user_id: str
    created_at: datetime


class Subscription(msgspec.Struct, frozen=True):
    """One browser of a user. All three are the browser's word."""

    id: str
    user_id: str
    endpoint: str
    p256dh: str
    auth: str


async def write(work: Transaction, job_id: str, users: Sequence[str], note: Note) -> int:
    """One row for each of the users there is, in one statement; how many are new.

    A row's tenant is its user's, so one agency's rows never hold another's users.
    """
    return await work.run(
        """
        INSERT INTO notifications
            (tenant_id, user_id, job_id, title, message, type, action_url, data)
        SELECT tenant_id, id, %(job)s, %(title)s, %(message)s, %(type)s, %(action_url)s, %(data)s
        FROM users WHERE id = ANY(%(users)s) AND deleted_at IS NULL
        ON CONFLICT (job_id, user_id) DO NOTHING
        """,
        job=job_id,
        users=list(users),
        title=note.title,
        message=note.message,
        type=note.type,
        action_url=note.action_url,
        data=None if note.data is None else Json(note.data),
    )


async def known(work: Transaction, job_id: str) -> int:
    """How many users the job has a row for, by this attempt or an earlier one."""
    counted = await work.value(
        int, "SELECT count(*) FROM notifications WHERE job_id = %(job)s", job=job_id
    )
    return counted or 0


async def untold(work: Transaction, job_id: str) -> list[Untold]:
    """The job's rows whose users are still to be told, in the order of their users."""
    return await work.every(
        Untold,
        "SELECT id, user_id, created_at FROM notifications"
        " WHERE job_id = %(job)s AND told_at IS NULL ORDER BY user_id",
        job=job_id,
    )


async def told(work: Transaction, ids: Sequence[str]) -> None:
    await work.run(
        "UPDATE notifications SET told_at = now() WHERE id = ANY(%(ids)s)", ids=list(ids)
    )


async def subscriptions(
    work: Transaction, users: Sequence[str], event: str | None
) -> list[Subscription]:
    """The users' browsers, but not where their agency wants no pushes of that event."""
    return await work.every(
        Subscription,
        """
        SELECT s.id, s.user_id, s.endpoint, s.p256dh, s.auth
        FROM (
            SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC) AS place
            FROM push_subscriptions WHERE user_id = ANY(%(users)s)
        ) s
        WHERE s.place <= %(browsers)s
          AND NOT EXISTS (
              SELECT FROM notification_preferences p
              WHERE p.tenant_id = s.tenant_id AND p.event_type = %(event)s
                AND NOT p.app_push_enabled
          )
        ORDER BY s.user_id, s.id
        """,
        users=list(users),
        browsers=BROWSERS_MAX,
        event=event,
    )


async def alive(work: Transaction, ids: Sequence[str]) -> None:
    """These took a message: whatever failed before is forgotten."""
    await work.run(
        "UPDATE push_subscriptions SET failed_at = NULL"
        " WHERE id = ANY(%(ids)s) AND failed_at IS NOT NULL",
        ids=list(ids),
    )


async def failed(work: Transaction, ids: Sequence[str]) -> int:
    """These could not be told. Who has failed for seven days is removed; how many were."""
    removed = await work.run(
        "DELETE FROM push_subscriptions WHERE id = ANY(%(ids)s) AND failed_at < now() - %(dead)s",
        ids=list(ids),
        dead=DEAD_AFTER,
    )
    await work.run(
        "UPDATE push_subscriptions SET failed_at = now()"
        " WHERE id = ANY(%(ids)s) AND failed_at IS NULL",
        ids=list(ids),
    )
    return removed


async def gone(work: Transaction, ids: Sequence[str]) -> int:
    """Their push service knows them no more; how many were removed."""
    return await work.run("DELETE FROM push_subscriptions WHERE id = ANY(%(ids)s)", ids=list(ids))
