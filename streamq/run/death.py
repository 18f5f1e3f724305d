"""What a child's end says about the jobs that it ran: whether it counts against them, and why.

Evidence (design, rule 5): a signal that a program brings on itself, an exit of its own, memory used
up, no progress. None: a SIGKILL from outside, and whatever we asked for.
"""

import signal
from pathlib import Path
from typing import Final

import msgspec

_OWN_DOING: Final = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
)


class Death(msgspec.Struct, frozen=True):
    """How a child ended. `cause` reads behind "its process ended by"."""

    evidence: bool
    cause: str


def judge_death(
    returncode: int, *, said_bye: bool, hung: bool = False, out_of_memory: bool = False
) -> Death:
    """Judges an exit status as `Popen.returncode` has it (negative: the signal).

    `hung`: we killed it, since it made no progress. `out_of_memory`: the kernel killed something
    in our group meanwhile. A SIGKILL is otherwise from outside, or our own at the end of a stop.
    """
    if hung:
        return Death(evidence=True, cause="SIGKILL after it made no progress")
    if returncode < 0:
        name = _signal_name(-returncode)
        if -returncode == signal.SIGKILL and out_of_memory:
            return Death(evidence=True, cause=f"{name} of the kernel: out of memory")
        return Death(evidence=-returncode in _OWN_DOING, cause=name)
    # Without a goodbye something in it called exit: nobody outside can.
    return Death(evidence=not said_bye, cause=f"exit code {returncode}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class MemoryKills:
    """How often the kernel killed for memory in the control group of this process.

    Linux with cgroup v2, and nothing else, tells it without rights; elsewhere no kill is known.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seen = self._count()

    def grew(self) -> bool:
        """Whether there were kills since the last time this was asked."""
        before, self._seen = self._seen, self._count()
        return self._seen > before

    def _count(self) -> int:
        try:
            lines = self._file.read_text().splitlines() if self._file else []
        except OSError:
            return 0
        return next((int(n.split()[1]) for n in lines if n.startswith("oom_kill ")), 0)


def own_memory_events(cgroup_of_self: Path = Path("/proc/self/cgroup")) -> Path | None:
    """The `memory.events` of our own control group (v2), if there is one."""
    try:
        lines = cgroup_of_self.read_text().splitlines()
    except OSError:
        return None
    own = next((line[3:] for line in lines if line.startswith("0::")), None)
    if own is None:
        return None
    file = Path("/sys/fs/cgroup") / own.lstrip("/") / "memory.events"
    return file if file.is_file() else None
