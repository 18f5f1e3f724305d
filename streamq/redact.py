"""What is shown to people, without its secrets: one rule for admin, logs, Sentry and console.

A value is hidden for the name that it goes by (`password`, `cpf`, a field marked `Secret`), or for
what it looks like (a URL with a password in it, a bearer token, a JWT, a cloud key). What is hidden
by mistake can be looked up by whoever may; what was shown by mistake cannot be taken back: so names
match by any part of them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Final, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from msgspec import inspect

T = TypeVar("T")

HIDDEN: Final = "[redacted]"
LEVELS_MAX: Final = 64
"""Of lists and tables; what lies deeper is left out."""
SHOWN_CHARS_MAX: Final = 1 << 18
"""Of one text; the rest is left out, for nobody has looked through it."""
_KINDS_MAX: Final = 1_024

_MARK: Final = "secret"
Secret: TypeAlias = Annotated[T, msgspec.Meta(extra={_MARK: True})]
"""Marks a payload's field whose name does not tell: `pin: Secret[str]`."""

_WORDS: Final = (
    "password", "passwd", "senha", "token", "secret", "authorization", "credential", "cookie",
    "cpf", "cnpj", "pix", "card", "cvv", "iban", "dsn", "x-amz-signature",
)  # fmt: skip
_KEY: Final = re.compile("|".join((*_WORDS, "api[_-]?key", "private[_-]?key")), re.IGNORECASE)


class _Shape(NamedTuple):
    """What a secret looks like. A text without any of `leads` (in small letters) has none: that is
    found out twenty times faster."""

    leads: tuple[str, ...]
    pattern: re.Pattern[str]
    instead: str = HIDDEN


def _any_case(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_SHAPES: Final = (
    _Shape(
        ("private key",),
        _any_case(r"-----BEGIN [a-z ]{0,40}PRIVATE KEY-----.*?(?:-----END [a-z ]{0,40}-----|\Z)"),
    ),
    # Up to the last @ before a slash: a password may hold one itself.
    _Shape(
        ("://",),
        _any_case(r"\b([a-z][a-z0-9+.-]{1,30}://)[^\s/?#\"'<>]+@"),
        rf"\1{HIDDEN}@",
    ),
    # Several in a header, split by the sign that ends other values.
    _Shape(("cookie",), _any_case(r"\b(cookie\s{0,3}[:=]\s{0,3})[^\r\n\"']+"), rf"\1{HIDDEN}"),
    # Not "bearer of news": a token has a digit in it, or is longer than words are.
    _Shape(
        ("bearer",),
        _any_case(r"\b(bearer)\s+(?:(?=[^\s\"']*\d)[\w.~+/=-]{6,}|[\w.~+/=-]{24,})"),
        rf"\1 {HIDDEN}",
    ),
    _Shape(("eyj",), re.compile(r"\beyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?")),
    _Shape(("akia", "asia"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    _Shape(
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "sg.", "xox", "k_live_", "k_test_", "sq_"),
        re.compile(
            r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|SG\.[\w-]{16,}\.[\w-]{16,}|xox[abprs]-[\w-]{8,}"
            r"|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|sq_[\w-]{20,})"
        ),
    ),
    # `password=x`, `"apiKey": "x"`, `'token': 'x'`, and the same quoted once more inside a text.
    _Shape(
        (*_WORDS, "key"),
        _any_case(
            rf"((?:{_KEY.pattern})"
            r"[\w-]{0,40}+(?:\\*+[\"'])?\s{0,3}+(?:=>|[:=])\s{0,3}+)(?:(?:bearer|basic|digest)\s+)?"
            rf"(?:{re.escape(HIDDEN)}"
            r"|(?P<quote>\\*[\"'])(?:(?!(?P=quote)).){0,4096}(?P=quote)?|[^\s,;&\"'\\)\]}<>]+)"
        ),
        rf"\1{HIDDEN}",
    ),
)

_PLAIN: Final = (int, float, datetime, date, time, timedelta, Decimal, UUID)


def redact(value: object, marked: frozenset[str] = frozenset()) -> object:
    """A copy in lists, tables and plain values, without what is secret.

    `marked`: names of fields that are secret here beside those that are everywhere; `marked_in` a
    payload's type. Bytes and objects are named, not shown: nobody can look through them.
    """
    return _redacted(value, frozenset(name.lower() for name in marked), LEVELS_MAX)


def redact_text(text: str) -> str:
    """A text without what looks like a secret, or stands behind the name of one."""
    if len(text) > SHOWN_CHARS_MAX:
        text = f"{text[:SHOWN_CHARS_MAX]}… [{len(text) - SHOWN_CHARS_MAX:,} more]"
    lowered = text.lower()
    for leads, pattern, instead in _SHAPES:
        if any(lead in lowered for lead in leads):
            text = pattern.sub(instead, text)
    return text


def is_secret(name: str) -> bool:
    """Whether what goes by this name is hidden."""
    return _KEY.search(name) is not None


def marked_in(kind: type) -> frozenset[str]:
    """The names, as they stand in payloads, of a type's fields that are marked `Secret`.

    Of its fields' types too. Empty for a type that says nothing of its fields.
    """
    found = _marks.get(kind)
    if found is None:
        try:
            found = frozenset(_marked(inspect.type_info(kind)))
        except TypeError:
            found = frozenset()
        if len(_marks) < _KINDS_MAX:
            _marks[kind] = found
    return found


_marks: dict[type, frozenset[str]] = {}


def _redacted(value: object, marked: frozenset[str], levels: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value):,} bytes]"
    if levels == 0:
        return "[too deep]"
    if isinstance(value, msgspec.Struct):
        value = {name: getattr(value, field) for name, field in _fields_of(value)}
    if isinstance(value, Mapping):
        return {
            shown: HIDDEN if _hides(name, inner, marked) else _redacted(inner, marked, levels - 1)
            for name, shown, inner in _named(value)
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(inner, marked, levels - 1) for inner in value]
    return redact_text(f"[{type(value).__name__}]")


