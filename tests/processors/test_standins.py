"""Servers of our own: up with one call, filled once, gone with whoever started them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from processors.database.url import parse_database_url
from processors.settings import load_settings
from processors.standins import postgres as postgres_module
from processors.standins.beside import stand_ins
from processors.standins.postgres import NoPostgres, PostgresServer
from processors.standins.s3 import NoS3, S3Server
from processors.standins.unprivileged import unprivileged
from tests.support.waiting import until

pytestmark = pytest.mark.slow

LIMIT_S = 30


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the server's user gets to: pytest's own are closed to others."""
    made = Path(tempfile.mkdtemp(prefix="beside-"))
    made.chmod(0o711)
    yield made
    _remove(made)


def _remove(folder: Path) -> None:
    """A server that is just ending may write once more."""

    def gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    until(gone, f"{folder} is removed", limit_s=LIMIT_S)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as somebody else")
def test_programs_below_a_closed_folder_are_run_from_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout in root's own folder: the server's user gets to no part of the environment."""
    wheel = postgres_module.programs().parent.parent
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(part, tmp_path / part.name, symlinks=True)
    tmp_path.chmod(0o700)
    closed = tmp_path / wheel.name / "pginstall" / "bin"
    monkeypatch.setattr(postgres_module, "programs", lambda: closed)

    with PostgresServer() as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_both_come_up_with_what_the_application_needs(folder: Path) -> None:
    with stand_ins(folder, environ={}) as stood:
        settings = load_settings(production=False, environ=stood.variables)
        assert settings.database is not None
        assert settings.storage is not None
        with psycopg.connect(settings.database.conninfo()) as connection:
            counted = connection.execute("SELECT count(*) FROM properties").fetchone()
        said = dict(stood.facts)

    assert counted == (50,)
    assert "small seed data (2 agencies, 50 properties)" in said["database"]


def test_the_data_of_before_is_kept(folder: Path) -> None:
    with (
        stand_ins(folder, environ={}) as stood,
        psycopg.connect(stood.variables["DATABASE_URL"]) as connection,
    ):
        connection.execute("UPDATE tenants SET name = 'Ours' WHERE id = '1'")

    with stand_ins(folder, environ={}) as stood:
        with psycopg.connect(stood.variables["DATABASE_URL"]) as connection:
            name = connection.execute("SELECT name FROM tenants WHERE id = '1'").fetchone()
        said = dict(stood.facts)

    assert name == ("Ours",)
    assert "data of before" in said["database"]


def test_what_the_environment_names_is_used_and_not_started(folder: Path) -> None:
    environ = {
        "DATABASE_URL": "postgresql://app:s3cr3t@127.0.0.1:1/imobibase",
        "S3_ENDPOINT_URL": "http://127.0.0.1:1",
    }
    with stand_ins(folder, environ=environ) as stood:
        assert stood.variables == {}
        assert "s3cr3t" not in str(stood.facts)
        assert not (folder / "postgres").exists()


def test_they_end_with_whoever_started_them_however_that_ends(folder: Path) -> None:
    script = (
        "import sys, pathlib, time\n"
        "from processors.standins.beside import stand_ins\n"
        f"with stand_ins(pathlib.Path({str(folder)!r}), environ={{}}) as stood:\n"
        "    said = stood.variables\n"
        "    print(said['DATABASE_URL'], said['S3_ENDPOINT_URL'], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        database, s3 = started.stdout.readline().split()
        assert not _away(database, s3)
        started.send_signal(signal.SIGKILL)

    until(lambda: _away(database, s3), "both servers have ended", limit_s=LIMIT_S)
    # Who was killed could not take the socket's folder away.
    _remove(Path(parse_database_url(database).host))


def _away(database: str, s3: str) -> bool:
    try:
        psycopg.connect(database).close()
    except psycopg.OperationalError:
        pass
    else:
        return False
    try:
        urllib.request.urlopen(s3, timeout=2).close()
    except OSError:
        return True
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only a root gives it to another user")
def test_a_roots_server_runs_as_a_user_who_may_nothing() -> None:
    with PostgresServer() as server:
        owner = unprivileged()
        assert owner is not None
        assert Path(f"/proc/{server.pid}").stat().st_uid == owner.uid


def test_a_data_folder_that_is_not_ours_is_not_used(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (folder / "postgres").symlink_to(elsewhere)

    with pytest.raises(NoPostgres, match="is not ours"), PostgresServer(folder / "postgres"):
        pass


def test_an_s3_that_does_not_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(NoS3, match="did not start"), S3Server():
        pass
