"""The settings as they hold with what an application's code declares, and who said each of them."""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UNSET

from streamq.app import App
from streamq.schedule import Schedule
from streamq.settings import Origins, QueueSettings, ScheduleSettings, Settings
from streamq.settings.knobs import spelled_as_variable
from streamq.settings.reading import JOB_KEYS, SCHEDULE_KEYS

_DEFAULTS: Final = {field.name: field.default for field in msgspec.structs.fields(Schedule)}


def with_code(app: App, settings: Settings, source: str) -> Settings:
    """What the code says is from `source`, where nobody says otherwise; files win over it.

    Raises a ConfigError for settings that are for no queue of the app.
    """
    app.configure(settings)
    settings.check_queues(app.queue_names())
    own = app.settings
    origins = dict(settings.origins.by_key)
    if own.redis != settings.redis:
        origins["redis"] = own.origins.of("redis")
    if own.prefix != settings.prefix:
        origins["prefix"] = "App(prefix=...)"
    queues, schedules = dict(settings.queues), dict(settings.schedules)
    for name in app.queue_names():
        queues[name] = _queue(app, settings, name, source, origins)
    for name, schedule in app.schedules.declared.items():
        schedules[name] = _schedule(schedule, settings, source, origins)
    return msgspec.structs.replace(
        own, queues=queues, schedules=schedules, origins=Origins(origins)
    )


def _queue(
    app: App, settings: Settings, queue: str, source: str, origins: dict[str, str]
) -> QueueSettings:
    merged, declared = app.queue_settings(queue), app.declared_for(queue)
    said = {}
    for key, field in ((name, key.field) for name, key in JOB_KEYS.items()):
        here = f"queues.{queue}.{key}"
        # Of a queue that no file names, variables stand under the name as they spell it.
        by_variable = settings.origins.by_key.get(f"queues.{spelled_as_variable(queue)}.{key}")
        origin = settings.origins.by_key.get(here, by_variable)
        if origin is None and getattr(declared, field) is not UNSET:
            origin = source
        if origin is not None:
            origins[here], said[field] = origin, getattr(merged, field)
    return msgspec.structs.replace(QueueSettings(), **said)


def _schedule(
    schedule: Schedule, settings: Settings, source: str, origins: dict[str, str]
) -> ScheduleSettings:
    said = {}
    for key, value in _fields(schedule, settings):
        here = f"schedules.{schedule.name}.{key}"
        origins.setdefault(here, source)
        said[SCHEDULE_KEYS[key].field] = value
    return msgspec.structs.replace(ScheduleSettings(), **said)


def _fields(schedule: Schedule, settings: Settings) -> Iterator[tuple[str, object]]:
    """What is said of a schedule: by the code or by a file."""
    for key, field in ((name, key.field) for name, key in SCHEDULE_KEYS.items()):
        value = getattr(schedule, field)
        # Each schedule has a zone by now, were it only the application's.
        default = settings.timezone if key == "timezone" else _DEFAULTS[field]
        by_file = f"schedules.{schedule.name}.{key}" in settings.origins.by_key
        if value is not None and (by_file or value != default):
            yield key, value
