"""What no payload can carry, found fast when there is nothing and named exactly when there is.

Every `add` passes here: a suspect is found in the bytes, in C; only then the payload is walked.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec
from msgspec import msgpack

from streamq.errors import NotSerialisable

NESTING_MAX: Final = 64
"""Levels of lists, tables and Structs.

Far below the recursion limit, which depends on who calls.
"""

_PATH_CHARS_MAX: Final = 80
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_encode: Final[Callable[[object], bytes]] = msgpack.Encoder().encode

# A 64-bit float whose exponent is all ones: NaN or an infinity (the encoder writes no shorter
# floats). In text these bytes cannot stand: 0xCB begins a two-byte sign there, and 0x7F or 0xFF
# never continues one.
_NO_NUMBER: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
# The first bytes of lists and tables; deleting all others leaves at least one byte for each level.
_NOT_A_CONTAINER: Final = bytes(
    byte for byte in range(256) if not (0x80 <= byte <= 0x9F or 0xDC <= byte <= 0xDF)
)

_PASS_ITS_ID: Final = "Pass its id: jobs should carry keys, not objects."
_KNOWN_OBJECTS: Final = (
    # First part of a base class's module, its name, what to call it, what to do.
    ("django.db.models", "Model", "Django model", _PASS_ITS_ID),
    ("sqlalchemy.orm", "DeclarativeBase", "SQLAlchemy model", _PASS_ITS_ID),
    ("pydantic", "BaseModel", "pydantic model", "Pass its model_dump()."),
)


def raise_if_unfit(payload: object, data: bytes) -> None:
    """Raises `NotSerialisable` if `data`, the payload encoded, holds NaN, infinity, 65 levels."""
    if (b"\xcb" in data and _NO_NUMBER.search(data)) or (
        len(data) > NESTING_MAX  # a byte for each level: most payloads are shorter
        and len(data.translate(None, _NOT_A_CONTAINER)) > NESTING_MAX
        and _too_deep(data)
    ):
        fault = _first_fault(payload)
        if fault is not None:
            raise fault


def not_serialisable(payload: object, error: Exception) -> NotSerialisable:
    """What the encoder refused with `error`, named, and where in the payload it stands."""
    found = _first_fault(payload)
    return found or NotSerialisable("$", f"not serialisable ({error})", _PASS_ITS_ID)


def _too_deep(data: bytes) -> bool:
    """Level by level over plain lists and dicts: big payloads come here, the walk is slow."""
    level = _containers([msgpack.decode(data)])
    for _ in range(NESTING_MAX):
        level = [
            inner
            for outer in level
            for inner in _containers(outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _containers(values: Iterable[object]) -> list[dict[object, object] | list[object]]:
    return [value for value in values if isinstance(value, (dict, list))]


def _first_fault(payload: object) -> NotSerialisable | None:
    """The first value, in the order of the payload, that it cannot carry."""
    # One iterator a level, so that a list that contains itself ends at the limit of levels.
    open_levels = [iter([("$", payload)])]
    while open_levels:
        step = next(open_levels[-1], None)
        if step is None:
            open_levels.pop()
            continue
        path, value = step
        inside = _inside(path, value)
        if inside is None:
            fault = _fault_of(path, value)
            if fault is not None:
                return fault
        elif len(open_levels) > NESTING_MAX:
            return NotSerialisable(
                _short(path),
                f"more than {NESTING_MAX} levels deep",
                "Does it contain itself? Flatten it.",
            )
        else:
            open_levels.append(inside)
    return None


def _inside(path: str, value: object) -> Iterator[tuple[str, object]] | None:
    """The values in a container, each with its path; None for anything else."""
    if isinstance(value, Mapping):
        return _entries(path, value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return ((f"{path}[{index}]", inner) for index, inner in enumerate(value))
    if isinstance(value, msgspec.Struct):
        pairs = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        named = ((shown, getattr(value, name, msgspec.UNSET)) for shown, name in pairs)
        return ((f"{path}.{name}", inner) for name, inner in named if inner is not msgspec.UNSET)
    names: Iterable[str] | None = getattr(value, "__dataclass_fields__", None)
    if names is not None and not isinstance(value, type):
        return ((f"{path}.{name}", getattr(value, name, None)) for name in names)
    return None


def _entries(path: str, table: Mapping[object, object]) -> Iterator[tuple[str, object]]:
    for key, inner in table.items():
        yield f"a key of {path}", key
        name = key if isinstance(key, str) and key.isidentifier() else None
        yield f"{path}.{name}" if name else f"{path}[{_short(ascii(key))}]", inner


def _fault_of(path: str, value: object) -> NotSerialisable | None:
    found, cure = _described(value)
    return NotSerialisable(_short(path), found, cure) if found else None


def _described(value: object) -> tuple[str, str]:
    """What is wrong with a single value and what to do; two empty texts if nothing is."""
    if isinstance(value, float) and not math.isfinite(value):
        return ("NaN" if math.isnan(value) else "infinite"), "JSON has no such number: pass None."
    if isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        return "an integer beyond 64 bits", "Pass it as text."
    try:
        _encode(value)
    except UnicodeEncodeError:
        return "text with half a surrogate pair", 'Decode it right, or with errors="replace".'
    except TypeError:
        return _object_described(type(value))
    except (ValueError, OverflowError, RecursionError) as error:
        return f"a {type(value).__name__} that cannot be stored ({error})", _PASS_ITS_ID
    return "", ""


def _object_described(kind: type) -> tuple[str, str]:
    for base in kind.__mro__:
        for module, name, called, cure in _KNOWN_OBJECTS:
            if base.__name__ == name and base.__module__.startswith(module):
                return f"a {called} ({kind.__name__})", cure
    return f"an object of {kind.__module__}.{kind.__qualname__}", _PASS_ITS_ID


def _short(path: str) -> str:
    return path if len(path) <= _PATH_CHARS_MAX else f"{path[:40]}…{path[-39:]}"
