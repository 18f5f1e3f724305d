"""Stands between a process and the server it started: the server never outlives that process.

Run as a script, in a process of its own, before any import of streamq: standard library only.

    guard.py PARENT_PID STOP_LIMIT_S PROGRAM [ARGUMENT...]

Standard input is a pipe whose other end only the parent holds. A byte or its end means: stop the
server, SIGTERM first (it flushes its append-only file), SIGKILL after the limit. The guard ends as
the server ended.

Why a process and not PR_SET_PDEATHSIG in the parent's child alone: that signal is sent when the
*thread* that made the child ends, which a caller of `EmbeddedServer.start` need not outlive, and
macOS has none. Here the guard's only thread makes the server, so there the signal is right: it
covers the death of the guard itself.
"""

import ctypes
import os
import select
import signal
import sys
import time

# Should a fork of the parent hold the pipe open, the parent's death is seen this much later.
LOOK_EVERY_S = 1.0
PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    parent, stop_limit_s, command = int(arguments[0]), float(arguments[1]), arguments[2:]
    woken = _wake_on(signal.SIGCHLD, signal.SIGTERM)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = _spawn(command)
    told = Told(woken)
    while not told.stop and os.getppid() == parent:
        code = _ended(server)
        if code is not None:
            return code
        told.wait(LOOK_EVERY_S, also=sys.stdin.fileno())
    os.kill(server, signal.SIGTERM)
    deadline = time.monotonic() + stop_limit_s
    while (left := deadline - time.monotonic()) > 0:
        code = _ended(server)
        if code is not None:
            return code
        told.wait(left)
    os.kill(server, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(server, 0)[1])


class Told:
    """What signals and the parent's pipe have said."""

    def __init__(self, woken: int) -> None:
        self.stop = False
        self._woken = woken

    def wait(self, limit_s: float, *, also: int | None = None) -> None:
        """Until a signal comes or `also` is readable, which means stop; at most `limit_s`."""
        watched = [self._woken] if also is None else [self._woken, also]
        readable, _, _ = select.select(watched, [], [], limit_s)
        if self._woken in readable and signal.SIGTERM in os.read(self._woken, 64):
            self.stop = True
        if also in readable:
            self.stop = True


def _wake_on(*signals: signal.Signals) -> int:
    """Makes the signals readable from the returned descriptor: none is lost between two waits."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for each in signals:
        signal.signal(each, lambda *_: None)
    return woken


def _spawn(command: list[str]) -> int:
    guard = os.getpid()
    server = os.fork()
    if server:
        return server
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, sys.stdin.fileno())
        # An ignored signal stays ignored through exec, unlike a handled one.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if sys.platform == "linux":
            # SIGKILL: a signal that the server can put off could leave it behind. What it had
            # answered is with the kernel already: it writes its append-only file before it replies.
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == guard:
            os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def _ended(server: int) -> int | None:
    """The server's exit code (negative: the signal that ended it), None while it runs."""
    ended, status = os.waitpid(server, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.exit(code if code >= 0 else 128 - code)
