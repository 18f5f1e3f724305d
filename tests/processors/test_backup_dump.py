"""pg_dump and its troubles: which one is run, what it is given, and what becomes of a bad dump."""

import asyncio
import contextlib
import hashlib
import shlex
import stat
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from processors.backups import dump as dumps
from processors.backups.dump import DumpFailed, dump
from processors.backups.programs import Programs, programs_for
from processors.database import Database, DatabaseServer
from processors.database.url import parse_database_url
from processors.standins.postgres import PostgresServer, programs
from streamq import Fail

WHEEL = Programs(programs() / "pg_dump", programs() / "pg_restore")
MAJOR = 18
VERSION = MAJOR * 10_000 + 3

Scripted = Callable[[str], Programs]


class Kept:
    """Where a dump goes to."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.size = 0

    async def write(self, chunk: bytes) -> None:
        self.sha256.update(chunk)
        self.size += len(chunk)


@pytest.fixture
async def filled(database: Database) -> DatabaseServer:
    """Enough rows for a dump that does not fit into pipes."""
    async with database.transaction() as work:
        await work.run("CREATE TABLE heap AS SELECT md5(n::text) FROM generate_series(1, 40000) n")
    return database.server


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    """A folder of programs whose pg_dump is a script; `$real "$@"` in it is the wheel's."""

    def make(script: str) -> Programs:
        folder = tmp_path / "programs"
        folder.mkdir()
        path = folder / "pg_dump"
        path.write_text(f"#!/bin/sh\nreal={shlex.quote(str(WHEEL.pg_dump))}\n{script}\n")
        path.chmod(0o755)
        (folder / "pg_restore").symlink_to(WHEEL.pg_restore)
        return Programs(path, WHEEL.pg_restore)

    return make


def left_over() -> list[str]:
    """Programs of dumps that still run."""
    ours = {"pg_dump", "pg_restore", "sh", "head", "sleep"}
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a server of the tests has such, too
            found.append(child.name())
    return [name for name in found if name in ours]


async def test_a_dump_lists_all_tables_and_warns_of_nothing(
    filled: DatabaseServer, tmp_path: Path
) -> None:
    kept = Kept()

    dumped = await dump(filled, WHEEL, tmp_path, kept.write)

    assert {"public heap", "public backups", "public streamq_schema"} <= dumped.tables
    assert dumped.warnings == ""
    assert kept.size > 600_000


async def test_no_password_is_in_the_words_the_environment_or_a_file_that_stays(
    postgres: PostgresServer, filled: DatabaseServer, scripted: Scripted, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    spy = scripted(
        f"cat /proc/$$/cmdline > {seen}.words; cat /proc/$$/environ > {seen}\n"
        f"stat -L -c %a $PGPASSFILE > {seen}.mode; ls -A {tmp_path / 'job'} > {seen}.files\n"
        f'cat $PGPASSFILE > {seen}.pass; exec "$real" "$@"'
    )
    server = parse_database_url(postgres.tcp_url_of(filled.name))
    folder = tmp_path / "job"
    folder.mkdir()

    await dump(server, spy, folder, Kept().write)

    words, told = (tmp_path / "seen.words").read_text(), seen.read_text()
    assert "--format=custom" in words
    assert f"PGDATABASE={filled.name}" in told
    assert filled.name not in words, "a name could be taken for an option or a whole URL"
    assert postgres.password not in words + told
    assert "AWS_" not in told, "the environment is ours"
    assert (tmp_path / "seen.mode").read_text() == "600\n"
    assert postgres.password in (tmp_path / "seen.pass").read_text()
    assert (tmp_path / "seen.files").read_text() == "", "a killed worker would leave it"


async def test_a_password_may_hold_any_sign_but_a_line_break(
    postgres: PostgresServer, filled: DatabaseServer, tmp_path: Path
) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(r"CREATE ROLE odd SUPERUSER LOGIN PASSWORD 'a:b\c ''d'")
    try:
        for password, taken in (("a%3Ab%5Cc%20%27d", True), ("a%0Ab", False)):
            url = f"postgresql://odd:{password}@127.0.0.1:{postgres.port}/{filled.name}"
            made = dump(parse_database_url(url), WHEEL, tmp_path, Kept().write)
            if taken:
                assert (await made).tables
            else:
                with pytest.raises(Fail, match="line break"):
                    await made
    finally:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("DROP ROLE odd")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 1", "pg_dump ended with exit code 1: it said nothing"),
        ("echo 'no space left' >&2; exit 1", "exit code 1: no space left"),
        ('"$real" "$@" | head -c 200000; kill -9 $$', "pg_dump was ended by signal 9"),
        ('"$real" "$@" | head -c 200000', "pg_restore ended with exit code 1"),
        (":", "pg_restore ended with exit code 1"),
    ],
    ids=["exits", "says why", "killed half-way", "ends half-way", "writes nothing"],
)
async def test_what_is_no_whole_dump_is_tried_again(
    filled: DatabaseServer, scripted: Scripted, tmp_path: Path, script: str, says: str
) -> None:
    with pytest.raises(DumpFailed, match=says):
        await dump(filled, scripted(script), tmp_path, Kept().write)

    assert left_over() == []


