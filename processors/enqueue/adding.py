"""What all ways in share: a job as it will be added, alone or with others, waited for or not.

A way in builds its `Job` in a plain function; the coroutine adds it and its blocking twin too:

    async def queue_invoice(...) -> str:
        return await add(_invoice(...))

    def queue_invoice_sync(...) -> str:
        return add_sync(_invoice(...), queue_invoice_sync, queue_invoice)
"""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, TypedDict, TypeVar

import msgspec

from processors.imobibase import QueueName, app
from streamq import Payload, Queue
from streamq.adding import NewJob
from streamq.errors import InvalidInput, OutOfRange, SyncInLoop

P = TypeVar("P", bound=Payload)

Delay = float | str | timedelta
"""Milliseconds, or a duration as the engine takes it (`"5m"`)."""

Table = Mapping[str, object]
"""A payload in its JSON names, as the Node application writes it."""

DELAY_MS_MAX: Final = (
    10 * 365 * 86_400_000
)  # ten years, as the engine's own limit: longer is a slip


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job to be added. `data`: the payload's own Struct, or a table in its JSON names."""

    queue: QueueName
    name: str
    data: Payload | Table
    priority: int | None = None
    delay: Delay | None = None
    id: str | None = None
    headers: Mapping[str, str] | None = None
    """What its handler finds in `job.headers`."""


class _Options(TypedDict):
    priority: int | None
    delay: str | timedelta | None
    id: str | None
    headers: Mapping[str, str] | None


def create_queue(name: QueueName | str) -> Queue:
    """One of the application's queues: `await create_queue(QueueName.EXPORT).add(name, data)`."""
    return app.queue(str(name))


async def add(job: Job) -> str:
    """The job's id. Raises InvalidInput (nothing was sent) and what `Queue.add` raises."""
    return (await create_queue(job.queue).add(job.name, job.data, **_options(job))).id


def add_sync(job: Job, called: Callable[..., object], instead: Callable[..., object]) -> str:
    """`add` for code without an event loop. Raises SyncInLoop, in the words of who was called."""
    try:
        return create_queue(job.queue).add_sync(job.name, job.data, **_options(job)).id
    except SyncInLoop:
        raise SyncInLoop(called.__name__, instead.__name__) from None


async def add_all(queue: QueueName, jobs: Sequence[Job]) -> list[str]:
    """Jobs of one queue, in their order: all are checked before the first is sent."""
    return [added.id for added in await create_queue(queue).add_many(_many(jobs))]


def add_all_sync(
    queue: QueueName,
    jobs: Sequence[Job],
    called: Callable[..., object],
    instead: Callable[..., object],
) -> list[str]:
    """`add_all` for code without an event loop."""
    try:
        return [added.id for added in create_queue(queue).add_many_sync(_many(jobs))]
    except SyncInLoop:
        raise SyncInLoop(called.__name__, instead.__name__) from None


def spread(up_to: timedelta) -> timedelta:
    """A random delay from nothing to that: a batch does not arrive at others all at once."""
    return timedelta(milliseconds=random.uniform(0, up_to / timedelta(milliseconds=1)))


def payload_of(whole: P | Table | None, fields: Table) -> P | Table:
    """What was given: a whole payload, or its fields by their JSON names, of which None is absent.

    What is wrong in it is the engine's to say, at `add`. Raises InvalidInput for both at once.
    """
    if whole is None:
        return {name: value for name, value in fields.items() if value is not None}
    if any(value is not None for value in fields.values()):
        raise InvalidInput("give the payload or its fields, not both")
    return whole


def _options(job: Job) -> _Options:
    return {
        "priority": job.priority,
        "delay": _duration(job.delay),
        "id": job.id,
        "headers": job.headers,
    }


def _many(jobs: Sequence[Job]) -> list[NewJob]:
    return [NewJob(job.name, job.data, **_options(job)) for job in jobs]


def _duration(delay: Delay | None) -> str | timedelta | None:
    if delay is None or isinstance(delay, str | timedelta):
        return delay
    if isinstance(delay, bool) or not 0 <= delay <= DELAY_MS_MAX:  # NaN is neither
        raise OutOfRange("delay", delay, 0, DELAY_MS_MAX)
    return timedelta(milliseconds=delay)
