"""What each setting is called in files and variables, and how its value is read and checked.

A reader takes the value as TOML gave it, or the text of a variable, and raises `ValueError` saying
what to give.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from streamq.backoff import Backoff, from_settings
from streamq.cron import parse
from streamq.durations import DURATION_MS_MAX, Ms, show_bytes_exactly, show_ms, to_bytes, to_ms
from streamq.errors import NAME_SETS, InvalidInput
from streamq.lookup import flag, redis_url
from streamq.payload import codec_of
from streamq.schedule import (
    DATA_BYTES_MAX,
    EVERY_MS_MIN,
    FIRE_ALL_MAX,
    FIRE_ONCE,
    SKIP_MISSED,
    SPREAD_MS_MAX,
    FireAll,
    Misfire,
    Overlap,
)
from streamq.settings.knobs import KEEP_NOTHING, Env, Keep, LogFormat, Rate
from streamq.suggest import nearest

Value = object
Read = Callable[[Value], object]

_NONE: Final = "none"


class Key(msgspec.Struct, frozen=True):
    """One setting: the field it fills, how it is read, and whether its value must not be shown."""

    field: str
    read: Read
    secret: bool = False


def whole(low: int, high: int) -> Read:
    def read(value: Value) -> int:
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,18}", value.strip(), re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"give a whole number, {low} to {high}.")
        return value

    return read


def share(value: Value) -> float:
    if isinstance(value, str) and re.fullmatch(r"[01]?\.?\d{1,9}", value.strip(), re.ASCII):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("give a number from 0 to 1.")
    return float(value)


def or_none(read: Read) -> Read:
    """TOML has no null: the word "none" says that there is no limit."""
    return lambda value: None if value == _NONE else read(value)


def duration(low_ms: int, high_ms: int = DURATION_MS_MAX) -> Read:
    def read(value: Value) -> Ms:
        if not isinstance(value, str):
            raise ValueError('give a duration with its unit, such as "30s".')
        ms = to_ms(value, "duration")
        if not low_ms <= ms <= high_ms:
            raise ValueError(f"give {show_ms(low_ms)} to {show_ms(high_ms)}.")
        return ms

    return read


def size(low_bytes: int, high_bytes: int) -> Read:
    def read(value: Value) -> int:
        if not isinstance(value, str):
            raise ValueError('give a size with its unit, such as "64KiB".')
        found = to_bytes(value)
        if not low_bytes <= found <= high_bytes:
            lowest, highest = show_bytes_exactly(low_bytes), show_bytes_exactly(high_bytes)
            raise ValueError(f"give {lowest} to {highest}.")
        return found

    return read


def text(pattern: str, example: str) -> Read:
    def read(value: Value) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"give text such as {example}.")
        return value

    return read


def one_of(choices: type[Env] | type[LogFormat] | type[Overlap]) -> Read:
    names = [choice.value for choice in choices]

    def read(value: Value) -> Env | LogFormat | Overlap:
        if not isinstance(value, str) or value not in names:
            meant = nearest(str(value), names)
            raise ValueError(
                f"{f'did you mean {meant}? ' if meant else ''}give one of {', '.join(names)}."
            )
        return choices(value)

    return read


def level(value: Value) -> str:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    if not isinstance(value, str) or value.upper() not in levels:
        raise ValueError(f"give one of {', '.join(levels)}.")
    return value.upper()


def timezone(value: Value) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    if isinstance(value, str):
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError):
            pass
    meant = nearest(str(value), available_timezones())
    raise ValueError(f"{value} is no time zone.{f' Did you mean {meant}?' if meant else ''}")


def keep(value: Value) -> Keep:
    if value == _NONE:
        return KEEP_NOTHING
    table = _table(value, "age", "count")
    if not table:
        raise ValueError('give { age = "24h", count = 1000 }, one of the two, or "none".')
    age, count = table.get("age"), table.get("count")
    return Keep(
        None if age is None else to_ms(str(age), "age"),
        None if count is None else _int(whole(0, 10_000_000)(count)),
    )


def rate(value: Value) -> Rate:
    """`"50/s"`, `"100/1m30s"` or `{ count = 50, per = "1s" }`."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        count, slash, per = value.partition("/")
        if not slash:
            raise ValueError('give "50/s", "100/m" or { count = 50, per = "1s" }.')
        value = {"count": count, "per": per if per[:1].isdigit() else f"1{per}"}
    table = _table(value, "count", "per")
    if len(table) != 2:
        raise ValueError('give both: { count = 50, per = "1s" }.')
    return Rate(
        _int(whole(1, 1_000_000)(table["count"])), Ms(_int(duration(1, 86_400_000)(table["per"])))
    )


def backoff(value: Value) -> Backoff:
    return from_settings(_table(value, "kind", "delay", "max", "jitter", "steps"))


