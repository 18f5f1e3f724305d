"""Upkeep of a queue: the beat, and the chores that a beat names to this process. No leader.

A chore is found and given out by `beat` itself, and only if there is something to do; what stands
here does it, in bounded calls. Each is safe to repeat and to leave half done.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from streamq import sentry
from streamq.clock import REAL, Clock
from streamq.job import JobState, WorkerId
from streamq.run.parked import Parked
from streamq.run.verdict import verdict_of
from streamq.settings import JobDefaults
from streamq.store import reads, transitions
from streamq.store.replies import Beaten, Chore, Verdict
from streamq.store.scripts import Link

REAP_CALLS_MAX: Final = 1_000  # of 200 jobs each, for one dead worker
CLEAN_CALLS_MAX: Final = 100  # of 1,000 jobs each; what is left is named by a later beat
STALLED_TOLD_MAX: Final = 20  # lines of one dead worker

FAILED: Final = frozenset({"poison", "lost"})
"""Why a job of a dead worker fails, where it is its worker's death."""

log = logging.getLogger("streamq.upkeep")


class Keeps(msgspec.Struct, frozen=True):
    """How long a queue keeps what has ended, in ms, and how many parked jobs; None: no limit."""

    completed_ms: int | None = None
    failed_ms: int | None = None
    parked_ms: int | None = None
    parked: int | None = None


def keeps_of(defaults: JobDefaults) -> Keeps:
    """What holds for a queue, as its settings say."""
    return Keeps(
        completed_ms=defaults.keep_completed.age_ms,
        failed_ms=defaults.keep_failed.age_ms,
        parked_ms=defaults.keep_parked.age_ms,
        parked=defaults.keep_parked.count,
    )


async def beat_queue(
    at: Link,
    workers: Sequence[WorkerId],
    *,
    lease_ms: int,
    keeps: Keeps,
    duty: str = "",
    clock: Clock = REAL,
) -> Beaten:
    """These workers of one process live; who of them is dead for Redis, and what is to be done.

    To be called every third of the lease, with no workers too: the chores are everybody's.
    `duty`: the daemon that would run suspects. Raises what `transitions.beat` raises.
    """
    size = transitions.WORKERS_MAX
    pages = [workers[first : first + size] for first in range(0, len(workers), size)] or [[]]
    beaten = [
        await transitions.beat(
            at,
            page,
            lease_ms=lease_ms,
            keep_completed_ms=keeps.completed_ms,
            keep_failed_ms=keeps.failed_ms,
            duty=duty,
            now_ms=clock.now_ms(),
        )
        for page in pages
    ]
    return Beaten(
        beaten[-1].now_ms,
        frozenset().union(*(each.gone for each in beaten)),
        beaten[-1].flagged,
        tuple(chore for each in beaten for chore in each.chores),
    )


async def workers_of(at: Link, *, daemon: str, pid: int) -> set[WorkerId]:
    """The live workers of one child, as their rows say it. Raises StoreError."""
    return {
        seen.id
        for seen in await reads.workers(at)
        if seen.live and seen.row.daemon == daemon and seen.row.pid == pid
    }


class Reaping(msgspec.Struct, frozen=True):
    """What became of a dead worker's jobs: how many there were, and whether that is all."""

    jobs: int
    done: bool


async def reap_worker(
    at: Link,
    worker: WorkerId,
    *,
    lease_ms: int,
    seen: bool = False,
    evidence: bool = False,
    cause: str = "its worker was silent for a whole lease",
    await_daemon: bool = False,
    clock: Clock = REAL,
) -> Reaping:
    """Declares a worker dead and brings each of its jobs where it belongs.

    `seen`: the caller saw it die, so nobody judges again. `evidence`: the death, by `cause`, counts
    against the jobs. `await_daemon`: the caller is a daemon between two children, so that none is
    in Redis just now; jobs that only a daemon may run on keep their place, and it comes again.
    """
    verdicts: list[Verdict] = []
    jobs = 0
    for _ in range(REAP_CALLS_MAX):
        reaped = await transitions.reap(
            at,
            worker,
            lease_ms=lease_ms,
            seen=seen,
            evidence=evidence,
            verdicts=verdicts,
            now_ms=clock.now_ms(),
        )
        jobs += len(reaped.given_back) + len(verdicts)
        await _own_up(at, verdicts)
        _tell_stalled(at.queue, worker, reaped.given_back, cause)
        if reaped.word != "more":
            return Reaping(jobs, done=True)
        verdicts = [
            verdict_of(doomed, worker=worker, cause=cause, now_ms=reaped.now_ms)
            for doomed in reaped.doomed
            if not (await_daemon and doomed.why == "suspect")
        ]
        for verdict in verdicts:
            log.error(
                "[QueueManager] Job %s of queue '%s' is %s: %s",
                verdict.doomed.id, at.queue, verdict.state, verdict.run.reason,
                extra={"event": f"job.{verdict.state}", "queue": at.queue,
                       "job_id": verdict.doomed.id, "worker": worker},
            )  # fmt: skip
        if reaped.doomed and not verdicts and not reaped.given_back:
            break
    return Reaping(jobs, done=False)


