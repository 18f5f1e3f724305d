"""Real-estate portals: they take a feed of what is on offer, and give the leads that came of it.

The feed is an object of ours (`feeds/<tenant>/vrsync.xml`), and is sent to `<baseUrl>/feed` if it
changed; leads are read from `<baseUrl>/leads`, in the shape in which ZAP, VivaReal and OLX give
them. Without access to a portal there is the feed alone.
"""

import hashlib
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import msgspec

from processors.clients.http import BODY_BYTES_MAX, Http
from processors.database import Database
from processors.integrations.access import Access
from processors.integrations.entities import PROPERTY_COLUMNS, Entity, Property
from processors.integrations.kinds import EntityType
from processors.integrations.links import Direction, Links
from processors.integrations.remote import (
    PAGE_BYTES_MAX,
    PAGES_MAX,
    Accepted,
    Fields,
    IncomingLead,
    Outgoing,
    Page,
    read,
)
from processors.integrations.vrsync import CLOSING, Publisher, listing, opening
from processors.storage import Storage
from streamq import Fail

FEED_TYPE: Final = "application/xml"
_WHAT: Final = "the portal"
_SOURCES: Final = (("vivareal", "vivareal"), ("zap", "zapimoveis"), ("olx", "olx"),
                   ("imovelweb", "imovelweb"))  # fmt: skip


class Feed(msgspec.Struct, frozen=True):
    """A feed that is stored. `digest`: of its listings, without the time on it."""

    key: str
    listings: int
    size: int
    digest: str


class _Lead(msgspec.Struct, frozen=True, rename="camel"):
    """As the portals' lead integration has it."""

    origin_lead_id: str
    timestamp: datetime
    lead_origin: str = ""
    client_listing_id: str | None = None
    name: str | None = None
    email: str | None = None
    ddd: str | None = None
    phone: str | None = None
    phone_number: str | None = None
    message: str | None = None


class _Leads(msgspec.Struct, frozen=True):
    leads: list[_Lead]
    next: str | None = None


class Portal:
    """One agency at its portal."""

    takes: Final[frozenset[EntityType]] = frozenset()
    batch: Final = 100

    def __init__(self, http: Http, access: Access | None) -> None:
        self._http = http
        self._access = access

    def fields(self, entity: Entity) -> Fields:
        plain = msgspec.to_builtins(entity)
        assert isinstance(plain, dict)
        return plain

    async def push(self, kind: EntityType, records: Sequence[Outgoing]) -> Sequence[Accepted]:
        raise Fail(f"{_WHAT} takes a feed, and no single {kind}")

    async def leads(self, cursor: str | None) -> AsyncGenerator[Page, None]:
        if self._access is None:
            return
        for _ in range(PAGES_MAX):
            since = f"?since={quote(cursor)}" if cursor else ""
            answer = await self._http.send(
                "GET",
                f"{self._access.url}/leads{since}",
                headers=self._access.bearer,
                bytes_max=PAGE_BYTES_MAX,
            )
            answer.check(_WHAT)
            found = read(answer, _Leads, _WHAT)
            if not found.leads:
                return
            next_cursor = found.next or max(one.timestamp for one in found.leads).isoformat()
            yield Page([_lead(one) for one in found.leads], next_cursor)
            if found.next is None or next_cursor == cursor:
                return
            cursor = next_cursor

    async def send(self, body: bytes) -> bool:
        """False: there is no portal to send it to."""
        if self._access is None:
            return False
        answer = await self._http.send(
            "PUT",
            f"{self._access.url}/feed",
            body=body,
            headers={**self._access.bearer, "Content-Type": FEED_TYPE},
        )
        answer.check(_WHAT)
        return True


async def publish(
    database: Database, storage: Storage, links: Links, portal: Portal, app_url: str
) -> tuple[Feed, bool]:
    """Stores the feed of all that is on offer, and sends it if it changed; whether it was sent."""
    feed = await _store(database, storage, links.tenant, app_url)
    async with database.transaction(tenant=links.tenant, read_only=True) as work:
        sent_last = await links.cursor(work, EntityType.PROPERTY, Direction.PUSH)
    if feed.digest == sent_last:
        return feed, False
    if feed.size > BODY_BYTES_MAX:
        raise Fail(
            f"the feed of {feed.listings} listings has {feed.size} bytes, at most {BODY_BYTES_MAX}"
            f" are sent; let the portal fetch {feed.key} from the bucket of exports"
        )
    sent = await portal.send(await storage.exports.get(feed.key, bytes_max=BODY_BYTES_MAX))
    if sent:
        async with database.transaction(tenant=links.tenant) as work:
            await links.move(work, EntityType.PROPERTY, Direction.PUSH, feed.digest)
    return feed, sent


async def _store(database: Database, storage: Storage, tenant: str, app_url: str) -> Feed:
    key = f"feeds/{tenant}/vrsync.xml"
    digest, count = hashlib.sha256(), 0
    async with (
        database.transaction(tenant=tenant, read_only=True) as work,
        storage.exports.upload(key, FEED_TYPE) as upload,
    ):
        publisher = await work.one(
            Publisher, "SELECT name, email, phone FROM tenants WHERE id = %(id)s", id=tenant
        )
        assert publisher is not None
        await upload.write(opening(publisher, datetime.now(UTC)))
        on_offer = work.stream(
            Property,
            f"SELECT {PROPERTY_COLUMNS} FROM properties"
            " WHERE tenant_id = %(tenant)s AND deleted_at IS NULL AND status = 'available'"
            " ORDER BY id",
            tenant=tenant,
        )
        async for home in on_offer:
            written = listing(home, publisher, app_url)
            digest.update(written)
            count += 1
            await upload.write(written)
        await upload.write(CLOSING)
    return Feed(key, count, upload.size, digest.hexdigest())


def _lead(found: _Lead) -> IncomingLead:
    home = f"Imóvel {found.client_listing_id}: " if found.client_listing_id else ""
    return IncomingLead(
        remote_id=found.origin_lead_id,
        version=found.timestamp.isoformat(),
        changed_at=found.timestamp,
        name=found.name or "",
        email=found.email or "",
        phone=found.phone_number or f"{found.ddd or ''}{found.phone or ''}",
        notes=f"{home}{found.message or ''}".strip(),
        source=_source(found.lead_origin),
    )


def _source(origin: str) -> str:
    plain = origin.lower().replace(" ", "")
    return next((source for part, source in _SOURCES if part in plain), "other")
