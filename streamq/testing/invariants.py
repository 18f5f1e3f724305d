"""What must hold of a queue whenever no script runs, told from its raw keys.

It spells the keys out again and knows no script and no module of the store: what those get wrong
must not be wrong here too. Numbers: I1, I2, ... as in the table of docs/design.md.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

LINES: Final = {sign: f"wait:{n}" for n, sign in enumerate("0123456789:")} | {";": "wait:alone"}
TYPES: Final = {
    "jobs": "hash", "runs": "hash", "leases": "hash", "stalls": "hash", "cancels": "hash",
    "workers": "hash", "turns": "hash", "adds": "hash", "meta": "hash", "stats": "hash",
    "logs": "hash", "delayed": "zset", "completed": "zset", "failed": "zset", "parked": "zset",
    "wake": "list", "wake:0": "list", "events": "stream", "history:minutes": "stream",
    "history:hours": "stream", "schedules": "hash", "schedules:rows": "hash",
    **dict.fromkeys(LINES.values(), "stream"),
}  # fmt: skip
ENDED: Final = ("completed", "failed", "parked")
FEW: Final = ("runs", "logs", "stalls", "cancels")
WENT: Final = ("removed", "cleaned", "trimmed", "dropped")  # the counters of jobs that are no more


class Entry(msgspec.Struct, frozen=True):
    """One entry of a line: mark (1), ticket (6) and id stand in its one field."""

    line: str
    id: bytes
    value: bytes
    given_to: bytes | None
    free: bool

    @property
    def ticket(self) -> bytes:
        return self.value[1:7]

    @property
    def job(self) -> bytes:
        return self.value[7:]

    @property
    def lease_head(self) -> bytes:
        return b"%b|%b|" % (self.id, self.line.encode())

    def __str__(self) -> str:
        where = "free" if self.free else f"given to {self.given_to!r}"
        return f"{LINES[self.line]} {self.id.decode()} ({where})"


class Dump(msgspec.Struct, frozen=True):
    """The keys of one queue, read in one instant."""

    queue: str
    hashes: dict[str, dict[bytes, bytes]]
    zsets: dict[str, dict[bytes, float]]
    tokens: dict[str, int]
    entries: list[Entry]
    in_groups: dict[str, set[bytes]]
    """By the sign of a line."""

    @property
    def jobs(self) -> dict[bytes, bytes]:
        return self.hashes["jobs"]

    def is_live(self, entry: Entry) -> bool:
        return self.jobs.get(entry.job, b"")[:6] == entry.ticket

    @property
    def live_workers(self) -> set[bytes]:
        return {w for w, turn in self.hashes["turns"].items() if not turn.startswith(b"-")}

    def places(self) -> dict[bytes, list[str]]:
        """Where each id stands: each of them once, if all is well."""
        found: dict[bytes, list[str]] = {}
        for entry in self.entries:
            if entry.free and self.is_live(entry):
                found.setdefault(entry.job, []).append(f"waiting in {entry}")
        for member in self.zsets["delayed"]:
            found.setdefault(member[8:], []).append(f"delayed as {member!r}")
        for job, lease in self.hashes["leases"].items():
            found.setdefault(job, []).append(f"active under {lease.decode()}")
        for state in ENDED:
            for job in self.zsets[state]:
                found.setdefault(job, []).append(state)
        return found

    def states(self) -> dict[str, str]:
        """The state of each id; of an id that is in several, all of them."""
        return {
            job.decode(): "+".join(p.split(" ")[0] for p in places)
            for job, places in self.places().items()
        }


def position(entry: bytes) -> tuple[int, int]:
    """An entry's id as numbers: they sort as entries do."""
    ms, _, sequence = entry.partition(b"-")
    return int(ms), int(sequence)


def entries_of(
    sign: str,
    entries: Iterable[tuple[bytes, bytes]],
    last_given: bytes,
    given: dict[bytes, bytes],
) -> Iterator[Entry]:
    """The entries of a line. `entries`: ids and values; `given`: what pends, id to worker."""
    last, left = position(last_given), dict(given)
    for entry, value in entries:
        yield Entry(sign, entry, value, left.pop(entry, None), position(entry) > last)
    for entry, worker in left.items():
        yield Entry(sign, entry, b"", worker, False)  # deleted, and still somebody's


# ---- the rules, each a generator of what is wrong


def one_state_each(dump: Dump) -> Iterator[str]:
    """I1, I2: every id with a record stands in exactly one place, and no other id anywhere."""
    places = dump.places()
    for job in dump.jobs:
        where = places.pop(job, [])
        if len(where) != 1:
            yield f"{job.decode()} stands in {where or 'no place at all'}"
    for job, where in places.items():
        yield f"{job.decode()} has no record, and stands in {where}"


