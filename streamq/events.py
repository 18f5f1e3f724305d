"""What happens in a queue, as it happens: transitions, and the results that somebody waits for.

Owns the reading of the `events` stream. All who wait for results in one process and queue share
one connection; a wake-up is never lost, for the place in the stream is noted before the job is
looked at.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final

import msgspec

from streamq.errors import (
    JobFailed,
    JobNotFound,
    ResultGone,
    ResultTimeout,
    StoreError,
)
from streamq.job import Job, JobId, JobState
from streamq.store import reads
from streamq.store.client import Redis, Wire
from streamq.store.keys import Keys
from streamq.store.scripts import Link, link

BLOCK_MS: Final = 5_000
"""Of one blocking read; then the follower looks whether anybody still waits."""

LOOK_AGAIN_S: Final = 30.0
"""Who waits for a result looks at the job this often by itself: a net under the events, which
Redis keeps for 10,000 transitions and loses with FLUSHALL."""

AWAY_MAX_S: Final = 60.0
"""How long a follower goes on while Redis is away."""

PAUSE_MIN_S: Final = 0.05
PAUSE_MAX_S: Final = 2.0
PAGES_BACK_MAX: Final = 100
"""Of 200 entries each, gone through for a result that left no record: all that Redis keeps."""

WAIT_MAX_S: Final = 86_400.0
"""The longest wait for a result, for those who name none."""

_REMOVED: Final = "removed"
_TOLD: Final = ("completed", "failed", _REMOVED)

log = logging.getLogger("streamq.events")


class Transition(msgspec.Struct, frozen=True):
    """A job reached a state, or was `removed`. `at_ms` is Redis's clock.

    `result` is the packed result of a completed job, if it is small (1 KiB) and not None.
    """

    id: JobId
    state: str
    at_ms: int
    result: bytes | None = None


async def follow(
    redis: Redis, keys: Keys, *, after: str | None = None
) -> AsyncGenerator[Transition, None]:
    """The transitions of a queue from now on, or later than the entry `after`; without an end.

    Goes on after a lost connection where it was. Raises RedisUnavailable when Redis is away for
    longer than a minute. Who is more than 10,000 transitions behind misses some.
    """
    async for entry in _entries(redis, keys, after):
        for transition in transitions_in(entry):
            yield transition


def transitions_in(entry: reads.Event) -> list[Transition]:
    return [
        Transition(job, state, entry.at_ms, entry.results.get(job))
        for state, ids in entry.states.items()
        for job in ids
    ]


async def _entries(redis: Redis, keys: Keys, after: str | None) -> AsyncIterator[reads.Event]:
    wire = Wire(redis.address, keys.names["events"], name="streamq-events")
    at = Link(wire, keys)
    patience = _Patience()
    try:
        while True:
            try:
                if after is None:
                    after = await reads.last_event_id(at)
                entries = await reads.events(at, after, block_ms=BLOCK_MS)
            except StoreError as error:
                await patience.bear(error)
                continue
            patience.restore()
            for entry in entries:
                after = entry.id
                yield entry
    finally:
        await wire.close()


class _Patience:
    """Growing pauses while Redis is away, and an end to them."""

    def __init__(self) -> None:
        self.restore()

    def restore(self) -> None:
        self._pause_s = PAUSE_MIN_S
        self._until: float | None = None

    async def bear(self, error: StoreError) -> None:
        """Waits a while. Raises `error` when it has lasted too long."""
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + AWAY_MAX_S
        if now >= self._until:
            raise error
        log.debug("events: %s", error)
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)


class _Waiter:
    """One call that waits for a job: woken by the transition, or by None to look for itself."""

    __slots__ = ("_event", "transition")

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.transition: Transition | None = None

    def wake(self, transition: Transition | None) -> None:
        self.transition = transition or self.transition
        self._event.set()

    async def woken(self, limit_s: float) -> Transition | None:
        """The transition that ended the job; None: look at the job."""
        try:
            async with asyncio.timeout(limit_s):
                await self._event.wait()
        except TimeoutError:
            return None
        self._event.clear()
        return self.transition


class Results:
    """The results of one queue, for one event loop."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        # Not the connection of the scripts: a wait that ends while it looks drops its connection.
        self._link = link(redis, keys, "results")
        self._waiters: defaultdict[JobId, set[_Waiter]] = defaultdict(set)
        self._follower: asyncio.Task[None] | None = None
        self._noted = asyncio.Event()
        self._after = ""  # where the follower is in the stream

    async def of(
        self, job: JobId, *, limit_s: float | None = None, since_ms: int | None = None
    ) -> bytes | None:
        """The packed result of a job, once it is completed; None if its handler returned None.

        `since_ms`: Redis's time when it was added, if it is known that it was: then a job that
        left nothing behind is found in the events. Raises JobFailed, ResultTimeout, ResultGone,
        JobNotFound, and RedisUnavailable when Redis is away for longer than a minute.
        """
        limit_s = WAIT_MAX_S if limit_s is None else min(limit_s, WAIT_MAX_S)
        waiter = _Waiter()
        self._waiters[job].add(waiter)
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                return await self._wait(job, waiter, since_ms)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ResultTimeout(job, int(limit_s * 1000)) from error
        finally:
            self._waiters[job].discard(waiter)
            if not self._waiters[job]:
                del self._waiters[job]

    async def close(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])

    async def _wait(self, job: JobId, waiter: _Waiter, since_ms: int | None) -> bytes | None:
        transition: Transition | None = None
        patience, looked_twice = _Patience(), False
        # Where its end may be told from: its adding, else the place noted before the first look.
        start = None if since_ms is None else f"{since_ms - 1}-0"
        while True:
            await self._followed()
            start = start or self._after
            if transition is not None and transition.result is not None:
                return transition.result
            try:
                found = await reads.get(self._link, job)
                if found is None:
                    told = transition or await self._told_since(job, start)
                    return self._without_record(job, told, added=since_ms is not None)
            except StoreError as error:
                await patience.bear(error)
                continue
            patience.restore()
            ended = found.state in (JobState.COMPLETED, JobState.FAILED)
            if ended and not found.run.finished_at_ms and not looked_twice:
                # A read of several keys is not one instant: its run was read before it ended.
                looked_twice = True
                continue
            if found.state is JobState.COMPLETED:
                return found.run.result
            if found.state is JobState.FAILED:
                raise _failed(found)
            transition, looked_twice = await waiter.woken(LOOK_AGAIN_S), False

    async def _followed(self) -> None:
        """Returns once somebody reads the stream and its place is noted."""
        if self._follower is None:
            self._noted.clear()
            self._follower = asyncio.get_running_loop().create_task(self._follow())
        await self._noted.wait()

    def _without_record(self, job: JobId, told: Transition | None, *, added: bool) -> bytes | None:
        """The job left nothing behind: what its events said of its end, if they still do."""
        if told is None and not added:
            raise JobNotFound(job, self._keys.queue)
        if told is not None and told.state == JobState.FAILED:
            raise JobFailed(job, "no reason is kept")
        # A completed one without a result in its event: it was None, or large and went with it.
        if told is None or told.result is None:
            raise ResultGone(job)
        return told.result

    async def _told_since(self, job: JobId, after: str) -> Transition | None:
        """The last that the events told of a job's end, later than the entry `after`."""
        told = None
        for _ in range(PAGES_BACK_MAX):
            page = await reads.events(self._link, after)
            for entry in page:
                after = entry.id
                for transition in transitions_in(entry):
                    if transition.id == job and transition.state in _TOLD:
                        told = transition
            if len(page) < reads.EVENTS_READ_MAX:
                break
        return told

    async def _follow(self) -> None:
        """Hands each end that is told to those who wait for it, as long as anybody waits."""
        wire = Wire(self._redis.address, self._keys.names["events"], name="streamq-follower")
        at, patience = Link(wire, self._keys), _Patience()
        try:
            while self._waiters:
                try:
                    if not self._noted.is_set():
                        self._after = await reads.last_event_id(at)
                        self._noted.set()
                    entries = await reads.events(at, self._after, block_ms=BLOCK_MS)
                except StoreError as error:
                    await patience.bear(error)
                    # What was told meanwhile may be trimmed by now, or flushed.
                    self._wake_all()
                    continue
                patience.restore()
                for entry in entries:
                    self._after = entry.id
                    self._tell(entry)
        except StoreError as error:
            log.warning("results of queue %s: %s", self._keys.queue, error)
        finally:
            self._follower = None
            # Who still waits looks for itself, and begins a new follower.
            self._noted.set()
            self._wake_all()
            await wire.close()

    def _tell(self, entry: reads.Event) -> None:
        for state in _TOLD:
            for job in entry.states.get(state, ()):
                if job in self._waiters:
                    told = Transition(job, state, entry.at_ms, entry.results.get(job))
                    for waiter in self._waiters[job]:
                        waiter.wake(told)

    def _wake_all(self) -> None:
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.wake(None)


def _failed(job: Job) -> JobFailed:
    errors: Sequence[object] = job.run.errors
    last = job.run.errors[-1] if job.run.errors else None
    reason = job.run.reason or (f"{last.type}: {last.message}" if last else "no reason is kept")
    return JobFailed(job.id, reason, errors)
