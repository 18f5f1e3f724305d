"""Stand-ins for HubSpot and Salesforce that keep records, and speak their REST APIs' shapes."""

import json
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from tests.processors.doubles import path_of
from tests.processors.web_server import Asked, answer

Json = dict[str, object]


class Record(msgspec.Struct):
    """One object of theirs; `fields` in their names."""

    id: str
    kind: str
    fields: dict[str, str]
    changed_at: datetime


class Rejected(Exception):
    """The whole request, for one of its records."""


class Crm:
    """What both have: records by kind, answers told beforehand, a key, and a clock that moves on
    with every change, so that two changes are never of one millisecond.
    """

    KEY = "their-key"

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.told: deque[bytes] = deque()
        self.rejected: dict[str, str] = {}
        """Values of our key for a record -> why it is refused."""
        self._moment = datetime.now(UTC).replace(microsecond=0)

    def of(self, kind: str) -> list[Record]:
        return [record for record in self.records if record.kind == kind]

    def has(self, kind: str, record_id: str) -> bool:
        return any(one.id == record_id for one in self.of(kind))

    def put(self, kind: str, fields: Mapping[str, str], record_id: str | None = None) -> Record:
        """Makes or changes a record, as somebody there would."""
        found = [one for one in self.of(kind) if one.id == record_id]
        record = (
            found[0] if found else Record(str(1_000 + len(self.records)), kind, {}, self._now())
        )
        if not found:
            self.records.append(record)
        record.fields |= fields
        record.changed_at = self._now()
        return record

    def upsert(self, kind: str, key: str, value: str, fields: Mapping[str, str]) -> Record:
        known = next((one for one in self.of(kind) if one.fields.get(key) == value), None)
        return self.put(kind, {**fields, key: value}, known.id if known else None)

    async def respond(self, asked: Asked) -> bytes:
        if self.told:
            return self.told.popleft()
        if asked.headers.get("authorization") != f"Bearer {self.KEY}":
            return self.unknown()
        try:
            return answer(200, json.dumps(self.answered(asked)).encode())
        except Rejected as error:
            told = {"status": "error", "category": "VALIDATION_ERROR", "message": str(error)}
            return answer(400, json.dumps(told).encode())

    def unknown(self) -> bytes:
        raise NotImplementedError

    def answered(self, asked: Asked) -> object:
        raise NotImplementedError

    def _now(self) -> datetime:
        self._moment = max(self._moment + timedelta(milliseconds=10), datetime.now(UTC))
        self._moment = self._moment.replace(microsecond=self._moment.microsecond // 1000 * 1000)
        return self._moment


class HubSpotDouble(Crm):
    """`/crm/v3/objects/<kind>/batch/upsert` and `.../search`."""

    def unknown(self) -> bytes:
        body = {"status": "error", "category": "INVALID_AUTHENTICATION", "message": "expired"}
        return answer(401, json.dumps(body).encode())

    def answered(self, asked: Asked) -> object:
        kind, _, verb = path_of(asked).removeprefix("/crm/v3/objects/").partition("/")
        body = json.loads(asked.body)
        if verb == "search":
            return self._search(kind, body)
        return self._saved(kind, body, known=verb == "batch/update")

    def _saved(self, kind: str, body: Json, *, known: bool) -> Json:
        inputs = body["inputs"]
        assert isinstance(inputs, list) and len(inputs) <= 100
        keys = [one["id"] for one in inputs]
        assert len(set(keys)) == len(keys), "HubSpot refuses a batch that names a record twice"
        for one in inputs:
            if (why := self.rejected.get(one["id"])) is not None:
                raise Rejected(why)
        results, errors = [], []
        for one in inputs:
            context = {"ids": [one["id"]]}
            if not known:
                record = self.upsert(kind, one["idProperty"], one["id"], one["properties"])
                results.append({**self._object(record), "new": True})
            elif self.has(kind, one["id"]):
                record = self.put(kind, one["properties"], one["id"])
                results.append(self._object(record))
            else:
                gone = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "not found"}
                errors.append({**gone, "context": context})
        return {"status": "COMPLETE", "results": results, "errors": errors}

    def _search(self, kind: str, body: Json) -> Json:
        groups, after, limit = body["filterGroups"], body["after"], body["limit"]
        assert isinstance(groups, list) and isinstance(after, str) and isinstance(limit, int)
        since = int(groups[0]["filters"][0]["value"])
        found = sorted(
            (one for one in self.of(kind) if _ms(one.changed_at) >= since),
            key=lambda one: one.changed_at,
        )
        end = int(after) + limit
        assert end <= 10_000, "a search shows no more"
        page: Json = {
            "total": len(found),
            "results": [self._object(one) for one in found[int(after) : end]],
        }
        if end < len(found):
            page["paging"] = {"next": {"after": str(end), "link": "?after=" + str(end)}}
        return page

    @staticmethod
    def _object(record: Record) -> Json:
        changed = record.changed_at.isoformat().replace("+00:00", "Z")
        return {
            "id": record.id,
            "properties": {**record.fields, "lastmodifieddate": changed},
            "createdAt": changed,
            "updatedAt": changed,
            "archived": False,
        }