def pending_entries_are_leases(dump: Dump) -> Iterator[str]:
    """I2: each entry that was given out has the one lease that names it, and the reverse."""
    named = Counter[bytes]()
    for entry in dump.entries:
        if entry.given_to is None:
            if not entry.free:
                yield f"{entry.job.decode()}: {entry} is behind its group, and nobody's"
            continue
        lease = dump.hashes["leases"].get(entry.job, b"")
        named[entry.job] += 1
        if not lease.startswith(entry.lease_head) or not lease.endswith(b"|" + entry.given_to):
            yield f"{entry.job.decode()}: {entry} pends, and the lease is {lease!r}"
        if not dump.is_live(entry):
            yield f"{entry.job.decode()}: {entry} pends with a ticket that is not the record's"
    for job, lease in dump.hashes["leases"].items():
        if named[job] != 1:
            yield f"{job.decode()}: {named[job]} entries pend for the lease {lease!r}"


def what_stands_about_a_job_has_a_record(dump: Dump) -> Iterator[str]:
    for few in FEW:
        for job in dump.hashes[few]:
            if job not in dump.jobs:
                yield f"{job.decode()} has no record, and stands in {few}"
    for member in dump.zsets["delayed"]:
        if dump.jobs.get(member[8:], b"")[:6] != member[2:8]:
            yield f"{member[8:].decode()}: its member of delayed has another ticket: {member!r}"


def lines_are_counted_right(dump: Dump) -> Iterator[str]:
    """What `waiting` is computed from, without walking a line (I11)."""
    meta = dump.hashes["meta"]
    free = [e for e in dump.entries if e.free]
    dead = sum(not dump.is_live(e) for e in free)
    if int(meta.get(b"dead", 0)) != dead:
        yield f"meta.dead is {meta.get(b'dead')!r}, and {dead} entries are dead"
    stands = sum(bool(e.value) for e in dump.entries)
    computed = stands - len(dump.hashes["leases"]) - int(meta.get(b"dead", 0))
    if computed != len(free) - dead:
        yield f"waiting is computed as {computed}, and {len(free) - dead} jobs wait"
    for line in {e.line for e in free} - {"0", ";"} - set(meta.get(b"lines", b"").decode()):
        yield f"{LINES[line]} holds jobs, and meta.lines does not name it"


def counters_rise_above_what_is_used(dump: Dump) -> Iterator[str]:
    """No ticket and no fence is given out twice."""
    meta = dump.hashes["meta"]
    ticket = int(meta.get(b"ticket", 0))
    for job, value in dump.jobs.items():
        if int.from_bytes(value[:6], "big") > ticket:
            yield f"{job.decode()}: its ticket is above meta.ticket, {ticket}"
    fence = int(meta.get(b"fence", 0))
    for job, lease in dump.hashes["leases"].items():
        parts = lease.split(b"|")
        if len(parts) != 4 or int(parts[2]) > fence:
            yield f"{job.decode()}: the fence of {lease!r} is above meta.fence, {fence}"


def added_is_what_stands_and_what_went(dump: Dump) -> Iterator[str]:
    """I11: no job came from nowhere or went without being counted."""
    stats = {f: int(n) for f, n in dump.hashes["stats"].items()}
    went = {name: stats.get(name.encode(), 0) for name in WENT}
    if stats.get(b"added", 0) != len(dump.jobs) + sum(went.values()):
        yield f"added {stats.get(b'added', 0)}, there are {len(dump.jobs)}, and went: {went}"
    named = sum(n for f, n in stats.items() if f.startswith(b"added:"))
    if named != stats.get(b"added", 0):
        yield f"added {stats.get(b'added', 0)}, by name {named}"
    if any(n < 0 for n in stats.values()):
        yield f"a counter went down: {stats}"


def live_rows_have_turns(dump: Dump) -> Iterator[str]:
    """Each live worker has a row and a turn; one that is being reaped a dead row and a mark."""
    rows = dump.hashes["workers"]
    live = {w for w, row in rows.items() if row.startswith(b"+")}
    turns = dump.hashes["turns"]
    for worker in live ^ dump.live_workers:
        yield f"worker {worker!r}: row {rows.get(worker)!r}, turn {turns.get(worker)!r}"
    for sign, known in dump.in_groups.items():
        for worker in known - set(rows):
            yield f"{LINES[sign]} has a consumer {worker!r} without a row"
    for job, lease in dump.hashes["leases"].items():
        if lease.rpartition(b"|")[2] not in turns:
            yield f"{job.decode()}: nobody will ever settle or reap the lease {lease!r}"


def a_token_only_says_look(dump: Dump) -> Iterator[str]:
    for name, tokens in dump.tokens.items():
        if tokens > 1:
            yield f"{tokens} tokens in {name}"
        if tokens and dump.hashes["meta"].get(b"paused"):
            yield f"paused, and a token in {name}"


STRUCTURE: Final = (
    one_state_each,
    pending_entries_are_leases,
    what_stands_about_a_job_has_a_record,
    lines_are_counted_right,
    counters_rise_above_what_is_used,
    live_rows_have_turns,
    a_token_only_says_look,
)


def violations(dump: Dump, *, counters: bool = True) -> list[str]:
    """All that is wrong. `counters` False: a script ended early, and what it would have counted
    is not."""
    rules = (*STRUCTURE, added_is_what_stands_and_what_went) if counters else STRUCTURE
    return [f"{rule.__name__}: {said}" for rule in rules for said in rule(dump)]
