"""Where settings are said: files, variables, the command line. Hands on single values with their origin."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from streamq.errors import InvalidSetting, UnknownSetting, UnreadableSettings
from streamq.settings.reading import JOB_KEYS, TOP_KEYS, Key

FILE_NAME: Final = "streamq.toml"
_FILE_BYTES_MAX: Final = 1 << 20
_SECRET_BYTES_MAX: Final = 64 << 10
_FOLDERS_MAX: Final = 64

# Names without our prefix, weakest first, all weaker than STREAMQ_REDIS: an application may keep its
# cache in REDIS_URL and its jobs elsewhere.
_PLAIN_NAMES: Final[Mapping[str, str]] = {
    "REDIS_URL": "redis",
    "REDIS_TLS": "redis_tls",
    "STREAMQ_REDIS_URL": "redis",
}
# For the tests and for child processes: never settings.
_NOT_SETTINGS: Final = ("STREAMQ_TEST_", "STREAMQ_CHILD_")


class Found(msgspec.Struct, frozen=True):
    """One value that somebody wrote: `path` is as `("queues", "email", "concurrency")`."""

    path: tuple[str, ...]
    value: object
    origin: str


def nearest_file(start: Path) -> Path | None:
    """`streamq.toml`, else a pyproject.toml with `[tool.streamq]`, in `start` or the nearest folder above."""
    for folder in [start, *start.parents][:_FOLDERS_MAX]:
        for path in (folder / FILE_NAME, folder / "pyproject.toml"):
            if path.is_file() and _own_table(path) is not None:
                return path
    return None


def from_file(path: Path) -> Iterator[Found]:
    """The values of a settings file; of a pyproject.toml, those of its `[tool.streamq]`."""
    return _below((), _own_table(path) or {}, str(path))


def from_overrides(overrides: Mapping[str, object]) -> Iterator[Found]:
    """The values of the command line, by dotted key (`queues.email.concurrency`)."""
    for key, value in overrides.items():
        section, _, rest = key.partition(".")
        # A queue's name may hold dots, a setting's cannot.
        path = (section, *rest.rsplit(".", 1)) if section == "queues" else tuple(key.split("."))
        option = "--queue" if section == "queues" else "--" + path[-1].replace("_", "-")
        yield from _below(path, value, option)


def from_environ(environ: Mapping[str, str]) -> Iterator[Found]:
    """The values of `STREAMQ_*` and of the plain names, weakest first; an empty variable is an unset one.

    A queue's name stands as its variable spells it. A secret may come by `<NAME>_FILE`.
    """
    for name, path in {**_PLAIN_PATHS, **_own_variables(environ)}.items():
        key = key_at(path)
        if key is None:
            raise _unknown(path, name)
        origin = f"{name}_FILE" if key.secret and not environ.get(name) else name
        value = read_secret(environ, name) if key.secret else environ.get(name)
        if value:
            yield Found(path, value, origin)


def read_secret(environ: Mapping[str, str], name: str) -> str | None:
    """A secret from the variable `name`, or from the file that `<name>_FILE` names; None if neither is set.

    Raises `InvalidSetting` if both are set, `UnreadableSettings` if the file cannot be read.
    """
    value, path = environ.get(name), environ.get(f"{name}_FILE")
    if not path:
        return value or None
    if value:
        raise InvalidSetting(f"{name}_FILE", path, "environment", f"{name} is set too: unset one.")
    return _read(Path(path), _SECRET_BYTES_MAX, f" (from {name}_FILE)").strip() or None


def key_at(path: tuple[str, ...]) -> Key | None:
    """What stands at a path, if a setting does."""
    match path:
        case (name,):
            return TOP_KEYS.get(name)
        case ("defaults", name) | ("queues", _, name):
            return JOB_KEYS.get(name)
        case _:
            return None


_PLAIN_PATHS: Final = {name: (setting,) for name, setting in _PLAIN_NAMES.items()}


def _own_variables(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Path by name, of the variables that begin with our prefix; of `<NAME>_FILE`, the secret's name."""
    found = {}
    for name in sorted(environ):
        if not name.startswith("STREAMQ_") or name.startswith(_NOT_SETTINGS) or not environ[name]:
            continue
        key = key_at(_path_of(plain := name.removesuffix("_FILE")))
        name = plain if plain in _PLAIN_NAMES or (key and key.secret) else name
        if name not in _PLAIN_NAMES:
            found[name] = _path_of(name)
    return found


def _path_of(name: str) -> tuple[str, ...]:
    parts = name.removeprefix("STREAMQ_").split("__")
    path = [part.lower() for part in parts]
    if path[0] == "queues" and len(parts) > 1:
        path[1] = parts[1].upper()
    return tuple(path)


def _below(path: tuple[str, ...], value: object, origin: str) -> Iterator[Found]:
    """The settings in a value: itself, or those of the table that it is."""
    if key_at(path):
        yield Found(path, value, origin)
    elif path in ((), ("defaults",), ("queues",)) or (path[0] == "queues" and len(path) == 2):
        if not isinstance(value, Mapping):
            raise InvalidSetting(".".join(path), value, origin, "it is a table of settings.")
        for name, inner in value.items():
            yield from _below((*path, name), inner, origin)
    else:
        raise _unknown(path, origin)


def _unknown(path: tuple[str, ...], origin: str) -> UnknownSetting:
    known = (
        [*TOP_KEYS, "defaults", "queues"] if path[0] not in ("defaults", "queues") else [*JOB_KEYS]
    )
    return UnknownSetting(path[-1], origin, known, table=".".join(path[:-1]))


def _own_table(path: Path) -> Mapping[str, object] | None:
    """The table of ours in a TOML file: all of it, or `[tool.streamq]` of a pyproject.toml (None: it has none)."""
    try:
        table: Mapping[str, object] = tomllib.loads(_read(path, _FILE_BYTES_MAX))
    except tomllib.TOMLDecodeError as error:
        raise UnreadableSettings(str(path), str(error)) from error
    if path.name != "pyproject.toml":
        return table
    tool = table.get("tool")
    own = tool.get("streamq") if isinstance(tool, Mapping) else None
    return own if isinstance(own, Mapping) else None


def _read(path: Path, bytes_max: int, origin: str = "") -> str:
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
        if len(content) > bytes_max:
            raise UnreadableSettings(f"{path}{origin}", f"it is larger than {bytes_max} bytes.")
        return content.decode()
    except UnicodeDecodeError as error:
        raise UnreadableSettings(f"{path}{origin}", "it is not UTF-8 text.") from error
    except OSError as error:
        raise UnreadableSettings(f"{path}{origin}", f"{error.strerror}.") from error
