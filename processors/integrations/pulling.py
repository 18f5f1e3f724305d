"""Takes in the leads that changed there: page by page, each in one transaction with its cursor."""

import re
from contextlib import aclosing
from typing import Final

import msgspec

from processors.database import Database, Transaction
from processors.integrations.entities import LEAD_COLUMNS, Lead
from processors.integrations.kinds import EntityType
from processors.integrations.links import Direction, Link, Links
from processors.integrations.remote import IncomingLead, Page, Remote, digest

LEAD: Final = EntityType.LEAD
_NOTES_CHARS_MAX: Final = 10_000
# As the check of `leads.email` has it.
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")


class Taken(msgspec.Struct):
    """What a pull came to, lead by lead. `unusable`: without an address that `leads` may hold."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    unusable: int = 0


async def pull_leads(database: Database, links: Links, remote: Remote, taken: Taken) -> None:
    """All that changed since the last pull.

    A page and its cursor are stored together, so a page that is read again finds its leads.
    """
    async with database.transaction(tenant=links.tenant, read_only=True) as work:
        cursor = await links.cursor(work, LEAD, Direction.PULL)
    async with aclosing(remote.leads(cursor)) as pages:
        async for page in pages:
            await _store(database, links, remote, page, taken)


async def _store(
    database: Database, links: Links, remote: Remote, page: Page, taken: Taken
) -> None:
    async with database.transaction(tenant=links.tenant) as work:
        # Two jobs that pull at once would both find a lead missing, and both add it.
        await work.run(
            "SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))",
            name=f"pull:{links.provider}:{links.tenant}",
        )
        for lead in page.leads:
            await _take(work, links, remote, lead, taken)
        await links.move(work, LEAD, Direction.PULL, page.cursor)


async def _take(
    work: Transaction, links: Links, remote: Remote, lead: IncomingLead, taken: Taken
) -> None:
    email = _address(lead.email)
    if email is None:
        taken.unusable += 1
        return
    link = await links.of_record(work, LEAD, lead.remote_id)
    if link is not None and link.remote_version == lead.version:
        taken.unchanged += 1
        return
    row = await _known(work, links, link, email)
    if row is None and link is not None:
        taken.unchanged += 1  # deleted here, and it stays so, whatever becomes of it there
        return
    # Of the record as the other side has it by now. None: the push that follows completes it there.
    hash_there = link.hash if link is not None else None
    if row is None:
        row = await _add(work, links, lead, email)
        hash_there = digest(remote.fields(row))
        taken.created += 1
    elif (changed := _changes(row, lead, email)) is not None:
        row = await _change(work, changed)
        if link is not None:
            hash_there = digest(remote.fields(row))
        taken.updated += 1
    else:
        taken.unchanged += 1
    await links.put(work, LEAD, Link(row.id, lead.remote_id, lead.version, hash_there))


async def _known(work: Transaction, links: Links, link: Link | None, email: str) -> Lead | None:
    """The linked row; else one of that address which is no other record's already."""
    if link is not None:
        return await work.one(
            Lead,
            f"SELECT {LEAD_COLUMNS} FROM leads WHERE id = %(id)s AND deleted_at IS NULL",
            id=link.local_id,
        )
    return await work.one(
        Lead,
        f"""
        SELECT {LEAD_COLUMNS} FROM leads
        WHERE tenant_id = %(tenant)s AND lower(email) = %(email)s AND deleted_at IS NULL
          AND NOT EXISTS (
              SELECT FROM integration_entity_links l
              WHERE l.tenant_id = %(tenant)s AND l.provider = %(provider)s
                AND l.entity_type = 'lead' AND l.local_id = leads.id
          )
        ORDER BY created_at, id LIMIT 1
        """,
        tenant=links.tenant,
        provider=links.provider.value,
        email=email.lower(),
    )


async def _add(work: Transaction, links: Links, lead: IncomingLead, email: str) -> Lead:
    row = await work.one(
        Lead,
        "INSERT INTO leads (tenant_id, name, email, phone, source, notes)"
        " VALUES (%(tenant)s, %(name)s, %(email)s, %(phone)s, %(source)s, %(notes)s)"
        f" RETURNING {LEAD_COLUMNS}",
        tenant=links.tenant,
        name=_text(lead.name) or email,
        email=email,
        phone=_text(lead.phone),
        source=lead.source,
        notes=_text(lead.notes)[:_NOTES_CHARS_MAX] or None,
    )
    assert row is not None
    return row


async def _change(work: Transaction, row: Lead) -> Lead:
    changed = await work.one(
        Lead,
        "UPDATE leads SET name = %(name)s, email = %(email)s, phone = %(phone)s,"
        " notes = %(notes)s, updated_at = now() WHERE id = %(id)s"
        f" RETURNING {LEAD_COLUMNS}",
        id=row.id,
        name=row.name,
        email=row.email,
        phone=row.phone,
        notes=row.notes,
    )
    assert changed is not None
    return changed


def _changes(row: Lead, lead: IncomingLead, email: str) -> Lead | None:
    """The row with what is newer there; None if ours is newer, or nothing differs.

    What the other side leaves blank stays: it may not have that field at all.
    """
    if row.updated_at > lead.changed_at:
        return None
    changed = msgspec.structs.replace(
        row,
        name=_text(lead.name) or row.name,
        email=email if email.lower() != row.email.lower() else row.email,
        phone=_text(lead.phone) or row.phone,
        notes=_text(lead.notes)[:_NOTES_CHARS_MAX] or row.notes,
    )
    return changed if changed != row else None


def _address(email: str) -> str | None:
    found = email.strip()
    return found if _EMAIL.fullmatch(found) else None


def _text(text: str) -> str:
    return text.replace("\x00", "").strip()
