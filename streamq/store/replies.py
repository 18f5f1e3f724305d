"""What the scripts answer, as types."""

from collections.abc import Mapping

import msgspec

from streamq.job import Claim, JobId, Run, WorkerId


class Note(msgspec.Struct, frozen=True):
    """What a running job has to say: its run with new progress, log lines, or both."""

    claim: Claim
    run: Run | None = None
    log: str = ""


class Turn(msgspec.Struct, frozen=True):
    """The reply of `step`: new claims, and when to look again if nothing wakes the worker before.

    `flagged`: of the claims, those that an operator cancelled ("c") or removed ("r") meanwhile.
    """

    now_ms: int
    look_again_ms: int
    claims: list[Claim]
    flagged: Mapping[JobId, str]


class Recheck(msgspec.Struct, frozen=True):
    """`step` wrote nothing: these leases are not ours any more, or these jobs were flagged."""

    refused: frozenset[JobId]
    flagged: Mapping[JobId, str]


class Resynced(msgspec.Struct, frozen=True):
    """What a worker really holds: `lost` is held no more, `claims` it was given without knowing."""

    now_ms: int
    lost: frozenset[JobId]
    claims: list[Claim]


class AddReply(msgspec.Struct, frozen=True):
    """`existed`: positions of ids that were there; `replayed`: this number was applied before."""

    now_ms: int
    existed: frozenset[int]
    replayed: bool


class Chore(msgspec.Struct, frozen=True):
    """Upkeep that fell to this process: reap, retain, unpark or alone, with its arguments."""

    name: str
    args: tuple[str, ...] = ()


class Beaten(msgspec.Struct, frozen=True):
    """The reply of `beat`: workers that are dead for Redis, flagged jobs of the queue, chores."""

    now_ms: int
    gone: frozenset[WorkerId]
    flagged: Mapping[JobId, str]
    chores: tuple[Chore, ...]


class ScheduleState(msgspec.Struct, frozen=True):
    """Where a schedule is: slots up to `last_slot_ms` are seen to; `last_id` is its newest job.

    `missed`: slots that added no job, by the misfire or the overlap policy. `owed_ms`: a slot that
    adds its job once the one before it has ended.
    """

    last_slot_ms: int
    fired: int
    missed: int
    paused: bool
    last_id: JobId | None
    owed_ms: int | None = None


def schedule_state(value: bytes) -> ScheduleState:
    """A value of `schedules`."""
    last, fired, missed, paused, _, owed, job = value.decode().split(" ")
    return ScheduleState(
        int(last),
        int(fired),
        int(missed),
        paused == "1",
        None if job == "-" else JobId(job),
        int(owed) or None,
    )


class SlotReply(msgspec.Struct, frozen=True):
    """The reply of `slot`: absent, wait, early, behind, paused or fired; where the schedule is now
    (None: absent); and the positions of the slots that added a job."""

    now_ms: int
    word: str
    state: ScheduleState | None
    fired: frozenset[int]


class Doomed(msgspec.Struct, frozen=True):
    """A dead worker's job that may not run again.

    `why` is cancelled, removed, poison, suspect or lost.
    """

    id: JobId
    lease: bytes
    line: bytes
    entry: bytes
    run: bytes | None
    why: str


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a doomed job: `state` is failed, parked or removed."""

    doomed: Doomed
    state: str
    run: Run


class Repaired(msgspec.Struct, frozen=True):
    """One page of `repair`: what was put right (ids, names of lines), which of its ids stand in a
    line now, and how many dead entries were dropped."""

    ids: list[str]
    standing: list[str]
    dead_dropped: int


class Reaped(msgspec.Struct, frozen=True):
    """The reply of `reap`: `word` is alive (nothing was done), more (call again) or done."""

    now_ms: int
    word: str
    given_back: tuple[JobId, ...]
    doomed: tuple[Doomed, ...]
