"""Who has had which mail, and who must have none.

Kept twice: in Redis, written first when a mail is out, and in `email_log`, where operators look.
Without a database the first is all there is.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec
import psycopg

from processors.clients.delivery import (
    Delivery,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnknown,
)
from processors.clients.ledger import Ledger
from processors.database import Database, DatabaseUnavailable
from streamq import Context, Fail
from streamq.errors import StreamqError

# Bad mailbox, bad domain, moved, takes no mail (RFC 3463, RFC 7505): no later mail will arrive.
_NO_SUCH_MAILBOX = re.compile(r"5[0-9][0-9] 5\.1\.(?:1|2|6|10)\b")


class Status(StrEnum):
    """`email_log.status`. `sending`: handed over, or about to be; nobody knows whether it came."""

    SENDING = "sending"
    SENT = "sent"
    DEFERRED = "deferred"
    REFUSED = "refused"
    SUPPRESSED = "suppressed"


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of one job's mail have in common."""

    job_id: str
    key: str
    """The job's, the same for all attempts."""
    tenant: str | None
    template: str
    provider: str
    message_id: str
    is_newsletter: bool


class Standing(msgspec.Struct, frozen=True):
    """How it stands before an attempt: who has had the mail, and who must not have it and why."""

    served: frozenset[str]
    suppressed: Mapping[str, str]


class _Served(msgspec.Struct, frozen=True):
    recipient: str


class _Suppressed(msgspec.Struct, frozen=True):
    email: str
    reason: str


class Record:
    """The two records as one. `database` None: there is none."""

    def __init__(self, ledger: Ledger, database: Database | None) -> None:
        self._ledger = ledger
        self._database = database

    async def standing(self, mail: Mail, addresses: Sequence[str]) -> Standing:
        """How it stands with each of them; who is still to be served is `sending` from here on.

        Raises what calls to Redis raise, DatabaseUnavailable and Fail: a mail whose record cannot
        be read is not sent.
        """
        served = await self._ledger.served(mail.key)
        if self._database is None:
            return Standing(served, {})
        async with self._database.transaction() as work:
            rows = await work.every(_Served, _SERVED, job_id=mail.job_id)
            served |= {row.recipient for row in rows}
            found = await work.every(
                _Suppressed,
                _SUPPRESSED,
                newsletter=mail.is_newsletter,
                spellings=sorted({*addresses, *map(str.lower, addresses)}),
            )
            reasons = {one.email.lower(): one.reason for one in found}
            suppressed = {
                one: reasons[one.lower()]
                for one in addresses
                if one.lower() in reasons and one not in served
            }
            lines = [_at_first(one, served, suppressed) for one in addresses]
            await work.run(_WRITE, **_rows(mail, lines))
        return Standing(served, suppressed)

    async def keep(
        self, mail: Mail, served: frozenset[str], delivery: Delivery, job: Context
    ) -> None:
        """Remember what became of each. Raises nothing of Redis or the database: the mail is out,
        and to fail for this would send it again to all of them.
        """
        if delivery.delivered:
            try:
                await self._ledger.add(mail.key, served, delivery.delivered)
            except StreamqError as error:
                job.log(f"who has the mail could not be remembered: {error}")
        await self._write(mail, _at_last(delivery), job)

    async def keep_trouble(
        self, mail: Mail, recipients: Sequence[str], error: DeliveryError, job: Context
    ) -> None:
        """Remember why nobody got it; raises no more than `keep` does."""
        if isinstance(error, DeliveryUnknown):
            status = Status.SENDING
        else:
            status = Status.REFUSED if isinstance(error, DeliveryRefused) else Status.DEFERRED
        await self._write(mail, [_Line(one, status, str(error)) for one in recipients], job)

    async def _write(self, mail: Mail, lines: Sequence["_Line"], job: Context) -> None:
        if self._database is None:
            return
        try:
            async with self._database.transaction() as work:
                await work.run(_WRITE, **_rows(mail, lines))
                gone = sorted(line.recipient.lower() for line in lines if line.is_gone)
                if gone:
                    await work.run(_SUPPRESS, emails=gone)
        except (DatabaseUnavailable, Fail, psycopg.Error) as error:
            job.log(f"email_log could not be written: {error}")


class _Line(msgspec.Struct, frozen=True):
    recipient: str
    status: Status
    reply: str | None = None

    @property
    def is_gone(self) -> bool:
        """Whether no later mail will arrive there either."""
        return (
            self.status is Status.REFUSED and _NO_SUCH_MAILBOX.match(self.reply or "") is not None
        )


def _at_first(one: str, served: frozenset[str], suppressed: Mapping[str, str]) -> _Line:
    if one in served:
        return _Line(one, Status.SENT)
    if one in suppressed:
        return _Line(one, Status.SUPPRESSED, suppressed[one])
    return _Line(one, Status.SENDING)


def _at_last(delivery: Delivery) -> list[_Line]:
    return [
        *(_Line(one, Status.SENT, delivery.note or None) for one in delivery.delivered),
        *(_Line(one, Status.DEFERRED, str(reply)) for one, reply in delivery.deferred.items()),
        *(_Line(one, Status.REFUSED, str(reply)) for one, reply in delivery.refused.items()),
    ]


def _rows(mail: Mail, lines: Sequence[_Line]) -> dict[str, object]:
    return {
        "tenant": mail.tenant,
        "job_id": mail.job_id,
        "template": mail.template,
        "provider": mail.provider,
        "message_id": mail.message_id,
        "recipients": [line.recipient for line in lines],
        "statuses": [line.status.value for line in lines],
        "replies": [line.reply for line in lines],
    }


_SERVED: Final = """
    SELECT recipient FROM email_log WHERE job_id = %(job_id)s AND status = 'sent'
"""
# Who only left the newsletter still has the mails that their account or contract brings.
_SUPPRESSED: Final = """
    SELECT email, reason FROM email_suppressions
    WHERE email = ANY(%(spellings)s) AND (reason <> 'unsubscribe' OR %(newsletter)s)
    UNION ALL
    SELECT email, 'unsubscribe' FROM newsletter_subscriptions
    WHERE %(newsletter)s AND NOT active AND email = ANY(%(spellings)s)
"""
# A row that says `sent` says so for ever.
_WRITE: Final = """
    INSERT INTO email_log
        (tenant_id, job_id, recipient, template, provider, message_id, status, reply)
    SELECT %(tenant)s, %(job_id)s, line.recipient, %(template)s, %(provider)s, %(message_id)s,
        line.status, line.reply
    FROM unnest(%(recipients)s::text[], %(statuses)s::text[], %(replies)s::text[])
        AS line (recipient, status, reply)
    ON CONFLICT (job_id, recipient) DO UPDATE
    SET status = EXCLUDED.status, reply = EXCLUDED.reply, provider = EXCLUDED.provider,
        message_id = EXCLUDED.message_id, updated_at = now()
    WHERE email_log.status <> 'sent'
"""
_SUPPRESS: Final = """
    INSERT INTO email_suppressions (email, reason)
    SELECT unnest(%(emails)s::text[]), 'bounce'
    ON CONFLICT (email) DO NOTHING
"""
