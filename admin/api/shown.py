"""A job as the API shows it: the keys of BullMQ's API in their order, then ours; no secrets."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from admin.api.reading import together
from streamq import App, Job, JobState
from streamq.job import PRIORITY_DEFAULT, AttemptError, value_of
from streamq.redact import marked_in, redact, redact_text

LISTED_BYTES_MAX: Final = 16 << 10
"""Of a payload or result in a list: 200 of them are 3 MiB, whatever the queue allows."""
ALONE_BYTES_MAX: Final = 1 << 20
"""The same of a job that is asked for by its id."""
SHOWN_AT_ONCE: Final = 10

EpochMs = Annotated[int, Meta(description="milliseconds since 1970-01-01T00:00:00Z")]
WorkerId = Annotated[
    str, Meta(description="as `workers` lists it; null: it ended more than ten minutes ago")
]
Held = Annotated[object, Meta(description="what the job holds, without its secrets")]


class AttemptShown(msgspec.Struct, frozen=True, rename="camel"):
    """One failed attempt."""

    attempt: int
    type: str
    message: str
    timestamp: EpochMs
    worker: WorkerId | None


class JobShown(msgspec.Struct, frozen=True, rename="camel"):
    """A job. What has not happened yet is null."""

    id: str
    name: str
    data: Held
    progress: Held
    attempts_made: int
    timestamp: EpochMs
    """When it was added."""
    processed_on: EpochMs | None
    finished_on: EpochMs | None
    failed_reason: str | None
    stacktrace: list[str]
    returnvalue: Held
    queue: str
    state: JobState
    priority: int
    attempts: int | None
    """The first one included; null: as its handler or its queue says."""
    due_on: EpochMs | None
    expires_on: EpochMs | None
    worker: WorkerId | None
    headers: Mapping[str, str]
    errors: list[AttemptShown]


async def job_shown(
    app: App, job: Job, *, reveal: bool = False, bytes_max: int = LISTED_BYTES_MAX
) -> JobShown:
    """A job for the API. `reveal`: with its secrets; texts, too, are as they were then."""
    return _shown(app, job, await _processes(app, [job]), reveal, bytes_max)


async def all_shown(app: App, jobs: Sequence[Job]) -> list[JobShown]:
    """Jobs for a list. Lets others of the loop run in between: a payload of many secrets takes
    milliseconds."""
    found, processes = [], await _processes(app, jobs)
    for i, job in enumerate(jobs):
        found.append(_shown(app, job, processes, False, LISTED_BYTES_MAX))
        if i % SHOWN_AT_ONCE == SHOWN_AT_ONCE - 1:
            await asyncio.sleep(0)
    return found


async def _processes(app: App, jobs: Collection[Job]) -> Mapping[str, str]:
    """The workers of these jobs as people know them, by their lanes: a job was given to a lane."""
    queues = {job.queue for job in jobs if job.run.worker or job.run.errors}
    rows = await together(app.queue(name).workers() for name in sorted(queues))
    return {lane.id: lane.row.process for lanes in rows for lane in lanes}


def _shown(
    app: App, job: Job, processes: Mapping[str, str], reveal: bool, bytes_max: int
) -> JobShown:
    run, options = job.run, job.options
    handler = app.handlers.find(job.queue, job.name)
    marked = frozenset[str]() if handler is None else marked_in(handler.codec.kind)

    def value(data: bytes | None) -> object:
        return None if data is None else _value(bytes(data), marked, reveal, bytes_max)

    def text(said: str) -> str:
        return said if reveal else redact_text(said)

    ended_badly = job.state in (JobState.FAILED, JobState.PARKED)
    return JobShown(
        id=job.id,
        name=job.name,
        data=value(job.data),
        progress=0 if run.progress is None else value(run.progress),
        attempts_made=run.attempts,
        timestamp=job.added_at_ms,
        processed_on=run.claimed_at_ms or None,
        finished_on=run.finished_at_ms or None,
        failed_reason=text(run.reason) if ended_badly else None,
        stacktrace=[text(error.traceback or _line(error)) for error in run.errors],
        returnvalue=value(run.result),
        queue=job.queue,
        state=job.state,
        priority=options.priority or PRIORITY_DEFAULT,
        attempts=options.attempts,
        due_on=job.due_at_ms,
        expires_on=options.expires_at_ms,
        worker=processes.get(run.worker),
        headers=_headers(options.headers or {}, reveal),
        errors=[
            AttemptShown(
                error.attempt,
                error.type,
                text(error.message),
                error.at_ms,
                processes.get(error.worker),
            )
            for error in run.errors
        ],
    )


def _line(error: AttemptError) -> str:
    return f"{error.type}: {error.message}"


def _headers(headers: Mapping[str, str], reveal: bool) -> Mapping[str, str]:
    return headers if reveal else {name: str(value) for name, value in _redacted(headers)}


def _redacted(headers: Mapping[str, str]) -> list[tuple[str, object]]:
    hidden = redact(dict(headers))
    assert isinstance(hidden, dict)
    return list(hidden.items())


def _value(data: bytes, marked: frozenset[str], reveal: bool, bytes_max: int) -> object:
    if len(data) > bytes_max:
        return {"truncated": True, "bytes": len(data)}
    found = value_of(data)
    return plain(found) if reveal else redact(found, marked)


def plain(value: object) -> object:
    """A value in what JSON has; what JSON cannot name is shown as Python writes it."""
    try:
        return msgspec.to_builtins(value, str_keys=True, enc_hook=repr)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
