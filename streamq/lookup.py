"""Finds what was said for a setting, in files and variables, with nothing but the standard library.

`streamq health` runs every few seconds and asks this file alone; `streamq.settings` builds on it.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from streamq.errors import InvalidSetting, UnreadableSettings

FILE_NAME: Final = "streamq.toml"
DEV_URL_FILE: Final = ".streamq/redis.url"
"""Where `streamq dev` writes how its server is reached."""

REDIS_DEFAULT: Final = "redis://localhost:6379"
DEFAULT: Final = "default"
"""The origin of what nobody said."""

VARIABLE: Final = "STREAMQ_"

PLAIN_NAMES: Final[Mapping[str, str]] = {
    "REDIS_URL": "redis",
    "REDIS_TLS": "redis_tls",
    "STREAMQ_REDIS_URL": "redis",
    "LOG_FORMAT": "log_format",
    "LOG_DIR": "log_dir",
    "SENTRY_DSN": "sentry_dsn",
    "SENTRY_TRACES_SAMPLE_RATE": "sentry_traces",
}
"""Setting by variable, for names other than `STREAMQ_<SETTING>`; weakest first, and weaker than it.

An application may keep its cache in REDIS_URL and its jobs elsewhere.
"""

_FILE_BYTES_MAX: Final = 1 << 20
_SECRET_BYTES_MAX: Final = 64 << 10
_FOLDERS_MAX: Final = 64
_REDIS_URL: Final = re.compile(
    r"rediss?://([^@/\s]*@)?(\[[0-9a-fA-F:.]+\]|[^:@/\s\[\]]+)(:[1-9]\d{0,4})?(/\d{0,4})?(\?\S*)?"
    r"|unix://([^@/\s]*@)?/\S+"
    r"|redis\+(sentinel|cluster)://\S+"
)
_YES: Final = ("true", "1", "yes", "on")
_NO: Final = ("false", "0", "no", "off")

T = TypeVar("T")


class Said(NamedTuple):
    """A value and who said it: a file, the name of a variable, or an option."""

    value: object
    origin: str


class RedisPlace(NamedTuple):
    """Where Redis is, and what says so; `url` may hold a password."""

    url: str
    origin: str


def redis_places(
    option: str | None, environ: Mapping[str, str], start: Path, config_path: Path | None = None
) -> list[RedisPlace]:
    """Where Redis is to be looked for: the first one that answers is meant.

    One place if an option, a variable or a file names it; else the server of `streamq dev` in
    `start` or above, if it left its address, and then `redis://localhost:6379`. Raises
    `InvalidSetting`.
    """
    said = Said(option, "--redis") if option else None
    said = said or look_up("redis", environ, start, config_path, secret=True)
    tls = look_up("redis_tls", environ, start, config_path)
    wants_tls = tls is not None and _checked("redis_tls", tls, flag)
    url = REDIS_DEFAULT if said is None else _checked("redis", said, redis_url)
    named = RedisPlace(with_tls(url) if wants_tls else url, said.origin if said else DEFAULT)
    left = dev_redis(start) if said is None else None
    return [left, named] if left else [named]


def dev_redis(start: Path) -> RedisPlace | None:
    """The server of `streamq dev` in `start` or above it; it may run no more."""
    for folder in _upwards(start):
        path = folder / DEV_URL_FILE
        if path.is_file():
            url = _read(path, _SECRET_BYTES_MAX).strip()
            return RedisPlace(_checked("redis", Said(url, str(path)), redis_url), str(path))
    return None


def look_up(
    setting: str,
    environ: Mapping[str, str],
    start: Path,
    config_path: Path | None = None,
    *,
    secret: bool = False,
) -> Said | None:
    """What was said for a setting at the top of a file; None if nobody said anything.

    Not checked.
    """
    plain = [name for name, meant in PLAIN_NAMES.items() if meant == setting]
    for name in (VARIABLE + setting.upper(), *reversed(plain)):
        said = from_variable(environ, name, secret=secret)
        if said is not None:
            return said
    for path in (config_path, nearest_file(start)):
        table = own_table(path) if path else None
        if table and setting in table:
            return Said(table[setting], str(path))
    return None


def from_variable(environ: Mapping[str, str], name: str, *, secret: bool = False) -> Said | None:
    """What a variable says, or for a secret the file named by `<name>_FILE`; empty says nothing."""
    if value := environ.get(name):
        if secret and environ.get(f"{name}_FILE"):
            raise InvalidSetting(name, "***", name, f"{name}_FILE is set too: unset one.")
        return Said(value, name)
    path = environ.get(f"{name}_FILE") if secret else None
    if not path:
        return None
    text = _read(Path(path), _SECRET_BYTES_MAX, f" (from {name}_FILE)").strip()
    return Said(text, f"{name}_FILE") if text else None


def read_secret(environ: Mapping[str, str], name: str) -> str | None:
    """A secret from the variable `name`, or from the file named by `<name>_FILE`; None if neither.

    Raises `InvalidSetting` if both are set, `UnreadableSettings` if the file cannot be read.
    """
    said = from_variable(environ, name, secret=True)
    return None if said is None else str(said.value)


def nearest_file(start: Path) -> Path | None:
    """`streamq.toml`, else a pyproject.toml with `[tool.streamq]`, in `start` or nearest above."""
    for folder in _upwards(start):
        for path in (folder / FILE_NAME, folder / "pyproject.toml"):
            if path.is_file() and own_table(path) is not None:
                return path
    return None


def own_table(path: Path) -> Mapping[str, object] | None:
    """Our table in a TOML file: all of it; in a pyproject.toml `[tool.streamq]`, None if absent."""
    try:
        table: Mapping[str, object] = tomllib.loads(_read(path, _FILE_BYTES_MAX))
    except tomllib.TOMLDecodeError as error:
        raise UnreadableSettings(str(path), f"{error}.") from error
    if path.name != "pyproject.toml":
        return table
    tool = table.get("tool")
    own = tool.get("streamq") if isinstance(tool, Mapping) else None
    return own if isinstance(own, Mapping) else None


def redis_url(value: object) -> str:
    """The value, if it has the shape of a URL of Redis; else `ValueError`."""
    if not isinstance(value, str) or not _REDIS_URL.fullmatch(value):
        raise ValueError(
            "give redis://:password@host:port/db, rediss://... or unix:///path/to/socket,"
            " a password percent-encoded."
        )
    return value


def with_tls(url: str) -> str:
    """`redis://` made `rediss://`; all else as it is."""
    return re.sub(r"^redis://", "rediss://", url)


def masked_url(url: str) -> str:
    """A URL, or what was meant as one, without its password: for people and logs."""
    # Up to the last @: a password may hold one itself. A name alone is masked too: it is often a
    # password in the wrong place.
    masked = re.sub(r"//(?:([^/@:]*):)?.*@", lambda match: _masked_user(match[1]), url, count=1)
    if masked == url and "@" in url:
        masked = "***@" + url.rpartition("@")[2]
    return re.sub(r"([?&]password=)[^&]*", r"\1***", masked)


def _masked_user(user: str | None) -> str:
    return "//***@" if user is None else f"//{user}:***@"


def flag(value: object) -> bool:
    """A truth value as TOML or a variable writes it; else `ValueError`."""
    if isinstance(value, bool):
        return value
    word = value.casefold() if isinstance(value, str) else ""
    if word not in _YES + _NO:
        raise ValueError("give true or false.")
    return word in _YES


def _checked(setting: str, said: Said, read: Callable[[object], T]) -> T:
    try:
        return read(said.value)
    except ValueError as error:
        raise InvalidSetting(
            setting, masked_url(str(said.value)), said.origin, str(error)
        ) from None


def _upwards(start: Path) -> list[Path]:
    return [start, *start.parents][:_FOLDERS_MAX]


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
