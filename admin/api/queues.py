"""Queues: their numbers, what stands at their front, how fast they are; pause, resume."""

import asyncio
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from admin.api.limits import Limits, limits_of
from admin.api.paths import AtName, AtQueue, Done, done
from admin.api.reading import patiently, together
from admin.api.shown import EpochMs, JobShown, all_shown
from admin.call import Call
from admin.wire import CLAMP
from streamq import Counts, JobState, Queue
from streamq.errors import StoreError
from streamq.home import now_ms
from streamq.look import counts_of

UNKNOWN: Final = "unknown"
FRONT_JOBS: Final = 10
RECENT_JOBS: Final = 100
HOUR_MS: Final = 3_600_000
HISTORY_MAX: Final = 1_440
FRONT_STATES: Final = (JobState.WAITING, JobState.ACTIVE, JobState.FAILED)


# ---- all of them


class RedisStatus(msgspec.Struct, frozen=True):
    connected: bool
    mode: str
    version: str


class Statistics(msgspec.Struct, frozen=True, rename="camel"):
    total_queues: int
    total_waiting: int
    total_active: int
    total_completed: int
    total_failed: int
    total_delayed: int
    redis_status: RedisStatus
    total_parked: int
    paused_queues: int


class QueueLine(msgspec.Struct, frozen=True):
    name: str
    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int
    paused: bool
    parked: int


async def stats(call: Call) -> Statistics:
    try:
        return await patiently(_stats(call))
    except StoreError:
        return _summed(len(call.app.queue_names()), [], RedisStatus(False, UNKNOWN, UNKNOWN))


async def _stats(call: Call) -> Statistics:
    names, server = await asyncio.gather(call.queues(), call.app.server())
    counts = await counts_of(call.app, names)
    return _summed(len(names), counts, RedisStatus(True, server.mode, server.version))


def _summed(queues: int, counts: list[Counts], redis: RedisStatus) -> Statistics:
    return Statistics(
        total_queues=queues,
        total_waiting=sum(each.waiting for each in counts),
        total_active=sum(each.active for each in counts),
        total_completed=sum(each.completed for each in counts),
        total_failed=sum(each.failed for each in counts),
        total_delayed=sum(each.delayed for each in counts),
        redis_status=redis,
        total_parked=sum(each.parked for each in counts),
        paused_queues=sum(each.paused for each in counts),
    )


async def queues(call: Call) -> list[QueueLine]:
    names = await call.queues()
    counts = await counts_of(call.app, names)
    return [
        QueueLine(name, c.waiting, c.active, c.completed, c.failed, c.delayed, c.paused, c.parked)
        for name, c in zip(names, counts, strict=True)
    ]


# ---- one of them


class QueueCounts(msgspec.Struct, frozen=True):
    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int
    paused: bool
    parked: int


class Front(msgspec.Struct, frozen=True):
    """Ten of each: the next ones, some that run, the newest failed ones."""

    waiting: list[JobShown]
    active: list[JobShown]
    failed: list[JobShown]


class QueueDetail(msgspec.Struct, frozen=True):
    name: str
    counts: QueueCounts
    jobs: Front
    limits: Limits


async def queue(call: Call, path: AtName) -> QueueDetail:
    found = await call.queue(path.name)
    c, state, pages = await asyncio.gather(
        found.counts(),
        found.state(),
        together(found.page(each, limit=FRONT_JOBS) for each in FRONT_STATES),
    )
    front = [job for page in pages for job in page.jobs[:FRONT_JOBS]]
    shown = await all_shown(call.app, front)
    waiting, active, failed = ([job for job in shown if job.state is s] for s in FRONT_STATES)
    return QueueDetail(
        name=found.name,
        counts=QueueCounts(
            c.waiting, c.active, c.completed, c.failed, c.delayed, c.paused, c.parked
        ),
        jobs=Front(waiting, active, failed),
        limits=limits_of(state),
    )


class Performance(msgspec.Struct, frozen=True, rename="camel"):
    """Over the last 100 jobs that finished; `throughput` over the last hour."""

    avg_processing_time: Annotated[
        float, Meta(description="ms, from an attempt's start to its end")
    ]
    success_rate: Annotated[float, Meta(description="percent; 0 if none finished")]
    throughput: Annotated[float, Meta(description="jobs a minute")]
    recent_jobs: Annotated[int, Meta(description="jobs that the averages are over")]


async def performance(call: Call, path: AtName) -> Performance:
    found = await call.queue(path.name)
    ended = await found.ended(limit=RECENT_JOBS)
    took = [
        run.finished_at_ms - run.claimed_at_ms
        for run in await found.runs([each.id for each in ended])
        if run.claimed_at_ms and run.finished_at_ms >= run.claimed_at_ms
    ]
    completed = sum(each.state is JobState.COMPLETED for each in ended)
    return Performance(
        avg_processing_time=round(sum(took) / len(took), 2) if took else 0.0,
        success_rate=round(100 * completed / len(ended), 2) if ended else 0.0,
        throughput=await _throughput(found),
        recent_jobs=len(ended),
    )


async def _throughput(queue: Queue) -> float:
    """Jobs that ended in the last hour, a minute. Sums are written once a minute: what ended since
    the last one counts with the next."""
    minutes = await queue.history("minute", limit=60)
    since = now_ms(queue.home, queue.name) - HOUR_MS
    ended = sum(m["completed"] + m["failed"] for m in minutes if m["at"] > since)
    return round(ended / 60, 2)


class HistoryQuery(msgspec.Struct, frozen=True):
    unit: Literal["minute", "hour"] = "minute"
    limit: Annotated[
        int, Meta(description=f"1 to {HISTORY_MAX}", extra={CLAMP: (1, HISTORY_MAX)})
    ] = 60


class Sums(msgspec.Struct, frozen=True):
    """What happened in the minute or hour that ended at `timestamp`."""

    timestamp: EpochMs
    added: int
    completed: int
    failed: int
    retried: int


async def history(call: Call, path: AtName, query: HistoryQuery) -> list[Sums]:
    found = await call.queue(path.name)
    return [
        Sums(each["at"], each["added"], each["completed"], each["failed"], each["retried"])
        for each in await found.history(query.unit, limit=query.limit)
    ]


# ---- what is done to one


async def pause(call: Call, path: AtQueue) -> Done:
    return await _pause(call, path, paused=True)


async def resume(call: Call, path: AtQueue) -> Done:
    return await _pause(call, path, paused=False)


async def _pause(call: Call, path: AtQueue, *, paused: bool) -> Done:
    found = await call.queue(path.queue_name)
    before = (await found.state()).paused
    await (found.pause() if paused else found.resume())
    call.note(before={"paused": before}, after={"paused": paused})
    already = " already" if before is paused else ""
    return done(f"Queue {found.name} is{already} {'paused' if paused else 'at work'}")
