"""The producer: puts jobs of one queue into Redis, one numbered call at a time.

What is added while a call is in flight rides in the next one. A call whose reply is lost is
repeated under the same number, which the script applies once: no job runs twice for it.
"""

import asyncio
import copy
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from streamq.clock import Clock
from streamq.errors import (
    NotApplied,
    OutcomeUnknown,
    RedisUnavailable,
    ScriptFault,
    StoreError,
)
from streamq.job import NewJob as SealedJob
from streamq.store import transitions
from streamq.store.client import Redis
from streamq.store.mending import repair_queue
from streamq.store.packed import Packed, joined, packed
from streamq.store.reads import note_queue
from streamq.store.replies import AddReply
from streamq.store.scripts import Link

CALL_JOBS_MAX: Final = transitions.ITEMS_MAX
CALL_BYTES_MAX: Final = 1 << 20
"""Of records in one call; a larger job goes alone."""

PAUSES_S: Final = (0.02, 0.1, 0.3, 1.0, 2.0)
"""Before each repeat of a call that had no reply, or that Redis refused for the moment."""

SILENCE_MAX_S: Final = 540.0
"""After this the producer takes a new id: its last number is swept ten minutes after its call,
and a repeat that came later would be applied again."""

REPAIR_EVERY_S: Final = 60.0
CLOSE_LIMIT_S: Final = 5.0
_RECORD_OVERHEAD_BYTES: Final = 160  # head, name, id, options; headers come on top

log = logging.getLogger("streamq.producer")


class Receipt(msgspec.Struct, frozen=True):
    """For each job of a parcel whether its id was there already; and Redis's time."""

    existed: tuple[bool, ...]
    at_ms: int


class _Parcel:
    """Jobs that travel together, and who waits for them."""

    __slots__ = ("bytes", "done", "jobs")

    def __init__(self, jobs: Packed) -> None:
        self.jobs = jobs
        self.bytes = sum(map(len, jobs.records))
        self.done: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()


def size_of(job: SealedJob) -> int:
    """About the bytes of its record."""
    size = len(job.data) + _RECORD_OVERHEAD_BYTES
    if job.options.headers:
        size += sum(len(k) + len(v) for k, v in job.options.headers.items())
    return size


def parcels_of(
    jobs: Iterable[SealedJob], labels: Iterable[str]
) -> Iterator[tuple[list[SealedJob], list[str]]]:
    """The jobs in their order, in pieces that fit one call; each is made when it is asked for."""
    some: list[SealedJob] = []
    some_labels: list[str] = []
    size = 0
    for job, label in zip(jobs, labels, strict=True):
        size += (own := size_of(job))
        if len(some) == CALL_JOBS_MAX or (size > CALL_BYTES_MAX and some):
            yield some, some_labels
            some, some_labels, size = [], [], own
        some.append(job)
        some_labels.append(label)
    if some:
        yield some, some_labels


class _Moment:
    """A moment, whose age counts a suspended machine too: Redis's time went on meanwhile."""

    def __init__(self) -> None:
        self._monotonic, self._wall = time.monotonic(), time.time()

    def age_s(self) -> float:
        return max(time.monotonic() - self._monotonic, time.time() - self._wall)


