"""Bulk runs with a rate: a job of the queue that they are about, which goes through it slowly.

As a job it outlives whoever asked for it, shows how far it is, can be cancelled, and goes on at
another worker where one ends. Every worker knows it; nobody registers it.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from streamq.durations import Ms
from streamq.errors import OutOfRange
from streamq.handlers import Handler, handler_of
from streamq.home import now_ms
from streamq.job import Job, JobState
from streamq.operate import Bulk
from streamq.port import Port
from streamq.queue import Queue

NAME: Final = "streamq.bulk"
JOBS_MAX: Final = 1_000_000
"""Of one run."""
RUN_LIMIT: Final = timedelta(days=1)
"""What would take longer is refused: it wants a higher rate, or a lower limit."""
RATE_MIN: Final = 0.1
RATE_MAX: Final = 10_000.0
"""Jobs a second."""
STEP_S: Final = 0.2
"""Between two steps, unless one job takes longer at this rate."""

_ATTEMPTS: Final = 20
"""Redis may be away for a while; what was done until then stays done."""
_REMEMBERED: Final = timedelta(days=8)
"""Longer than a failed run is kept, and may be retried."""


class BulkAction(StrEnum):
    RETRY = "retry"
    CLEAN = "clean"
    DRAIN = "drain"


class BulkRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be done, and how fast. Only to jobs that were there when it was asked for."""

    action: BulkAction
    rate: float
    """Jobs a second."""
    limit: int
    asked_at_ms: int
    state: JobState = JobState.FAILED
    """Of those to retry or clean."""
    older_than_ms: int = 0
    """Of those to clean, when it was asked for."""
    delayed: bool = True
    """Whether to drain those too."""


class BulkReport(msgspec.Struct, frozen=True):
    """What a run came to."""

    count: int


class Speaker(Protocol):
    """Of a Context, what a run needs."""

    id: str
    queue: str

    def progress(self, value: float) -> object: ...
    def log(self, text: str) -> None: ...


def jobs_a_run(rate: float) -> int:
    """How many a run may do at that rate."""
    return min(JOBS_MAX, int(rate * RUN_LIMIT.total_seconds()))


async def begin(queue: Queue, run: BulkRun) -> str:
    """Adds the run; its job's id. Raises OutOfRange for one that nobody would see the end of."""
    if not RATE_MIN <= run.rate <= RATE_MAX:
        raise OutOfRange("rate", run.rate, RATE_MIN, RATE_MAX)
    most = jobs_a_run(run.rate)
    if not 1 <= run.limit <= most:
        raise OutOfRange("limit", run.limit, 1, most)
    added = await queue.add(NAME, run, priority=1, force=True, create=True)
    return added.id


def bulk_handler(queue: Callable[[str], Queue], port: Port) -> Callable[[str], Handler]:
    """The handler of any queue. `port`: where a run remembers how far it came."""

    async def run_bulk(data: BulkRun, job: Speaker) -> BulkReport:
        memory = f"{NAME}:{job.id}"
        said = await port.get(memory)
        count = int(said) if said is not None else 0
        step = _step_of(queue(job.queue), data)
        began, before = time.monotonic(), count
        while count < data.limit:
            bulk = await step(min(data.limit - count, max(1, int(data.rate * STEP_S))))
            count += bulk.count
            await port.set(memory, str(count), expire=_REMEMBERED)
            job.progress(min(1.0, count / data.limit))
            if not bulk.more:
                break
            due = began + (count - before) / data.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        job.log(f"{data.action}: {count:,} jobs")
        return BulkReport(count)

    def handler(name: str) -> Handler:
        return handler_of(
            run_bulk, name, NAME, attempts=_ATTEMPTS,
            timeout_ms=Ms(int(RUN_LIMIT / timedelta(milliseconds=1)) * 2),
        )  # fmt: skip

    return handler


Step = Callable[[int], Coroutine[None, None, Bulk]]
"""Does at most so many."""


def _step_of(queue: Queue, run: BulkRun) -> Step:
    match run.action:
        case BulkAction.RETRY:
            return _retry(queue, run)
        case BulkAction.CLEAN:
            return lambda some: queue.clean(run.state, older_than=_age(queue, run), limit=some)
        case BulkAction.DRAIN:
            return lambda some: queue.drain(delayed=run.delayed, limit=some)


def _retry(queue: Queue, run: BulkRun) -> Step:
    cursor: str | None = None

    def was_there(job: Job) -> bool:
        # What was retried and failed again is not met again, by a second attempt either.
        return job.run.finished_at_ms <= run.asked_at_ms

    async def step(some: int) -> Bulk:
        nonlocal cursor
        bulk = await queue.retry_all(run.state, where=was_there, limit=some, cursor=cursor)
        cursor = bulk.cursor
        return bulk

    return step


def _age(queue: Queue, run: BulkRun) -> timedelta:
    """How old by now, so that what ended since it was asked for is none of it."""
    since_ms = max(0, now_ms(queue.home, queue.name) - run.asked_at_ms)
    return timedelta(milliseconds=run.older_than_ms + since_ms)
