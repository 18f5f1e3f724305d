"""Zapier: a webhook that each change is sent to. It takes and gives nothing back: push only."""

import hashlib
import hmac
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from processors.clients.http import Http
from processors.integrations.access import Access
from processors.integrations.entities import Entity
from processors.integrations.kinds import EntityType
from processors.integrations.remote import Accepted, Fields, Outgoing, Page

REPLAY_WINDOW_S: Final = 300
"""Receivers refuse what is older."""


class Zapier:
    """One agency's webhook. `access.key`: signs; two while they change (`new,old`)."""

    takes: Final = frozenset(EntityType)
    batch: Final = 50

    def __init__(self, http: Http, access: Access, agency: str) -> None:
        self._http = http
        self._access = access
        self._agency = agency

    def fields(self, entity: Entity) -> Fields:
        """As the row is, in the names of the application's API."""
        plain = msgspec.to_builtins(entity)
        assert isinstance(plain, dict)
        return {_camel(name): value for name, value in plain.items() if name != "updated_at"}

    async def push(self, kind: EntityType, records: Sequence[Outgoing]) -> Sequence[Accepted]:
        """One delivery; a list triggers the Zap once for each of its events."""
        events = [
            {
                # The same however often it is delivered: a Zap drops what it has seen.
                "id": f"{kind}:{record.id}:{int(record.changed_at.timestamp() * 1e6)}",
                "event": f"{kind}.changed",
                "agency": self._agency,
                "occurredAt": record.changed_at,
                "data": record.fields,
            }
            for record in records
        ]
        body = msgspec.json.encode(events)
        answer = await self._http.send(
            "POST",
            self._access.url,
            body=body,
            headers={
                "Content-Type": "application/json",
                **signature(self._access.key, body, datetime.now(UTC)),
            },
        )
        answer.check("Zapier")
        return [Accepted(record.id, remote_id=record.id) for record in records]

    async def leads(self, cursor: str | None) -> AsyncGenerator[Page, None]:
        return
        yield


def signature(secrets: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """Headers by which the receiver knows the sender; none without a secret."""
    keys = [secret.strip() for secret in secrets.split(",") if secret.strip()]
    if not keys:
        return {}
    delivery = hashlib.sha256(body).hexdigest()
    moment = str(int(at.timestamp()))
    signed = f"{moment}.{delivery}.".encode() + body
    marks = (hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in keys)
    return {
        "X-ImobiBase-Delivery": delivery,
        "X-ImobiBase-Timestamp": moment,
        "X-ImobiBase-Signature": ",".join(f"v1={mark}" for mark in marks),
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
