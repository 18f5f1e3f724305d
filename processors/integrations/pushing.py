"""Sends what changed here: batch by batch, and after each one writes down how far it came."""

from collections.abc import Sequence
from typing import Final

import msgspec

from processors.database import Database
from processors.integrations import entities
from processors.integrations.entities import Entity, Place
from processors.integrations.kinds import EntityType
from processors.integrations.links import Direction, Link, Links
from processors.integrations.remote import PAGES_MAX, Accepted, Outgoing, Remote, digest

REASONS_MAX: Final = 20


class Sent(msgspec.Struct):
    """What a push came to, record by record."""

    sent: int = 0
    unchanged: int = 0
    refused: int = 0
    reasons: list[str] = msgspec.field(default_factory=list)


async def push_changes(
    database: Database, links: Links, remote: Remote, kind: EntityType, sent: Sent
) -> None:
    """All that changed since the last push.

    Killed between a batch and its cursor, the batch goes out again: providers know a record by our
    id. What they refuse is counted and passed over until it changes, for it would block the rest.
    """
    async with database.transaction(tenant=links.tenant, read_only=True) as work:
        stored = await links.cursor(work, kind, Direction.PUSH)
    place = Place.read(stored).overlapped()
    for _ in range(PAGES_MAX):
        async with database.transaction(tenant=links.tenant, read_only=True) as work:
            rows = await entities.changed(
                work, kind, place, tenant=links.tenant, limit=remote.batch
            )
        if not rows:
            return
        await _push(database, links, remote, kind, rows, sent)
        place = Place(rows[-1].updated_at, rows[-1].id)
        async with database.transaction(tenant=links.tenant) as work:
            await links.move(work, kind, Direction.PUSH, str(place))


async def push_one(
    database: Database, links: Links, remote: Remote, kind: EntityType, row_id: str, sent: Sent
) -> None:
    """That row alone; the cursor stays where it is."""
    async with database.transaction(tenant=links.tenant, read_only=True) as work:
        rows = await entities.one_of(work, kind, row_id)
    await _push(database, links, remote, kind, rows, sent)


async def _push(
    database: Database,
    links: Links,
    remote: Remote,
    kind: EntityType,
    rows: Sequence[Entity],
    sent: Sent,
) -> None:
    async with database.transaction(tenant=links.tenant, read_only=True) as work:
        known = await links.of_rows(work, kind, [row.id for row in rows])
    hashes: dict[str, str] = {}
    fresh: list[Outgoing] = []
    for row in rows:
        fields, link = remote.fields(row), known.get(row.id)
        hashes[row.id] = digest(fields)
        if link is None or link.hash != hashes[row.id]:
            remote_id = None if link is None else link.remote_id
            fresh.append(Outgoing(row.id, remote_id, fields, row.updated_at))
    sent.unchanged += len(rows) - len(fresh)
    if not fresh:
        return
    results = await remote.push(kind, fresh)
    async with database.transaction(tenant=links.tenant) as work:
        for result in results:
            if result.gone:
                await links.drop(work, kind, result.id)
            elif result.refused is None:
                link = Link(result.id, result.remote_id, result.version, hashes[result.id])
                await links.put(work, kind, link)
    _count(sent, results)


def _count(sent: Sent, results: Sequence[Accepted]) -> None:
    for result in results:
        if result.refused is None:
            sent.sent += 1
        else:
            sent.refused += 1
            if len(sent.reasons) < REASONS_MAX:
                sent.reasons.append(f"{result.id}: {result.refused}")
