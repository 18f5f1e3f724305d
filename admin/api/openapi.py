"""The API as OpenAPI 3.1, made from the rows and the types of their handlers: it cannot be out of
step with what is checked and what is sent."""

import inspect
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

import msgspec
from starlette.responses import Response

from admin.api.paths import IS_QUEUE
from admin.binding import Bound, StructType
from admin.call import Call
from admin.policy import Open, Row
from admin.wire import Problem, fields_of

OPENAPI: Final = "3.1.0"
_REF: Final = "#/components/schemas/{name}"
_COOKIE: Final = "imobibase.sid"

Json = Mapping[str, object]
"""A part of the document: its keys are OpenAPI's."""


async def openapi(call: Call) -> Response:
    document = document_of(call.site.rows, call.app.queue_names(), call.site.settings.prefix)
    return Response(msgspec.json.encode(document), media_type="application/json")


def document_of(rows: Sequence[Bound], queues: Sequence[str], prefix: str = "") -> Json:
    """The whole document. `queues`: the names that a path may have in it."""
    kinds = [kind for bound in rows for kind in _kinds_of(bound)]
    unique = list({id(kind): kind for kind in [*kinds, Problem]}.values())
    shown, parts = msgspec.json.schema_components(unique, ref_template=_REF, schema_hook=_anything)
    schema_by_id = {id(kind): schema for kind, schema in zip(unique, shown, strict=True)}
    writer = _Writer(schema_by_id, parts, queues)
    paths: dict[str, dict[str, object]] = {}
    for bound in rows:
        operation = writer.operation(bound)
        paths.setdefault(bound.row.path, {})[bound.row.method.lower()] = operation
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "streamq admin API",
            "version": version("streamq"),
            "description": "Background jobs: look, retry, pause, clean. Times are epoch ms.",
        },
        "servers": [{"url": prefix or "/"}],
        "paths": paths,
        "components": {
            "schemas": writer.components(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": _COOKIE},
                "cron": {
                    "type": "http", "scheme": "bearer", "description": "the CRON_SECRET",
                },
            },
        },
    }  # fmt: skip


def _anything(kind: type) -> dict[str, object]:
    """A payload may be any JSON."""
    if kind is object:
        return {"description": "any JSON"}
    raise NotImplementedError


def _kinds_of(bound: Bound) -> list[object]:
    kinds: list[object] = [kind for kind in (bound.path, bound.query, bound.body) if kind]
    return [*kinds, bound.gives] if bound.gives_json else kinds


class _Writer:
    """Writes operations, with the schemas of all types at hand."""

    def __init__(
        self, schemas: Mapping[int, Json], parts: Mapping[str, Json], queues: Sequence[str]
    ) -> None:
        self._schemas, self._parts, self._queues = schemas, parts, queues
        self._flattened: set[str] = set()

    def components(self) -> dict[str, Json]:
        """What is left of the types once paths and queries have become parameters."""
        return {name: part for name, part in self._parts.items() if name not in self._flattened}

    def operation(self, bound: Bound) -> Json:
        row = bound.row
        about = inspect.getdoc(row.handler)
        found: dict[str, object] = {
            "operationId": operation_id(row),
            "summary": row.does[0].upper() + row.does[1:],
            "tags": [row.handler.__module__.rpartition(".")[2]],
            "parameters": [
                *self._parameters(bound.path, "path"),
                *self._parameters(bound.query, "query"),
            ],
            "responses": {
                str(row.answers): self._success(bound),
                "default": {
                    "description": "It was refused, or could not be done",
                    "content": {
                        "application/json": {"schema": self._schemas[id(Problem)]},
                    },
                },
            },
            "security": _security(row),
            "x-needs": row.needs,
        }  # fmt: skip
        if about:
            found["description"] = about
        if bound.body is not None:
            content = {"application/json": {"schema": self._schemas[id(bound.body)]}}
            found["requestBody"] = {"content": content, "required": _has_required(bound.body)}
        return found

    def _success(self, bound: Bound) -> Json:
        about = "It was done" if bound.row.action else "What was asked for"
        if bound.gives_json:
            schema = self._schemas[id(bound.gives)]
            return {"description": about, "content": {"application/json": {"schema": schema}}}
        media = getattr(bound.gives, "media_type", None) or "*/*"
        return {"description": about, "content": {media: {}}}

    def _parameters(self, kind: StructType | None, place: str) -> list[Json]:
        if kind is None:
            return []
        name = str(self._schemas[id(kind)]["$ref"]).rpartition("/")[2]
        self._flattened.add(name)
        schemas = self._parts[name]["properties"]
        assert isinstance(schemas, dict)
        found: list[Json] = []
        for field in fields_of(kind).values():
            schema = dict(schemas[field.encode_name])
            about = schema.pop("description", None)
            extra = field.type.extra if isinstance(field.type, msgspec.inspect.Metadata) else None
            if extra and extra.get("is") == IS_QUEUE and self._queues:
                schema = {"type": "string", "enum": list(self._queues)}
            parameter: dict[str, object] = {
                "name": field.encode_name,
                "in": place,
                "required": place == "path",
                "schema": schema,
            }
            found.append(parameter | ({"description": about} if about else {}))
        return found


def operation_id(row: Row) -> str:
    """Unique, for there is one handler of a name in one module."""
    module = row.handler.__module__.rpartition(".")[2]
    return f"{module}.{getattr(row.handler, '__name__', '')}"


def _has_required(kind: StructType) -> bool:
    return any(field.required for field in fields_of(kind).values())


def _security(row: Row) -> list[Json]:
    if row.needs is Open.ANYONE:
        return []
    if row.needs is Open.CRON:
        return [{"cron": []}]
    return [{"token": []}, {"session": []}]
