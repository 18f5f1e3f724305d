"""What is done to many jobs: retry all, clean, drain. Each request is bounded and says how far it
got: at most 10,000 jobs or five seconds, in steps that hold Redis up for milliseconds.

Whoever wants more sends the same request again, with the cursor that the answer had.
"""

import asyncio
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
from streamq.operate import BULK_JOBS_MAX, BULK_LIMIT_S

OPERATOR_JOBS_MAX: Final = 1_000
"""Failed jobs that an operator retries at once; more of them is an admin's decision."""
STEP_S: Final = 0.1
"""Between two steps of a run with a rate."""
RATE_MAX: Final = 10_000.0
ALL_YOUNGER: Final = timedelta(minutes=1)
"""Whoever cleans what is older than that cleans all there is."""
HOURS_MAX: Final = 87_600
DAYS_MAX: Final = 3_650

DryRun = Annotated[bool, Meta(description="only say how many it would be")]
BulkLimit = Annotated[int, Meta(ge=1, le=BULK_JOBS_MAX, description="at most so many")]
BulkRate = Annotated[float, Meta(ge=0.1, le=RATE_MAX, description="jobs a second, no more")]
Confirm = Annotated[str, Meta(description="the queue's name, typed once more")]


class BulkDone(msgspec.Struct, frozen=True, rename="camel"):
    """`remaining`: jobs that are left; `cursor`: where the next request goes on, null: nowhere."""

    success: bool
    message: str
    count: int
    remaining: int
    cursor: str | None
    dry_run: bool


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
    most = BULK_JOBS_MAX if call.may(Role.ADMIN) else OPERATOR_JOBS_MAX
    limit = most if body.limit is None else body.limit
    if limit > most:
        call.require(Role.ADMIN, f"To retry more than {OPERATOR_JOBS_MAX:,} jobs takes admin.")
    before = await _in_state(queue, state)
    if body.dry_run:
        return _would(call, "retry", min(limit, before), before)
    cursor = body.cursor

    async def step(some: int) -> Bulk:
        nonlocal cursor
        bulk = await queue.retry_all(state, limit=some, cursor=cursor)
        cursor = bulk.cursor
        return bulk

    bulk = await paced(step, limit=limit, rate=body.rate)
    return _did(call, "Retried", bulk, before, await _in_state(queue, state))


async def _in_state(queue: Queue, state: JobState) -> int:
    counts = await queue.counts()
    return counts.failed if state is JobState.FAILED else counts.parked


# ---- clean


class CleanCompletedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    older_than_hours: Annotated[float, Meta(ge=0, le=HOURS_MAX)] = 24
    dry_run: DryRun = False
    limit: BulkLimit = BULK_JOBS_MAX
    rate: BulkRate | None = None
    confirm: Confirm = ""


class CleanFailedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    older_than_days: Annotated[float, Meta(ge=0, le=DAYS_MAX)] = 7
    dry_run: DryRun = False
    limit: BulkLimit = BULK_JOBS_MAX
    rate: BulkRate | None = None
    confirm: Confirm = ""


class _Cleaning(msgspec.Struct, frozen=True):
    state: JobState
    older_than: timedelta
    dry_run: bool
    limit: int
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
    if what.dry_run:
        return _would(call, "remove", min(what.limit, before), before)

    async def step(some: int) -> Bulk:
        return await queue.clean(what.state, older_than=what.older_than, limit=some)

    bulk = await paced(step, limit=what.limit, rate=what.rate)
    left = await queue.older(what.state, what.older_than)
    return _did(call, "Removed", bulk, before, left)


# ---- drain


class DrainBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    confirm: Confirm = ""
    delayed: Annotated[bool, Meta(description="delayed jobs too")] = True
    dry_run: DryRun = False
    limit: BulkLimit = BULK_JOBS_MAX
    rate: BulkRate | None = None


async def drain(call: Call, path: AtQueue, body: DrainBody) -> BulkDone:
    """Removes every job that did not start. What runs goes on."""
    queue = await call.queue(path.queue_name)
    before = await _not_started(queue, body.delayed)
    if body.dry_run:
        return _would(call, "remove", min(body.limit, before), before)
    _confirmed(queue.name, body.confirm)

    async def step(some: int) -> Bulk:
        return await queue.drain(delayed=body.delayed, limit=some)

    bulk = await paced(step, limit=body.limit, rate=body.rate)
    left = await _not_started(queue, body.delayed)
    return _did(call, "Removed", bulk, before, left)


async def _not_started(queue: Queue, delayed: bool) -> int:
    counts = await queue.counts()
    return counts.waiting + (counts.delayed if delayed else 0)


# ---- how


async def paced(step: Callable[[int], Awaitable[Bulk]], *, limit: int, rate: float | None) -> Bulk:
    """Steps until there is nothing more, the limit is reached, or five seconds are over.

    With a rate, as many a second as that and no more.
    """
    some = limit if rate is None else max(1, int(rate * STEP_S))
    began, count = time.monotonic(), 0
    while True:
        bulk = await step(min(some, limit - count))
        count += bulk.count
        due = began if rate is None else began + count / rate
        if not bulk.more or count >= limit or max(due, time.monotonic()) >= began + BULK_LIMIT_S:
            return Bulk(count, bulk.more, bulk.cursor)
        await asyncio.sleep(max(0.0, due - time.monotonic()))


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
