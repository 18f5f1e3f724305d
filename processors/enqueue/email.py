"""The ways into the queue `email`."""

from collections.abc import Mapping, Sequence
from typing import Final, overload

from processors.clients.attachments import Attachment
from processors.enqueue.adding import Delay, Job, Table, add, add_sync, payload_of
from processors.imobibase import QueueName
from processors.send_email import SendEmail

SEND_EMAIL: Final = "send-email"
WELCOME_SUBJECT: Final = "Boas-vindas ao ImobiBase"


@overload
async def queue_email(
    email: SendEmail | Mapping[str, object],
    /,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str: ...
@overload
async def queue_email(
    *,
    to: str | Sequence[str],
    subject: str,
    template: str,
    data: Mapping[str, object] | None = None,
    from_: str | None = None,
    attachments: Sequence[Attachment | Mapping[str, object]] | None = None,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str: ...
async def queue_email(
    email: SendEmail | Mapping[str, object] | None = None,
    /,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
    **fields: object,
) -> str:
    """Queue a mail: its fields by name, or a whole payload (a SendEmail, or a table in JSON names).

    Raises InvalidInput (nothing was sent) and what `Queue.add` raises.
    """
    return await add(_mail(_payload(email, fields), priority, delay, job_id))


@overload
def queue_email_sync(
    email: SendEmail | Mapping[str, object],
    /,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str: ...
@overload
def queue_email_sync(
    *,
    to: str | Sequence[str],
    subject: str,
    template: str,
    data: Mapping[str, object] | None = None,
    from_: str | None = None,
    attachments: Sequence[Attachment | Mapping[str, object]] | None = None,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str: ...
def queue_email_sync(
    email: SendEmail | Mapping[str, object] | None = None,
    /,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
    **fields: object,
) -> str:
    """`queue_email` for code without an event loop. Raises SyncInLoop where one runs."""
    job = _mail(_payload(email, fields), priority, delay, job_id)
    return add_sync(job, queue_email_sync, queue_email)


async def queue_welcome_email(
    email: str,
    user_name: str,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """Queue the mail that a new user gets; its login link is the application's own."""
    return await add(_mail(_welcome(email, user_name), priority, delay, job_id))


def queue_welcome_email_sync(
    email: str,
    user_name: str,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """`queue_welcome_email` for code without an event loop."""
    job = _mail(_welcome(email, user_name), priority, delay, job_id)
    return add_sync(job, queue_welcome_email_sync, queue_welcome_email)


def _mail(
    data: SendEmail | Table, priority: int | None, delay: Delay | None, job_id: str | None
) -> Job:
    return Job(
        queue=QueueName.EMAIL, name=SEND_EMAIL, data=data, priority=priority, delay=delay, id=job_id
    )


def _payload(email: SendEmail | Table | None, fields: Table) -> SendEmail | Table:
    names = {"from_": "from"}
    return payload_of(email, {names.get(name, name): value for name, value in fields.items()})


def _welcome(email: str, user_name: str) -> Table:
    return {
        "to": email,
        "subject": WELCOME_SUBJECT,
        "template": "welcome",
        "data": {"userName": user_name},
    }
