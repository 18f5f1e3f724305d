"""One dump of the database, read from pg_dump while two pg_restore check what went by."""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from psycopg.pq import Conninfo

from processors.backups.programs import Programs
from processors.backups.running import Running, running
from processors.database.pool import CONNECT_LIMIT_S
from processors.database.url import DatabaseServer
from streamq import Fail

Answer = TypeVar("Answer")

STALL_LIMIT_S: Final = 600.0
"""Without one byte of the dump, or without one taken by whoever reads it."""
LOCK_LIMIT: Final = "60s"
"""For pg_dump to wait for a table that is being altered."""
_SAID_CHARS_MAX: Final = 300
_OPTIONS: Final = ("--format=custom", "--no-password", f"--lock-wait-timeout={LOCK_LIMIT}")
_TABLE_DATA: Final = re.compile(r"\d+; \d+ \d+ TABLE DATA (.+) \S+")

# What pg_dump says where another attempt would hear the same, and what to do about it.
_FOR_GOOD: Final = {
    "permission denied": "grant the user of DATABASE_URL the role pg_read_all_data",
    "row-level security": "the user of DATABASE_URL must own the tables, or have BYPASSRLS",
    "server version mismatch": "set POSTGRES_PROGRAMS_DIR to the programs of the server's version",
    "when SSL support is not compiled in": (
        "this pg_dump knows no TLS: set POSTGRES_PROGRAMS_DIR to one that does"
    ),
}


class DumpFailed(Exception):
    """No whole dump came of it. It may go through later; nothing is kept of this one."""


class Dumped(msgspec.Struct, frozen=True):
    """What the list of the finished dump says."""

    tables: frozenset[str]
    """Those with data in it, as `schema name`."""
    warnings: str


class _Login(msgspec.Struct, frozen=True):
    """How pg_dump finds the database and gets in."""

    environ: Mapping[str, str]
    files: Sequence[int]
    """Open ones, which it inherits: what PGPASSFILE names."""


async def dump(
    server: DatabaseServer,
    programs: Programs,
    folder: Path,
    write: Callable[[bytes], Awaitable[None]],
) -> Dumped:
    """Gives the whole dump to `write`, chunk by chunk, and returns once it is known to be good.

    `pg_restore --list` must find its table of contents, and a second pg_restore reads and unpacks
    all of it to the last byte. The password is in a nameless file in `folder` for as long as this
    runs, and nowhere else. Raises DumpFailed (try again), Fail, and what `write` raises.
    """
    with _login(server, folder) as login:
        async with _programs(programs, login) as (dumper, lister, reader):
            tables = asyncio.create_task(_tables(lister))
            try:
                while chunk := await _within(dumper.read(), "pg_dump gave nothing"):
                    await _within(write(chunk), "nobody took the dump")
                    for each in (lister, reader):
                        await _within(each.feed(chunk), "pg_restore read nothing")
                _check(dumper, await _within(dumper.ended(), "pg_dump did not end"))
                for each in (lister, reader):
                    _check(each, await _within(each.ended(), "pg_restore did not end"))
                return Dumped(await tables, dumper.said)
            finally:
                tables.cancel()


@asynccontextmanager
async def _programs(
    programs: Programs, login: _Login
) -> AsyncIterator[tuple[Running, Running, Running]]:
    try:
        async with (
            running([programs.pg_dump, *_OPTIONS], login.environ, files=login.files) as dumper,
            running([programs.pg_restore, "--list"], {}, fed=True) as lister,
            running([programs.pg_restore, f"--file={os.devnull}"], {}, fed=True) as reader,
        ):
            yield dumper, lister, reader
    except TimeoutError as error:
        raise DumpFailed(str(error)) from error
    except OSError as error:
        raise DumpFailed(f"{programs.pg_dump.parent}: {error.strerror or error}") from error


async def _tables(lister: Running) -> frozenset[str]:
    found = set[str]()
    async for line in lister.lines():
        if match := _TABLE_DATA.fullmatch(line):
            found.add(match[1])
    return frozenset(found)


async def _within(step: Awaitable[Answer], stalled: str) -> Answer:
    try:
        async with asyncio.timeout(STALL_LIMIT_S):
            return await step
    except TimeoutError:
        raise TimeoutError(f"{stalled} for {STALL_LIMIT_S:g} s") from None


def _check(program: Running, code: int) -> None:
    if code == 0:
        return
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    said = program.said[-_SAID_CHARS_MAX:] or "it said nothing"
    for words, remedy in _FOR_GOOD.items():
        if words in program.said:
            raise Fail(f"{program.name} {how}: {said}. {remedy[0].upper()}{remedy[1:]}")
    raise DumpFailed(f"{program.name} {how}: {said}")


@contextmanager
def _login(server: DatabaseServer, folder: Path) -> Iterator[_Login]:
    names = {
        option.keyword.decode(): option.envvar.decode()
        for option in Conninfo.get_defaults()
        if option.envvar is not None
    }
    said = {"connect_timeout": str(CONNECT_LIMIT_S), "application_name": "streamq backup"}
    said |= {name: value for name, value in server.options.items() if name in names}
    said |= {"host": server.host, "port": server.port, "dbname": server.name, "user": server.user}
    environ = {names[name]: value for name, value in said.items()}
    if server.password is None:
        yield _Login(environ, ())
        return
    # Of mode 0600 and without a name: a worker that is killed leaves no password on the disk.
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(_password_line(server.password))
        file.seek(0)
        yield _Login(environ | {"PGPASSFILE": f"/dev/fd/{file.fileno()}"}, (file.fileno(),))


def _password_line(password: str) -> bytes:
    if "\n" in password or "\r" in password:
        raise Fail("the password of DATABASE_URL holds a line break, which pg_dump cannot be given")
    escaped = password.replace("\\", r"\\").replace(":", r"\:")
    return f"*:*:*:*:{escaped}\n".encode()
