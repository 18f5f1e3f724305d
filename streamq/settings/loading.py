"""Merges what the sources say into one checked `Settings`."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from streamq.errors import NAME_SETS, InvalidInput, InvalidSetting
from streamq.lookup import masked_url, nearest_file, with_tls
from streamq.settings.knobs import (
    JobDefaults,
    QueueSettings,
    ScheduleSettings,
    Settings,
    spelled_as_variable,
)
from streamq.settings.origins import Origins
from streamq.settings.reading import TABLE_KEYS
from streamq.settings.sources import (
    Found,
    from_environ,
    from_file,
    from_overrides,
    key_at,
)

_NO_OVERRIDES: Final[Mapping[str, object]] = MappingProxyType({})


def load_settings(
    config_path: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] = _NO_OVERRIDES,
    start: Path | None = None,
) -> Settings:
    """The settings of this process: a function of its arguments and of the files they lead to.

    Weakest first: defaults, the nearest `streamq.toml` or `[tool.streamq]` from `start` (the
    current folder) upwards, the file `config_path`, `environ` (the process's own), `overrides` by
    dotted key. Raises a `ConfigError` that names the key, the value and who wrote it.
    """
    nearest = nearest_file(Path.cwd() if start is None else start)
    files = [path for path in (nearest, config_path and Path(config_path)) if path]
    variables = list(from_environ(os.environ if environ is None else environ))
    by_variable = [found for found in variables if found.path[0] == "queues"]
    written = list(chain.from_iterable(map(from_file, files)))
    given = list(from_overrides(overrides))
    names = {found.path[1] for found in (*written, *given) if found.path[0] == "queues"}

    layers = (
        written,
        (found for found in variables if found.path[0] != "queues"),
        _for_names(by_variable, names),
        given,
    )
    return _built({found.path: found for found in chain.from_iterable(layers)}, by_variable)


def _for_names(by_variable: Iterable[Found], names: Iterable[str]) -> Iterator[Found]:
    """What variables say, for each named queue that their spelling matches."""
    by_spelling: dict[str, list[str]] = {}
    for name in sorted(names):
        by_spelling.setdefault(spelled_as_variable(name), []).append(name)
    for found in by_variable:
        section, spelling, key = found.path
        for name in by_spelling.get(spelling, ()):
            yield Found((section, name, key), found.value, found.origin)


def _built(said: Mapping[tuple[str, ...], Found], by_variable: Iterable[Found]) -> Settings:
    top: dict[str, object] = {}
    defaults: dict[str, object] = {}
    queues: dict[str, dict[str, object]] = {}
    spelled: dict[str, dict[str, object]] = {}
    schedules: dict[str, dict[str, object]] = {}
    origins: dict[str, str] = {}
    for found in chain(said.values(), by_variable):
        origins[".".join(found.path)] = found.origin
        if len(found.path) == 1 or found.path[0] in TABLE_KEYS:
            top |= _field(found)
        elif found.path[0] == "defaults":
            defaults |= _field(found)
        elif found.path[0] == "schedules":
            schedules.setdefault(_checked_name(found), {}).update(_field(found))
        else:
            named = queues if found.path in said else spelled
            named.setdefault(_checked_name(found), {}).update(_field(found))
    settings = msgspec.structs.replace(
        Settings(origins=Origins(origins)),
        defaults=msgspec.structs.replace(JobDefaults(), **defaults),
        queues={name: _layer(fields) for name, fields in queues.items()},
        queues_by_variable={name: _layer(fields) for name, fields in spelled.items()},
        schedules={
            name: msgspec.structs.replace(ScheduleSettings(), **fields)
            for name, fields in schedules.items()
        },
        **top,
    )
    if settings.redis_tls:
        return msgspec.structs.replace(settings, redis=with_tls(settings.redis))
    return settings


def _layer(fields: Mapping[str, object]) -> QueueSettings:
    return msgspec.structs.replace(QueueSettings(), **fields)


def _field(found: Found) -> dict[str, object]:
    """A field's name and its value, read and checked."""
    key = key_at(found.path)
    assert key is not None, f"{found.path} was let in without being a setting"
    try:
        return {key.field: key.read(found.value)}
    except ValueError as error:
        why = error.cure if isinstance(error, InvalidInput) else str(error)
        shown = masked_url(str(found.value)) if key.secret else found.value
        raise InvalidSetting(".".join(found.path), shown, found.origin, why) from None


def _checked_name(found: Found) -> str:
    """Of the queue or the schedule."""
    table, name = found.path[:2]
    what = table.removesuffix("s")
    if not re.fullmatch(NAME_SETS[what], name):
        why = f"a {what}'s name must match {NAME_SETS[what]}"
        raise InvalidSetting(f"{table}.{name}", name, found.origin, why)
    return name
