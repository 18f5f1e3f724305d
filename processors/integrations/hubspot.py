"""HubSpot: leads are contacts, contracts are deals, properties an object that the agency names.

CRM API v3: batch upserts by a property of ours (contacts: by e-mail), and the search for changes.
Deals, and the object of properties, need a unique text property `imobibase_id`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
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
    message: str = ""
    context: _Context = _Context()


class _Upserted(msgspec.Struct, frozen=True):
    results: list[_Object]
    errors: list[_Error] = []


class _Next(msgspec.Struct, frozen=True):
    after: str


class _Paging(msgspec.Struct, frozen=True):
    next: _Next | None = None


class _Found(msgspec.Struct, frozen=True):
    results: list[_Object]
    paging: _Paging | None = None


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
        key = "email" if kind is EntityType.LEAD else OUR_ID
        # Two leads of one address are one contact there; the last change speaks.
        by_key = {str(record.fields[key]): record for record in records}
        inputs = [
            {"idProperty": key, "id": value, "properties": record.fields}
            for value, record in by_key.items()
        ]
        answer = await self._http.send(
            "POST",
            f"{self._access.url}/crm/v3/objects/{self._objects[kind]}/batch/upsert",
            body=msgspec.json.encode({"inputs": inputs}),
            headers=self._access.bearer,
            bytes_max=PAGE_BYTES_MAX,
        )
        answer.check(_WHAT)
        upserted = read(answer, _Upserted, _WHAT)
        done = {str(one.properties.get(key) or "").lower(): one for one in upserted.results}
        why = {value: error.message for error in upserted.errors for value in error.context.ids}
        return [
            _accepted(record, done.get(value.lower()), why.get(value))
            for value, record in by_key.items()
        ]

    async def leads(self, cursor: str | None) -> AsyncIterator[Page]:
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


def _accepted(record: Outgoing, done: _Object | None, why: str | None) -> Accepted:
    if done is None:
        return Accepted(record.id, refused=why or f"{_WHAT} said nothing of it")
    return Accepted(record.id, remote_id=done.id, version=str(_ms(_changed(done))))


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
