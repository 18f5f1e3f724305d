"""The thread in a child that listens to its daemon, and notices when there is none any more.

A thread, since the event loop may stand still with a handler while the daemon ends: somebody has to
beat for the child then, or its jobs would be given to others while it works on them.
"""

import select
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from streamq.run.pipe import Command, Pipe, Report

SILENT_SHARE: Final = 0.5
"""Of a lease, after which a silent daemon counts as none. It speaks several times in a third of it,
and one missed beat must not be the last."""
LOOKS: Final = 5  # at the clock, while it is silent for that long


class Lifeline:
    """Hands each command to `deliver`, and calls `orphaned(why)` once; both in its own thread."""

    def __init__(
        self,
        pipe: Pipe[Command, Report],
        *,
        lease_ms: int,
        deliver: Callable[[Command], None],
        orphaned: Callable[[str], None],
    ) -> None:
        self._pipe = pipe
        self._silent_s = lease_ms / 1000 * SILENT_SHARE
        self._deliver = deliver
        self._orphaned = orphaned
        self._thread = threading.Thread(target=self._run, name="streamq-lifeline", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._pipe.fileno(), select.POLLIN)
        look_s = self._silent_s / LOOKS
        silent_s, looked_at, told = 0.0, time.monotonic(), False
        while True:
            readable = bool(poll.poll(look_s * 1000))
            now = time.monotonic()
            # A look that comes late was held up here (this process was stopped, the interpreter's
            # lock was taken), and so says nothing about the daemon.
            silent_s += min(now - looked_at, 2 * look_s)
            looked_at = now
            if readable:
                try:
                    commands = self._pipe.receive()
                except (EOFError, msgspec.MsgspecError):
                    if not told:
                        self._orphaned("its daemon has ended")
                    return
                for command in commands:
                    self._deliver(command)
                silent_s = 0.0
            elif silent_s >= self._silent_s and not told:
                # It goes on listening: a daemon that was stopped may come back, to end this child.
                told = True
                self._orphaned(f"its daemon was silent for {silent_s:.1f} s")


def first_command(pipe: Pipe[Command, Report], limit_s: float) -> Command | None:
    """The command that a child waits for before anything else; None if it does not come."""
    poll = select.poll()
    poll.register(pipe.fileno(), select.POLLIN)
    deadline = time.monotonic() + limit_s
    while (left := deadline - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            try:
                commands = pipe.receive(one=True)
            except (EOFError, msgspec.MsgspecError):
                return None
            if commands:
                return commands[0]
    return None
