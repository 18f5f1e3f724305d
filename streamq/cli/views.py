"""Queues, workers and jobs as the command line shows them: the fields of --json, and their words.

A field is never renamed or removed without a new major version: scripts read it.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime

import msgspec

from streamq.fleet import WorkerView as WorkerView
from streamq.fleet import worker_views as worker_views
from streamq.job import PRIORITY_DEFAULT, AttemptError, Counts, Job, JobState, value_of
from streamq.redact import redact, redact_text
from streamq.store.reads import QueueState

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


def job_view(job: Job) -> JobView:
    """The job without its secrets; they can be looked up in the admin, by whoever may."""
    run, options = job.run, job.options
    return JobView(
        id=job.id,
        queue=job.queue,
        name=job.name,
        state=job.state,
        priority=options.priority or PRIORITY_DEFAULT,
        data=shown_value(job.data),
        added_at_ms=job.added_at_ms,
        due_at_ms=job.due_at_ms,
        claimed_at_ms=run.claimed_at_ms or None,
        finished_at_ms=run.finished_at_ms or None,
        attempts_used=run.attempts,
        attempts=options.attempts,
        timeout_ms=options.timeout_ms,
        expires_at_ms=options.expires_at_ms,
        headers={name: str(said) for name, said in _redacted(options.headers or {})},
        worker=run.worker,
        reason=redact_text(run.reason),
        progress=None if run.progress is None else shown_value(run.progress),
        result=None if run.result is None else shown_value(run.result),
        errors=tuple(map(_error_view, run.errors)),
    )


def shown_value(data: bytes | msgspec.Raw) -> object:
    """What a job carries or gave back, without its secrets."""
    return redact(value_of(bytes(data)))


def _redacted(headers: Mapping[str, str]) -> Iterable[tuple[str, object]]:
    hidden = redact(headers)
    assert isinstance(hidden, dict)
    return hidden.items()


def _error_view(error: AttemptError) -> AttemptError:
    return msgspec.structs.replace(
        error, message=redact_text(error.message), traceback=redact_text(error.traceback)
    )


def encoded(view: object) -> str:
    """As one line of JSON."""
    plain = msgspec.to_builtins(view, str_keys=True, enc_hook=repr)
    return msgspec.json.encode(plain).decode()


def as_json(value: object, indent: int = 0) -> str:
    """A value of a job for people: JSON, on one line or indented."""
    line = msgspec.json.encode(msgspec.to_builtins(value, str_keys=True, enc_hook=repr))
    return (msgspec.json.format(line, indent=indent) if indent else line).decode()