class SalesforceDouble(Crm):
    """`composite/sobjects/<object>/<external id>` and `query`, two records a page."""

    PAGE = 2

    def unknown(self) -> bytes:
        body = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
        return answer(401, json.dumps(body).encode())

    def answered(self, asked: Asked) -> object:
        path = path_of(asked)
        assert path.startswith("/services/data/v62.0/")
        if "/composite/" in path:
            assert asked.line.startswith("PATCH ")
            body = json.loads(asked.body)
            if path.endswith("/composite/sobjects"):
                return [self._updated(one) for one in body["records"]]
            kind, key = path.split("/")[-2:]
            return self._upserted(kind, key, body)
        target = asked.line.split(" ")[1]
        start = 0
        if "/query/" in path:
            start = int(path.rpartition("-")[2])
            query = unquote(path.split("/")[-1].rpartition("-")[0])
        else:
            query = parse_qs(urlsplit(target).query)["q"][0]
        return self._queried(query, start)

    def _upserted(self, kind: str, key: str, body: Json) -> list[Json]:
        records = body["records"]
        assert isinstance(records, list) and len(records) <= 200
        results: list[Json] = []
        for one in records:
            assert one.pop("attributes") == {"type": kind}
            if (why := self.rejected.get(one[key])) is not None:
                error = {"statusCode": "INVALID_EMAIL_ADDRESS", "message": why, "fields": ["Email"]}
                results.append({"success": False, "errors": [error]})
            else:
                saved = self.upsert(kind, key, one[key], one)
                results.append({"id": saved.id, "success": True, "errors": [], "created": True})
        return results

    def _updated(self, one: dict[str, str]) -> Json:
        kind = json.loads(json.dumps(one.pop("attributes")))["type"]
        record_id = one.pop("id")
        if not self.has(kind, record_id):
            error = {"statusCode": "ENTITY_IS_DELETED", "message": "entity is deleted"}
            return {"id": record_id, "success": False, "errors": [error]}
        return {"id": self.put(kind, one, record_id).id, "success": True, "errors": []}

    def _queried(self, query: str, start: int) -> Json:
        assert query.startswith("SELECT Id, FirstName, ") and " FROM Lead WHERE " in query
        assert query.endswith(" ORDER BY SystemModstamp ASC, Id ASC")
        _, _, since = query.partition("SystemModstamp >= ")
        at = (
            datetime.fromisoformat(since.split(" ")[0])
            if since
            else datetime.min.replace(tzinfo=UTC)
        )
        found = sorted(
            (one for one in self.of("Lead") if one.changed_at >= at), key=lambda one: one.changed_at
        )
        end = start + self.PAGE
        page: Json = {
            "totalSize": len(found),
            "done": end >= len(found),
            "records": [self._object(one) for one in found[start:end]],
        }
        if end < len(found):
            page["nextRecordsUrl"] = f"/services/data/v62.0/query/{_quoted(query)}-{end}"
        return page

    @staticmethod
    def _object(record: Record) -> Json:
        changed = record.changed_at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
        names = ("FirstName", "LastName", "Email", "Phone", "Description")
        return {
            "attributes": {
                "type": "Lead",
                "url": f"/services/data/v62.0/sobjects/Lead/{record.id}",
            },
            "Id": record.id,
            **{name: record.fields.get(name) or None for name in names},
            "LastModifiedDate": changed,
            "SystemModstamp": changed,
        }


def _quoted(query: str) -> str:
    return query.replace("%", "%25").replace(" ", "%20").replace("=", "%3D").replace("+", "%2B")


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)
