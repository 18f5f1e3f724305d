"""Moments and lengths of time as people read them. Everything comes in ms of Redis's clock."""

import time
from datetime import UTC, datetime
from typing import Final

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


def now_ms() -> int:
    """This machine's clock: good enough to say how long ago something was."""
    return time.time_ns() // 1_000_000


def moment(ms: int) -> str:
    """In the time zone of this machine: `2026-11-24 13:05:12`."""
    return f"{datetime.fromtimestamp(ms / 1_000, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def clock(ms: int) -> str:
    """The time of day alone: `13:05:12`."""
    return f"{datetime.fromtimestamp(ms / 1_000, UTC).astimezone():%H:%M:%S}"


def length(ms: float) -> str:
    """Its two largest units, below a minute one: `0.04 ms`, `38 ms`, `1.5 s`, `2 h 05 m`."""
    if 0 < ms < 10:
        return f"{ms:.2g} ms"
    if ms < _SECOND:
        return f"{ms:.0f} ms"
    if ms < _MINUTE:
        return f"{ms / _SECOND:.1f} s".replace(".0 ", " ")
    if ms < _HOUR:
        return _two(ms, _MINUTE, "m", _SECOND, "s")
    if ms < _DAY:
        return _two(ms, _HOUR, "h", _MINUTE, "m")
    return _two(ms, _DAY, "d", _HOUR, "h")


def ago(ms: int, now: int | None = None) -> str:
    """`3 s ago`, `in 5 m 20 s`; a second either way is `now`."""
    distance = (now_ms() if now is None else now) - ms
    if abs(distance) < _SECOND:
        return "now"
    # Fractions of a second are noise here: the two clocks are not one.
    whole = abs(distance) // _SECOND * _SECOND
    return f"{length(whole)} ago" if distance > 0 else f"in {length(whole)}"


def _two(ms: float, large: int, large_name: str, small: int, small_name: str) -> str:
    whole, rest = divmod(int(ms), large)
    left = rest // small
    return f"{whole} {large_name} {left:02d} {small_name}" if left else f"{whole} {large_name}"
