"""Parked jobs: which of them somebody can run by now, and which have waited too long.

A parked job waits for a worker that knows its name, for a build that can read it, or, a suspect,
for a daemon that can run it alone.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from streamq.errors import CallAgain, Undecodable
from streamq.handlers import known_by
from streamq.job import ALONE, Job, JobId, JobState, Line, WorkerId, line_of
from streamq.run.verdict import SUSPECT
from streamq.store import reads, transitions
from streamq.store.pages import Page, page
from streamq.store.reads import WorkerSeen, ask
from streamq.store.scripts import Link

RELEASED_MAX: Final = 1_000  # looked at in one call; the next goes on behind them
EXPIRED_MAX: Final = 200  # failed in one call
_PAGE: Final = 50  # read at once, with their payloads

_UNREAD: Final = ("undecodable", Undecodable.code)


class Parked:
    """The parked jobs of one queue. Remembers where its last look ended."""

    def __init__(self, at: Link) -> None:
        self._at = at
        self._cursor: str | None = None

    async def release(self, *, now_ms: int | None = None) -> int:
        """Lets wait again what a live worker can run by now; how many. Looks at RELEASED_MAX."""
        workers = await reads.workers(self._at)
        released = 0
        for _ in range(RELEASED_MAX // _PAGE):
            found = await self._page(self._cursor)
            self._cursor = found.cursor
            ready = await self._ready(found.jobs, workers)
            if ready:
                ids, lines = zip(*ready, strict=True)
                done = await transitions.unpark(self._at, ids, lines, now_ms=now_ms)
                released += sum(done)
            if self._cursor is None:
                break
        return released

    async def expire(
        self, keep_ms: int | None, keep: int | None, *, now_ms: int | None = None
    ) -> int:
        """Fails, with its reason, what was parked longer than `keep_ms` ago or is over `keep`.

        Nothing while the clock's jumps are settling. The oldest first, EXPIRED_MAX a call.
        """
        k = self._at.keys.names
        now = await self._now_ms() if now_ms is None else now_ms
        if now < int(await ask(self._at, "HGET", k["meta"], "judge_from") or 0):
            return 0
        over = 0 if keep is None else await ask(self._at, "ZCARD", k["parked"]) - keep
        flat = await ask(
            self._at, "ZRANGE", k["parked"], 0, EXPIRED_MAX - 1, "WITHSCORES"
        )  # the oldest
        oldest = [
            JobId(member.decode())
            for i, (member, score) in enumerate(zip(flat[::2], flat[1::2], strict=True))
            if i < over or (keep_ms is not None and now - int(float(score)) > keep_ms)
        ]
        failed = 0
        for first in range(0, len(oldest), _PAGE):
            failed += await self._fail(oldest[first : first + _PAGE], now, now_ms)
        return failed

    async def _page(self, cursor: str | None) -> Page:
        return await page(self._at, JobState.PARKED, cursor=cursor, limit=_PAGE, newest_first=False)

    async def _ready(
        self, jobs: Sequence[Job], workers: Sequence[WorkerSeen]
    ) -> list[tuple[JobId, Line]]:
        if not jobs:
            return []
        scores = await ask(
            self._at, "ZMSCORE", self._at.keys.names["parked"], *(job.id for job in jobs)
        )
        return [
            (job.id, line)
            for job, score in zip(jobs, scores, strict=True)
            if score is not None and (line := line_for(job, int(float(score)), workers))
        ]

    async def _fail(self, ids: Sequence[JobId], now: int, now_ms: int | None) -> int:
        before = await ask(self._at, "HMGET", self._at.keys.names["runs"], *ids)
        failed = 0
        for job, run in zip(await reads.get_many(self._at, ids), before, strict=True):
            if job is None or job.state is not JobState.PARKED:
                continue
            after = msgspec.structs.replace(
                job.run, reason=f"parked for too long: {job.run.reason}", finished_at_ms=now
            )
            try:
                word = await transitions.cancel(
                    self._at,
                    job.id,
                    run_before=run,
                    run_after=after,
                    only=JobState.PARKED,  # it may have been released since
                    now_ms=now_ms,
                )
            except CallAgain:
                continue  # something happened to it meanwhile: it is not for us any more
            failed += word == "cancelled"
        return failed

    async def _now_ms(self) -> int:
        seconds, micros = await ask(self._at, "TIME")
        return int(seconds) * 1000 + int(micros) // 1000


def line_for(job: Job, parked_at_ms: int, workers: Sequence[WorkerSeen]) -> Line | None:
    """Where a parked job may wait, now that these workers are known; None: nobody can run it.

    `workers` holds dead ones too: the build of the one that parked the job is looked up there.
    """
    live = [w for w in workers if w.live and (not job.name or known_by(w.row.names, job.name))]
    reason = job.run.reason
    if reason.startswith(SUSPECT):
        return ALONE if any(w.kind == "d" for w in live) else None
    if not job.name or reason.startswith(_UNREAD):
        builds = {w.id: w.row.build for w in workers}
        parked_by = builds.get(WorkerId(job.run.worker), "")
        # One that started later: a build that could not read it will not read it the next minute.
        live = [
            w
            for w in live
            if w.row.started_at_ms > parked_at_ms and not (w.row.build and w.row.build == parked_by)
        ]
    return line_of(job.options.priority) if live else None
