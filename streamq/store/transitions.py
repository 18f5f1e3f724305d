"""One typed function for each script, of the same name, in the order of a job's life.

Each is atomic, touches one queue, and is bounded as its script's header says. Each may raise
RedisUnavailable and NotApplied (nothing was done), OutcomeUnknown (sent, no reply: it may have been
done, now or later), LayoutNewer, ScriptFault (a fault, `repair` puts right what it left), and the
refusals that it names. `now_ms` moves the clock, for tests: None is Redis's own time.
"""

from collections.abc import Collection, Mapping, Sequence

from streamq.job import (
    Claim,
    JobId,
    JobState,
    Line,
    NewJob,
    Outcome,
    Run,
    WorkerId,
    pack,
    pack_run,
)
from streamq.store.batch import flags_of, ids_of, now_arg, read_turn, step_args, step_sections
from streamq.store.client import Arg
from streamq.store.keys import Keys
from streamq.store.packed import Packed, place
from streamq.store.replies import (
    AddReply,
    Beaten,
    Chore,
    Doomed,
    Note,
    Reaped,
    Recheck,
    Repaired,
    Resynced,
    ScheduleState,
    SlotReply,
    Turn,
    Verdict,
    schedule_state,
)
from streamq.store.scripts import Link, command_of, run

ITEMS_MAX = 1_000  # in one call
OUTCOMES_MAX = 200  # in one step
SLOTS_MAX = 200  # asked for in one step
WORKERS_MAX = 64  # in one beat
FEW_MAX = 200  # items of a call that searches for each
RESULT_TOLD_BYTES = (
    1_024  # a result up to this rides in the event, so that who waits need not fetch it
)


async def register(
    at: Link,
    worker: WorkerId,
    *,
    kind: str,
    row: bytes,
    max_active: int | None = None,
    rate: tuple[int, int] | None = None,
    now_ms: int | None = None,
) -> int:
    """Makes a worker's row; Redis's time. `kind`: d (of a daemon), e (embedded), a (alone).

    `rate`: at most n starts in any window of that many ms. Raises WrongState if the id was used.
    """
    limit = "" if max_active is None else max_active
    window = "" if rate is None else f"{rate[0]}/{rate[1]}"
    return int(await run(at, "register", [now_arg(now_ms), worker, kind, row, limit, window]))


async def add(
    at: Link,
    producer: str,
    number: int,
    jobs: Packed,
    *,
    now_ms: int | None = None,
) -> AddReply:
    """Adds jobs; an id that exists changes nothing.

    `number` rises with each add of this producer, which has one in flight: a repeat after a lost
    reply, with the same number, is answered and not applied. Raises StoreFull.
    """
    assert len(jobs) <= ITEMS_MAX
    args: list[Arg] = [now_arg(now_ms), producer, number, len(jobs)]
    args += [*jobs.ids, *jobs.records, *jobs.places, *jobs.labels]
    reply = await run(at, "add", args)
    return AddReply(reply[0], frozenset(reply[2:]), bool(reply[1]))


async def step(
    at: Link,
    worker: WorkerId,
    turn: int,
    *,
    slots: int,
    share: int = 0,
    outcomes: Sequence[Outcome] = (),
    notes: Sequence[Note] = (),
    honoured: Collection[JobId] = (),
    counters: Mapping[str, int] | None = None,
    waits: bool = False,
    shy: bool = False,
    alone: bool = False,
    keep_completed: int | None = None,
    keep_failed: int | None = None,
    generation: int | None = None,
    now_ms: int | None = None,
) -> Turn | Recheck:
    """Settles `outcomes`, keeps `notes`, and claims up to `slots` jobs, in one round trip.

    A batch is settled whole or not at all: with one lease that is not the stored one, or one job
    that must obey a cancel and is not in `honoured`, the answer is Recheck, nothing was written
    and the turn's number is still to be used. `share` bounds what is taken of the jobs that were
    given back; `waits`: this worker will sleep if its slots are not filled; `counters` hold for
    these outcomes. Raises Gone, StaleTurn, ConnectionChanged.
    """
    assert len(outcomes) <= OUTCOMES_MAX
    args = step_args(
        worker, turn, slots, share, waits, shy, alone, keep_completed, keep_failed, now_ms
    )
    args += step_sections(outcomes, notes, honoured, counters or {})
    reply = await run(at, "step", args, generation=generation)
    if reply[0] == b"recheck":
        return Recheck(frozenset(ids_of(reply[1])), flags_of(reply[2]))
    return read_turn(reply, worker)


