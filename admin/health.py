"""Is it well? Of each queue, of Redis, of this process; and how many workers a queue wants.

The thresholds are those of the system before; a queue that waits with nobody at work is new.
"""

from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.responses import Response

from admin.api.paths import AtQueue
from admin.api.reading import patiently, together
from admin.api.redis import RedisHealth, pinged, unhealthy
from admin.call import Call
from admin.policy import Role
from admin.wire import answer
from streamq import App, Counts, JobState, Queue, WorkerView
from streamq.errors import StoreError
from streamq.home import now_ms
from streamq.look import counts_of
from streamq.scale import Scale, scale_of

FAILED_WARNING: Final = 50
FAILED_CRITICAL: Final = 200
WAITING_STALLED: Final = 100
NO_WORKER_MS: Final = 60_000
"""A queue may wait this long for a worker: a deploy takes as long."""


class Status(StrEnum):
    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"


class QueueHealth(msgspec.Struct, frozen=True):
    name: str
    status: Status
    issues: list[str]


class Health(msgspec.Struct, frozen=True):
    """`queues` is empty while Redis does not answer: nothing is known of them then."""

    healthy: bool
    queues: list[QueueHealth]
    redis: RedisHealth


def issues_of(counts: Counts, *, no_worker: bool) -> list[tuple[Status, str]]:
    """What is wrong with a queue, each with how bad it is."""
    found = []
    if counts.failed > FAILED_CRITICAL:
        found.append((Status.CRITICAL, f"High number of failed jobs: {counts.failed}"))
    elif counts.failed > FAILED_WARNING:
        found.append((Status.WARNING, f"Elevated number of failed jobs: {counts.failed}"))
    if counts.paused:
        found.append((Status.WARNING, "Queue is paused"))
    if counts.waiting > WAITING_STALLED and counts.active == 0:
        found.append((Status.WARNING, "Queue may be stalled"))
    if no_worker:
        found.append((Status.CRITICAL, "No worker"))
    return found


async def health_of(app: App, names: Sequence[str]) -> Health:
    """Raises StoreError."""
    redis = await pinged(app)
    counted = zip(names, await counts_of(app, names), strict=True)
    queues = await together(_queue_health(app.queue(name), counts) for name, counts in counted)
    well = all(each.status is not Status.CRITICAL for each in queues)
    return Health(well, queues, redis)


async def _queue_health(queue: Queue, counts: Counts) -> QueueHealth:
    no_worker = counts.waiting > 0 and await _nobody_works(queue)
    issues = issues_of(counts, no_worker=no_worker)
    worst = max((status for status, _ in issues), key=list(Status).index, default=Status.HEALTHY)
    return QueueHealth(queue.name, worst, [said for _, said in issues])


async def _nobody_works(queue: Queue) -> bool:
    """Whether what waits has waited a minute with no worker that was heard of.

    Rows are no proof: of a fleet that was killed as a whole nobody is left to declare it dead.
    """
    now = now_ms(queue.home, queue.name)
    fleet = await queue.fleet()
    last_seen = [worker.heard_at_ms if worker.live else worker.died_at_ms or 0 for worker in fleet]
    if any(now - at < NO_WORKER_MS for at in last_seen):
        return False
    first = (await queue.page(JobState.WAITING, limit=1)).jobs
    return all(now - job.added_at_ms >= NO_WORKER_MS for job in first)


async def health(call: Call) -> Health:
    try:
        names = await patiently(call.queues())
        return await patiently(health_of(call.app, names))
    except StoreError as error:
        return Health(False, [], unhealthy(error))


# ---- probes


async def livez(call: Call) -> Response:
    """This process turns; whether Redis is there is not asked, or an outage would restart all."""
    return Response("ok\n", media_type="text/plain")


async def readyz(call: Call) -> Response:
    """Whether requests can be answered."""
    try:
        await patiently(call.app.ping())
    except StoreError:
        return Response(
            "Redis does not answer\n", HTTPStatus.SERVICE_UNAVAILABLE, media_type="text/plain"
        )
    return Response("ok\n", media_type="text/plain")


class Bare(msgspec.Struct, frozen=True):
    """What a stranger is told."""

    status: str


class RedisProbe(msgspec.Struct, frozen=True):
    ok: bool
    latency_ms: int | None = None


class WorkerProbe(msgspec.Struct, frozen=True):
    id: str
    queue: str
    host: str
    pid: int
    slots: int
    heard_ms: Annotated[int, Meta(description="since its last sign of life")]


class Full(msgspec.Struct, frozen=True):
    status: str
    version: str
    redis: RedisProbe
    workers: list[WorkerProbe]
    queues: list[QueueHealth]


async def healthz(call: Call) -> Response:
    """Up or down; who may look is told the rest too."""
    call.who = call.who or await call.known_who()
    found = await health(call)
    up = found.redis.error is None
    status = HTTPStatus.OK if up else HTTPStatus.SERVICE_UNAVAILABLE
    word = "healthy" if found.healthy else "unhealthy"
    if not call.may(Role.VIEWER):
        return answer(Bare(word), status)
    workers = await _workers(call) if up else []
    probe = RedisProbe(up, found.redis.latency)
    return answer(Full(word, _version(), probe, workers, found.queues), status)


async def _workers(call: Call) -> list[WorkerProbe]:
    names = await call.queues()
    fleets = await together(call.app.queue(name).fleet() for name in names)
    return [
        _probe(worker, now_ms(call.app, worker.queue))
        for fleet in fleets
        for worker in fleet
        if worker.live
    ]


def _probe(worker: WorkerView, now: int) -> WorkerProbe:
    return WorkerProbe(
        worker.id, worker.queue, worker.host, worker.pid, worker.slots,
        max(0, now - worker.heard_at_ms),
    )  # fmt: skip


def _version() -> str:
    from importlib.metadata import version

    return version("streamq")


# ---- how many workers


async def scale(call: Call, path: AtQueue) -> Scale:
    """How many worker processes the queue wants, for an autoscaler."""
    queue = await call.queue(path.queue_name)
    at = call.app.session().link(queue.name)
    return await scale_of(at, slots=call.app.queue_settings(queue.name).concurrency)
