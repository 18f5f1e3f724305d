"""Salesforce: leads are Lead, contracts Opportunity, properties Product2.

REST API: collections are upserted by the external id `Imobibase_Id__c`, which each of the three
objects needs (text, unique, external id); changes are read by SOQL in the order of SystemModstamp.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

import msgspec

from processors.clients.http import Answer, Http
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
    names_of,
    read,
)
from streamq import Fail, Retry

VERSION: Final = "v62.0"
OUR_ID: Final = "Imobibase_Id__c"
_LIMIT_OVER: Final = timedelta(hours=1)
_WHAT: Final = "Salesforce"
_OBJECTS: Final[Mapping[EntityType, str]] = {
    EntityType.LEAD: "Lead",
    EntityType.CONTRACT: "Opportunity",
    EntityType.PROPERTY: "Product2",
}
_STAGES: Final[Mapping[str, str]] = {
    "draft": "Prospecting",
    "pending": "Negotiation/Review",
    "cancelled": "Closed Lost",
}
_GONE: Final = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"})
_STAGE_WON: Final = "Closed Won"
_QUERY: Final = (
    "SELECT Id, FirstName, LastName, Email, Phone, Description, LastModifiedDate, SystemModstamp"
    " FROM Lead WHERE IsConverted = false"
)


class _Trouble(msgspec.Struct, frozen=True, rename="camel"):
    message: str = ""
    error_code: str = ""
    status_code: str = ""


class _Saved(msgspec.Struct, frozen=True):
    success: bool
    id: str | None = None
    errors: list[_Trouble] = []


class _Lead(msgspec.Struct, frozen=True, rename="pascal"):
    id: str
    last_modified_date: str
    system_modstamp: str
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    description: str | None = None


class _Queried(msgspec.Struct, frozen=True, rename="camel"):
    done: bool
    records: list[_Lead]
    next_records_url: str | None = None


class Salesforce:
    """One agency's organisation."""

    takes: Final = frozenset(_OBJECTS)
    batch: Final = 200
    """As many as one collection may hold."""

    def __init__(self, http: Http, access: Access) -> None:
        self._http = http
        self._access = access

    def fields(self, entity: Entity) -> Fields:
        match entity:
            case Lead():
                first, last = names_of(entity.name)
                return {
                    OUR_ID: entity.id,
                    "FirstName": first,
                    "LastName": last,
                    "Company": "Pessoa física",  # required there, and a lead of ours is a person
                    "Email": entity.email,
                    "Phone": entity.phone,
                    "Description": entity.notes or "",
                }
            case Contract():
                day = entity.signed_at or entity.updated_at
                return {
                    OUR_ID: entity.id,
                    "Name": f"{entity.type} {entity.id}",
                    "Amount": str(entity.value),
                    "StageName": _STAGES.get(entity.status, _STAGE_WON),
                    "CloseDate": day.date().isoformat(),
                }
            case Property():
                return {
                    OUR_ID: entity.id,
                    "Name": entity.title[:255],
                    "ProductCode": entity.id,
                    "Family": entity.category,
                    "Description": f"{entity.address}, {entity.city}/{entity.state}",
                    "IsActive": entity.status == "available",
                }

    async def push(self, kind: EntityType, records: Sequence[Outgoing]) -> Sequence[Accepted]:
        """Known records by their id: one that was made there has not our id yet."""
        name = _OBJECTS[kind]
        known = [one for one in records if one.remote_id is not None]
        new = [one for one in records if one.remote_id is None]
        results: list[Accepted] = []
        if known:
            results += await self._save("", name, known)
        if new:
            results += await self._save(f"/{name}/{OUR_ID}", name, new)
        return results

    async def _save(self, path: str, name: str, records: Sequence[Outgoing]) -> list[Accepted]:
        rows = [
            {
                "attributes": {"type": name},
                **({"id": record.remote_id} if record.remote_id else {}),
                **record.fields,
            }
            for record in records
        ]
        answer = await self._http.send(
            "PATCH",
            f"{self._access.url}/services/data/{VERSION}/composite/sobjects{path}",
            body=msgspec.json.encode({"allOrNone": False, "records": rows}),
            headers=self._access.bearer,
            bytes_max=PAGE_BYTES_MAX,
        )
        _check(answer)
        saved = read(answer, list[_Saved], _WHAT)
        if len(saved) != len(records):
            raise Fail(f"{_WHAT} answered {len(saved)} results to {len(records)} records")
        return [_accepted(record, one) for record, one in zip(records, saved, strict=True)]

    async def leads(self, cursor: str | None) -> AsyncGenerator[Page, None]:
        since = f" AND SystemModstamp >= {_literal(_moment(cursor))}" if cursor else ""
        query = quote(f"{_QUERY}{since} ORDER BY SystemModstamp ASC, Id ASC")
        path: str | None = f"/services/data/{VERSION}/query?q={query}"
        for _ in range(PAGES_MAX):
            if path is None or not path.startswith("/services/"):
                return
            answer = await self._http.send(
                "GET",
                self._access.url + path,
                headers={**self._access.bearer, "Sforce-Query-Options": "batchSize=500"},
                bytes_max=PAGE_BYTES_MAX,
            )
            _check(answer)
            found = read(answer, _Queried, _WHAT)
            if found.records:
                yield Page([_lead(one) for one in found.records], found.records[-1].system_modstamp)
            path = None if found.done else found.next_records_url


def _check(answer: Answer) -> None:
    """Its daily limit is a 403, and over by itself."""
    if answer.status == 403 and b"REQUEST_LIMIT_EXCEEDED" in answer.body:
        after = answer.retry_after() or _LIMIT_OVER
        raise Retry(after=after, reason=f"{_WHAT}: the organisation's calls of the day are used up")
    answer.check(_WHAT)


def _accepted(record: Outgoing, saved: _Saved) -> Accepted:
    if saved.success and saved.id:
        return Accepted(record.id, remote_id=saved.id)
    why = "; ".join(f"{one.status_code} {one.message}".strip() for one in saved.errors)
    gone = any(one.status_code in _GONE for one in saved.errors)
    return Accepted(record.id, refused=why or "no reason was given", gone=gone)


def _lead(found: _Lead) -> IncomingLead:
    return IncomingLead(
        remote_id=found.id,
        version=found.system_modstamp,
        changed_at=_moment(found.last_modified_date),
        name=f"{found.first_name or ''} {found.last_name or ''}".strip().strip("-"),
        email=found.email or "",
        phone=found.phone or "",
        notes=found.description or "",
        source="other",
    )


def _moment(text: str) -> datetime:
    """Of `2026-01-31T12:00:00.000+0000`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Fail(f"{_WHAT} gave {text[:40]!r} for a moment") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _literal(moment: datetime) -> str:
    return (
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
    )