def cron(value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError('give five fields as text, such as "0 2 * * *".')
    parse(value)
    return value


def misfire(value: Value) -> Misfire:
    """`"skip"`, `"once"` or `{ kind = "all", max = 10, within = "1d" }`."""
    if value == "skip":
        return SKIP_MISSED
    if value == "once":
        return FIRE_ONCE
    how = '{ kind = "all", max = 10, within = "1d" }'
    if not isinstance(value, Mapping):
        raise ValueError(f'give "skip", "once" or {how}.')
    table = _table(value, "kind", "max", "within")
    if table.get("kind") != "all" or len(table) != 3:
        raise ValueError(f"give all three: {how}.")
    return FireAll(_int(whole(1, FIRE_ALL_MAX)(table["max"])), _int(duration(1)(table["within"])))


def payload(value: Value) -> bytes:
    try:
        return codec_of(object).encode(value, "", "", DATA_BYTES_MAX)
    except InvalidInput as error:
        raise ValueError(str(error).removeprefix(f"{error.code} ")) from None


def _table(value: Value, *known: str) -> Mapping[str, object]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        # From a variable: the same text as in a file.
        try:
            value = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"it is no TOML table ({error}).") from error
    if not isinstance(value, Mapping):
        raise ValueError(f"give a table of {', '.join(known)}.")
    for key in value:
        if key not in known:
            meant = nearest(str(key), known)
            hint = f' Did you mean "{meant}"?' if meant else ""
            raise ValueError(f'it has no "{key}".{hint} Known: {", ".join(known)}.')
    return value


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


JOB_KEYS: Final[Mapping[str, Key]] = {
    "concurrency": Key("concurrency", whole(1, 10_000)),
    "attempts": Key("attempts", whole(1, 1_000)),
    "backoff": Key("backoff", backoff),
    "timeout": Key("timeout_ms", or_none(duration(1))),
    "priority": Key("priority", whole(1, 10)),
    "payload_limit": Key("payload_limit_bytes", size(1, 16 << 20)),
    "keep_completed": Key("keep_completed", keep),
    "keep_failed": Key("keep_failed", keep),
    "keep_parked": Key("keep_parked", keep),
    "max_active": Key("max_active", or_none(whole(1, 1_000_000))),
    "rate": Key("rate", or_none(rate)),
}
"""In `[defaults]` and in `[queues.<name>]`."""

SCHEDULE_KEYS: Final[Mapping[str, Key]] = {
    "queue": Key("queue", text(NAME_SETS["queue"], '"backup"')),
    "job": Key("job", text(NAME_SETS["job"], '"database-backup"')),
    "cron": Key("cron", cron),
    "every": Key("every_ms", duration(EVERY_MS_MIN)),
    "timezone": Key("timezone", timezone),
    "data": Key("data", payload),
    "misfire": Key("misfire", misfire),
    "overlap": Key("overlap", one_of(Overlap)),
    "spread": Key("spread_ms", duration(0, SPREAD_MS_MAX)),
}
"""In `[schedules.<name>]`."""

_NAMED: Final = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"

TABLE_KEYS: Final[Mapping[str, Mapping[str, Key]]] = {
    "dev": {
        "beside": Key("dev_beside", or_none(text(_NAMED, '"shop.servers:beside"'))),
        "url_variable": Key(
            "dev_url_variable", or_none(text(r"[A-Z][A-Z0-9_]{0,63}", '"APP_URL"'))
        ),
    },
    "web": {"links": Key("web_links", or_none(text(_NAMED, '"shop.pages:links"')))},
}
"""In `[dev]` and `[web]`: what one command asks for."""

TOP_KEYS: Final[Mapping[str, Key]] = {
    "app": Key("app", text(_NAMED, '"processors.app:app"')),
    "redis": Key("redis", redis_url, secret=True),
    "redis_tls": Key("redis_tls", flag),
    "prefix": Key("prefix", text(NAME_SETS["prefix"], '"streamq"')),
    "env": Key("env", one_of(Env)),
    "timezone": Key("timezone", timezone),
    "lease": Key("lease_ms", duration(100, 3_600_000)),
    "grace": Key("grace_ms", duration(0, 86_400_000)),
    "hung": Key("hung_ms", duration(1_000)),
    "processes": Key("processes", whole(1, 1_024)),
    "max_jobs": Key("max_jobs", or_none(whole(1, 1_000_000_000))),
    "max_rss": Key("max_rss_bytes", or_none(size(16 << 20, 1 << 44))),
    "log_level": Key("log_level", level),
    "log_format": Key("log_format", one_of(LogFormat)),
    "log_dir": Key("log_dir", or_none(text(r"[^\x00-\x1f\x7f]{1,4096}", '"/var/log/streamq"'))),
    "health_port": Key("health_port", or_none(whole(0, 65_535))),
    "metrics_port": Key("metrics_port", or_none(whole(0, 65_535))),
    "sentry_dsn": Key(
        "sentry_dsn",
        or_none(text(r"https?://\S{1,500}@\S{1,500}", '"https://key@host/1"')),
        secret=True,
    ),
    "sentry_traces": Key("sentry_traces", share),
}
"""At the top of a file."""
