"""One embedded server: started, asked by a bare socket, stopped with its data flushed."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self
from urllib.parse import quote

import msgspec

from streamq.embedded import wire
from streamq.embedded.binary import ServerBinary, find_server
from streamq.embedded.errors import EmbeddedServerError

SOCKET_PATH_BYTES_MAX: Final = 100
"""The kernel takes 103 bytes on macOS and 107 on Linux; a longer path becomes a TCP port."""

START_LIMIT_S: Final = 30.0
"""Until PONG. Reading a large append-only file takes the time."""
STOP_LIMIT_S: Final = 10.0
"""From SIGTERM to SIGKILL."""
HELD_LIMIT_S: Final = 5.0
"""How long a start waits for another server on the same data, which may be stopping."""

_GUARD_MARGIN_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.01
_PORTS_MAX: Final = 5
_LOG_TAIL_LINES: Final = 20
_LOG_TAIL_BYTES: Final = 4_096
_LOOPBACK: Final = "127.0.0.1"
_NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})


class _Started(msgspec.Struct, frozen=True):
    guard: "subprocess.Popen[bytes]"
    address: wire.Address
    about: wire.About


class EmbeddedServer:
    """A server that lives no longer than this process, however this process dies.

    `start` and `stop` block (a start takes about 0.2 s) and are for one thread at a time, any
    thread: from a coroutine, use `asyncio.to_thread`. What `directory` holds is kept; two servers
    on one directory are refused. `options` are further lines of the server's configuration.
    """

    def __init__(
        self,
        directory: Path | str = Path(".streamq/redis"),
        *,
        binary: ServerBinary | None = None,
        append_only: bool = True,
        tcp: bool = False,
        options: Mapping[str, str] = _NO_OPTIONS,
        start_limit_s: float = START_LIMIT_S,
        stop_limit_s: float = STOP_LIMIT_S,
    ) -> None:
        self.directory = Path(directory).absolute()
        self._binary = binary
        self._append_only = append_only
        self._tcp = tcp
        self._options = dict(options)
        self._start_limit_s = start_limit_s
        self._stop_limit_s = stop_limit_s
        self._started: _Started | None = None

    @property
    def url(self) -> str:
        """Its address, as redis-py and REDIS_URL write it."""
        address = self._running_server().address
        if isinstance(address, Path):
            return f"unix://{quote(str(address))}"
        return f"redis://{address[0]}:{address[1]}/0"

    @property
    def address(self) -> wire.Address:
        """Its address for a socket: the path of a unix socket, or (host, port)."""
        return self._running_server().address

    @property
    def version(self) -> str:
        """As it says itself; of a Valkey, Valkey's own version."""
        return self._running_server().about.version

    @property
    def pid(self) -> int:
        """The server's own process, not its guard's."""
        return self._running_server().about.pid

    @property
    def binary(self) -> ServerBinary:
        """What runs, or will run: name, version, origin."""
        if self._binary is None:
            self._binary = find_server()
        return self._binary

    @property
    def running(self) -> bool:
        """False before `start`, after `stop`, and when the server has ended by itself."""
        return self._started is not None and self._started.guard.poll() is None

    def start(self) -> None:
        """Returns when the server answers PING; does nothing if it runs.

        Raises EmbeddedServerError, with the end of the server's log, if it will not.
        """
        if self.running:
            return
        self.stop()
        binary = self.binary
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            held = _hold(self.directory)
        except OSError as error:
            raise EmbeddedServerError(
                f"Cannot keep a server's data in {self.directory}: {error.strerror}."
                " Make the folder writable, or set REDIS_URL to a server that runs."
            ) from error
        try:
            self._started = self._start(binary, held)
        finally:
            # The guard and the server have it too: the folder is free exactly when both have ended.
            os.close(held)

    def stop(self) -> bool:
        """Returns when the server has ended: True if within the limit, with its data flushed.

        Safe to repeat, and after the server has ended by itself (which counts as not flushed).
        """
        started, self._started = self._started, None
        if started is None:
            return True
        return _end(started.guard, limit_s=self._stop_limit_s + _GUARD_MARGIN_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _running_server(self) -> _Started:
        if self._started is None:
            raise EmbeddedServerError(f"The server in {self.directory} is not started.")
        return self._started

    def _start(self, binary: ServerBinary, held: int) -> _Started:
        deadline = time.monotonic() + self._start_limit_s
        for _ in range(_PORTS_MAX):
            address = self._pick_address()
            guard = self._spawn(binary, address, held)
            try:
                about = self._until_it_answers(guard, address, deadline)
            except BaseException:
                _end(guard, limit_s=self._stop_limit_s + _GUARD_MARGIN_S)
                raise
            if about is not None:
                return _Started(guard=guard, address=address, about=about)
            # Between our look and the server's bind another process took the port.
            _end(guard, limit_s=self._stop_limit_s + _GUARD_MARGIN_S)
        raise EmbeddedServerError(
            f"No free port on {_LOOPBACK} for {binary.path} among {_PORTS_MAX} tried."
        )

    def _pick_address(self) -> wire.Address:
        path = self.directory / "redis.sock"
        if not self._tcp and len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
            return path
        with socket.socket() as probe:
            probe.bind((_LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        return _LOOPBACK, port

    def _spawn(
        self, binary: ServerBinary, address: wire.Address, held: int
    ) -> "subprocess.Popen[bytes]":
        self._pid_file.unlink(missing_ok=True)
        guard = Path(__file__).with_name("guard.py")
        lines = self._configuration(address) | self._options
        limits = (str(os.getpid()), str(self._stop_limit_s))
        arguments = [part for name, value in lines.items() for part in (f"--{name}", value)]
        with self._log_file.open("wb") as log:
            return subprocess.Popen(
                # Isolated and without site: it needs the standard library only, and is up in 20 ms.
                [sys.executable, "-I", "-S", guard, *limits, binary.path, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(held,),
                # Ctrl-C in a terminal is for its whole process group: the server must still be
                # there when the workers hand back what they hold.
                start_new_session=True,
            )

    def _configuration(self, address: wire.Address) -> dict[str, str]:
        where = (
            {"port": "0", "unixsocket": str(address), "unixsocketperm": "700"}
            if isinstance(address, Path)
            else {"bind": address[0], "port": str(address[1])}
        )
        return where | {
            "daemonize": "no",
            "dir": str(self.directory),
            "pidfile": str(self._pid_file),
            "appendonly": "yes" if self._append_only else "no",
            # The append-only file is the copy to keep; snapshots beside it would only cost.
            "save": "",
            "maxmemory-policy": "noeviction",
        }

    def _until_it_answers(
        self, guard: "subprocess.Popen[bytes]", address: wire.Address, deadline: float
    ) -> wire.About | None:
        """What the server says of itself; None if its port turned out to be another's."""
        while (left := deadline - time.monotonic()) > 0:
            about = wire.ask(address, limit_s=left)
            if about is not None:
                return about if self._is_ours(about) else None
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = guard.wait(timeout=_LOOK_EVERY_S)
                said = self._log_tail()
                if "Address already in use" in said and not isinstance(address, Path):
                    return None
                raise EmbeddedServerError(
                    f"{self.binary.path} ended with exit code {code} instead of starting"
                    f" in {self.directory}.",
                    log_tail=said,
                )
        raise EmbeddedServerError(
            f"{self.binary.path} did not answer PING within {self._start_limit_s:g} s"
            f" in {self.directory}.",
            log_tail=self._log_tail(),
        )

    def _is_ours(self, about: wire.About) -> bool:
        # Written before the first answer is given, so an answer without it is another server's.
        try:
            return int(self._pid_file.read_text()) == about.pid
        except (OSError, ValueError):
            return False

    @property
    def _pid_file(self) -> Path:
        return self.directory / "redis.pid"

    @property
    def _log_file(self) -> Path:
        return self.directory / "redis.log"

    def _log_tail(self) -> str:
        try:
            said = self._log_file.read_bytes()[-_LOG_TAIL_BYTES:]
        except OSError:
            return ""
        return "\n".join(said.decode(errors="replace").splitlines()[-_LOG_TAIL_LINES:])


def _hold(directory: Path) -> int:
    """Locks the folder, by an open file: the kernel frees it when the last holder ends."""
    held = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + HELD_LIMIT_S
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(held)
                raise EmbeddedServerError(
                    f"Another server keeps its data in {directory}: two would destroy it."
                    " Stop the other one (another `streamq dev`?), or use another folder."
                ) from None
            time.sleep(_LOOK_EVERY_S)
        except BaseException:
            os.close(held)
            raise
        else:
            return held


def _end(guard: "subprocess.Popen[bytes]", *, limit_s: float) -> bool:
    assert guard.stdin is not None
    # A byte, and not only the end of the pipe: a fork of this process may hold it open.
    with contextlib.suppress(BrokenPipeError), guard.stdin:
        guard.stdin.write(b".")
    try:
        return guard.wait(limit_s) == 0
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()
        return False