class Producer:
    """Adds jobs to one queue, for one event loop."""

    def __init__(self, redis: Redis, link: Link, clock: Callable[[], Clock]) -> None:
        self._redis = redis
        self._link = link
        self._clock = clock
        self._waiting: deque[_Parcel] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._offset_ms = 0
        self._repaired: _Moment | None = None
        self._begin_anew()

    def now_ms(self) -> int:
        """Redis's clock, as far as the last reply told it."""
        moved = self._clock().now_ms()
        return moved if moved is not None else time.time_ns() // 1_000_000 + self._offset_ms

    async def add(self, jobs: Sequence[SealedJob], labels: Sequence[str]) -> Receipt:
        """Adds jobs that fit one call (see `parcels_of`), all or none of them; see `send`."""
        return await self.send(packed(jobs, labels))

    def send(self, jobs: Packed) -> asyncio.Future[Receipt]:
        """Adds jobs that fit one call, all or none of them; they go out when the loop is free.

        Cancelled before that, they are not added; else they may be. What comes may be an error:
        RedisUnavailable and NotApplied (nothing was added), StoreFull, LayoutNewer, and
        OutcomeUnknown: they may have been added, and the same ids can be added again.
        """
        parcel = _Parcel(jobs)
        self._waiting.append(parcel)
        if self._sender is None:
            # A task of its own: a caller that is cancelled must not take the others with it.
            self._sender = asyncio.get_running_loop().create_task(self._send_all())
        return parcel.done

    async def close(self) -> None:
        """Waits for what is on its way, within a limit."""
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=CLOSE_LIMIT_S)

    def _begin_anew(self) -> None:
        self._id = secrets.token_hex(6)
        self._number = 0
        self._noted = False
        self._heard = _Moment()

    async def _send_all(self) -> None:
        parcels: list[_Parcel] = []
        try:
            while self._waiting:
                parcels = self._take()
                if parcels:
                    await self._send(parcels)
        except BaseException:
            # The loop ends, or this file has a fault: nobody may wait for ever.
            for parcel in (*parcels, *self._waiting):
                parcel.done.cancel()
            self._waiting.clear()
            raise
        finally:
            self._sender = None

    def _take(self) -> list[_Parcel]:
        """What rides in the next call: in order, as much as fits, without what nobody waits for."""
        taken: list[_Parcel] = []
        jobs = size = 0
        while self._waiting:
            parcel = self._waiting[0]
            jobs, size = jobs + len(parcel.jobs), size + parcel.bytes
            if taken and (jobs > CALL_JOBS_MAX or size > CALL_BYTES_MAX):
                break
            self._waiting.popleft()
            if parcel.done.cancelled():
                jobs, size = jobs - len(parcel.jobs), size - parcel.bytes
            else:
                taken.append(parcel)
        return taken

    async def _send(self, parcels: Sequence[_Parcel]) -> None:
        try:
            reply = await self._applied(joined([parcel.jobs for parcel in parcels]))
        except StoreError as error:
            if isinstance(error, ScriptFault):
                await self._repair()
            for parcel in parcels:
                if not parcel.done.done():
                    # A copy each: one error raised in many places would collect all their traces.
                    mine = copy.copy(error)
                    mine.__cause__ = error.__cause__
                    parcel.done.set_exception(mine)
            return
        first = 0
        for parcel in parcels:
            existed = tuple(first + i in reply.existed for i in range(len(parcel.jobs)))
            first += len(parcel.jobs)
            if not parcel.done.done():
                parcel.done.set_result(Receipt(existed, reply.now_ms))

    async def _applied(self, jobs: Packed) -> AddReply:
        """The reply of one numbered call, repeated under its number until there is one."""
        if self._heard.age_s() > SILENCE_MAX_S:
            self._begin_anew()
        self._number += 1
        began = _Moment()
        unknown: OutcomeUnknown | None = None
        last: StoreError
        for pause_s in (*PAUSES_S, None):
            try:
                return await self._call(jobs)
            except OutcomeUnknown as error:
                unknown, last = error, error
            except (NotApplied, RedisUnavailable) as error:
                if unknown is None and isinstance(error, RedisUnavailable):
                    raise
                last = unknown or error
            except StoreError:
                # An earlier copy may still arrive and be applied: that is what the caller is told.
                if unknown is not None:
                    raise unknown from None
                raise
            if pause_s is None or began.age_s() > SILENCE_MAX_S:
                raise last
            await self._pause(pause_s, last)
        raise AssertionError("the last pause is None")

    async def _pause(self, pause_s: float, error: StoreError) -> None:
        log.debug("add to queue %s: %s", self._link.queue, error)
        await asyncio.sleep(pause_s)

    async def _call(self, jobs: Packed) -> AddReply:
        moved_ms = self._clock().now_ms()
        reply = await transitions.add(self._link, self._id, self._number, jobs, now_ms=moved_ms)
        self._heard = _Moment()
        if moved_ms is None:
            self._offset_ms = reply.now_ms - time.time_ns() // 1_000_000
        await self._note_queue()
        return reply

    async def _note_queue(self) -> None:
        """Once: the queue's name, to where operators look for queues. It lives in another slot."""
        if self._noted:
            return
        try:
            await note_queue(self._redis, self._link.keys.prefix, self._link.queue)
        except StoreError as error:
            # The jobs are added, and the next call brings the name.
            log.debug("name of queue %s: %s", self._link.queue, error)
        else:
            self._noted = True

    async def _repair(self) -> None:
        """Puts right what a torn script left; not at every fault, for one may repeat itself."""
        if self._repaired is not None and self._repaired.age_s() < REPAIR_EVERY_S:
            return
        self._repaired = _Moment()
        try:
            mended = await repair_queue(self._link)
        except StoreError as error:
            log.warning("repair of queue %s: %s", self._link.queue, error)
        else:
            log.warning("queue %s: %d items were put right", self._link.queue, mended.total)
