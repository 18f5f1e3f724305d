"""What is done to many jobs: retry all, clean, drain. Each request is bounded and says how far it
got: at most 10,000 jobs or five seconds, in steps that hold Redis up for milliseconds.

Whoever wants more sends the same request again, with the cursor that the answer had; or says a
rate: then a job of the queue does it, and the answer is that job's id.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from admin.api.paths import AtQueue
from admin.call import Call
from admin.errors import Unfit
from admin.policy import Role
from streamq import Bulk, JobState, Queue
from streamq.bulk import RATE_MAX, RATE_MIN, BulkAction, BulkRun, begin, jobs_a_run
from streamq.home import now_ms
from streamq.operate import BULK_JOBS_MAX, BULK_LIMIT_S

OPERATOR_JOBS_MAX: Final = 1_000
"""Failed jobs that an operator retries at once; more of them is an admin's decision."""
ALL_YOUNGER: Final = timedelta(minutes=1)
"""Whoever cleans what is older than that cleans all there is."""
HOURS_MAX: Final = 87_600
DAYS_MAX: Final = 3_650

DryRun = Annotated[bool, Meta(description="only say how many it would be")]
BulkLimit = Annotated[int, Meta(ge=1, le=BULK_JOBS_MAX, description="at most so many")]
BulkRate = Annotated[
    float,
    Meta(
        ge=RATE_MIN,
        le=RATE_MAX,
        description="jobs a second; then a job of the queue does it, at most a million in a day",
    ),
]
Confirm = Annotated[str, Meta(description="the queue's name, typed once more")]


class BulkDone(msgspec.Struct, frozen=True, rename="camel"):
    """`remaining`: jobs that are left; `cursor`: where the next request goes on, null: nowhere;
    `jobId`: of the job that does it."""

    success: bool
    message: str
    count: int
    remaining: int
    cursor: str | None
    dry_run: bool
    job_id: str | None = None


# ---- retry all


class RetryAllBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    dry_run: DryRun = False
    limit: BulkLimit | None = None
    rate: BulkRate | None = None
    cursor: str | None = None
    state: Literal["failed", "parked"] = "failed"


async def retry_all(call: Call, path: AtQueue, body: RetryAllBody) -> BulkDone:
    """Failed (or parked) jobs wait again, those that failed first in front."""
    queue = await call.queue(path.queue_name)
    state = JobState(body.state)
    most = _most(body.rate) if call.may(Role.ADMIN) else OPERATOR_JOBS_MAX
    limit = most if body.limit is None else body.limit
    if limit > most:
        call.require(Role.ADMIN, f"To retry more than {OPERATOR_JOBS_MAX:,} jobs takes admin.")
    before = await _in_state(queue, state)
    if body.dry_run:
        return _would(call, "retry", min(limit, before), before)
    if body.rate is not None:
        if body.cursor is not None:
            raise Unfit("Unfit cursor", "A run with a rate begins anew: leave the cursor out.")
        return await _slowly(call, queue, BulkAction.RETRY, body.rate, limit, before, state=state)
    cursor = body.cursor

    async def step(some: int) -> Bulk:
        nonlocal cursor
        bulk = await queue.retry_all(state, limit=some, cursor=cursor)
        cursor = bulk.cursor
        return bulk

    bulk = await stepwise(step, limit=limit)
    return _did(call, "Retried", bulk, before, await _in_state(queue, state))


async def _in_state(queue: Queue, state: JobState) -> int:
    counts = await queue.counts()
    return counts.failed if state is JobState.FAILED else counts.parked


# ---- clean


class CleanCompletedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    older_than_hours: Annotated[float, Meta(ge=0, le=HOURS_MAX)] = 24
    dry_run: DryRun = False
    limit: BulkLimit | None = None
    rate: BulkRate | None = None
    confirm: Confirm = ""


class CleanFailedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    older_than_days: Annotated[float, Meta(ge=0, le=DAYS_MAX)] = 7
    dry_run: DryRun = False
    limit: BulkLimit | None = None
    rate: BulkRate | None = None
    confirm: Confirm = ""


class _Cleaning(msgspec.Struct, frozen=True):
    state: JobState
    older_than: timedelta
    dry_run: bool
    limit: int | None
    rate: float | None
    confirm: str


async def clean_completed(call: Call, path: AtQueue, body: CleanCompletedBody) -> BulkDone:
    """Removes completed jobs that are older; with 0 all of them: that needs admin."""
    age = timedelta(hours=body.older_than_hours)
    what = _Cleaning(
        JobState.COMPLETED, age, body.dry_run, body.limit, body.rate, body.confirm
    )  # fmt: skip
    return await _clean(call, path, what)


async def clean_failed(call: Call, path: AtQueue, body: CleanFailedBody) -> BulkDone:
    """Removes failed jobs that are older; with 0 all of them: that needs admin."""
    age = timedelta(days=body.older_than_days)
    what = _Cleaning(JobState.FAILED, age, body.dry_run, body.limit, body.rate, body.confirm)
    return await _clean(call, path, what)