async def _own_up(at: Link, verdicts: Sequence[Verdict]) -> None:
    """Reports those that failed with their process: no attempt is left to do it."""
    died = {verdict.doomed.id: verdict for verdict in verdicts if verdict.doomed.why in FAILED}
    if died and sentry.active():
        for job in await reads.get_many(at, list(died)):
            if job is not None:
                sentry.report_death(job, died[job.id].run)


def _tell_stalled(queue: str, worker: WorkerId, jobs: Sequence[str], cause: str) -> None:
    for job in jobs[:STALLED_TOLD_MAX]:
        log.warning(
            "[QueueManager] Job %s of queue '%s' is given back: %s", job, queue, cause,
            extra={"event": "job.stalled", "queue": queue, "job_id": job, "worker": worker},
        )  # fmt: skip
    if len(jobs) > STALLED_TOLD_MAX:
        log.warning(
            "[QueueManager] %d more jobs of queue '%s' are given back: %s",
            len(jobs) - STALLED_TOLD_MAX, queue, cause,
            extra={"event": "job.stalled", "queue": queue, "worker": worker},
        )  # fmt: skip


class Upkeep:
    """The chores of one queue, as one process does them."""

    def __init__(
        self,
        at: Link,
        *,
        lease_ms: int,
        keeps: Keeps,
        on_alone: Callable[[], None] | None = None,
        clock: Clock = REAL,
    ) -> None:
        self._at = at
        self._lease_ms = lease_ms
        self._keeps = keeps
        self._on_alone = on_alone
        self._clock = clock
        self._parked = Parked(at)

    async def do(self, chore: Chore) -> None:
        """Does one chore. Raises StoreError if Redis is away: a later beat names it again.

        One that it does not know is of a newer streamq, whose processes are named next.
        """
        do = CHORES.get(chore.name)
        if do is not None:
            await do(self, chore.args)

    async def _reap(self, workers: Sequence[str]) -> None:
        for worker in workers:
            await reap_worker(
                self._at, WorkerId(worker), lease_ms=self._lease_ms, clock=self._clock
            )

    async def _retain(self, states: Sequence[str]) -> None:
        for state in states:
            keep_ms = {
                JobState.COMPLETED: self._keeps.completed_ms,
                JobState.FAILED: self._keeps.failed_ms,
            }[JobState(state)]
            if keep_ms is None:
                continue
            for _ in range(CLEAN_CALLS_MAX):
                _, more = await transitions.clean(
                    self._at,
                    JobState(state),
                    older_than_ms=keep_ms,
                    lease_ms=self._lease_ms,
                    now_ms=self._clock.now_ms(),
                )
                if not more:
                    break

    async def _unpark(self, _: Sequence[str]) -> None:
        now_ms = self._clock.now_ms()
        await self._parked.release(now_ms=now_ms)
        await self._parked.expire(self._keeps.parked_ms, self._keeps.parked, now_ms=now_ms)

    async def _alone(self, _: Sequence[str]) -> None:
        if self._on_alone is not None:
            self._on_alone()


CHORES: Final[Mapping[str, Callable[[Upkeep, Sequence[str]], Awaitable[None]]]] = {
    "reap": Upkeep._reap,
    "retain": Upkeep._retain,
    "unpark": Upkeep._unpark,
    "alone": Upkeep._alone,
}
"""What a beat may name: one row a chore."""