async def test_a_dump_that_was_damaged_on_its_way_is_noticed(
    filled: DatabaseServer, scripted: Scripted, tmp_path: Path
) -> None:
    # Far behind the list of its contents, which stays whole.
    damaged = scripted('"$real" "$@" | { head -c 500000; head -c 9 >&2; cat; }')

    with pytest.raises(DumpFailed, match="pg_restore ended with exit code"):
        await dump(filled, damaged, tmp_path, Kept().write)


async def test_warnings_are_told_and_fail_nothing(
    filled: DatabaseServer, scripted: Scripted, tmp_path: Path
) -> None:
    warns = scripted('echo "pg_dump: warning: circular foreign keys" >&2; exec "$real" "$@"')

    dumped = await dump(filled, warns, tmp_path, Kept().write)

    assert dumped.warnings == "pg_dump: warning: circular foreign keys"


async def test_one_that_gives_nothing_any_more_is_ended(
    filled: DatabaseServer, scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dumps, "STALL_LIMIT_S", 0.3)

    with pytest.raises(DumpFailed, match=r"pg_dump gave nothing for 0\.3 s"):
        await dump(filled, scripted("exec sleep 60"), tmp_path, Kept().write)

    assert left_over() == []


async def test_a_cancelled_dump_leaves_no_program(
    postgres: PostgresServer, filled: DatabaseServer, tmp_path: Path
) -> None:
    begun = asyncio.Event()

    async def write(chunk: bytes) -> None:
        begun.set()
        await asyncio.Event().wait()

    server = parse_database_url(postgres.tcp_url_of(filled.name))
    running = asyncio.create_task(dump(server, WHEEL, tmp_path, write))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert left_over() == []


async def test_what_another_attempt_would_hear_again_fails_with_what_to_do(
    postgres: PostgresServer, filled: DatabaseServer, tmp_path: Path
) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'reads'")
    url = f"postgresql://reader:reads@127.0.0.1:{postgres.port}/{filled.name}"
    try:
        with pytest.raises(Fail, match="Grant the user of DATABASE_URL the role pg_read_all_data"):
            await dump(parse_database_url(url), WHEEL, tmp_path, Kept().write)
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("GRANT pg_read_all_data TO reader")
        with pytest.raises(Fail, match="must own the tables, or have BYPASSRLS"):
            await dump(parse_database_url(url), WHEEL, tmp_path, Kept().write)
    finally:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("DROP ROLE reader")
    with pytest.raises(Fail, match="This pg_dump knows no TLS"):
        tls = parse_database_url(f"{url}?sslmode=verify-full")
        await dump(tls, WHEEL, tmp_path, Kept().write)


async def test_the_programs_are_those_of_the_servers_version(scripted: Scripted) -> None:
    found = await programs_for(VERSION, None)
    assert found == WHEEL

    older = scripted('echo "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"')
    with pytest.raises(Fail) as error:
        await programs_for(VERSION, older.pg_dump.parent)
    assert str(error.value) == (
        "the server is PostgreSQL 18, and a backup needs pg_dump and pg_restore of that very"
        f" version: there is 15 in {older.pg_dump.parent}. Install postgresql-client-18, or set"
        " POSTGRES_PROGRAMS_DIR to the folder that holds them"
    )


async def test_without_any_program_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(Fail, match="that very version: there is none"):
        await programs_for(VERSION, tmp_path)

    path = tmp_path / "pg_dump"
    path.write_text("not a program")
    assert not path.stat().st_mode & stat.S_IXUSR
    with pytest.raises(Fail, match="there is none"):
        await programs_for(VERSION, tmp_path)
