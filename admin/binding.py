"""A row and what its handler's signature says: what it takes from a request, what it gives back.

A handler is `async def handler(call: Call, path: P, query: Q, body: B) -> R`, each of the three
only if it wants it, each a Struct. From the same signature come the checks of a request and the
OpenAPI, so neither can say what the other does not.
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Final, get_type_hints

import msgspec
from starlette.responses import Response

from admin.policy import Method, Row

PARTS: Final = ("path", "query", "body")
_NAMED: Final = re.compile(r"\{([a-zA-Z]+)\}")

StructType = type[msgspec.Struct]


class Bound(msgspec.Struct, frozen=True):
    """A row with the types of its handler. `gives` is Response for what is no JSON."""

    row: Row
    path: StructType | None
    query: StructType | None
    body: StructType | None
    gives: object

    @property
    def gives_json(self) -> bool:
        return not (isinstance(self.gives, type) and issubclass(self.gives, Response))


def bind(rows: Iterable[Row]) -> tuple[Bound, ...]:
    """All rows bound. Raises ValueError or TypeError for a table that cannot be meant."""
    bound = tuple(_bound(row) for row in rows)
    seen: set[tuple[Method, str]] = set()
    for each in bound:
        shape = _NAMED.sub("{}", each.row.path)
        if (each.row.method, shape) in seen:
            raise ValueError(f"two rows for {each.row.method} {each.row.path}")
        seen.add((each.row.method, shape))
    return bound


def _bound(row: Row) -> Bound:
    what = f"{row.method} {row.path}: {getattr(row.handler, '__name__', row.handler)}"
    hints = get_type_hints(row.handler, include_extras=True)
    first, *rest = inspect.signature(row.handler).parameters
    if first != "call":
        raise TypeError(f"{what} does not take the call first")
    if "return" not in hints:
        raise TypeError(f"{what} does not say what it gives")
    for name in rest:
        if name not in PARTS or not _is_struct(hints.get(name)):
            raise TypeError(f"{what} takes {name}: only path, query and body, each a Struct")
    path, query, body = (_struct(hints[part]) if part in rest else None for part in PARTS)
    named = set(_NAMED.findall(row.path))
    taken = set(path.__struct_encode_fields__) if path else set()
    if named != taken:
        raise TypeError(f"{what}: the path has {sorted(named)}, the handler takes {sorted(taken)}")
    if body is not None and row.method is Method.GET:
        raise TypeError(f"{what}: a GET has no body")
    if body is not None and not body.__struct_config__.forbid_unknown_fields:
        raise TypeError(f"{what}: a slip in its body would be overlooked")
    return Bound(row, path, query, body, hints["return"])


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _struct(kind: object) -> StructType:
    assert isinstance(kind, type)
    assert issubclass(kind, msgspec.Struct)
    return kind


def by_path(bound: Sequence[Bound]) -> dict[str, dict[Method, Bound]]:
    """The rows of each path together: only so is it known which methods a path has."""
    found: dict[str, dict[Method, Bound]] = {}
    for each in bound:
        found.setdefault(each.row.path, {})[each.row.method] = each
    return found