def step_ahead(
    keys: Keys,
    worker: WorkerId,
    turn: int,
    *,
    slots: int,
    share: int,
    keep_completed: int | None,
    keep_failed: int | None,
) -> tuple[Arg, ...]:
    """The command of an empty `step` of a waiting worker, to stand behind its blocking pop.

    Its reply is `read_turn`'s, or an error reply. A `step` of the same number that comes first
    makes it stale: then it does nothing.
    """
    args = step_args(
        worker, turn, slots, share, True, False, False, keep_completed, keep_failed, None
    )
    return command_of(keys, "step", [*args, *step_sections((), (), (), {})])


async def resync(
    at: Link,
    worker: WorkerId,
    turn: int,
    held: Sequence[Claim],
    *,
    now_ms: int | None = None,
) -> tuple[Resynced, int]:
    """What this worker holds; and the connection's generation that the answer is good for.

    `held`: running claims, and those settled without an answer. From now on only a `step` with
    `turn` + 1 is heard. Raises Gone, and StaleTurn if `turn` is not above the stored number.
    """
    generation = await at.wire.open()
    args: list[Arg] = [now_arg(now_ms), worker, turn, len(held)]
    args += [c.id for c in held]
    args += [c.lease for c in held]
    reply = await run(at, "resync", args, generation=generation)
    claims = []
    for i in range(2, len(reply), 6):
        line, entry, value, record, found, lease = reply[i : i + 6]
        claims.append(
            Claim(
                JobId(value[7:].decode()),
                record or None,
                found,
                entry,
                Line(line.decode()),
                value[:1].decode(),
                value[1:7],
                lease[len(entry) :],
                worker,
                reply[0],
            )
        )
    return Resynced(reply[0], frozenset(ids_of(reply[1])), claims), generation


async def beat(
    at: Link,
    workers: Sequence[WorkerId],
    *,
    lease_ms: int,
    keep_completed_ms: int | None = None,
    keep_failed_ms: int | None = None,
    duty: str = "",
    now_ms: int | None = None,
) -> Beaten:
    """These workers (of one process) live. `duty`: the daemon that would run suspects, or "".

    Passes when Redis is out of memory.
    """
    assert len(workers) <= WORKERS_MAX
    args: list[Arg] = [
        now_arg(now_ms),
        lease_ms,
        "" if keep_completed_ms is None else keep_completed_ms,
        "" if keep_failed_ms is None else keep_failed_ms,
        duty,
        len(workers),
        *workers,
    ]
    now, gone, flagged, chores = await run(at, "beat", args)
    return Beaten(
        now,
        frozenset(WorkerId(w.decode()) for w in gone),
        flags_of(flagged),
        tuple(Chore(c[0].decode(), tuple(a.decode() for a in c[1:])) for c in chores),
    )


async def reap(
    at: Link,
    worker: WorkerId,
    *,
    lease_ms: int,
    seen: bool = False,
    evidence: bool = False,
    deaths_max: int = 10,
    verdicts: Sequence[Verdict] = (),
    now_ms: int | None = None,
) -> Reaped:
    """Marks a worker dead, for ever, and gives its jobs back; 200 a call.

    Judged again unless the caller has `seen` the death. `evidence`: the death counts against the
    jobs. The doomed of the reply come back as `verdicts` with the next call.
    """
    assert len(verdicts) <= FEW_MAX
    args: list[Arg] = [
        now_arg(now_ms),
        worker,
        lease_ms,
        int(seen),
        int(evidence),
        deaths_max,
        len(verdicts),
    ]
    for v in verdicts:
        args += (v.doomed.id, v.doomed.lease, v.doomed.line, v.doomed.entry)
        args += (pack_run(v.run), v.state)
    reply = await run(at, "reap", args)
    doomed = []
    for i in range(3, len(reply), 6):
        job, lease, line, entry, found, why = reply[i : i + 6]
        doomed.append(Doomed(JobId(job.decode()), lease, line, entry, found, why.decode()))
    return Reaped(reply[0], reply[1].decode(), tuple(ids_of(reply[2])), tuple(doomed))


