"""Durations and sizes as people write them, and as the engine counts them: whole ms and bytes.

The public surface takes `"1m30s"` or a `timedelta`, never a bare number: nobody can see its unit.
"""

import re
from datetime import timedelta
from typing import Final, NewType

from streamq.errors import BareNumber, InvalidDuration, InvalidSize

Ms = NewType("Ms", int)
"""Whole milliseconds: a length of time, or a moment of Redis's clock (since 1970)."""

Duration = str | timedelta
"""What the public surface takes: `"250ms"`, `"5s"`, `"1m30s"`, `"2h"`, `"7d"`, or a timedelta."""

_MS_PER_UNIT: Final = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}

DURATION_MS_MAX: Final = Ms(10 * 366 * _MS_PER_UNIT["d"])
"""Ten years: longer is a slip. Added to any time of this century it is exact as a Redis score."""

# Each unit once at most, the largest first. A fraction stands alone: "1.5h30m" is hard to read.
_DURATION = re.compile(
    r"(?:(?P<w>\d{1,9})w)?(?:(?P<d>\d{1,9})d)?(?:(?P<h>\d{1,9})h)?(?:(?P<m>\d{1,9})m(?!s))?"
    r"(?:(?P<s>\d{1,12})s)?(?:(?P<ms>\d{1,15})ms)?",
    re.ASCII,
)
_FRACTION = re.compile(r"(?P<whole>\d{1,9})\.(?P<part>\d{1,3})(?P<unit>ms|[smhdw])", re.ASCII)
_SIZE = re.compile(
    r"(?P<whole>\d{1,15})(?:\.(?P<part>\d{1,3}))? ?(?P<unit>B|[KMG]iB|[kMG]B)", re.ASCII
)
_BYTES_PER_UNIT: Final = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "kB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
}


def to_ms(value: Duration, what: str = "duration") -> Ms:
    """Milliseconds of a duration, from 0 to ten years; `what` names the option in the error.

    A timedelta is rounded down to a whole millisecond. Raises `BareNumber` (a TypeError) for a
    number, `InvalidDuration` for any other text, a negative length, or one over ten years.
    """
    if isinstance(value, str):
        ms = _parsed_ms(value)
        if ms is None:
            raise InvalidDuration(what, value)
    elif isinstance(value, timedelta):
        ms = value // timedelta(milliseconds=1)
    else:
        raise BareNumber(what, value)
    if ms < 0:
        raise InvalidDuration(what, value, "it is negative")
    if ms > DURATION_MS_MAX:
        raise InvalidDuration(what, value, "it is longer than ten years")
    return Ms(ms)


def to_bytes(text: str, what: str = "size") -> int:
    """Bytes of a size such as `"64KiB"`, `"1.5 MiB"`, `"512B"`. Raises `InvalidSize`."""
    match = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise InvalidSize(what, text)
    unit = _BYTES_PER_UNIT[match["unit"]]
    return int(match["whole"]) * unit + _thousandths(match["part"]) * unit // 1_000


def show_bytes_exactly(size_bytes: int) -> str:
    """The shortest text that `to_bytes` reads back as the same number: `"64KiB"`, `"1000B"`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % _BYTES_PER_UNIT[unit] == 0:
            return f"{size_bytes // _BYTES_PER_UNIT[unit]}{unit}"
    return f"{size_bytes}B"


def show_ms(ms: int) -> str:
    """The shortest text that `to_ms` reads back as `ms`: `"1m30s"`, `"250ms"`, `"0s"`."""
    if ms == 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, ms = divmod(ms, _MS_PER_UNIT[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _parsed_ms(text: str) -> int | None:
    text = text.strip()
    # A sign is read, so that the error says "negative" and nobody looks for a typing error.
    sign = -1 if text.startswith("-") else 1
    text = text.removeprefix("-")
    if match := _FRACTION.fullmatch(text):
        unit_ms = _MS_PER_UNIT[match["unit"]]
        return sign * (
            int(match["whole"]) * unit_ms + _thousandths(match["part"]) * unit_ms // 1_000
        )
    match = _DURATION.fullmatch(text)
    counts = {unit: count for unit, count in match.groupdict().items() if count} if match else {}
    if not counts:
        return None
    return sign * sum(int(count) * _MS_PER_UNIT[unit] for unit, count in counts.items())


def _thousandths(part: str | None) -> int:
    return int(part.ljust(3, "0")) if part else 0
