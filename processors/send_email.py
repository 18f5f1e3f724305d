"""Sends one mail: the default handler of the queue `email`, whatever the job is called."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from processors.clients.attachments import Attachment, check_attachments, load_attachments
from processors.clients.delivery import Delivery, DeliveryDeferred, DeliveryRefused, Letter
from processors.clients.mailbox import Mailbox, MailRefused, parse_mailbox
from processors.clients.message import RECIPIENTS_MAX, Draft, check_subject, compose
from processors.clients.smtp import DELIVERY_S_MAX
from processors.days import TIME_ZONE
from processors.imobibase import QueueName, Shared, app, shared_of
from processors.templates.catalogue import template_data
from processors.templates.render import render
from streamq import Context, Fail, Payload
from streamq.errors import StreamqError
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


class EmailSent(msgspec.Struct, frozen=True, rename="camel"):
    """What a finished job says of its mail."""

    message_id: str
    recipients: int


@app.job(QueueName.EMAIL, name="*", attempts=ATTEMPTS, timeout=TIMEOUT)
async def send_email(data: SendEmail, job: Context) -> EmailSent:
    """Composes the mail, hands it to the transport, and remembers who has it.

    Tried again after anything that may pass, and then only for those who have not had it; failed at
    once by a 5xx of the mail server, or by a part that must not go out. A recipient refused for
    good fails the job too, once the others are served: of a job that completed nobody would know.
    """
    shared = shared_of(job)
    recipients = tuple(mailbox.address for mailbox in data.recipients())
    _say(job, "email.sending", f"Sending email to {_named(recipients)}")
    await job.progress(0.1)
    served = await shared.ledger.served(job.idempotency_key)
    letter = await asyncio.to_thread(_letter, data, job, shared, served)
    await job.progress(0.5)
    if letter.recipients:
        delivery = await _delivered(shared, letter)
        # Shielded: a time-out or a stop that came just now must not take the memory of it away.
        await asyncio.shield(_remember(shared, job, served, delivery))
        job.log(f"{letter.message_id} for {_named(delivery.delivered)}: {delivery.note}")
        if count := len(delivery.delivered):
            await SENT.inc(count, template=data.template, provider=shared.transport.provider)
        _raise_for_the_rest(delivery, len(recipients))
    await job.progress(1.0)
    _say(job, "email.sent", f"Email sent successfully to: {_named(recipients)}")
    return EmailSent(message_id=letter.message_id, recipients=len(recipients))


def _letter(data: SendEmail, job: Context, shared: Shared, served: frozenset[str]) -> Letter:
    """The mail, for those who have not had it. Blocking: it reads files and encodes them."""
    now = datetime.now(TIME_ZONE)
    recipients = data.recipients()
    try:
        bodies = render(
            template_data(data.template, data.data),
            subject=data.subject,
            site=shared.site,
            year=now.year,
        )
        return compose(
            Draft(
                sender=data.sender() or shared.settings.sender,
                recipients=recipients,
                subject=data.subject,
                text=bodies.text,
                html=bodies.html,
                files=load_attachments(data.attachments, shared.settings.attachments),
            ),
            job_id=job.id,
            idempotency_key=job.idempotency_key,
            at=now,
            to=[one.address for one in recipients if one.address not in served],
        )
    except MailRefused as error:
        raise Fail(str(error)) from error


async def _delivered(shared: Shared, letter: Letter) -> Delivery:
    try:
        return await shared.transport.deliver(letter)
    except DeliveryRefused as error:
        raise Fail(str(error)) from error


async def _remember(
    shared: Shared, job: Context, served: frozenset[str], delivery: Delivery
) -> None:
    if not delivery.delivered:
        return
    try:
        await shared.ledger.add(job.idempotency_key, served, delivery.delivered)
    except StreamqError as error:
        # The mail is out. To fail for this would send it again to all of them.
        job.log(f"who has the mail could not be remembered: {error}")


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


def _named(addresses: Sequence[str]) -> str:
    shown = ", ".join(addresses[:_NAMED_MAX])
    more = len(addresses) - _NAMED_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _say(job: Context, event: str, text: str) -> None:
    log.info(
        text,
        extra={
            "event": event,
            "queue": job.queue,
            "job": job.name,
            "job_id": job.id,
            "attempt": job.attempt,
            "attempts": job.attempts,
        },
    )
