"""The ways into the queue `email`.

`tenant` is the agency in whose name and brand a mail goes out: give the id that stands in the row
which the mail is about. Without it the brand is that of the agency whose users all recipients are,
else the platform's.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, Required, TypedDict, Unpack, overload

from processors.clients.attachments import Attachment
from processors.clients.mailbox import MailRefused, parse_mailbox
from processors.enqueue.adding import (
    Delay,
    Job,
    Table,
    add,
    add_all,
    add_all_sync,
    add_sync,
    payload_of,
    spread,
)
from processors.imobibase import QueueName
from processors.send_email import TENANT_HEADER, SendEmail
from streamq.errors import InvalidInput

SEND_EMAIL: Final = "send-email"
WELCOME_SUBJECT: Final = "Boas-vindas ao ImobiBase"
PASSWORD_RESET_SUBJECT: Final = "Redefinição de senha"
VERIFICATION_SUBJECT: Final = "Confirme o seu e-mail"
PASSWORD_RESET_LIFETIME: Final = "1 hora"
PRIORITY_AWAITED: Final = 1
"""Of a mail that somebody waits for at the screen."""
PRIORITY_BULK: Final = 5
BULK_SPREAD: Final = timedelta(seconds=60)
BULK_RECIPIENTS_MAX: Final = 1_000


class MailNames(TypedDict, total=False):
    """Under what a mail is queued, and in whose brand it goes."""

    name: str
    """The job's, `send-email` if not given: `send-invoice`, `send-report`, ..."""
    tenant: str | None


class MailOptions(MailNames, total=False):
    """How a mail is queued; `delay` as a number is milliseconds."""

    priority: int | None
    delay: Delay | None
    job_id: str | None


class MailFields(MailOptions, total=False):
    """A payload by its fields, and how it is queued."""

    to: Required[str | Sequence[str]]
    subject: Required[str]
    template: Required[str]
    data: Mapping[str, object] | None
    from_: str | None
    attachments: Sequence[Attachment | Mapping[str, object]] | None


@overload
async def queue_email(
    email: SendEmail | Mapping[str, object],
    /,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
    **names: Unpack[MailNames],
) -> str: ...
@overload
async def queue_email(**fields: Unpack[MailFields]) -> str: ...
async def queue_email(
    email: SendEmail | Mapping[str, object] | None = None,
    /,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
    *,
    name: str = SEND_EMAIL,
    tenant: str | None = None,
    **fields: object,
) -> str:
    """Queue a mail: its fields by name, or a whole payload (a SendEmail, or a table in JSON names).

    Raises InvalidInput (nothing was sent) and what `Queue.add` raises.
    """
    options = MailOptions(priority=priority, delay=delay, job_id=job_id, name=name, tenant=tenant)
    return await add(_mail(_payload(email, fields), **options))


@overload
def queue_email_sync(
    email: SendEmail | Mapping[str, object],
    /,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
    **names: Unpack[MailNames],
) -> str: ...
@overload
def queue_email_sync(**fields: Unpack[MailFields]) -> str: ...
def queue_email_sync(
    email: SendEmail | Mapping[str, object] | None = None,
    /,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
    *,
    name: str = SEND_EMAIL,
    tenant: str | None = None,
    **fields: object,
) -> str:
    """`queue_email` for code without an event loop. Raises SyncInLoop where one runs."""
    options = MailOptions(priority=priority, delay=delay, job_id=job_id, name=name, tenant=tenant)
    return add_sync(_mail(_payload(email, fields), **options), queue_email_sync, queue_email)


async def queue_welcome_email(email: str, user_name: str, **options: Unpack[MailOptions]) -> str:
    """Queue the mail that a new user gets; its login link is the application's own."""
    return await add(_mail(_welcome(email, user_name), **options))


def queue_welcome_email_sync(email: str, user_name: str, **options: Unpack[MailOptions]) -> str:
    """`queue_welcome_email` for code without an event loop."""
    job = _mail(_welcome(email, user_name), **options)
    return add_sync(job, queue_welcome_email_sync, queue_welcome_email)


async def queue_password_reset_email(
    email: str, reset_token: str, **options: Unpack[MailOptions]
) -> str:
    """Queue the link by which a user chooses a new password; it says that it lives an hour."""
    return await add(_mail(_password_reset(email, reset_token), **_awaited(options)))


def queue_password_reset_email_sync(
    email: str, reset_token: str, **options: Unpack[MailOptions]
) -> str:
    """`queue_password_reset_email` for code without an event loop."""
    job = _mail(_password_reset(email, reset_token), **_awaited(options))
    return add_sync(job, queue_password_reset_email_sync, queue_password_reset_email)


