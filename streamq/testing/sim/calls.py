"""What a script was asked for, read from its arguments as they came on the wire.

Spelled anew from the headers of the scripts: what packs them must not be what checks them.
"""

from collections.abc import Sequence

import msgspec

from streamq.job import unpack_run
from streamq.store.scripts import script

KINDS = ("completed", "failed", "parked", "delayed", "waiting", "gone", "removed")


class Settled(msgspec.Struct, frozen=True):
    """One outcome. `lease` is what the worker thinks that it holds; `run` None leaves the run."""

    job: str
    lease: str
    kind: str
    attempts: int | None
    line: str = ""
    mark: str = ""
    delay_ms: int = 0

    @property
    def fence(self) -> int:
        return int(self.lease.split("|")[2])


class StepCall(msgspec.Struct, frozen=True):
    worker: str
    turn: int
    slots: int
    share: int
    alone: bool
    keep_completed: int | None
    keep_failed: int | None
    outcomes: tuple[Settled, ...]
    noted: tuple[tuple[str, str, bool], ...]
    """Running jobs with notes: id, lease, whether there is a new run."""
    honoured: frozenset[str]


class Added(msgspec.Struct, frozen=True):
    job: str
    line: str
    delay_ms: int | None
    at_ms: int | None


class Judged(msgspec.Struct, frozen=True):
    job: str
    lease: str
    state: str


class Values:
    """The arguments of one call: the named ones, and the rest piece by piece."""

    def __init__(self, name: str, argv: Sequence[bytes]) -> None:
        args = script(name).args
        self._named = dict(zip(args, argv, strict=False))
        self._rest = iter(argv[len(args) :])

    def __getitem__(self, name: str) -> str:
        return self._named[name].decode()

    def get(self, name: str) -> str:
        """A named argument, or nothing if this script has none of that name."""
        return self._named.get(name, b"").decode()

    def number(self, name: str) -> int | None:
        return int(self._named[name]) if self._named[name] else None

    def take(self, n: int) -> list[bytes]:
        return [next(self._rest) for _ in range(n)]

    def words(self, n: int) -> list[str]:
        return [value.decode() for value in self.take(n)]

    def count(self) -> int:
        return int(next(self._rest))


def split(command: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """KEYS and ARGV of an EVALSHA."""
    n = int(command[2])
    return list(command[3 : 3 + n]), list(command[3 + n :])


def step_call(values: Values) -> StepCall:
    """The call of `step`."""
    n = values.count()
    ids, entries = values.words(n), values.words(n)
    tails = values.words(values.count())
    (which,) = values.take(1)
    places = [which[i : i + 2] for i in range(0, len(which), 2)] or [b"\0\0"] * n
    leases = [e + tails[int.from_bytes(w, "big")] for e, w in zip(entries, places, strict=True)]
    kinds = [kind for kind in KINDS for _ in range(values.count())]
    honoured = frozenset(values.words(values.count()))
    runs = values.take(n)
    waits_again: dict[str, tuple[str, str, int]] = {}
    for _ in range(kinds.count("delayed")):
        delay, member = values.take(2)
        waits_again[member[8:].decode()] = (chr(member[0]), chr(member[1]), int(delay))
    for _ in range(kinds.count("waiting")):
        line, value = values.take(2)
        waits_again[value[7:].decode()] = (line.decode(), chr(value[0]), 0)
    outcomes = [
        Settled(job, lease, kind, _attempts(run), *waits_again.get(job, ("", "", 0)))
        for job, lease, kind, run in zip(ids, leases, kinds, runs, strict=False)
    ]
    done = len(kinds)
    return StepCall(
        worker=values["worker"],
        turn=int(values["turn"]),
        slots=int(values["slots"]),
        share=int(values["share"]),
        alone=values["order"] == ";",
        keep_completed=values.number("keep_completed"),
        keep_failed=values.number("keep_failed"),
        outcomes=tuple(outcomes),
        noted=tuple(
            (job, lease, bool(run))
            for job, lease, run in zip(ids[done:], leases[done:], runs[done:], strict=True)
        ),
        honoured=honoured,
    )


def _attempts(run: bytes) -> int | None:
    return unpack_run(run).attempts if run else None


def added(values: Values) -> list[Added]:
    """The jobs of a call of `add`."""
    n = values.count()
    ids, _, places, _ = values.words(n), values.take(n), values.words(n), values.take(n)
    return [
        Added(
            job,
            place[0],
            int(place[2:]) if place[1:2] == "+" else None,
            int(place[2:]) if place[1:2] == "@" else None,
        )
        for job, place in zip(ids, places, strict=True)
    ]


def held(values: Values) -> list[tuple[str, str]]:
    """What a call of `resync` says that the worker holds: ids and leases."""
    n = values.count()
    ids, leases = values.words(n), values.words(n)
    return list(zip(ids, leases, strict=True))


def verdicts(values: Values) -> list[Judged]:
    """The verdicts of a call of `reap`."""
    found = []
    for _ in range(values.count()):
        job, lease, _line, _entry, _run, state = values.take(6)
        found.append(Judged(job.decode(), lease.decode(), state.decode()))
    return found


def ids(values: Values) -> list[str]:
    """Of a call that takes a number of ids."""
    return values.words(values.count())
