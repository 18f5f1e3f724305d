"""The audit: what was changed, by whom, from where; a journal that is only added to, and the log.

Values before and after are kept as the API shows them, without their secrets, and as a hash of all
that they were: with SESSION_SECRET, so that nobody finds a short secret by trying.
"""

import hashlib
import hmac
import logging
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from admin.api.paths import ListLimit
from admin.api.shown import EpochMs, plain
from admin.call import Call
from admin.errors import BadRequest
from admin.policy import Entry
from streamq import App
from streamq.errors import InvalidName
from streamq.harmless import harmless
from streamq.port import Written
from streamq.redact import marked_in, redact, redact_text

NAME: Final = "audit"
KEEP: Final = 500_000
"""Entries; at some 400 bytes each 200 MB, and years of an operator's work. The log has all."""
VALUE_BYTES_MAX: Final = 2_000
TEXT_CHARS_MAX: Final = 500
LOOKED_AT_MAX: Final = 5_000
"""By one request that asks for some entries only; it says where the next one goes on."""
PAGE: Final = 500

log = logging.getLogger("streamq.audit")


class AuditJournal:
    """An `Audit`."""

    def __init__(self, app: App, secret: str | None) -> None:
        self._app = app
        self._secret = secret

    async def note(self, entry: Entry) -> None:
        kept = self._without_secrets(entry)
        _say(kept)
        await self._app.redis.admin.write(NAME, msgspec.json.encode(kept), keep=KEEP)

    async def page(self, limit: int, before: str | None) -> list[Written]:
        """Newest first. Raises StoreError, InvalidName."""
        return await self._app.redis.admin.written(NAME, limit, before=before)

    def _without_secrets(self, entry: Entry) -> Entry:
        marked = self._marked(entry.queue)
        before, after = redact(entry.before, marked), redact(entry.after, marked)
        return msgspec.structs.replace(
            entry,
            queue=entry.queue[:TEXT_CHARS_MAX],
            job=entry.job[:TEXT_CHARS_MAX],
            detail=redact_text(entry.detail[:TEXT_CHARS_MAX]),
            before=_short(before),
            after=_short(after),
            before_hash=self._hash(entry.before, before),
            after_hash=self._hash(entry.after, after),
        )

    def _marked(self, queue: str) -> frozenset[str]:
        """What is secret in any payload of the queue: an entry does not say which handler's."""
        registry = self._app.handlers
        handlers = (registry.find(queue, name) for name in registry.names(queue))
        return frozenset().union(*(marked_in(each.codec.kind) for each in handlers if each))

    def _hash(self, value: object, shown: object) -> str:
        """Of all of a value; where there is no secret to make it with, of what is shown of it."""
        if value is None:
            return ""
        whole = plain(shown if self._secret is None else value)
        encoded = msgspec.json.encode(whole, order="sorted")
        if self._secret is None:
            return hashlib.sha256(encoded).hexdigest()
        return hmac.digest(self._secret.encode(), b"audit " + encoded, hashlib.sha256).hex()


def _short(value: object) -> object:
    """A value as JSON has it, or the beginning of what it would be."""
    found = plain(value)
    encoded = msgspec.json.encode(found)
    if len(encoded) <= VALUE_BYTES_MAX:
        return found
    return f"{encoded[:VALUE_BYTES_MAX].decode(errors='replace')}… [{len(encoded):,} bytes]"


def _say(kept: Entry) -> None:
    """One line; what a stranger wrote may hold what a terminal obeys."""
    log.info(
        "%s %s %s %s -> %d", *map(harmless, (kept.who or "-", kept.action, kept.queue, kept.job)),
        kept.status,
        extra={"event": "admin.change", "address": harmless(kept.address), "via": kept.via,
               "request_id": kept.request_id},
    )  # fmt: skip


# ---- reading it


class AuditQuery(msgspec.Struct, frozen=True):
    """Those that have all that is given."""

    limit: ListLimit = 100
    before: Annotated[str, Meta(description="the `next` of a page: what came before it")] = ""
    who: str = ""
    action: str = ""
    queue: str = ""
    job: str = ""


class Change(Entry, frozen=True, kw_only=True, rename="camel"):
    """One thing that somebody did, or tried to: `status` is that of the answer."""

    id: str
    timestamp: EpochMs


class Changes(msgspec.Struct, frozen=True):
    """Newest first. `next` is null at the beginning of the audit."""

    changes: list[Change]
    next: str | None


async def audit(call: Call, query: AuditQuery) -> Changes:
    """Who changed what. It looks at no more than 5,000 entries at once: few may fit, and `next`
    goes on behind the last one that was looked at."""
    journal = call.site.audit
    assert isinstance(journal, AuditJournal)
    found: list[Change] = []
    before = query.before or None
    picks = any((query.who, query.action, query.queue, query.job))
    size = PAGE if picks else query.limit
    for _ in range(LOOKED_AT_MAX // PAGE):
        try:
            page = await journal.page(size, before)
        except InvalidName:
            raise BadRequest("Invalid query", "before is no `next` of a page.") from None
        for written in page:
            before = written.id
            change = _change(written)
            if change is not None and _is_asked_for(change, query):
                found.append(change)
                if len(found) >= query.limit:
                    return Changes(found, before)
        if len(page) < size:
            return Changes(found, None)
    return Changes(found, before)


def _change(written: Written) -> Change | None:
    """None for what somebody else wrote there."""
    try:
        entry = msgspec.json.decode(written.value, type=Entry)
    except msgspec.MsgspecError:
        return None
    return Change(id=written.id, timestamp=written.at_ms, **msgspec.structs.asdict(entry))


def _is_asked_for(change: Change, query: AuditQuery) -> bool:
    return all(
        not wanted or wanted == said
        for wanted, said in (
            (query.who, change.who),
            (query.action, change.action),
            (query.queue, change.queue),
            (query.job, change.job),
        )
    )
