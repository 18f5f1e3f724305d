"""What operators do with a queue. Every call is bounded, and safe to repeat.

One of a single job says what it came to (`Effect`); one of many stops at a limit or after five
seconds and says how many it did and where to go on (`Bulk`).
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from streamq.declaring import checked_limit, rate_of
from streamq.durations import Duration, to_ms
from streamq.errors import InvalidInput, OutcomeUnknown, OutOfRange, VersionConflict
from streamq.job import Job, JobState
from streamq.look import ENDED
from streamq.onejob import AGAIN_MAX, EFFECTS, Effect, JobOperations
from streamq.store import transitions
from streamq.store.reads import QueueState

__all__ = ["BULK_JOBS", "BULK_JOBS_MAX", "BULK_LIMIT_S", "Bulk", "Effect", "Operations", "Where"]

BULK_JOBS_MAX: Final = 10_000
BULK_LIMIT_S: Final = 5.0
BULK_JOBS: Final = 1_000
"""Jobs that a bulk call does if no limit is named."""

_PAGE: Final = transitions.FEW_MAX


class Bulk(msgspec.Struct, frozen=True):
    """How many jobs a call did, and whether there are more.

    `cursor` goes on from there, where a call takes one; None with `more`: call it again as it was.
    """

    count: int
    more: bool
    cursor: str | None = None


Where = Callable[[Job], bool]
"""Which of the jobs are meant."""


class Operations(JobOperations):
    """What can be done to one queue and its jobs."""

    # -- the queue

    async def pause(self) -> None:
        """From now on no job is claimed, delayed ones included; those that run finish."""
        await self._set(paused=True)

    async def resume(self) -> None:
        """Jobs are claimed again."""
        await self._set(paused=False)

    async def limit(
        self,
        max_active: int | UnsetType | None = UNSET,
        *,
        rate: tuple[int, Duration] | UnsetType | None = UNSET,
    ) -> QueueState:
        """Limits for the whole fleet, which win over the code's until `limit_reset`.

        `max_active`: jobs at a time; `rate`: at most n starts in any window of that length. None:
        no limit; not given: as it is. Raises OutOfRange.
        """
        return await self._set(
            max_active="" if max_active is UNSET else _limit_word(max_active),
            rate="" if rate is UNSET else _rate_word(rate),
        )

    async def limit_reset(self) -> QueueState:
        """The limits that the code says hold again."""
        return await self._set(max_active="-", rate="-")

    async def drain(self, *, delayed: bool = True, limit: int = BULK_JOBS_MAX) -> Bulk:
        """Removes the jobs that wait, and the delayed ones. What runs goes on."""
        return await self._repeat(
            lambda left: transitions.drain(
                self._link(), delayed=delayed, limit=left, now_ms=self._moved_ms()
            ),
            limit,
        )

    async def clean(self, state: JobState, *, older_than: Duration, limit: int = BULK_JOBS) -> Bulk:
        """Removes jobs that reached `state` (completed, failed, parked) longer ago than that."""
        if state not in ENDED:
            raise InvalidInput(
                f"state={state}: only {', '.join(ENDED)} can be cleaned."
                " Remove others by remove, or by drain."
            )
        older_than_ms = to_ms(older_than, "older_than")
        return await self._repeat(
            lambda left: transitions.clean(
                self._link(),
                state,
                older_than_ms=older_than_ms,
                limit=left,
                now_ms=self._moved_ms(),
            ),
            limit,
        )

    # -- many jobs

    async def retry_all(
        self,
        state: JobState = JobState.FAILED,
        *,
        where: Where | None = None,
        limit: int = BULK_JOBS,
        cursor: str | None = None,
        dry_run: bool = False,
    ) -> Bulk:
        """Failed (or parked) jobs wait again, those that failed first in front."""
        if state not in (JobState.FAILED, JobState.PARKED):
            raise InvalidInput(f"state={state}: only failed and parked jobs can be retried.")
        act = transitions.retry if state is JobState.FAILED else transitions.unpark

        async def retry(jobs: Sequence[Job]) -> int:
            # Pages come newest first, so that a job which fails again at once is not met again.
            ids = [job.id for job in reversed(jobs)]
            lines = [self._line_of(job) for job in reversed(jobs)]
            return sum(await act(self._link(), ids, lines, now_ms=self._moved_ms()))

        return await self._each(state, None if dry_run else retry, where, limit, cursor)

    async def promote_all(
        self,
        *,
        where: Where | None = None,
        limit: int = BULK_JOBS,
        cursor: str | None = None,
        dry_run: bool = False,
    ) -> Bulk:
        """Delayed jobs wait at once."""

        async def promote(jobs: Sequence[Job]) -> int:
            ids = [job.id for job in jobs]
            return sum(await transitions.promote(self._link(), ids, now_ms=self._moved_ms()))

        return await self._each(
            JobState.DELAYED, None if dry_run else promote, where, limit, cursor
        )

    async def remove_all(
        self,
        state: JobState,
        *,
        where: Where | None = None,
        limit: int = BULK_JOBS,
        cursor: str | None = None,
        dry_run: bool = False,
    ) -> Bulk:
        """Jobs of a state and all that is kept of them go."""

        async def remove(jobs: Sequence[Job]) -> int:
            ids = [job.id for job in jobs]
            words = await transitions.remove(self._link(), ids, now_ms=self._moved_ms())
            return sum(EFFECTS[word] is not Effect.ABSENT for word in words)

        return await self._each(state, None if dry_run else remove, where, limit, cursor)

    async def cancel_all(
        self,
        state: JobState,
        *,
        where: Where | None = None,
        limit: int = BULK_JOBS,
        cursor: str | None = None,
        dry_run: bool = False,
    ) -> Bulk:
        """Jobs of a state (waiting, delayed, active, parked) fail as cancelled."""

        async def cancel(jobs: Sequence[Job]) -> int:
            effects = [await self.cancel(job.id) for job in jobs]
            return sum(effect in (Effect.DONE, Effect.TOLD) for effect in effects)

        return await self._each(state, None if dry_run else cancel, where, limit, cursor)

    # -- how

    async def _set(
        self, *, paused: bool | None = None, max_active: str = "", rate: str = ""
    ) -> QueueState:
        """A change carries the version of the settings that it is for: a late copy does nothing."""
        for left in reversed(range(AGAIN_MAX)):
            state = await self.state()
            if paused is not None and state.paused == paused:
                return state
            try:
                await transitions.limit(
                    self._link(),
                    state.version,
                    paused=paused,
                    max_active=max_active,
                    rate=rate,
                    now_ms=self._moved_ms(),
                )
            except (VersionConflict, OutcomeUnknown):
                if not left:
                    raise
            else:
                break
        return await self.state()

    async def _repeat(self, call: Callable[[int], Awaitable[tuple[int, bool]]], limit: int) -> Bulk:
        """Calls until there is nothing more, the limit is reached, or the time is up."""
        limit = _checked_bulk(limit)
        count, more, ends = 0, True, time.monotonic() + BULK_LIMIT_S
        while more and count < limit and time.monotonic() < ends:
            done, more = await call(min(limit - count, transitions.ITEMS_MAX))
            count += done
        return Bulk(count, more)

    async def _each(
        self,
        state: JobState,
        act: Callable[[Sequence[Job]], Awaitable[int]] | None,
        where: Where | None,
        limit: int,
        cursor: str | None,
    ) -> Bulk:
        """Goes through the jobs of a state page by page; without `act` it only counts."""
        limit = _checked_bulk(limit)
        count, ends = 0, time.monotonic() + BULK_LIMIT_S
        while count < limit and time.monotonic() < ends:
            page = await self.page(state, cursor=cursor, limit=min(_PAGE, limit - count))
            jobs = [job for job in page.jobs if where is None or where(job)]
            if jobs:
                count += len(jobs) if act is None else await act(jobs)
            cursor = page.cursor
            if cursor is None:
                break
        return Bulk(count, cursor is not None, cursor)


def _checked_bulk(limit: int) -> int:
    if isinstance(limit, bool) or not 1 <= limit <= BULK_JOBS_MAX:
        raise OutOfRange("limit", limit, 1, BULK_JOBS_MAX)
    return limit


def _limit_word(max_active: int | None) -> str:
    return "0" if max_active is None else str(checked_limit(max_active))


def _rate_word(rate: tuple[int, Duration] | None) -> str:
    if rate is None:
        return "0/0"
    found = rate_of(rate)
    return f"{found.count}/{found.per_ms}"
