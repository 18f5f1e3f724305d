"""Queues, workers and jobs as the command line shows them: the fields of --json, and their words.

A field is never renamed or removed without a new major version: scripts read it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime

import msgspec

from streamq.job import PRIORITY_DEFAULT, AttemptError, Counts, Job, JobState
from streamq.store.reads import QueueState, WorkerSeen

KINDS = {"d": "process", "e": "embedded", "a": "suspects"}
STATE_STYLES = {
    JobState.WAITING: "yellow",
    JobState.DELAYED: "cyan",
    JobState.ACTIVE: "blue",
    JobState.COMPLETED: "green",
    JobState.FAILED: "red",
    JobState.PARKED: "magenta",
}
_PLAIN = (str, int, float, bool, type(None), bytes, datetime, date)


class QueueView(msgspec.Struct, frozen=True):
    queue: str
    waiting: int
    delayed: int
    active: int
    completed: int
    failed: int
    parked: int
    paused: bool
    workers: int
    slots: int
    max_active: int | None
    rate: str | None
    """`n/window_ms`."""


class WorkerView(msgspec.Struct, frozen=True):
    """A worker is a process at work on a queue: its lanes are summed and not shown."""

    id: str
    queue: str
    live: bool
    kind: str
    host: str
    pid: int
    slots: int
    names: tuple[str, ...]
    build: str
    label: str
    started_at_ms: int
    heard_at_ms: int
    died_at_ms: int | None
    lanes: int


class JobView(msgspec.Struct, frozen=True):
    id: str
    queue: str
    name: str
    state: JobState
    priority: int
    data: object
    added_at_ms: int
    due_at_ms: int | None
    claimed_at_ms: int | None
    finished_at_ms: int | None
    attempts_used: int
    attempts: int | None
    timeout_ms: int | None
    expires_at_ms: int | None
    headers: dict[str, str]
    worker: str
    reason: str
    progress: object
    result: object
    errors: tuple[AttemptError, ...]


def queue_view(
    queue: str, counts: Counts, state: QueueState, workers: Iterable[WorkerView]
) -> QueueView:
    live = [worker for worker in workers if worker.live]
    return QueueView(
        queue=queue,
        waiting=counts.waiting,
        delayed=counts.delayed,
        active=counts.active,
        completed=counts.completed,
        failed=counts.failed,
        parked=counts.parked,
        paused=state.paused,
        workers=len(live),
        slots=sum(worker.slots for worker in live),
        max_active=state.max_active,
        rate=None if state.rate is None else f"{state.rate[0]}/{state.rate[1]}",
    )


def worker_views(seen: Sequence[WorkerSeen]) -> list[WorkerView]:
    """One for each process and queue; of its lanes the last that was heard speaks for all."""
    by_process: defaultdict[tuple[str, str], list[WorkerSeen]] = defaultdict(list)
    for worker in seen:
        by_process[worker.row.process, worker.row.queue].append(worker)
    return [_summed(process, lanes) for (process, _), lanes in sorted(by_process.items())]


def _summed(process: str, lanes: Sequence[WorkerSeen]) -> WorkerView:
    live = [lane for lane in lanes if lane.live]
    counted, first = live or lanes, lanes[0]
    return WorkerView(
        id=process,
        queue=first.row.queue,
        live=bool(live),
        kind=KINDS.get(first.kind, first.kind),
        host=first.row.host,
        pid=first.row.pid,
        slots=sum(lane.row.slots for lane in counted),
        names=tuple(sorted({name for lane in counted for name in lane.row.names})),
        build=first.row.build,
        label=first.row.label,
        started_at_ms=min(lane.row.started_at_ms for lane in counted),
        heard_at_ms=max(lane.heard_at_ms for lane in counted),
        died_at_ms=None if live else max(lane.died_at_ms or 0 for lane in lanes),
        lanes=len(counted),
    )


def job_view(job: Job) -> JobView:
    run, options = job.run, job.options
    return JobView(
        id=job.id,
        queue=job.queue,
        name=job.name,
        state=job.state,
        priority=options.priority or PRIORITY_DEFAULT,
        data=value_of(job.data),
        added_at_ms=job.added_at_ms,
        due_at_ms=job.due_at_ms,
        claimed_at_ms=run.claimed_at_ms or None,
        finished_at_ms=run.finished_at_ms or None,
        attempts_used=run.attempts,
        attempts=options.attempts,
        timeout_ms=options.timeout_ms,
        expires_at_ms=options.expires_at_ms,
        headers=options.headers or {},
        worker=run.worker,
        reason=run.reason,
        progress=None if run.progress is None else value_of(bytes(run.progress)),
        result=None if run.result is None else value_of(bytes(run.result)),
        errors=run.errors,
    )


def value_of(data: bytes) -> object:
    """A stored value as plain Python; of bytes that cannot be read, what they are."""
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {"undecodable": data[:64].hex(), "bytes": len(data)}


def encoded(view: object) -> str:
    """As one line of JSON."""
    plain = msgspec.to_builtins(view, str_keys=True, enc_hook=repr)
    return msgspec.json.encode(plain).decode()


def as_json(value: object, indent: int = 0) -> str:
    """A value of a job for people: JSON, on one line or indented."""
    line = msgspec.json.encode(msgspec.to_builtins(value, str_keys=True, enc_hook=repr))
    return (msgspec.json.format(line, indent=indent) if indent else line).decode()
