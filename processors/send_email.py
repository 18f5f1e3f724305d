"""Sends one mail: the default handler of the queue `email`, whatever the job is called."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from processors.clients.attachments import Attachment, check_attachments, load_attachments
from processors.clients.delivery import (
    Delivery,
    DeliveryDeferred,
    DeliveryError,
    DeliveryRefused,
    Draft,
    Letter,
)
from processors.clients.mailbox import Mailbox, MailRefused, parse_mailbox
from processors.clients.message import RECIPIENTS_MAX, check_subject, compose, message_id
from processors.clients.smtp import DELIVERY_S_MAX
from processors.days import TIME_ZONE
from processors.imobibase import QueueName, Shared, app, shared_of
from processors.mails.agency import Agency
from processors.mails.files import fetch_objects
from processors.mails.record import Mail, Standing
from processors.saying import say
from processors.templates.catalogue import NEWSLETTER, Newsletter, template_data
from processors.templates.render import render
from streamq import Context, Fail, Payload, Retry
from streamq.metrics import counter

ATTEMPTS = 3
# Above what one letter may take, so that the reason is the mail server's.
TIMEOUT = timedelta(seconds=150)
assert timedelta(seconds=DELIVERY_S_MAX) < TIMEOUT
TENANT_HEADER = "tenant"
"""The job's header that names the agency in whose brand the mail goes out."""
_NAMED_MAX = 10

SENT = counter(
    app,
    "streamq_email_sent_total",
    "Mails handed over, one for each recipient.",
    labels=("template", "provider"),
)

# Its lines are `[EmailProcessor] ...` on the console.
log = logging.getLogger("EmailProcessor")


class SendEmail(Payload):
    """One mail to one recipient or many, who see each other's addresses.

    Checked when it is made and again when it is read: every address, the subject, the template and
    its data, the attachments. Raises MailRefused, which names the part.
    """

    to: Annotated[str | list[str], Meta(examples=["ana@example.com"])]
    subject: Annotated[str, Meta(examples=["Boas-vindas"])]
    template: Annotated[str, Meta(examples=["welcome"])]
    data: Annotated[dict[str, object], Meta(examples=[{"userName": "Ana"}])] = msgspec.field(
        default_factory=dict
    )
    from_: str | None = msgspec.field(name="from", default=None)
    """None: FROM_EMAIL."""
    attachments: list[Attachment] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        self.recipients()
        self.sender()
        check_subject(self.subject)
        template_data(self.template, self.data)
        check_attachments(self.attachments)

    def recipients(self) -> tuple[Mailbox, ...]:
        """Whom it goes to, each address once, in the order given."""
        if isinstance(self.to, str):
            return (parse_mailbox(self.to, "to"),)
        if not 1 <= len(self.to) <= RECIPIENTS_MAX:
            raise MailRefused(
                "to", f"{len(self.to)} recipients, from 1 to {RECIPIENTS_MAX} are allowed"
            )
        boxes: dict[str, Mailbox] = {}
        for index, one in enumerate(self.to):
            mailbox = parse_mailbox(one, f"to[{index}]")
            boxes.setdefault(mailbox.address, mailbox)
        return tuple(boxes.values())

    def sender(self) -> Mailbox | None:
        return None if self.from_ is None else parse_mailbox(self.from_, "from")


