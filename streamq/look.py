"""Looking at a queue: nothing here changes anything."""

from collections.abc import Sequence
from typing import Final, Literal

from streamq import stats
from streamq.adding import checked_id
from streamq.durations import Duration, to_ms
from streamq.errors import InvalidInput, OutOfRange
from streamq.fleet import WorkerView, worker_views
from streamq.home import Home, now_ms
from streamq.job import Counts, Job, JobState, Run
from streamq.stats import Stats
from streamq.store import pages, reads
from streamq.store.keys import keys_of
from streamq.store.pages import Page
from streamq.store.reads import Ended, QueueState, WorkerSeen
from streamq.store.scripts import Link

PAGE_JOBS: Final = 50
PAGE_JOBS_MAX: Final = reads.PAGE_MAX
ENDED: Final = (JobState.COMPLETED, JobState.FAILED, JobState.PARKED)
"""The states that a job reached at a time which is kept."""


async def counts_of(home: Home, queues: Sequence[str]) -> list[Counts]:
    """How many jobs stand where in each of these queues, asked together. Raises StoreError."""
    session = home.session()
    return await reads.counts_of([session.link(name) for name in queues])


class Looks:
    """What there is to see of one queue."""

    def __init__(self, home: Home, name: str) -> None:
        """Raises InvalidName for a name that no queue may have."""
        keys_of("streamq", name)
        self.name = name
        self.home = home

    def __repr__(self) -> str:
        return f"Queue({self.name!r})"

    async def get(self, job: str) -> Job | None:
        """The job of that id, with its state and its run; None if it is not there."""
        return await reads.get(self._link(), checked_id(job))

    async def get_many(self, jobs: Sequence[str]) -> list[Job | None]:
        """The same for at most 1,000 ids, in their order. Raises OutOfRange for more."""
        if len(jobs) > PAGE_JOBS_MAX:
            raise OutOfRange("jobs", len(jobs), 0, PAGE_JOBS_MAX)
        return await reads.get_many(self._link(), [checked_id(job) for job in jobs])

    async def runs(self, jobs: Sequence[str]) -> list[Run]:
        """What has happened to each of at most 1,000 jobs, without what was added."""
        if len(jobs) > PAGE_JOBS_MAX:
            raise OutOfRange("jobs", len(jobs), 0, PAGE_JOBS_MAX)
        return await reads.runs(self._link(), [checked_id(job) for job in jobs])

    async def ended(
        self, states: Sequence[JobState] = (JobState.COMPLETED, JobState.FAILED), *, limit: int
    ) -> list[Ended]:
        """The jobs that ended last, the newest first, at most 1,000: ids and times alone."""
        if not 1 <= limit <= PAGE_JOBS_MAX:
            raise OutOfRange("limit", limit, 1, PAGE_JOBS_MAX)
        if not set(states) <= set(ENDED):
            raise InvalidInput(f"only {', '.join(ENDED)} have ended at a time.")
        found = [each for state in states for each in await reads.ended(self._link(), state, limit)]
        return sorted(found, key=lambda each: (-each.at_ms, each.id))[:limit]

    async def page(
        self,
        state: JobState,
        *,
        cursor: str | None = None,
        limit: int = PAGE_JOBS,
        newest_first: bool = True,
    ) -> Page:
        """Some jobs of one state, at most 1,000, and the cursor of the next page.

        A cursor stays good while jobs come and go. Raises InvalidInput for one never given out.
        """
        at = self._link()
        try:
            return await pages.page(
                at, state, cursor=cursor, limit=limit, newest_first=newest_first
            )
        except ValueError as error:
            raise InvalidInput(f"{error}. Begin without a cursor.") from None

    async def counts(self) -> Counts:
        """How many jobs stand where."""
        return await reads.counts(self._link())

    async def state(self) -> QueueState:
        """Paused or not, and the limits that hold for the whole fleet."""
        return await reads.settings_of(self._link())

    async def workers(self) -> list[WorkerSeen]:
        """The live workers, and those that died in the last ten minutes; one for each lane."""
        return await reads.workers(self._link())

    async def fleet(self) -> list[WorkerView]:
        """The same with their lanes summed: one for each process at work on the queue."""
        return worker_views(await self.workers())

    async def older(self, state: JobState, than: Duration) -> int:
        """How many jobs completed, failed or were parked longer ago than that."""
        if state not in ENDED:
            raise InvalidInput(f"state={state}: only {', '.join(ENDED)} have ended at a time.")
        until_ms = now_ms(self.home, self.name) - to_ms(than, "than")
        return await reads.older(self._link(), state, until_ms)

    async def logs(self, job: str) -> list[str]:
        """What the job's handler logged by `job.log`, oldest first; the last 64 KiB are kept."""
        return await reads.logs(self._link(), checked_id(job))

    async def last_event(self) -> str:
        """Where the queue's events end now: `follow(after=...)` tells what comes later."""
        return await reads.last_event_id(self._link())

    async def stats(self) -> Stats:
        """The queue's counters and histograms."""
        return stats.read(await reads.stats(self._link()))

    async def history(
        self, unit: Literal["minute", "hour"] = "minute", *, limit: int = 60
    ) -> list[dict[str, int]]:
        """Sums per minute (a day) or hour (two weeks), newest first: at (epoch ms), added, ..."""
        return await reads.history(self._link(), unit, limit=limit)

    def _link(self) -> Link:
        return self.home.session().link(self.name)