async def retry(
    at: Link, ids: Sequence[JobId], lines: Sequence[Line], *, now_ms: int | None = None
) -> list[bool]:
    """Failed jobs wait again with fresh attempts; for each, whether it was failed."""
    assert len(ids) == len(lines) <= ITEMS_MAX
    reply = await run(at, "retry", [now_arg(now_ms), len(ids), *ids, *lines])
    return [bool(done) for done in reply[1:]]


async def unpark(
    at: Link, ids: Sequence[JobId], lines: Sequence[Line], *, now_ms: int | None = None
) -> list[bool]:
    """Parked jobs wait again; for each, whether it was parked."""
    assert len(ids) == len(lines) <= ITEMS_MAX
    reply = await run(at, "unpark", [now_arg(now_ms), len(ids), *ids, *lines])
    return [bool(done) for done in reply[1:]]


async def promote(at: Link, ids: Sequence[JobId], *, now_ms: int | None = None) -> list[bool]:
    """Delayed jobs wait at once; for each, whether it was delayed."""
    assert len(ids) <= FEW_MAX
    reply = await run(at, "promote", [now_arg(now_ms), len(ids), *ids])
    return [bool(done) for done in reply[1:]]


async def cancel(
    at: Link,
    job: JobId,
    *,
    run_before: bytes | None,
    run_after: Run,
    keep_failed: int | None = None,
    only: JobState | None = None,
    now_ms: int | None = None,
) -> str:
    """A job that did not start fails with `run_after`; a running one is flagged and told.

    The word: cancelled, flagged; nothing done: absent, or its state, if it has ended or is not in
    the one that `only` names. Raises CallAgain if its run is not `run_before` any more.
    """
    keep = "" if keep_failed is None else keep_failed
    args: list[Arg] = [now_arg(now_ms), job, run_before or b"", pack_run(run_after), keep]
    reply = await run(at, "cancel", [*args, at.keys.cancels_channel, only or ""])
    return str(reply[1].decode())


async def change(
    at: Link,
    job: JobId,
    *,
    before: bytes,
    after: NewJob,
    due_ms: int | None = None,
    now_ms: int | None = None,
) -> int:
    """Another record, priority or time for a waiting or delayed job. `before`: its record as read.

    `due_ms` None keeps the time, 0 is now. Raises WrongState, and CallAgain if the record changed.
    """
    args: list[Arg] = [now_arg(now_ms), job, before, pack(after), after.line]
    return int(await run(at, "change", [*args, "" if due_ms is None else due_ms]))


async def remove(at: Link, ids: Sequence[JobId], *, now_ms: int | None = None) -> list[str]:
    """For each job: removed, flagged (it runs, and goes when it settles) or absent."""
    assert len(ids) <= FEW_MAX
    reply = await run(at, "remove", [now_arg(now_ms), at.keys.cancels_channel, len(ids), *ids])
    return [word.decode() for word in reply[1:]]


async def clean(
    at: Link,
    state: JobState,
    *,
    older_than_ms: int,
    limit: int = ITEMS_MAX,
    lease_ms: int | None = None,
    now_ms: int | None = None,
) -> tuple[int, bool]:
    """Removes ended jobs that reached `state` (completed, failed, parked) longer ago than that.

    How many went, and whether more are there. `lease_ms`: retention on its own, which does nothing
    while the clock's jumps are settling.
    """
    lease = "" if lease_ms is None else lease_ms
    args: list[Arg] = [now_arg(now_ms), state, older_than_ms, min(limit, ITEMS_MAX), lease]
    reply = await run(at, "clean", args)
    return reply[1], bool(reply[2])


