"""The base of payload types, and the codec of one type."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import inspect, msgpack

from streamq.errors import InvalidPayload, PayloadTooLarge, Undecodable, UnfitPayloadType
from streamq.payload.unfit import not_serialisable, raise_if_unfit
from streamq.suggest import nearest

T = TypeVar("T")

STORED_BYTES_MAX: Final = 16 << 20
"""The largest payload that is decoded at all; settings allow no larger limit for `add`."""

_CODECS_MAX: Final = 4_096
_encode: Final[Callable[[object], bytes]] = msgpack.Encoder().encode


class Payload(msgspec.Struct, forbid_unknown_fields=True):
    """The base of payload types. An unknown field is refused, at `add` and on a worker.

    Options of a Struct may be given as ever: `class Invoice(Payload, rename="camel", frozen=True)`.
    """


class Codec(Generic[T]):
    """One payload type's way into bytes and back; `object` stands for any data.

    Get it by `codec_of`.
    """

    def __init__(self, kind: type[T]) -> None:
        """Raises `UnfitPayloadType` for a type that no bytes can become."""
        self.kind = kind
        self._fields = _Fields(kind)
        self._decoder = msgpack.Decoder(kind)
        # Whatever the encoder wrote is an `object`: nothing to check.
        self._typed = kind is not object

    def encode(self, payload: object, queue: str, name: str, limit_bytes: int) -> bytes:
        """The payload as at most `limit_bytes`: a `T`, or a table that fits it.

        Raises `InvalidPayload` (a field missing, unknown or of the wrong type), `PayloadTooLarge`,
        and `NotSerialisable` (an object, NaN, an infinity, half a surrogate pair, an integer beyond
        64 bits, over 64 levels).
        """
        try:
            data = _encode(payload)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise not_serialisable(payload, error) from None
        if len(data) > limit_bytes:
            raise PayloadTooLarge(len(data), limit_bytes)
        raise_if_unfit(payload, data)
        if self._typed:
            # A Struct does not check its fields when it is made; reading the bytes back does, in C.
            try:
                self._decoder.decode(data)
            except msgspec.ValidationError as error:
                raise InvalidPayload(queue, name, self._fields.reason(error)) from None
        return data

    def decode(self, data: bytes | msgspec.Raw, queue: str, name: str) -> T:
        """What a handler is called with. Raises `Undecodable` for bytes that are not this type's.

        A `__post_init__` may raise ValueError or TypeError to the same end; anything else comes out
        as it is.
        """
        stored = bytes(data)
        if len(stored) > STORED_BYTES_MAX:
            reason = f"{len(stored):,} bytes are stored, at most {STORED_BYTES_MAX:,} are read"
            raise Undecodable(queue, name, reason)
        try:
            return self._decoder.decode(stored)
        except (ValueError, RecursionError) as error:
            # Not only DecodeError: UnicodeDecodeError (no UTF-8), RecursionError (1,000 levels).
            raise Undecodable(queue, name, self._fields.reason(error)) from None


@lru_cache(_CODECS_MAX)
def codec_of(kind: type[T]) -> Codec[T]:
    """The codec of a type, made once. Raises `UnfitPayloadType`."""
    return Codec(kind)


_UNKNOWN_FIELD: Final = re.compile(
    r"Object contains unknown field `(?P<name>.*?)`(?: - at `(?P<path>.*)`)?", re.DOTALL
)


class _Fields:
    """The field names of a type's Structs, for a guess at what an unknown one was meant to be."""

    def __init__(self, kind: object) -> None:
        try:
            top = inspect.type_info(kind)
        except TypeError as error:
            raise UnfitPayloadType(kind, str(error)) from None
        self._all = _structs_in(top, kind)
        self._top = [top] if isinstance(top, inspect.StructType) else self._all

    def reason(self, error: Exception) -> str:
        """The error's own text, for people: `Expected int | str, got float - at $.invoiceId`."""
        text = str(error)
        match = _UNKNOWN_FIELD.fullmatch(text)
        if match is None:
            return text.replace("`", "")
        known = [
            field.encode_name
            for struct in (self._all if match["path"] else self._top)
            for field in struct.fields
        ]
        meant = nearest(match["name"], known)
        guess = f" (did you mean {meant}?)" if meant else ""
        at = f" - at {match['path']}" if match["path"] else ""
        return f'Object contains unknown field "{match["name"]}"{guess}{at}'


def _structs_in(top: inspect.Type, kind: object) -> list[inspect.StructType]:
    """All Structs that a type reaches. Raises `UnfitPayloadType` where no bytes can become one."""
    seen: dict[int, inspect.Type] = {}
    todo = [top]
    while todo:
        info = todo.pop()
        if id(info) in seen:
            continue
        seen[id(info)] = info
        match info:
            case inspect.CustomType(cls=cls) if cls is not object:
                raise UnfitPayloadType(kind, f"nothing that is stored becomes a {cls.__qualname__}")
            case inspect.StructType(fields=fields) | inspect.DataclassType(fields=fields):
                todo += [field.type for field in fields]
            case inspect.TypedDictType(fields=fields) | inspect.NamedTupleType(fields=fields):
                todo += [field.type for field in fields]
            case inspect.UnionType(types=types) | inspect.TupleType(item_types=types):
                todo += types
            case inspect.DictType(key_type=key, value_type=value):
                todo += [key, value]
            case inspect.CollectionType(item_type=item) | inspect.Metadata(type=item):
                todo.append(item)
            case _:
                pass
    return [info for info in seen.values() if isinstance(info, inspect.StructType)]
