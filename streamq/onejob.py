"""What operators do with one job. Every call is safe to repeat, and says what it came to."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import UNSET

from streamq.adding import checked_id, checked_priority, moment_ms, terms_of
from streamq.durations import Duration, to_ms
from streamq.errors import CallAgain, InvalidInput, WrongState
from streamq.home import now_ms
from streamq.job import (
    HEAD_BYTES,
    NO_RUN,
    Job,
    JobId,
    JobState,
    Line,
    Run,
    line_of,
    unpack,
    unpack_run,
)
from streamq.job import NewJob as SealedJob
from streamq.look import Looks
from streamq.store import reads, transitions

AGAIN_MAX: Final = 3
"""Tries of a call whose job or settings changed between our look and it."""


class Effect(StrEnum):
    """What a call did to a job."""

    DONE = "done"
    TOLD = "told"
    """It runs: its worker is told, and the rest happens when it ends."""
    ABSENT = "absent"
    """There is no such job."""
    UNFIT = "unfit"
    """It is in a state that the call is not for; nothing was done."""


class JobOperations(Looks):
    """What can be done to one job of a queue."""

    async def retry(self, job: str) -> Effect:
        """A failed or parked job waits again, with fresh attempts; its old errors are kept."""
        found = await self.get(job)
        if found is None:
            return Effect.ABSENT
        act = {JobState.FAILED: transitions.retry, JobState.PARKED: transitions.unpark}
        if (transition := act.get(found.state)) is None:
            return Effect.UNFIT
        (done,) = await transition(
            self._link(), [found.id], [self._line_of(found)], now_ms=self._moved_ms()
        )
        return Effect.DONE if done else Effect.UNFIT

    async def promote(self, job: str) -> Effect:
        """A delayed job waits at once."""
        wanted = checked_id(job)
        (done,) = await transitions.promote(self._link(), [wanted], now_ms=self._moved_ms())
        if done:
            return Effect.DONE
        return Effect.UNFIT if await self.get(job) else Effect.ABSENT

    async def remove(self, job: str) -> Effect:
        """A job and all that is kept of it goes; one that runs is cancelled, and goes then."""
        (word,) = await transitions.remove(self._link(), [checked_id(job)], now_ms=self._moved_ms())
        return EFFECTS[word]

    async def cancel(self, job: str) -> Effect:
        """A job that has not ended fails as cancelled, without a retry; one that runs is told."""
        wanted = checked_id(job)
        keep_failed = self.home.queue_settings(self.name).keep_failed.count
        for left in reversed(range(AGAIN_MAX)):
            at = self._link()
            _, run_before = await _raw(self, wanted)
            try:
                word = await transitions.cancel(
                    at,
                    wanted,
                    run_before=run_before,
                    run_after=self._cancelled(run_before),
                    keep_failed=keep_failed,
                    now_ms=self._moved_ms(),
                )
            except CallAgain:
                if not left:
                    raise
            else:
                return EFFECTS[word]
        raise AssertionError("the last try returns or raises")

    async def change(
        self,
        job: str,
        *,
        data: object = UNSET,
        priority: int | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
    ) -> Effect:
        """Another payload, priority or time for a job that waits or is delayed; the rest stays.

        `delay` "0s" is now. Raises what `add` raises for the same values.
        """
        wanted = checked_id(job)
        if delay is not None and at is not None:
            raise InvalidInput(f"job {job}: give delay or at, not both.")
        due_ms = None if at is None else max(0, moment_ms("at", at))
        if delay is not None:
            wait_ms = to_ms(delay, "delay")
            due_ms = now_ms(self.home, self.name) + wait_ms if wait_ms else 0
        if priority is not None:
            checked_priority(priority)
        for left in reversed(range(AGAIN_MAX)):
            value, _ = await _raw(self, wanted)
            if value is None:
                return Effect.ABSENT
            try:
                await transitions.change(
                    self._link(),
                    wanted,
                    before=value[HEAD_BYTES:],
                    after=self._changed(wanted, value, data, priority),
                    due_ms=due_ms,
                    now_ms=self._moved_ms(),
                )
            except WrongState as error:
                return Effect.ABSENT if error.detail == "absent" else Effect.UNFIT
            except CallAgain:
                if not left:
                    raise
            else:
                return Effect.DONE
        raise AssertionError("the last try returns or raises")

    # -- how

    def _line_of(self, job: Job) -> Line:
        """Where it waits: by its own priority, else its handler's, else its queue's."""
        handler = self.home.handlers.find(self.name, job.name)
        own = job.options.priority or (handler.priority if handler else None)
        return line_of(own or self.home.queue_settings(self.name).priority)

    def _cancelled(self, run: bytes | None) -> Run:
        try:
            before = unpack_run(run)
        except msgspec.MsgspecError:
            before = NO_RUN
        ended = now_ms(self.home, self.name)
        return msgspec.structs.replace(before, reason="cancelled", finished_at_ms=ended)

    def _changed(self, job: JobId, value: bytes, data: object, priority: int | None) -> SealedJob:
        record = unpack(value)
        packed, options = bytes(record.data), record.options
        if data is not UNSET:
            terms = terms_of(
                self.name,
                record.name,
                self.home.handlers.find(self.name, record.name),
                self.home.queue_settings(self.name),
            )
            packed = terms.codec.encode(data, self.name, record.name, terms.payload_limit_bytes)
        if priority is not None:
            options = msgspec.structs.replace(options, priority=priority)
        return SealedJob(job, record.name, packed, options)

    def _moved_ms(self) -> int | None:
        return self.home.clock.now_ms()


EFFECTS: Final = {
    "removed": Effect.DONE,
    "cancelled": Effect.DONE,
    "flagged": Effect.TOLD,
    "absent": Effect.ABSENT,
    "completed": Effect.UNFIT,
    "failed": Effect.UNFIT,
}


async def _raw(queue: JobOperations, job: JobId) -> tuple[bytes | None, bytes | None]:
    """The bytes that stand for a job and for its run: a newer build may have written more in them
    than this one would write back."""
    at = queue._link()
    value = await reads.ask(at, "HGET", at.keys.names["jobs"], job)
    run = await reads.ask(at, "HGET", at.keys.names["runs"], job)
    return value, run