async def _clean(call: Call, path: AtQueue, what: _Cleaning) -> BulkDone:
    queue = await call.queue(path.queue_name)
    if what.older_than < ALL_YOUNGER and not what.dry_run:
        call.require(Role.ADMIN, "To remove all jobs of a state takes admin.")
        _confirmed(queue.name, what.confirm)
    before = await queue.older(what.state, what.older_than)
    limit = _most(what.rate) if what.limit is None else what.limit
    if what.dry_run:
        return _would(call, "remove", min(limit, before), before)
    if what.rate is not None:
        return await _slowly(
            call, queue, BulkAction.CLEAN, what.rate, limit, before,
            state=what.state, older_than=what.older_than,
        )  # fmt: skip

    async def step(some: int) -> Bulk:
        return await queue.clean(what.state, older_than=what.older_than, limit=some)

    bulk = await stepwise(step, limit=limit)
    left = await queue.older(what.state, what.older_than)
    return _did(call, "Removed", bulk, before, left)


# ---- drain


class DrainBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    confirm: Confirm = ""
    delayed: Annotated[bool, Meta(description="delayed jobs too")] = True
    dry_run: DryRun = False
    limit: BulkLimit | None = None
    rate: BulkRate | None = None


async def drain(call: Call, path: AtQueue, body: DrainBody) -> BulkDone:
    """Removes every job that did not start. What runs goes on."""
    queue = await call.queue(path.queue_name)
    before = await _not_started(queue, body.delayed)
    limit = _most(body.rate) if body.limit is None else body.limit
    if body.dry_run:
        return _would(call, "remove", min(limit, before), before)
    _confirmed(queue.name, body.confirm)
    if body.rate is not None:
        return await _slowly(
            call, queue, BulkAction.DRAIN, body.rate, limit, before, delayed=body.delayed
        )

    async def step(some: int) -> Bulk:
        return await queue.drain(delayed=body.delayed, limit=some)

    bulk = await stepwise(step, limit=limit)
    left = await _not_started(queue, body.delayed)
    return _did(call, "Removed", bulk, before, left)


async def _not_started(queue: Queue, delayed: bool) -> int:
    counts = await queue.counts()
    return counts.waiting + (counts.delayed if delayed else 0)


# ---- how


def _most(rate: float | None) -> int:
    """Jobs of one request: those that it does itself, or those that a job may do in a day."""
    return BULK_JOBS_MAX if rate is None else jobs_a_run(rate)


async def stepwise(step: Callable[[int], Awaitable[Bulk]], *, limit: int) -> Bulk:
    """Steps until there is nothing more, the limit is reached, or five seconds are over."""
    began, count = time.monotonic(), 0
    while True:
        bulk = await step(limit - count)
        count += bulk.count
        if not bulk.more or count >= limit or time.monotonic() >= began + BULK_LIMIT_S:
            return Bulk(count, bulk.more, bulk.cursor)


async def _slowly(
    call: Call,
    queue: Queue,
    action: BulkAction,
    rate: float,
    limit: int,
    before: int,
    *,
    state: JobState = JobState.FAILED,
    older_than: timedelta = timedelta(),
    delayed: bool = True,
) -> BulkDone:
    """Leaves it to a job of the queue."""
    limit = min(limit, before)
    if not limit:
        call.detail = "There is nothing to do"
        return BulkDone(True, call.detail, 0, before, None, False)
    run = BulkRun(
        action=action,
        rate=rate,
        limit=limit,
        asked_at_ms=now_ms(queue.home, queue.name),
        state=state,
        older_than_ms=int(older_than / timedelta(milliseconds=1)),
        delayed=delayed,
    )
    job = await begin(queue, run)
    call.note(job=job, before={"jobs": before}, after={"limit": limit, "rate": rate})
    paused = "; it waits, for the queue is paused" if (await queue.state()).paused else ""
    call.detail = f"Job {job} does it: {_jobs(limit)}, {rate:g} a second{paused}"
    return BulkDone(True, call.detail, 0, before, None, False, job)


def _confirmed(queue: str, said: str) -> None:
    if said != queue:
        raise Unfit(
            "Confirmation needed",
            f'It cannot be taken back. Send "confirm": "{queue}" along, or "dryRun": true.',
        )


def _would(call: Call, verb: str, count: int, there: int) -> BulkDone:
    call.detail = f"Would {verb} {_jobs(count)}"
    call.note(before={"jobs": there}, after={"dryRun": True})
    return BulkDone(True, call.detail, count, there - count, None, True)


def _did(call: Call, did: str, bulk: Bulk, before: int, left: int) -> BulkDone:
    call.detail = f"{did} {_jobs(bulk.count)}"
    call.note(before={"jobs": before}, after={"jobs": left, "count": bulk.count})
    return BulkDone(True, call.detail, bulk.count, left, bulk.cursor, False)


def _jobs(count: int) -> str:
    return f"{count:,} {'job' if count == 1 else 'jobs'}"
