"""How many worker processes a queue wants: for an autoscaler, which asks `/scale/<queue>`."""

import asyncio
import math
from typing import Final

import msgspec

from streamq.fleet import worker_views
from streamq.job import JobState
from streamq.store import reads
from streamq.store.measures import ages, server_ms
from streamq.store.scripts import Link

DRAIN_S: Final = 60.0
"""In which a queue's backlog is to be worked off."""
WANTED_MAX: Final = 1_000
PACE_JOBS: Final = 100
"""Of the jobs that ended last, how long each ran."""


class Scale(msgspec.Struct, frozen=True):
    """`backlog`: jobs that wait or run; `wanted`: processes; `wait_seconds`: of the first in line.

    A paused queue wants nobody.
    """

    queue: str
    backlog: int
    wanted: int
    wait_seconds: float


async def scale_of(at: Link, *, slots: int) -> Scale:
    """So many that what waits is worked off in a minute, at the pace of the last 100 jobs.

    `slots`: jobs at a time in one process, if no live one says it. Raises StoreError.
    """
    now_ms = await server_ms(at)  # first: what is made for gather and never awaited is a warning
    counts, state, workers, oldest, ended = await asyncio.gather(
        reads.counts(at),
        reads.settings_of(at),
        reads.workers(at),
        ages(at, now_ms),
        reads.ended(at, JobState.COMPLETED, PACE_JOBS),
    )
    backlog = 0 if counts.paused else counts.waiting + counts.active
    wanted = 0
    if backlog:
        live = [view.slots for view in worker_views(workers) if view.live and view.slots]
        each = sum(live) / len(live) if live else slots
        runs = await reads.runs(at, [job.id for job in ended])
        took_ms = [r.finished_at_ms - r.claimed_at_ms for r in runs if r.claimed_at_ms]
        # Without a pace: one process takes as many as it has slots.
        job_s = sum(took_ms) / len(took_ms) / 1_000 if took_ms else DRAIN_S
        wanted = math.ceil(backlog * job_s / DRAIN_S / each)
        if state.max_active is not None:
            wanted = min(wanted, math.ceil(state.max_active / each))
        wanted = min(max(1, wanted), WANTED_MAX)
    return Scale(at.queue, backlog, wanted, round((oldest.waiting or 0) / 1_000, 3))
