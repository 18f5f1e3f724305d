"""HubSpot: leads are contacts, contracts are deals, properties an object that the agency names.

CRM API v3: batch upserts by a property of ours (contacts: by e-mail), and the search for changes.
Deals, and the object of properties, need a unique text property `imobibase_id`.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from processors.clients.http import Http
from processors.integrations.access import Access
from processors.integrations.entities import Contract, Entity, Lead, Property
from processors.integrations.kinds import EntityType
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
from streamq import Fail

OUR_ID: Final = "imobibase_id"
SEARCHED_MAX: Final = 10_000
"""A search gives no more; it is begun anew from the last change that it gave."""
_PAGE: Final = 100
_WHAT: Final = "HubSpot"
_NOT_FOUND: Final = "OBJECT_NOT_FOUND"
_NOT_VALID: Final = frozenset({400, 409})
_SILENT: Final = "HubSpot said nothing of it"
_PROPERTIES: Final = ("email", "firstname", "lastname", "phone", "message", "lastmodifieddate")
_STATUS: Final[Mapping[str, str]] = {
    "new": "NEW",
    "contacted": "CONNECTED",
    "qualified": "OPEN",
    "proposal": "IN_PROGRESS",
    "negotiation": "IN_PROGRESS",
    "won": "OPEN_DEAL",
    "lost": "UNQUALIFIED",
    "archived": "UNQUALIFIED",
}


class _Object(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    properties: dict[str, str | None]
    updated_at: datetime


class _Context(msgspec.Struct, frozen=True):
    ids: list[str] = []


class _Error(msgspec.Struct, frozen=True):
    category: str = ""
    message: str = ""
    context: _Context = _Context()


class _Batch(msgspec.Struct, frozen=True):
    results: list[_Object]
    errors: list[_Error] = []


class _Next(msgspec.Struct, frozen=True):
    after: str


class _Paging(msgspec.Struct, frozen=True):
    next: _Next | None = None


class _Found(msgspec.Struct, frozen=True):
    results: list[_Object]
    paging: _Paging | None = None


class _Way(msgspec.Struct, frozen=True):
    """How a batch is saved: by HubSpot's own ids, or by a unique property, the `key`."""

    kind: EntityType
    verb: str
    key: str | None