async def queue_verification_email(
    email: str, verification_token: str, **options: Unpack[MailOptions]
) -> str:
    """Queue the link by which a user shows that the address is theirs."""
    return await add(_mail(_verification(email, verification_token), **_awaited(options)))


def queue_verification_email_sync(
    email: str, verification_token: str, **options: Unpack[MailOptions]
) -> str:
    """`queue_verification_email` for code without an event loop."""
    job = _mail(_verification(email, verification_token), **_awaited(options))
    return add_sync(job, queue_verification_email_sync, queue_verification_email)


Recipients = Sequence[str] | Mapping[str, Mapping[str, object]]
"""Addresses, or each with variables of its own: a link to unsubscribe, a name."""


async def queue_bulk_email(
    recipients: Recipients,
    subject: str,
    template: str,
    data: Mapping[str, object] | None = None,
    **options: Unpack[MailOptions],
) -> list[str]:
    """Queue a mail of its own for each of up to 1,000 recipients: none sees another's address.

    They go out over a minute. An address that is given twice has one. With `job_id` the ids are
    made of it and the address: to call again adds only who was not there. Raises InvalidInput.
    """
    return await add_all(QueueName.EMAIL, _bulk(recipients, subject, template, data, options))


def queue_bulk_email_sync(
    recipients: Recipients,
    subject: str,
    template: str,
    data: Mapping[str, object] | None = None,
    **options: Unpack[MailOptions],
) -> list[str]:
    """`queue_bulk_email` for code without an event loop."""
    jobs = _bulk(recipients, subject, template, data, options)
    return add_all_sync(QueueName.EMAIL, jobs, queue_bulk_email_sync, queue_bulk_email)


def _mail(
    data: SendEmail | Table,
    *,
    name: str = SEND_EMAIL,
    tenant: str | None = None,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> Job:
    return Job(
        queue=QueueName.EMAIL,
        name=name,
        data=data,
        priority=priority,
        delay=delay,
        id=job_id,
        headers=None if tenant is None else {TENANT_HEADER: tenant},
    )


def _payload(email: SendEmail | Table | None, fields: Table) -> SendEmail | Table:
    names = {"from_": "from"}
    return payload_of(email, {names.get(name, name): value for name, value in fields.items()})


def _awaited(options: MailOptions) -> MailOptions:
    return {"priority": PRIORITY_AWAITED, **options}


def _welcome(email: str, user_name: str) -> Table:
    return {
        "to": email,
        "subject": WELCOME_SUBJECT,
        "template": "welcome",
        "data": {"userName": user_name},
    }


def _password_reset(email: str, reset_token: str) -> Table:
    return {
        "to": email,
        "subject": PASSWORD_RESET_SUBJECT,
        "template": "password-reset",
        "data": {"resetToken": reset_token, "expiresIn": PASSWORD_RESET_LIFETIME},
    }


def _verification(email: str, verification_token: str) -> Table:
    return {
        "to": email,
        "subject": VERIFICATION_SUBJECT,
        "template": "verification",
        "data": {"verificationToken": verification_token},
    }


def _bulk(
    recipients: Recipients,
    subject: str,
    template: str,
    data: Table | None,
    options: MailOptions,
) -> list[Job]:
    if len(recipients) > BULK_RECIPIENTS_MAX:
        raise InvalidInput(
            f"{len(recipients)} recipients, at most {BULK_RECIPIENTS_MAX} a call; call it for each"
            " part of the list"
        )
    own = recipients if isinstance(recipients, Mapping) else {one: {} for one in recipients}
    jobs: dict[str, Job] = {}
    for recipient, variables in own.items():
        address = _address(recipient)
        payload = {
            "to": recipient,
            "subject": subject,
            "template": template,
            "data": {**(data or {}), **variables},
        }
        jobs.setdefault(address, _mail(payload, **_bulk_options(options, address)))
    return list(jobs.values())


def _bulk_options(options: MailOptions, address: str) -> MailOptions:
    one: MailOptions = {"priority": PRIORITY_BULK, "delay": spread(BULK_SPREAD), **options}
    if (job_id := options.get("job_id")) is not None:
        # A digest, for an address may hold signs that an id may not.
        one["job_id"] = f"{job_id}:{hashlib.sha256(address.encode()).hexdigest()[:16]}"
    return one


def _address(recipient: str) -> str:
    try:
        return parse_mailbox(recipient, "recipients").address
    except MailRefused as error:
        raise InvalidInput(str(error)) from None
