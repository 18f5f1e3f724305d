"""The server as the simulated network reaches it: virtual time, its troubles, the comparison.

Every script that is carried out is shown to the twin, and what it left is compared with the model
and held against the invariants.
"""

import copy
import hashlib
from collections.abc import Sequence
from typing import Final

from streamq.store.scripts import script
from streamq.testing.invariants import violations
from streamq.testing.model import picture_of
from streamq.testing.sim.calls import Values, split
from streamq.testing.sim.history import History
from streamq.testing.sim.loop import Process, SimLoop
from streamq.testing.sim.net import Command
from streamq.testing.sim.server import SCRIPTS, Answer, Reply, Server, Snapshot, dump_of
from streamq.testing.sim.twin import Differs, Twin, expect

BEGIN_MS: Final = 1_800_000_000_000
UNSEEN_MAX: Final = 8  # calls that move no job, until the keys are looked at again
IDLE: Final = frozenset({"beat", "resync"})
NOTHING: Final = [b"0"] * 7
"""How the arguments of a step end that hands in nothing."""
CLAIMS_AT: Final = 5
LAST_SAID: Final = 30  # calls before the one that went wrong
_NAMES: Final = {script(name).sha: name for name in SCRIPTS}


class Front:
    """See the module."""

    def __init__(self, server: Server, loop: SimLoop, stem: str, queue: str) -> None:
        self._server, self._loop, self._stem, self._queue = server, loop, stem, queue
        self.twin = Twin()
        self.history = History()
        self.offset_ms = 0
        self.refuses: str | None = None
        """The word with which every command is refused: LOADING, READONLY, …"""
        self.scripts: dict[str, int] = {}
        self.trace = hashlib.sha256()
        self._known: dict[str, str] = {}
        """Ids that chance made, as the trace names them."""
        self.whole: list[str] | None = None
        """Every line of the trace, if somebody wants to read them."""
        self._unseen = 0
        self._owner: dict[str, Process] = {}
        self.last: list[str] = []

    @property
    def now_ms(self) -> int:
        return BEGIN_MS + int(self._loop.time() * 1000) + self.offset_ms

    # -- what the network carries

    def carry(self, command: Command, process: Process) -> bytes:
        """Carries out one command; its reply. Raises Differs."""
        word = command[0]
        if word == b"CLIENT":
            return b"+OK\r\n"
        if self.refuses is not None:
            return f"-{self.refuses} the simulation says so\r\n".encode()
        if word == b"TIME":
            ms = self.now_ms
            return _array([b"%d" % (ms // 1000), b"%d" % (ms % 1000 * 1000)])
        if word == b"EVALSHA":
            return self._run(command, process)
        return self._server.answers([command])[0].raw

    def pop(self, lists: Sequence[bytes]) -> bytes | None:
        """A token of the first list that has one."""
        for name in lists:
            found = self._server.ask("LPOP", name)
            if isinstance(found, bytes):
                return _array([name, found])
        return None

    def _run(self, command: Command, process: Process) -> bytes:
        name, now_ms = _NAMES[command[1]], self.now_ms
        keys, argv = split(command)
        if argv[0] == b"":
            argv[0] = b"%d" % now_ms
        call = [b"EVALSHA", command[1], b"%d" % len(keys), *keys, *argv]
        idle = name in IDLE or (name == "step" and argv[-7:] == NOTHING)
        done, seen = self._answered(name, call, idle=idle)
        self.scripts[name] = self.scripts.get(name, 0) + 1
        values = Values(name, argv)
        said = self._said(name, values, done.reply, process)
        try:
            self._owned(name, values, process)
            taken = self.twin.call(name, values, int(argv[0]), done.reply)
            self.history.took(taken, self._loop.time())
            if seen is not None:
                self.compare(seen)
        except Differs as differs:
            raise Differs(
                f"{said}\n  {differs}\n  before it:\n  " + "\n  ".join(self.last)
            ) from None
        return done.raw

    def _answered(
        self, name: str, call: Sequence[bytes | str | int | float], *, idle: bool
    ) -> tuple[Answer, Reply]:
        """The answer of a script, and a look at the keys; not after each call that moves no job."""
        look = self._server.look_command(self._stem)
        if not idle:
            self._unseen = 0
            done, seen = self._server.answers([call, look])
            return done, seen.reply
        (done,) = self._server.answers([call])
        claims = name == "step" and isinstance(done.reply, list) and len(done.reply) > CLAIMS_AT
        self._unseen += 1
        if not claims and self._unseen < UNSEEN_MAX:
            return done, None
        self._unseen = 0
        return done, self._server.ask(*look)

    def _owned(self, name: str, values: Values, process: Process) -> None:
        """I15: nobody is buried alive. Judged deaths are the twin's."""
        if name == "register":
            self._owner[values["worker"]] = process
        elif name == "reap" and values["seen"] == "1" and values["worker"] in self.twin.live:
            owner = self._owner[values["worker"]]
            expect(owner is process or not owner.alive, "buried alive", owner, process)

    def compare(self, look: Reply) -> None:
        """What stands in the keys, with the model. Raises Differs."""
        dump = dump_of(self._queue, look)
        seen, expected = picture_of(dump), self.twin.picture()
        if seen != expected:
            other = [
                f"{part}: {seen[part]}, and ought to be {expected[part]}"
                for part in expected
                if seen[part] != expected[part]
            ]
            raise Differs("the keys are not as the model says: " + "; ".join(other))
        heard = {w.decode(): turn.decode() for w, turn in dump.hashes["turns"].items()}
        expect(heard == self.twin.heard(), "turns and heartbeats", heard, self.twin.heard())
        if wrong := violations(dump):
            raise Differs("; ".join(wrong))

    def look(self) -> None:
        """Compares now."""
        self.compare(self._server.ask(*self._server.look_command(self._stem)))

    def expect_nothing_left(self) -> None:
        """I13: no worker is there any more, and every job has ended. Raises Differs."""
        dump = dump_of(self._queue, self._server.ask(*self._server.look_command(self._stem)))
        entries = [str(e) for e in dump.entries]
        expect(not entries, "entries are left in the lines", *entries)
        for name in ("leases", "turns", "cancels"):
            expect(not dump.hashes[name], f"left in {name}", dump.hashes[name])
        for line, names in dump.in_groups.items():
            expect(not names, f"workers are left in the group of {line}", names)

    # -- the server's own troubles

    def copied(self) -> "tuple[Snapshot, Twin, float]":
        """All that stands now, and when."""
        return self._server.copy(), _copy(self.twin), self._loop.time()

    def restored(self, copied: "tuple[Snapshot, Twin, float]") -> None:
        """A replica that had only come so far is the master now."""
        snapshot, twin, at_s = copied
        self._server.restore(snapshot)
        before, self.twin = self.twin, _copy(twin)
        self.history.forgive(at_s, before.created - self.twin.created)
        self.look()

    def fill(self, *, full: bool) -> None:
        self._server.fill(full=full)

    def flush_scripts(self) -> None:
        self._server.flush_scripts()

    # -- the trace

    def _said(self, name: str, values: Values, reply: Reply, process: Process) -> str:
        """A line for a call, in which no id is of chance's making."""
        who = values.get("worker") or values.get("producer") or "-"
        alias = self._known.setdefault(who, f"{process.name}.{len(self._known)}")
        states = sorted((job, each.state, each.line) for job, each in self.twin.jobs.items())
        word = str(reply).partition(" ")[0] if isinstance(reply, Exception) else "ok"
        line = (
            f"{self._loop.time():.6f} {process.name} {name} {alias} "
            f"{values.get('turn') or values.get('number') or ''} {word}"
        )
        self.trace.update(f"{line} {states}\n".encode())
        self.last = self.last[-LAST_SAID:] if self.whole is None else self.whole
        self.last.append(line)
        return line


def _copy(twin: Twin) -> Twin:
    """A copy that shares with what it was made of what no fail-over undoes."""
    return copy.deepcopy(twin, {id(kept): kept for kept in (twin.fences, twin.again)})


def _array(parts: Sequence[bytes]) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)