def _fields_of(value: msgspec.Struct) -> Iterator[tuple[str, str]]:
    return zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)


def _named(table: Mapping[object, object]) -> Iterator[tuple[str, str, object]]:
    for key, inner in table.items():
        if inner is not msgspec.UNSET:
            name = key if isinstance(key, str) else repr(key)
            yield name, redact_text(name), inner


def _hides(name: str, value: object, marked: frozenset[str]) -> bool:
    """Whether there is a token is no secret, and an empty one is none."""
    if value is None or isinstance(value, bool) or value == "":
        return False
    return is_secret(name) or name.lower() in marked


def _marked(info: inspect.Type) -> Iterator[str]:
    """Walks the types that a type is made of, each once: it may be made of itself."""
    seen: set[int] = set()
    todo: list[inspect.Type] = [info]
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        todo += _parts(each)
        for name, kind in _named_parts(each):
            if _is_marked(kind):
                yield name


def _is_marked(kind: inspect.Type) -> bool:
    while isinstance(kind, inspect.Metadata):
        if kind.extra and kind.extra.get(_MARK):
            return True
        kind = kind.type
    return isinstance(kind, inspect.UnionType) and any(map(_is_marked, kind.types))


def _named_parts(kind: inspect.Type) -> Iterable[tuple[str, inspect.Type]]:
    if isinstance(
        kind,
        inspect.StructType | inspect.DataclassType | inspect.TypedDictType
        | inspect.NamedTupleType,
    ):  # fmt: skip
        return [(field.encode_name, field.type) for field in kind.fields]
    return ()


def _parts(kind: inspect.Type) -> Iterable[inspect.Type]:
    """The types inside a type."""
    match kind:
        case inspect.Metadata(type=inner):
            return (inner,)
        case inspect.UnionType(types=several):
            return several
        case inspect.DictType(value_type=inner):
            return (inner,)
        case inspect.TupleType(item_types=several):
            return several
        case (
            inspect.ListType(item_type=inner)
            | inspect.VarTupleType(item_type=inner)
            | inspect.SetType(item_type=inner)
            | inspect.FrozenSetType(item_type=inner)
        ):
            return (inner,)
        case _:
            return [inner for _, inner in _named_parts(kind)]
