"""One child process, as its daemon sees it: how it is started, what it reported, how it ended.

Spawned from the main thread (the kernel's word to a child, "your parent ended", is bound to the
thread that made it), in a process group of its own, with its own end of a pipe and nobody else's.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

import msgspec

from streamq.job import WorkerId
from streamq.run.pipe import (
    Bye,
    ChildState,
    Command,
    Failed,
    Loaded,
    Ready,
    Report,
    Setup,
    Tick,
    daemon_end,
)
from streamq.run.watch import Sight, Watch, signs_of

DUMP_BYTES_MAX: Final = 64 * 1024  # of one dump, as it is logged
_ORPHANS_MAX: Final = 1_000  # taken at one look


class ChildProcess:
    """A child, from `spawn` until its end was seen."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        end: socket.socket,
        dump: int,
        setup: Setup,
        on_report: Callable[["ChildProcess", Report], None],
    ) -> None:
        self.setup = setup
        self.born_at = time.monotonic()
        self.watch = Watch()
        self.sight = Sight.LIVES
        self.tick = Tick(0, ChildState.STARTING)
        self.heard_at = self.born_at
        """When the last tick came."""
        self.loaded: Loaded | None = None
        self.ready: Ready | None = None
        self.failed: Failed | None = None
        self.bye: Bye | None = None
        self.retiring = False
        """It is to end and its place is taken, or stays empty."""
        self.hung = False
        """We are about to kill it, or did, since it made no progress."""
        self.returncode: int | None = None
        self._process = process
        self._pipe = daemon_end(end)
        self._dump = dump
        self._dump_read = 0
        self._on_report = on_report
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pipe.fileno(), self._on_readable)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def workers(self) -> Mapping[str, tuple[WorkerId, ...]]:
        """Its workers' ids, as its last tick told."""
        return self.tick.workers

    def send(self, command: Command) -> None:
        """Hands it a command; it arrives when the child reads, if it does."""
        self._pipe.send(command)

    def look(self, hung_s: float) -> Sight:
        """Looks at it from outside."""
        self.sight = self.watch.look(
            time.monotonic(), self.tick.number, signs_of(self.pid), hung_s=hung_s
        )
        return self.sight

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def new_dump(self) -> str:
        """What it wrote of its stacks since the last look; mostly nothing."""
        data = os.pread(self._dump, DUMP_BYTES_MAX, self._dump_read)
        self._dump_read += len(data)
        return data.decode("utf-8", "replace").strip()

    def ended(self) -> bool:
        """Whether it has ended; its last reports are read, and what it held is given back."""
        if self.returncode is not None:
            return True
        code = self._process.poll()
        if code is None:
            return False
        self._read()
        self.returncode = code
        self._loop.remove_reader(self._pipe.fileno())
        self._pipe.release()
        return True

    def close(self) -> None:
        """Gives the file of its dumps back: after `ended`, and after the last `new_dump`."""
        os.close(self._dump)

    def _on_readable(self) -> None:
        if not self._read():
            # Its end; `ended` says so once the kernel does.
            self._loop.remove_reader(self._pipe.fileno())

    def _read(self) -> bool:
        """Takes the reports that are there; False at the end of the pipe."""
        try:
            reports = self._pipe.receive()
        except (EOFError, msgspec.MsgspecError):
            return False
        for report in reports:
            self._take(report)
        return True

    def _take(self, report: Report) -> None:
        match report:
            case Tick():
                self.tick, self.heard_at = report, time.monotonic()
            case Loaded():
                self.loaded = report
            case Ready():
                self.ready = report
            case Failed():
                self.failed = report
            case Bye():
                self.bye = report
        self._on_report(self, report)


def spawn(setup: Setup, on_report: Callable[[ChildProcess, Report], None]) -> ChildProcess:
    """Starts a child and tells it what it is to be. Raises OSError if the system refuses."""
    ours, theirs = socket.socketpair()
    dump = _dump_file()
    try:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "streamq.run.child",
                *(str(n) for n in (theirs.fileno(), dump, os.getpid())),
            ],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), dump),
            # Ctrl-C is for the whole group of the terminal: the daemon alone decides what it means.
            process_group=0,
        )
    except BaseException:
        ours.close()
        os.close(dump)
        raise
    finally:
        theirs.close()
    child = ChildProcess(process, ours, dump, setup, on_report)
    child.send(setup)
    return child


def _dump_file() -> int:
    """A file without a name: a pipe would fill up when nobody reads it, just when it matters."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def reap_orphans(ours: Collection[int]) -> None:
    """As process 1 of a container: takes the exit status of strangers that were left to us."""
    for _ in range(_ORPHANS_MAX):
        try:
            # Looked at first, not taken: the status of a child of ours is for its Popen.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in ours:
            return  # ours is taken at the next look, strangers behind it at the one after
        os.waitpid(ended.si_pid, os.WNOHANG)
