"""What was said for all settings: in files, in variables, on the command line."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from streamq.errors import InvalidSetting, UnknownSetting
from streamq.lookup import PLAIN_NAMES, VARIABLE, from_variable, own_table
from streamq.settings.reading import JOB_KEYS, SCHEDULE_KEYS, TABLE_KEYS, TOP_KEYS, Key

# For the tests and for child processes: never settings.
_NOT_SETTINGS = ("STREAMQ_TEST_", "STREAMQ_CHILD_")

_OF_NAMES = ("queues", "schedules")
"""Tables that hold a table of settings for each name."""
_TABLES = ((), ("defaults",), *((name,) for name in TABLE_KEYS))
"""A whole file, and the tables in it that hold settings themselves."""


class Found(msgspec.Struct, frozen=True):
    """One value that somebody wrote: `path` is as `("queues", "email", "concurrency")`."""

    path: tuple[str, ...]
    value: object
    origin: str


def from_file(path: Path) -> Iterator[Found]:
    """The values of a settings file; of a pyproject.toml, those of its `[tool.streamq]`."""
    return _below((), own_table(path) or {}, str(path))


def from_overrides(overrides: Mapping[str, object]) -> Iterator[Found]:
    """The values of the command line, by dotted key (`queues.email.concurrency`)."""
    for key, value in overrides.items():
        section, _, rest = key.partition(".")
        # A queue's name may hold dots, a setting's cannot.
        path = (section, *rest.rsplit(".", 1)) if section == "queues" else tuple(key.split("."))
        option = "--queue" if section == "queues" else "--" + path[-1].replace("_", "-")
        yield from _below(path, value, option)


def from_environ(environ: Mapping[str, str]) -> Iterator[Found]:
    """The values of `STREAMQ_*` and of the plain names, weakest first; an empty one says nothing.

    A queue's name stands as its variable spells it. A secret may come by `<NAME>_FILE`.
    """
    paths = {name: (setting,) for name, setting in PLAIN_NAMES.items()} | _own_variables(environ)
    for name, path in paths.items():
        if path[0] == "schedules":
            why = "a schedule stands in a file, as [schedules.<name>]."
            raise InvalidSetting(".".join(path), environ[name], name, why)
        key = key_at(path)
        if key is None:
            raise _unknown(path, name)
        said = from_variable(environ, name, secret=key.secret)
        if said is not None:
            yield Found(path, said.value, said.origin)


def key_at(path: tuple[str, ...]) -> Key | None:
    """What stands at a path, if a setting does."""
    match path:
        case (name,):
            return TOP_KEYS.get(name)
        case (table, name) if table in TABLE_KEYS:
            return TABLE_KEYS[table].get(name)
        case ("defaults", name) | ("queues", _, name):
            return JOB_KEYS.get(name)
        case ("schedules", _, name):
            return SCHEDULE_KEYS.get(name)
        case _:
            return None


def _own_variables(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Path by name of the variables with our prefix; a secret's `<NAME>_FILE` is `<NAME>` here."""
    found = {}
    for name in sorted(environ):
        if not name.startswith(VARIABLE) or name.startswith(_NOT_SETTINGS) or not environ[name]:
            continue
        plain = name.removesuffix("_FILE")
        if plain in PLAIN_NAMES:
            continue
        key = key_at(_path_of(plain))
        if key is not None and key.secret:
            name = plain
        found[name] = _path_of(name)
    return found


def _path_of(name: str) -> tuple[str, ...]:
    parts = name.removeprefix(VARIABLE).split("__")
    path = [part.lower() for part in parts]
    if path[0] == "queues" and len(parts) > 1:
        path[1] = parts[1].upper()
    return tuple(path)


def _below(path: tuple[str, ...], value: object, origin: str) -> Iterator[Found]:
    """The settings in a value: itself, or those of the table that it is."""
    if key_at(path):
        yield Found(path, value, origin)
    elif path in _TABLES or (path[0] in _OF_NAMES and len(path) <= 2):
        if not isinstance(value, Mapping):
            raise InvalidSetting(".".join(path), value, origin, "it is a table of settings.")
        for name, inner in value.items():
            yield from _below((*path, name), inner, origin)
    else:
        raise _unknown(path, origin)


def _unknown(path: tuple[str, ...], origin: str) -> UnknownSetting:
    known = {
        "defaults": [*JOB_KEYS],
        "queues": [*JOB_KEYS],
        "schedules": [*SCHEDULE_KEYS],
        **{table: [*keys] for table, keys in TABLE_KEYS.items()},
    }.get(path[0], [*TOP_KEYS, "defaults", "queues", "schedules", *TABLE_KEYS])
    return UnknownSetting(path[-1], origin, known, table=".".join(path[:-1]))