class HubSpot:
    """One agency's account. `property_object`: the object type that properties are, if any."""

    batch: Final = 100

    def __init__(self, http: Http, access: Access, property_object: str | None = None) -> None:
        self._http = http
        self._access = access
        self._objects = {EntityType.LEAD: "contacts", EntityType.CONTRACT: "deals"}
        if property_object:
            self._objects[EntityType.PROPERTY] = property_object

    @property
    def takes(self) -> frozenset[EntityType]:
        return frozenset(self._objects)

    def fields(self, entity: Entity) -> Fields:
        match entity:
            case Lead():
                first, _, last = entity.name.strip().partition(" ")
                return {
                    "email": entity.email.lower(),
                    "firstname": first,
                    "lastname": last.strip(),
                    "phone": entity.phone,
                    "message": entity.notes or "",
                    "hs_lead_status": _STATUS.get(entity.status, "NEW"),
                }
            case Contract():
                return {
                    OUR_ID: entity.id,
                    "dealname": f"{entity.type} {entity.id}",
                    "amount": str(entity.value),
                    "imobibase_status": entity.status,
                }
            case Property():
                return {
                    OUR_ID: entity.id,
                    "name": entity.title,
                    "price": str(entity.price),
                    "address": entity.address,
                    "city": entity.city,
                    "state": entity.state,
                    "imobibase_status": entity.status,
                }

    async def push(self, kind: EntityType, records: Sequence[Outgoing]) -> Sequence[Accepted]:
        """Known records by their id, so that a new address makes no second contact."""
        key = "email" if kind is EntityType.LEAD else OUR_ID
        known = {one.remote_id: one for one in records if one.remote_id is not None}
        # Two leads of one address are one contact there; the last change speaks.
        new = {str(one.fields[key]): one for one in records if one.remote_id is None}
        updated = await self._save(_Way(kind, "update", None), known)
        return [*updated, *await self._save(_Way(kind, "upsert", key), new)]

    async def _save(self, way: _Way, records: Mapping[str, Outgoing]) -> list[Accepted]:
        """`records` by what names them there.

        For one that is not valid HubSpot refuses the whole batch: halved, until it stands alone.
        """
        if not records:
            return []
        named = {} if way.key is None else {"idProperty": way.key}
        inputs = [
            {**named, "id": value, "properties": one.fields} for value, one in records.items()
        ]
        answer = await self._http.send(
            "POST",
            f"{self._access.url}/crm/v3/objects/{self._objects[way.kind]}/batch/{way.verb}",
            body=msgspec.json.encode({"inputs": inputs}),
            headers=self._access.bearer,
            bytes_max=PAGE_BYTES_MAX,
        )
        if answer.status not in _NOT_VALID:
            answer.check(_WHAT)
            return _accepted(way, records, read(answer, _Batch, _WHAT))
        if len(records) == 1:
            [record] = records.values()
            return [Accepted(record.id, refused=read(answer, _Error, _WHAT).message or _SILENT)]
        pairs, half = [*records.items()], len(records) // 2
        first = await self._save(way, dict(pairs[:half]))
        return [*first, *await self._save(way, dict(pairs[half:]))]

    async def leads(self, cursor: str | None) -> AsyncGenerator[Page, None]:
        since, after = cursor or "0", "0"
        for _ in range(PAGES_MAX):
            found = await self._search(since, after)
            if not found.results:
                return
            last = str(_ms(_changed(found.results[-1])))
            yield Page([_lead(one) for one in found.results], last)
            if found.paging is None or found.paging.next is None:
                return
            after = found.paging.next.after
            if int(after) + _PAGE > SEARCHED_MAX:
                if last == since:
                    raise Fail(
                        f"{_WHAT}: over {SEARCHED_MAX} contacts were changed in one millisecond"
                        f" ({last}), and its search shows no more"
                    )
                since, after = last, "0"

    async def _search(self, since: str, after: str) -> _Found:
        changed = {"propertyName": "lastmodifieddate", "operator": "GTE", "value": since}
        answer = await self._http.send(
            "POST",
            f"{self._access.url}/crm/v3/objects/contacts/search",
            body=msgspec.json.encode(
                {
                    "filterGroups": [{"filters": [changed]}],
                    "sorts": [{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}],
                    "properties": _PROPERTIES,
                    "limit": _PAGE,
                    "after": after,
                }
            ),
            headers=self._access.bearer,
            bytes_max=PAGE_BYTES_MAX,
        )
        answer.check(_WHAT)
        return read(answer, _Found, _WHAT)


def _accepted(way: _Way, records: Mapping[str, Outgoing], done: _Batch) -> list[Accepted]:
    found = {
        (one.id if way.key is None else str(one.properties.get(way.key) or "").lower()): one
        for one in done.results
    }
    errors = {value: error for error in done.errors for value in error.context.ids}
    accepted: list[Accepted] = []
    for value, record in records.items():
        one, error = found.get(value.lower()), errors.get(value, _Error())
        if one is None:
            gone = error.category == _NOT_FOUND
            accepted.append(Accepted(record.id, refused=error.message or _SILENT, gone=gone))
        else:
            version = str(_ms(_changed(one)))
            accepted.append(Accepted(record.id, remote_id=one.id, version=version))
    return accepted


def _lead(found: _Object) -> IncomingLead:
    values = {name: value or "" for name, value in found.properties.items()}
    name = f"{values.get('firstname', '')} {values.get('lastname', '')}".strip()
    return IncomingLead(
        remote_id=found.id,
        version=str(_ms(_changed(found))),
        changed_at=_changed(found),
        name=name,
        email=values.get("email", ""),
        phone=values.get("phone", ""),
        notes=values.get("message", ""),
        source="other",
    )


def _changed(found: _Object) -> datetime:
    """By the property that the search sorts by; the object's own time may be a little later."""
    try:
        return datetime.fromisoformat(found.properties.get("lastmodifieddate") or "")
    except ValueError:
        return found.updated_at


def _ms(moment: datetime) -> int:
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000)