async def drain(
    at: Link,
    *,
    delayed: bool = True,
    limit: int = ITEMS_MAX,
    now_ms: int | None = None,
) -> tuple[int, bool]:
    """Removes waiting jobs, and delayed ones; how many went, and whether more may be there."""
    args: list[Arg] = [now_arg(now_ms), int(delayed), min(limit, ITEMS_MAX)]
    reply = await run(at, "drain", args)
    return reply[1], bool(reply[2])


async def limit(
    at: Link,
    version: int,
    *,
    paused: bool | None = None,
    max_active: str = "",
    rate: str = "",
    now_ms: int | None = None,
) -> int:
    """Sets what holds for the whole fleet; the new version of the settings.

    `max_active` and `rate` ("n/window_ms"): "" leaves it, "-" goes back to the code's, "0" and
    "0/0" are no limit. Raises VersionConflict if the settings are not at `version` any more.
    """
    word = "" if paused is None else int(paused)
    reply = await run(at, "limit", [now_arg(now_ms), version, word, max_active, rate])
    return int(reply[1])


async def declare(
    at: Link,
    schedules: Sequence[tuple[str, bytes, str]],
    *,
    retire_ms: int,
    silence_ms: int,
    late_ms: int,
    now_ms: int | None = None,
) -> tuple[int, dict[str, ScheduleState]]:
    """These schedules (name, row, timing) stand: Redis's time, and where each of them is.

    A new one begins now; one of another timing than before `late_ms` ago. One that nobody declared
    for `retire_ms` is forgotten, unless nobody declared any for `silence_ms` in that time.
    """
    assert len(schedules) <= FEW_MAX
    args: list[Arg] = [now_arg(now_ms), retire_ms, silence_ms, late_ms, len(schedules)]
    for schedule in schedules:
        args += schedule
    reply = await run(at, "declare", args)
    states = map(schedule_state, reply[1:])
    return reply[0], {s[0]: state for s, state in zip(schedules, states, strict=True)}


async def slot(
    at: Link,
    name: str,
    slots: Sequence[tuple[int, NewJob, str]],
    *,
    after_ms: int,
    until_ms: int,
    overlap: str = "allow",
    missed: int = 0,
    now_ms: int | None = None,
) -> SlotReply:
    """Wins the slots (instant, job, label) of a schedule up to `until_ms`, and adds their jobs.

    One caller wins each slot, whoever comes first: the schedule has to be at `after_ms` still. The
    job of a slot that is owed goes first. `overlap`: while the schedule's newest job has not ended,
    skip leaves a slot out, queue_one owes one. `missed`: slots that the misfire policy passed over.
    A job may wait (`at_ms`), not be delayed. Raises StoreFull.
    """
    assert len(slots) <= ITEMS_MAX
    args: list[Arg] = [now_arg(now_ms), name, overlap, after_ms, until_ms, missed, len(slots)]
    for moment, job, label in slots:
        assert job.delay_ms is None
        args += (moment, job.id, pack(job), place(job), label)
    at_ms, word, state, fired = await run(at, "slot", args)
    return SlotReply(
        at_ms, word.decode(), schedule_state(state) if state else None, frozenset(fired)
    )


async def hold(at: Link, name: str, *, paused: bool, now_ms: int | None = None) -> bool:
    """Pauses a schedule or lets it go on from now; whether that changed anything.

    Raises WrongState for one that nobody declared.
    """
    return bool((await run(at, "hold", [now_arg(now_ms), name, int(paused)]))[1])


async def repair(
    at: Link,
    what: str,
    items: Sequence[Arg] = (),
    *,
    line: str = "",
    width: int = 1,
    now_ms: int | None = None,
) -> Repaired:
    """Puts right one page of what a torn script left. See `repair.lua`, and `repair_queue`.

    `width`: values to an item (2 for `line` and `leases`).
    """
    assert len(items) <= FEW_MAX * width
    args: list[Arg] = [now_arg(now_ms), what, line, len(items) // width, *items]
    _, ids, standing, dead_dropped = await run(at, "repair", args)
    return Repaired([i.decode() for i in ids], [i.decode() for i in standing], dead_dropped)
