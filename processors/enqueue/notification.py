"""The ways into the queue `notification`."""

from collections.abc import Mapping, Sequence
from typing import Final

from processors.enqueue.adding import Delay, Job, Table, add, add_sync, payload_of
from processors.imobibase import QueueName
from processors.notify import Notify

SEND_NOTIFICATION: Final = "send-notification"


async def queue_notification(
    notification: Notify | Table | None = None,
    /,
    *,
    user_id: int | str | Sequence[int | str] | None = None,
    title: str | None = None,
    message: str | None = None,
    type: str | None = None,
    action_url: str | None = None,
    data: Mapping[str, object] | None = None,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """Queue a notification: its fields by name, or a whole payload.

    Raises InvalidInput (nothing was sent) and what `Queue.add` raises.
    """
    fields = _fields(user_id, title, message, type, action_url, data)
    return await add(_job(payload_of(notification, fields), priority, delay, job_id))


def queue_notification_sync(
    notification: Notify | Table | None = None,
    /,
    *,
    user_id: int | str | Sequence[int | str] | None = None,
    title: str | None = None,
    message: str | None = None,
    type: str | None = None,
    action_url: str | None = None,
    data: Mapping[str, object] | None = None,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """`queue_notification` for code without an event loop. Raises SyncInLoop where one runs."""
    fields = _fields(user_id, title, message, type, action_url, data)
    job = _job(payload_of(notification, fields), priority, delay, job_id)
    return add_sync(job, queue_notification_sync, queue_notification)


def _fields(
    user_id: int | str | Sequence[int | str] | None,
    title: str | None,
    message: str | None,
    type: str | None,
    action_url: str | None,
    data: Mapping[str, object] | None,
) -> Table:
    return {
        "userId": user_id,
        "title": title,
        "message": message,
        "type": type,
        "actionUrl": action_url,
        "data": data,
    }


def _job(
    data: Notify | Table, priority: int | None, delay: Delay | None, job_id: str | None
) -> Job:
    return Job(
        queue=QueueName.NOTIFICATION,
        name=SEND_NOTIFICATION,
        data=data,
        priority=priority,
        delay=delay,
        id=job_id,
    )
