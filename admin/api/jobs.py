"""Jobs: one, a page of them, the failed ones of all queues, what happened last in one."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from admin.api.paths import AtJob, AtName, ListLimit, OneQueue
from admin.api.reading import together
from admin.api.shown import ALONE_BYTES_MAX, EpochMs, Held, JobShown, all_shown, job_shown
from admin.call import Call
from admin.errors import NotFound
from admin.policy import Role
from streamq import Ended, Job, JobState, Queue
from streamq.redact import redact_text

FAILED_LIMIT: Final = 100
LOGS_LIMIT: Final = 50
PAGE_LIMIT: Final = 50


# ---- one


class JobQuery(msgspec.Struct, frozen=True):
    reveal: Annotated[bool, Meta(description="with its secrets; needs admin, and is noted")] = False


async def job(call: Call, path: AtJob, query: JobQuery) -> JobShown:
    found = await found_job(call, path)
    if query.reveal:
        call.require(Role.ADMIN, "Payloads are shown as they are to admins alone.")
        await call.audit("job.reveal")
    return await job_shown(call.app, found, reveal=query.reveal, bytes_max=ALONE_BYTES_MAX)


async def found_job(call: Call, path: AtJob) -> Job:
    """The job that a path names. Raises NotFound, and BadRequest for another queue's name."""
    queue = await call.queue(path.queue_name)
    call.job_id = path.job_id
    found = await queue.get(path.job_id)
    if found is None:
        raise no_such_job(queue.name, path.job_id)
    return found


def no_such_job(queue: str, job: str) -> NotFound:
    return NotFound(
        "Job not found",
        f"Queue {queue} has no job {job}: never added, removed, or kept for less time.",
        code="SQ254",
    )


class JobLogs(msgspec.Struct, frozen=True):
    """What its handler logged, oldest first; the last 64 KiB are kept."""

    lines: list[str]


async def job_logs(call: Call, path: AtJob) -> JobLogs:
    found = await found_job(call, path)
    lines = await call.app.queue(found.queue).logs(found.id)
    return JobLogs([redact_text(line) for line in lines])


# ---- a page


class PageQuery(msgspec.Struct, frozen=True):
    state: JobState = JobState.WAITING
    limit: ListLimit = PAGE_LIMIT
    cursor: Annotated[str, Meta(description="of the page before")] = ""
    order: Annotated[
        Literal["newest", "oldest"],
        Meta(description="of ended jobs by when they ended, of delayed ones by when they are due"),
    ] = "newest"


class JobPage(msgspec.Struct, frozen=True):
    """Jobs of a state; `cursor` is the next page's, null: there is none.

    A cursor stays good while jobs come and go. Waiting jobs stand in the order in which they are
    taken, active ones in none.
    """

    jobs: list[JobShown]
    cursor: str | None


async def jobs(call: Call, path: AtName, query: PageQuery) -> JobPage:
    queue = await call.queue(path.name)
    page = await queue.page(
        query.state,
        cursor=query.cursor or None,
        limit=query.limit,
        newest_first=query.order == "newest",
    )
    return JobPage(await all_shown(call.app, page.jobs), page.cursor)


# ---- the failed ones


class FailedQuery(msgspec.Struct, frozen=True):
    limit: ListLimit = FAILED_LIMIT
    queue: OneQueue = ""


class FailedJob(msgspec.Struct, frozen=True):
    queue: str
    job: JobShown
    error: str


async def failed(call: Call, query: FailedQuery) -> list[FailedJob]:
    """Of all queues, the newest first."""
    names = [(await call.queue(query.queue)).name] if query.queue else await call.queues()
    queues = [call.app.queue(name) for name in names]
    ended = await together(q.ended([JobState.FAILED], limit=query.limit) for q in queues)
    newest = sorted(
        ((each, queue) for queue, some in zip(queues, ended, strict=True) for each in some),
        key=lambda pair: (-pair[0].at_ms, pair[1].name, pair[0].id),
    )[: query.limit]
    shown = await all_shown(call.app, await _read(newest))
    return [FailedJob(each.queue, each, each.failed_reason or "") for each in shown]


async def _read(chosen: Iterable[tuple[Ended, Queue]]) -> list[Job]:
    """The jobs, in their order; those that went or were retried meanwhile are left out."""
    chosen = list(chosen)
    by_queue: dict[Queue, list[str]] = {}
    for each, queue in chosen:
        by_queue.setdefault(queue, []).append(each.id)
    read = await together(queue.get_many(ids) for queue, ids in by_queue.items())
    found = {
        (queue.name, job.id): job
        for queue, some in zip(by_queue, read, strict=True)
        for job in some
        if job is not None
    }
    jobs = (found.get((queue.name, each.id)) for each, queue in chosen)
    return [
        job for job, (each, _) in zip(jobs, chosen, strict=True) if job and job.state is each.state
    ]


# ---- what happened last


class LogsQuery(msgspec.Struct, frozen=True):
    limit: ListLimit = LOGS_LIMIT


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A job that ended or runs; `error` is a failed one's reason."""

    job_id: str
    name: str
    status: JobState
    timestamp: EpochMs
    data: Held = None
    error: str | None = None


async def logs(call: Call, path: AtName, query: LogsQuery) -> list[LogLine]:
    """Of one queue, the newest first."""
    queue = await call.queue(path.name)
    ended = await queue.ended(limit=query.limit)
    running = (await queue.page(JobState.ACTIVE, limit=query.limit)).jobs
    read = await _read((each, queue) for each in ended)
    shown = await all_shown(call.app, [*running, *read])
    lines = [_line(each) for each in shown]
    return sorted(lines, key=lambda line: (-line.timestamp, line.job_id))[: query.limit]


def _line(job: JobShown) -> LogLine:
    return LogLine(
        job.id,
        job.name,
        job.state,
        job.finished_on or job.processed_on or job.timestamp,
        job.data,
        job.failed_reason,
    )
