"""The ways in, by name: `await queue_email(...)`. Each has a blocking twin, and gives the job's id.

A number for `delay` is milliseconds here, as everywhere in the application; `priority` is 1 (first)
to 10. Data is checked where it is added, in the caller's stack: InvalidPayload says what is wrong.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TypedDict, overload

from processors.clients.attachments import Attachment
from processors.imobibase import QueueName, app
from processors.schedules import run_now, run_now_sync
from processors.send_email import SendEmail
from streamq import Queue
from streamq.errors import InvalidInput, OutOfRange, SyncInLoop

__all__ = [
    "EmailJobData",
    "QueueName",
    "SendEmail",
    "create_queue",
    "queue_email",
    "queue_email_sync",
    "queue_welcome_email",
    "queue_welcome_email_sync",
    "run_cleanup_logs",
    "run_cleanup_logs_sync",
    "run_cleanup_sessions",
    "run_cleanup_sessions_sync",
    "run_cleanup_temp_files",
    "run_cleanup_temp_files_sync",
    "run_daily_reports",
    "run_daily_reports_sync",
    "run_database_backup",
    "run_database_backup_sync",
    "run_integration_sync",
    "run_integration_sync_sync",
    "run_monthly_reports",
    "run_monthly_reports_sync",
    "run_payment_reminders",
    "run_payment_reminders_sync",
    "run_weekly_reports",
    "run_weekly_reports_sync",
]

Delay = float | str | timedelta
"""Milliseconds, or a duration as the engine takes it (`"5m"`)."""

EmailJobData = SendEmail
"""The payload by the name that it has in the Node application."""

SEND_EMAIL = "send-email"
WELCOME_SUBJECT = "Boas-vindas ao ImobiBase"
DELAY_MS_MAX = 10 * 365 * 86_400_000  # ten years, as the engine's own limit: longer is a slip


class _Options(TypedDict):
    priority: int | None
    delay: str | timedelta | None
    id: str | None


def create_queue(name: QueueName | str) -> Queue:
    """One of the application's queues: `await create_queue(QueueName.EXPORT).add(name, data)`."""
    return app.queue(str(name))


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
    payload = _email(email, fields)
    added = await app.queue(QueueName.EMAIL).add(
        SEND_EMAIL, payload, **_options(priority, delay, job_id)
    )
    return added.id


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
    payload, options = _email(email, fields), _options(priority, delay, job_id)
    return _add_sync(payload, options, queue_email_sync.__name__, queue_email.__name__)


async def queue_welcome_email(
    email: str,
    user_name: str,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """Queue the mail that a new user gets; its login link is the application's own."""
    return await queue_email(
        _welcome(email, user_name), priority=priority, delay=delay, job_id=job_id
    )


def queue_welcome_email_sync(
    email: str,
    user_name: str,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """`queue_welcome_email` for code without an event loop."""
    payload, options = _welcome(email, user_name), _options(priority, delay, job_id)
    return _add_sync(
        payload, options, queue_welcome_email_sync.__name__, queue_welcome_email.__name__
    )


# ---- the schedules, now: each adds the job of its schedule beside the slots


async def run_payment_reminders() -> str:
    return await run_now("payment-reminders")


def run_payment_reminders_sync() -> str:
    return run_now_sync("payment-reminders")


async def run_daily_reports() -> str:
    return await run_now("daily-reports")


def run_daily_reports_sync() -> str:
    return run_now_sync("daily-reports")


async def run_weekly_reports() -> str:
    return await run_now("weekly-reports")


def run_weekly_reports_sync() -> str:
    return run_now_sync("weekly-reports")


async def run_monthly_reports() -> str:
    return await run_now("monthly-reports")


def run_monthly_reports_sync() -> str:
    return run_now_sync("monthly-reports")


async def run_cleanup_sessions() -> str:
    return await run_now("cleanup-sessions")


def run_cleanup_sessions_sync() -> str:
    return run_now_sync("cleanup-sessions")


async def run_cleanup_logs() -> str:
    return await run_now("cleanup-logs")


def run_cleanup_logs_sync() -> str:
    return run_now_sync("cleanup-logs")


async def run_integration_sync() -> str:
    return await run_now("integration-sync")


def run_integration_sync_sync() -> str:
    return run_now_sync("integration-sync")


async def run_database_backup() -> str:
    return await run_now("database-backup")


def run_database_backup_sync() -> str:
    return run_now_sync("database-backup")


async def run_cleanup_temp_files() -> str:
    return await run_now("cleanup-temp-files")


def run_cleanup_temp_files_sync() -> str:
    return run_now_sync("cleanup-temp-files")


# ---- what the helpers share


def _add_sync(
    payload: SendEmail | Mapping[str, object], options: _Options, called: str, instead: str
) -> str:
    try:
        return app.queue(QueueName.EMAIL).add_sync(SEND_EMAIL, payload, **options).id
    except SyncInLoop:  # in the words of who called
        raise SyncInLoop(called, instead) from None


def _welcome(email: str, user_name: str) -> Mapping[str, object]:
    return {
        "to": email,
        "subject": WELCOME_SUBJECT,
        "template": "welcome",
        "data": {"userName": user_name},
    }


def _email(
    email: SendEmail | Mapping[str, object] | None, fields: Mapping[str, object]
) -> SendEmail | Mapping[str, object]:
    """The payload as it will be stored. What is wrong in it is the engine's to say, at `add`."""
    if email is not None:
        if fields:
            raise InvalidInput("give the mail or its fields, not both")
        return email
    # Absent and None are the same here, and absent in JSON.
    given = {name: value for name, value in fields.items() if value is not None}
    if "from_" in given:
        given["from"] = given.pop("from_")
    return given


def _options(priority: int | None, delay: Delay | None, job_id: str | None) -> _Options:
    return {"priority": priority, "delay": _duration(delay), "id": job_id}


def _duration(delay: Delay | None) -> str | timedelta | None:
    if delay is None or isinstance(delay, str | timedelta):
        return delay
    if isinstance(delay, bool) or not 0 <= delay <= DELAY_MS_MAX:  # NaN is neither
        raise OutOfRange("delay", delay, 0, DELAY_MS_MAX)
    return timedelta(milliseconds=delay)