class EmailSent(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a finished job says of its mail."""

    message_id: str
    recipients: int
    suppressed: int = 0
    """Of them, how many were not mailed: see `email_suppressions`."""


@app.job(QueueName.EMAIL, name="*", attempts=ATTEMPTS, timeout=TIMEOUT)
async def send_email(data: SendEmail, job: Context) -> EmailSent:
    """Composes the mail, hands it to the transport, and remembers who has it.

    Tried again after anything that may pass, and then only for those who have not had it; failed at
    once by a 5xx of the mail server, or by a part that must not go out. A recipient refused for
    good fails the job too, once the others are served: of a job that completed nobody would know.
    """
    shared = shared_of(job)
    addresses = tuple(mailbox.address for mailbox in data.recipients())
    say(log, job, "email.sending", f"Sending email to {_named(addresses)}")
    await job.progress(0.1)
    agency = await shared.agencies.of(job.headers.get(TENANT_HEADER), addresses)
    sender = data.sender() or agency.sender(shared.settings.sender)
    mail = Mail(
        job_id=job.id,
        key=job.idempotency_key,
        tenant=agency.tenant,
        template=data.template,
        provider=shared.transport.provider,
        message_id=message_id(job.idempotency_key, sender.domain),
        is_newsletter=data.template == NEWSLETTER,
    )
    standing = await shared.record.standing(mail, addresses)
    draft = await _draft(data, shared, agency, sender, standing)
    if draft is not None:
        letter = await _letter(draft, job, standing)
        await job.progress(0.5)
        if letter.recipients:
            await _deliver(letter, mail, standing, job)
    await job.progress(1.0)
    _say_sent(job, [one for one in addresses if one not in standing.suppressed], standing)
    return EmailSent(mail.message_id, len(addresses), suppressed=len(standing.suppressed))


async def _draft(
    data: SendEmail, shared: Shared, agency: Agency, sender: Mailbox, standing: Standing
) -> Draft | None:
    """The mail to all who may have it, in the agency's brand; None if nobody may."""
    recipients = tuple(one for one in data.recipients() if one.address not in standing.suppressed)
    if not recipients:
        return None
    try:
        objects = await fetch_objects(data.attachments, shared.storage, agency.tenant)
        filled = template_data(data.template, data.data)
        bodies = render(
            filled,
            subject=data.subject,
            site=msgspec.structs.replace(shared.site, branding=agency.branding),
            year=datetime.now(TIME_ZONE).year,
        )
        return Draft(
            sender=sender,
            recipients=recipients,
            subject=data.subject,
            text=bodies.text,
            html=bodies.html,
            files=await asyncio.to_thread(
                load_attachments, data.attachments, shared.settings.attachments, objects
            ),
            reply_to=agency.reply_to if data.from_ is None else None,
            unsubscribe=filled.unsubscribe_url if isinstance(filled, Newsletter) else None,
        )
    except MailRefused as error:
        raise Fail(str(error)) from error


async def _letter(draft: Draft, job: Context, standing: Standing) -> Letter:
    """For those who have not had it. In a thread: attachments take their time to encode."""
    try:
        return await asyncio.to_thread(
            compose,
            draft,
            job_id=job.id,
            idempotency_key=job.idempotency_key,
            at=datetime.now(TIME_ZONE),
            to=[one.address for one in draft.recipients if one.address not in standing.served],
        )
    except MailRefused as error:
        raise Fail(str(error)) from error


async def _deliver(letter: Letter, mail: Mail, standing: Standing, job: Context) -> None:
    """Hands the letter over and remembers what became of it. Raises for whoever has not got it."""
    shared = shared_of(job)
    try:
        delivery = await shared.transport.deliver(letter)
    except DeliveryError as error:
        await asyncio.shield(shared.record.keep_trouble(mail, letter.recipients, error, job))
        if isinstance(error, DeliveryRefused):
            raise Fail(str(error)) from error
        if isinstance(error, DeliveryDeferred) and error.after is not None:
            raise Retry(error.after, str(error)) from error
        raise
    # Shielded: a time-out or a stop that came just now must not take the memory of it away.
    await asyncio.shield(shared.record.keep(mail, standing.served, delivery, job))
    job.log(f"{letter.message_id} for {_named(delivery.delivered)}: {delivery.note}")
    if count := len(delivery.delivered):
        await SENT.inc(count, template=mail.template, provider=mail.provider)
    _raise_for_the_rest(delivery, len(letter.draft.recipients))


def _raise_for_the_rest(delivery: Delivery, total: int) -> None:
    """Deferred before refused: those refused now will be again, when nobody else is left."""
    if not delivery.deferred and not delivery.refused:
        return
    rest = {**delivery.deferred, **delivery.refused}
    told = "; ".join(f"{who}: {reply}" for who, reply in list(rest.items())[:_NAMED_MAX])
    if delivery.deferred:
        raise DeliveryDeferred(
            f"{len(rest)} of {total} recipients were not taken: {told}."
            " Only they are mailed by the next attempt"
        )
    raise Fail(f"{len(rest)} of {total} recipients were refused for good: {told}")


def _say_sent(job: Context, mailed: Sequence[str], standing: Standing) -> None:
    if standing.suppressed:
        told = (f"{who} ({why})" for who, why in list(standing.suppressed.items())[:_NAMED_MAX])
        job.log(f"not mailed, see email_suppressions: {', '.join(told)}")
    if mailed:
        say(log, job, "email.sent", f"Email sent successfully to: {_named(mailed)}")
    else:
        say(log, job, "email.suppressed", "No email sent: all its recipients are suppressed")


def _named(addresses: Sequence[str]) -> str:
    shown = ", ".join(addresses[:_NAMED_MAX])
    more = len(addresses) - _NAMED_MAX
    return f"{shown} and {more} more" if more > 0 else shown
