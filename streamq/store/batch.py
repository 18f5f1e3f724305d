"""A batch on its way into `step`, and the claims on their way out: flat arrays, both ways.

Lua takes ARGV in ranges and touches no job's bytes; so what belongs together stands together.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from streamq.job import Claim, End, JobId, Line, Outcome, WorkerId, pack_run
from streamq.store.client import Arg
from streamq.store.replies import Note

RESULT_TOLD_BYTES = 1_024  # up to this a result rides in the event: who waits need not fetch it


class Sections:
    """The trailing arguments of `step`, gathered from a batch of outcomes."""

    def __init__(self) -> None:
        self.runs: list[Arg] = []
        self.completed: list[Arg] = []
        self.failed: list[Arg] = []
        self.parked: list[Arg] = []
        self.dropped: list[Arg] = []
        self.delayed: list[Arg] = []
        self.released: list[Arg] = []
        self.logs: list[Arg] = []
        self.told: dict[str, list[str]] = {}
        self.results: dict[str, msgspec.Raw] = {}

    def take(self, outcome: Outcome) -> None:
        claim, end = outcome.claim, outcome.end
        if not outcome.keep:
            self.dropped.append(claim.id)
            told = "completed" if end is End.COMPLETED else "removed"
        else:
            if outcome.run is not None:
                self.runs += (claim.id, pack_run(outcome.run))
            if outcome.log:
                self.logs += (claim.id, outcome.log)
            told = self._move(outcome)
        self.told.setdefault(told, []).append(claim.id)
        if end is End.COMPLETED and outcome.run is not None and outcome.run.result is not None:
            raw = outcome.run.result
            if len(memoryview(raw)) <= RESULT_TOLD_BYTES:
                self.results[claim.id] = raw

    def note(self, note: Note) -> None:
        if note.run is not None:
            self.runs += (note.claim.id, pack_run(note.run))
        if note.log:
            self.logs += (note.claim.id, note.log)

    def events(self) -> list[Arg]:
        """Pairs of a state and the ids that reached it; small results ride along."""
        told: list[Arg] = []
        for state, ids in self.told.items():
            told += (state, " ".join(ids))
        if self.results:
            told += ("results", msgspec.msgpack.encode(self.results))
        return told

    def _move(self, outcome: Outcome) -> str:
        """The job to its section; the state it reaches."""
        claim, end = outcome.claim, outcome.end
        if end is End.COMPLETED:
            self.completed.append(claim.id)
            return "completed"
        if end is End.FAILED:
            self.failed.append(claim.id)
            return "failed"
        if end is End.PARKED:
            self.parked.append(claim.id)
            return "parked"
        mark = claim.mark if outcome.run is None else "r"
        value = mark.encode() + claim.ticket + claim.id.encode()
        if end is End.RETRY:
            self.delayed += (outcome.delay_ms or 0, outcome.line.encode() + value)
            return "delayed"
        self.released += (";" if claim.line == ";" else "0", value)
        return "waiting"


def _acks(outcomes: Collection[Outcome]) -> list[Arg]:
    by_line: dict[str, list[Arg]] = {}
    for outcome in outcomes:
        by_line.setdefault(outcome.claim.line, []).append(outcome.claim.entry)
    args: list[Arg] = [len(by_line)]
    for line, entries in by_line.items():
        args += (line, len(entries), *entries)
    return args


def step_sections(
    outcomes: Sequence[Outcome],
    notes: Sequence[Note],
    honoured: Collection[JobId],
    counters: Mapping[str, int],
) -> list[Arg]:
    """Everything behind the named arguments of `step`, in the order of its header."""
    if honoured:
        outcomes = sorted(outcomes, key=lambda o: o.claim.id in honoured)
    obeying = sum(o.claim.id not in honoured for o in outcomes) if honoured else len(outcomes)
    claims = [o.claim for o in outcomes] + [n.claim for n in notes]
    sections = Sections()
    for outcome in outcomes:
        sections.take(outcome)
    for note in notes:
        sections.note(note)
    args: list[Arg] = [len(claims)]
    args += [c.id for c in claims]
    args += [c.lease for c in claims]
    args += (len(outcomes), obeying, len(sections.runs) // 2)
    args += sections.runs
    for group in (sections.completed, sections.failed, sections.parked, sections.dropped):
        args.append(len(group))
        args += group
    for pairs in (sections.delayed, sections.released):
        args.append(len(pairs) // 2)
        args += pairs
    args += _acks(outcomes)
    counted: list[Arg] = [arg for pair in counters.items() for arg in pair]
    for pairs in (sections.logs, counted, sections.events()):
        args.append(len(pairs) // 2)
        args += pairs
    return args


def read_claims(
    claims: list[Claim],
    group: Sequence[object],
    fence: int,
    worker: WorkerId,
    now_ms: int,
) -> None:
    """The claims of one line: its entries as they came, their records, the runs of those marked."""
    sign, entries, records, runs = group
    assert isinstance(sign, bytes) and isinstance(entries, list)
    assert isinstance(records, list) and isinstance(runs, list)
    line, next_run = Line(sign.decode()), iter(runs)
    for (entry, (_, value)), record in zip(entries, records, strict=True):
        mark = value[:1]
        found = None if mark == b"n" else next(next_run)
        if record is None:
            continue  # a dead entry
        claims.append(
            Claim(
                JobId(value[7:].decode()),
                record or None,
                found,
                entry,
                line,
                mark.decode(),
                value[1:7],
                fence,
                worker,
                now_ms,
            )
        )
