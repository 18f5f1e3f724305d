"""A batch on its way into `step`, and the claims on their way out: flat arrays, both ways.

Lua takes ARGV in ranges and touches no job's bytes; so what belongs together stands together.
"""

import struct
from collections.abc import Collection, Mapping, Sequence

import msgspec

from streamq.job import (
    ALONE,
    GIVEN_BACK,
    MARK_NEW,
    MARK_RUN,
    Claim,
    End,
    JobId,
    Line,
    Outcome,
    WorkerId,
    pack_run,
)
from streamq.store.client import Arg, Reply
from streamq.store.replies import Note, Turn

RESULT_TOLD_BYTES = 1_024  # up to this a result rides in the event: who waits need not fetch it


_KINDS = ("completed", "failed", "parked", "delayed", "waiting", "gone", "removed")
"""What an attempt can come to, in `step.lua`'s order; gone: completed, and nothing is kept."""

_KIND_OF = {
    End.COMPLETED: "completed",
    End.FAILED: "failed",
    End.PARKED: "parked",
    End.RETRY: "delayed",
    End.RELEASED: "waiting",
}


def _by_kind(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    kinds: dict[str, list[Outcome]] = {kind: [] for kind in _KINDS}
    for outcome in outcomes:
        if outcome.keep:
            kinds[_KIND_OF[outcome.end]].append(outcome)
        else:
            kinds["gone" if outcome.end is End.COMPLETED else "removed"].append(outcome)
    return kinds


def _value(outcome: Outcome) -> bytes:
    """What an entry or a member holds of a job that waits again."""
    claim = outcome.claim
    mark = claim.mark if outcome.run is None else MARK_RUN
    return mark.encode() + claim.ticket + claim.id.encode()


def _tails(claims: Sequence[Claim]) -> list[Arg]:
    """The leases' tails, each once, and which of them is whose: most batches have one.

    Two bytes a claim: outcomes and notes together may be of more turns than a byte can count.
    """
    numbers: dict[bytes, int] = {}
    which = [numbers.setdefault(c.tail, len(numbers)) for c in claims]
    many = len(numbers) > 1
    return [len(numbers), *numbers, struct.pack(f">{len(which)}H", *which) if many else b""]


def _results(completed: Sequence[Outcome]) -> list[Arg]:
    """Small results ride along with the event, so that who waits need not fetch them."""
    results = {
        o.claim.id: o.run.result
        for o in completed
        if o.run is not None and o.run.result is not None and len(o.run.result) <= RESULT_TOLD_BYTES
    }
    return ["results", msgspec.msgpack.encode(results)] if results else []


def step_sections(
    outcomes: Sequence[Outcome],
    notes: Sequence[Note],
    honoured: Collection[JobId],
    counters: Mapping[str, int],
) -> list[Arg]:
    """Everything behind the named arguments of `step`, in the order of its header."""
    kinds = _by_kind(outcomes)
    ordered = [o for kind in _KINDS for o in kinds[kind]]
    claims = [o.claim for o in ordered] + [n.claim for n in notes]
    args: list[Arg] = [len(claims)]
    args += [c.id for c in claims]
    args += [c.entry for c in claims]
    args += _tails(claims)
    args += [len(kinds[kind]) for kind in _KINDS]
    args += (len(honoured), *honoured)
    args += [b"" if o.run is None or not o.keep else pack_run(o.run) for o in ordered]
    args += [b"" if n.run is None else pack_run(n.run) for n in notes]
    for outcome in kinds["delayed"]:
        args += (outcome.delay_ms or 0, outcome.line.encode() + _value(outcome))
    for outcome in kinds["waiting"]:
        args += (ALONE if outcome.claim.line == ALONE else GIVEN_BACK, _value(outcome))
    logs: list[Arg] = []
    for outcome in ordered:
        if outcome.log and outcome.keep:
            logs += (outcome.claim.id, outcome.log)
    for note in notes:
        if note.log:
            logs += (note.claim.id, note.log)
    counted: list[Arg] = [arg for pair in counters.items() for arg in pair]
    for pairs in (logs, counted, _results(kinds["completed"] + kinds["gone"])):
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
    """The claims of one line: entry, value and record of each, and the runs of those marked."""
    sign, flat, runs = group
    assert isinstance(sign, bytes) and isinstance(flat, list) and isinstance(runs, list)
    line, next_run = Line(sign.decode()), iter(runs)
    tail = b"|%b|%d|%b" % (sign, fence, worker.encode())
    for entry, value, record in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        mark = value[:1].decode()
        claims.append(
            Claim(
                JobId(value[7:].decode()),
                record or None,
                None if mark == MARK_NEW else next(next_run),
                entry,
                line,
                mark,
                value[1:7],
                tail,
                worker,
                now_ms,
            )
        )


def now_arg(now_ms: int | None) -> Arg:
    """The time that a script is told; empty: Redis's own."""
    return "" if now_ms is None else now_ms


def step_args(
    worker: WorkerId,
    turn: int,
    slots: int,
    share: int,
    waits: bool,
    shy: bool,
    alone: bool,
    keep_completed: int | None,
    keep_failed: int | None,
    now_ms: int | None,
) -> list[Arg]:
    """The named arguments of `step`, in its header's order."""
    flags = ("w" if waits else "") + ("s" if shy else "")
    return [
        now_arg(now_ms),
        worker,
        turn,
        slots,
        share,
        ";" if alone else "",
        flags,
        "" if keep_completed is None else keep_completed,
        "" if keep_failed is None else keep_failed,
    ]


def read_turn(reply: Reply, worker: WorkerId) -> Turn:
    """What `step` answered, when it took the batch."""
    now, fence = int(reply[1]), int(reply[2])
    claims: list[Claim] = []
    for i in range(5, len(reply), 3):
        read_claims(claims, reply[i : i + 3], fence, worker, now)
    return Turn(now, reply[3], claims, flags_of(reply[4]))


def ids_of(values: Sequence[bytes]) -> list[JobId]:
    return [JobId(v.decode()) for v in values]


def flags_of(values: Sequence[bytes]) -> dict[JobId, str]:
    return {JobId(i.decode()): f.decode() for i, f in zip(values[::2], values[1::2], strict=True)}
