"""Requests into types, and answers into JSON: sizes, depths, numbers, and a sentence for each slip.

Nothing that a client sends may cost more than its limit, or end in an error that is not a 4xx.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from msgspec import inspect
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from admin.errors import BadRequest, Refused
from streamq.errors.wording import did_you_mean

JSON_LEVELS_MAX: Final = 64
BODY_LIMIT_S: Final = 30.0
QUERY_VALUES_MAX: Final = 100
CLAMP: Final = "clamp"
"""In the `extra` of a number of a query: its least and its greatest value. What lies outside is
taken for the nearer of them, for a page that is too long is no mistake worth an error."""

_KINDS_MAX: Final = 1_024  # types that are asked for their fields: as many as there are
_JSON: Final = "application/json"
_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_WHOLE: Final = re.compile(r"-?[0-9]{1,4000}")

K = TypeVar("K", bound=msgspec.Struct)


# ---- in


async def body_of(request: Request, kind: type[K], bytes_max: int) -> K:
    """The request's JSON as a `kind`; nothing at all is the same as `{}`.

    Raises a Refused: 400 for what does not fit, 408, 413, 415.
    """
    content = await read_body(request, bytes_max)
    if not content.strip():
        content = b"{}"
    elif request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Unsupported media type",
            f"Send the body as JSON, with the header Content-Type: {_JSON}.",
        )
    if _levels(content) > JSON_LEVELS_MAX:
        raise BadRequest("Invalid JSON", f"More than {JSON_LEVELS_MAX} levels deep.")
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest("Invalid body", _what_is_wrong(kind, error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("Invalid JSON", f"{error}.") from None


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The whole body, as long as it is neither too large nor too slow."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            async for part in request.stream():
                size += len(part)
                if size > bytes_max:
                    raise Refused(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        "Payload too large",
                        f"The body is larger than {bytes_max:,} bytes.",
                        headers={"Connection": "close"},  # what is still to come is not read
                    )
                parts.append(part)
    except TimeoutError:
        raise Refused(
            HTTPStatus.REQUEST_TIMEOUT,
            "Request timeout",
            f"The body did not arrive within {BODY_LIMIT_S:g} s.",
            headers={"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise Refused(HTTPStatus.BAD_REQUEST, "Client disconnected") from None
    return b"".join(parts)


def _levels(content: bytes) -> int:
    """How deep lists and tables go into each other, up to one more than is allowed.

    Each pass takes away the innermost ones, at the speed of C: a decoder would have to go there
    first, and a loop over 10^5 brackets takes as long as ten requests.
    """
    left = _STRINGS.sub(b"", content).translate(_BRACKETS, _NO_BRACKET)
    for level in range(JSON_LEVELS_MAX + 1):
        shorter = left.replace(b"[]", b"")
        if shorter == left:
            return level
        left = shorter
    return JSON_LEVELS_MAX + 1


def query_of(request: Request, kind: type[K], *, strict: bool) -> K:
    """The query's values as a `kind`; of a name that is given twice the last.

    `strict`: a name that it does not have is an error, for a `dryRun` in the wrong place must not
    be overlooked. Raises BadRequest.
    """
    fields = fields_of(kind)
    values: dict[str, object] = {}
    for count, (name, text) in enumerate(request.query_params.multi_items(), 1):
        if count > QUERY_VALUES_MAX:
            raise BadRequest("Invalid query", f"More than {QUERY_VALUES_MAX} values.")
        if (field := fields.get(name)) is not None:
            values[name] = _value_of(name, text, field.type)
        elif strict:
            raise BadRequest("Invalid query", _unknown(name, list(fields)))
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest("Invalid query", _what_is_wrong(kind, error)) from None


@lru_cache(_KINDS_MAX)
def fields_of(kind: type[msgspec.Struct]) -> Mapping[str, inspect.Field]:
    """A Struct's fields by the names that they have on the wire."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: field for field in info.fields}


def _value_of(name: str, text: str, kind: inspect.Type) -> object:
    bounds = clamp_of(kind)
    if bounds is None:
        return text
    if not _WHOLE.fullmatch(text):
        raise BadRequest("Invalid query", f"{name}={_short(text)} is no whole number.")
    low, high = bounds
    return min(max(int(text), low), high)


def clamp_of(kind: inspect.Type) -> tuple[int, int] | None:
    """The least and the greatest value that a number of a query is taken for."""
    while isinstance(kind, inspect.Metadata):
        if kind.extra and CLAMP in kind.extra:
            low, high = kind.extra[CLAMP]
            return int(low), int(high)
        kind = kind.type
    return None


def path_of(request: Request, kind: type[K]) -> K:
    """The parts of the path that have a name. What they may be is the handler's to say."""
    return msgspec.convert(request.path_params, kind)


def _what_is_wrong(kind: type[msgspec.Struct], error: msgspec.ValidationError) -> str:
    """msgspec's sentence, with the nearest field that there is for one that there is not."""
    said = str(error)
    found = re.search(r"unknown field `(.{1,200})`", said)
    if found is not None and "$." not in said:
        return _unknown(found[1], kind.__struct_encode_fields__)
    return f"{said}."


def _unknown(name: str, known: Sequence[str]) -> str:
    there = f" There are: {', '.join(known)}." if known else " It takes none."
    return f"No field {_short(name)}.{did_you_mean(name, known)}{there}"


def _short(text: str) -> str:
    """What a client sent, as a message may repeat it."""
    return json.dumps(text if len(text) <= 60 else f"{text[:60]}…")


# ---- out


def answer(value: object, status: int = HTTPStatus.OK) -> Response:
    """The JSON of a value. Keys stand in the order of a Struct's fields."""
    return Response(msgspec.json.encode(value), status, media_type=_JSON)


class Problem(msgspec.Struct, frozen=True, rename="camel"):
    """What a refusal looks like: `error` is for programs, `message` for people."""

    error: str
    message: str
    code: str
    request_id: str


def refusal(refused: Refused, request_id: str) -> Response:
    problem = Problem(refused.error, refused.message, refused.code, request_id)
    response = answer(problem, refused.status)
    response.headers.update(refused.headers)
    return response
