"""Whether a child process lives and gets on, seen from outside: its state, CPU time and memory.

The daemon beats for a child only after such a look. Nothing here asks the child: a process that
holds the interpreter's lock for a minute could not answer, and is alive all the same.
"""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

HUNG_CPU_SHARE: Final = 0.01
"""Less CPU time than this share of the time in which the loop did not tick is none: the threads of
a hung process still read the pipe and write logs, and that is no progress."""

LOOK_GAP_MAX_S: Final = 2.0
"""A longer pause between two looks is ours (stopped, a loaded machine) and is not held against a
child, which may have been stopped as long."""

_STOPPED: Final = frozenset("Tt")  # by a signal, or by a debugger
_ENDED: Final = frozenset("ZXx")


class Signs(msgspec.Struct, frozen=True):
    """What the system tells of a process. `cpu_s` counts all its threads since it began."""

    stopped: bool
    cpu_s: float
    rss_bytes: int


def signs_of(pid: int) -> Signs | None:
    """The signs of a process; None if it has ended, or if this system tells nothing."""
    return _from_proc(pid) if sys.platform == "linux" else _from_psutil(pid)


def _from_proc(pid: int) -> Signs | None:
    try:
        # Behind the last ")": a program's name may hold brackets and spaces. See proc_pid_stat(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in _ENDED:
        return None
    ticks = int(fields[11]) + int(fields[12])
    return Signs(
        stopped=fields[0] in _STOPPED,
        cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
        rss_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
    )


def _from_psutil(pid: int) -> Signs | None:
    try:
        import psutil
    except ImportError:
        return None
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            status, cpu = process.status(), process.cpu_times()
            memory: int = process.memory_info().rss
    except psutil.Error:
        return None
    if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
        return None
    return Signs(
        stopped=status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP),
        cpu_s=cpu.user + cpu.system,
        rss_bytes=memory,
    )


class Sight(StrEnum):
    """What a look at a child came to."""

    LIVES = "lives"
    STOPPED = "stopped"
    """Nobody beats for it: its jobs are given to others after a lease."""
    HUNG = "hung"
    """No tick of its loop and no CPU time for too long."""


class Watch:
    """The looks at one child, put together."""

    def __init__(self) -> None:
        self.rss_bytes = 0
        self.still_s = 0.0
        """How long it has made no progress, while it could have."""
        self._looked_at: float | None = None
        self._ticks = -1
        self._cpu_s = 0.0

    def look(self, at_s: float, ticks: int, signs: Signs | None, *, hung_s: float) -> Sight:
        """Judges from `ticks` (the number of its last tick) and `signs`, at our own clock `at_s`.

        Without signs (a system that tells nothing) only ticks count.
        """
        elapsed = 0.0 if self._looked_at is None else at_s - self._looked_at
        self._looked_at = at_s
        if signs is not None:
            self.rss_bytes = signs.rss_bytes
            if signs.stopped:
                return Sight.STOPPED
        cpu_s = self._cpu_s if signs is None else signs.cpu_s
        self.still_s += min(elapsed, LOOK_GAP_MAX_S)
        if ticks != self._ticks or cpu_s - self._cpu_s > max(
            HUNG_CPU_SHARE * self.still_s, 1.5 / os.sysconf("SC_CLK_TCK")
        ):
            self._ticks, self._cpu_s, self.still_s = ticks, cpu_s, 0.0
        return Sight.HUNG if self.still_s >= hung_s else Sight.LIVES
