"""The settings as `streamq config` prints them: as a file has them, masked, with their origins."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from json import dumps
from typing import Final

import msgspec
from msgspec import UNSET

from streamq.backoff import Backoff, Calling, to_settings
from streamq.durations import Ms, show_bytes_exactly, show_ms
from streamq.lookup import DEFAULT, masked_url
from streamq.redact import redact
from streamq.schedule import FireAll, FireOnce, SkipMissed
from streamq.settings.knobs import AT_START, JobDefaults, Keep, Rate, Settings, spelled_as_variable
from streamq.settings.reading import JOB_KEYS, SCHEDULE_KEYS, TABLE_KEYS, TOP_KEYS

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


class Line(msgspec.Struct, frozen=True):
    """One setting: `value` is TOML, and None if nothing is set."""

    key: str
    value: str | None
    origin: str


def shown(settings: Settings, queues: Iterable[str] = ()) -> Iterator[Line]:
    """All settings at the top, the defaults, and for each queue and schedule what was said for it.

    `queues` are those of the app; queues that only a file names are shown too.
    """
    for name, key in TOP_KEYS.items():
        value = getattr(settings, key.field)
        if key.secret and value is not None:
            value = masked_url(value)
        yield Line(name, _toml(key.field, value), settings.origins.of(name))
    for table, keys in TABLE_KEYS.items():
        for name, key in keys.items():
            text = _toml(key.field, getattr(settings, key.field))
            yield Line(f"{table}.{name}", text, settings.origins.of(f"{table}.{name}"))
    for name, key in JOB_KEYS.items():
        value = getattr(settings.defaults, key.field)
        yield Line(
            f"defaults.{name}", _toml(key.field, value), settings.origins.of(f"defaults.{name}")
        )
    for queue in sorted({*queues, *settings.queues}):
        yield from _of_queue(settings, queue, settings.for_queue(queue))
    for schedule, said in sorted(settings.schedules.items()):
        for name, key in SCHEDULE_KEYS.items():
            if (value := getattr(said, key.field)) is not UNSET:
                origin = settings.origins.of(f"schedules.{schedule}.{name}")
                shown_as = f"schedules.{_key(schedule)}.{name}"
                yield Line(shown_as, _toml_of_schedule(key.field, value), origin)


def held_back(start: Settings, fresh: Settings) -> list[str]:
    """What `fresh` says otherwise and a process that began with `start` cannot take over."""
    return [
        name
        for name, key in TOP_KEYS.items()
        if key.field in AT_START and getattr(start, key.field) != getattr(fresh, key.field)
    ]


def _of_queue(settings: Settings, queue: str, merged: JobDefaults) -> Iterator[Line]:
    for name, key in JOB_KEYS.items():
        origin = settings.origins.of(f"queues.{queue}.{name}")
        if origin == DEFAULT and queue not in settings.queues:
            origin = settings.origins.of(f"queues.{spelled_as_variable(queue)}.{name}")
        if origin != DEFAULT:
            yield Line(
                f"queues.{queue}.{name}", _toml(key.field, getattr(merged, key.field)), origin
            )


def _toml(field: str, value: object) -> str | None:
    """A value as TOML that is read back as the same value."""
    match value:
        case None:
            return None if field == "app" else '"none"'
        case bool():
            return "true" if value else "false"
        case Keep(age_ms=None, count=0):
            return '"none"'
        case Keep(age_ms=age_ms, count=count):
            age = {} if age_ms is None else {"age": show_ms(age_ms)}
            return _inline(age | ({} if count is None else {"count": count}))
        case Rate(count=count, per_ms=per_ms):
            return dumps(f"{count}/{show_ms(per_ms)}")
        case Backoff():
            return _toml_of_backoff(value)
        case int() if field.endswith("_ms"):
            return dumps(show_ms(Ms(value)))
        case int() if field.endswith("_bytes"):
            return dumps(show_bytes_exactly(value))
        case StrEnum():
            return dumps(value.value)
        case _:
            # TOML reads JSON's strings, numbers and lists as they are.
            return dumps(value, ensure_ascii=False)


def _toml_of_backoff(value: Backoff) -> str:
    if isinstance(value, Calling):
        return dumps(f"a function: {getattr(value.choose, '__name__', value.choose)}")
    return _inline(to_settings(value))


def _toml_of_schedule(field: str, value: object) -> str | None:
    match value:
        case SkipMissed():
            return '"skip"'
        case FireOnce():
            return '"once"'
        case FireAll(max=most, within_ms=within_ms):
            return _inline({"kind": "all", "max": most, "within": show_ms(Ms(within_ms))})
        case bytes():
            return _inline_value(redact(msgspec.msgpack.decode(value)))
        case _:
            return _toml(field, value)


def _inline(table: Mapping[str, object]) -> str:
    said = (f"{_key(key)} = {_inline_value(value)}" for key, value in table.items())
    return "{ " + ", ".join(said) + " }" if table else "{}"


def _inline_value(value: object) -> str:
    match value:
        case dict():
            return _inline(value)
        case list():
            return f"[{', '.join(map(_inline_value, value))}]"
        case datetime():
            return value.isoformat()
        case _:
            return dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else dumps(key, ensure_ascii=False)
