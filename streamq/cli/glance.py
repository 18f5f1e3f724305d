"""One look at everything: what `streamq top` shows at a time, and how it is laid out in lines."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from streamq.cli.console import Cell, Column, Console, Painted
from streamq.cli.holders import held
from streamq.cli.jobs import progress_of
from streamq.cli.queues import rows_of as queue_rows
from streamq.cli.session import Session
from streamq.cli.times import ago, clock, length, now_ms
from streamq.cli.views import (
    JobView,
    QueueView,
    WorkerView,
    job_view,
    queue_view,
    worker_views,
)
from streamq.errors.wording import show_bytes
from streamq.job import JobState
from streamq.store import reads
from streamq.store.pages import page
from streamq.store.scripts import Link

RUNNING_MAX: Final = 50
RUNNING_OF_A_QUEUE_MAX: Final = 10
HEAD_LINES: Final = 3
FOOT_LINES: Final = 1
SECTION_LINES_MIN: Final = 3
"""A blank line, a title, one row: less of a section is not shown."""

QUEUE_COLUMNS: Final = (
    Column("QUEUE", least=8),
    Column("WAITING", right=True),
    Column("DELAYED", right=True, close=True),
    Column("ACTIVE", right=True, close=True),
    Column("FAILED", right=True, close=True),
    Column("PARKED", right=True, close=True),
    Column("DONE/S", right=True, close=True),
    Column("WORKERS", right=True, close=True),
    Column("NOTE", least=6),
)
_DONE: Final = 6
"""Where `streamq queues` has the completed jobs, `top` has their rate."""
RUNNING_COLUMNS: Final = (
    Column("RUNNING", least=16),
    Column("ID", least=12),
    Column("FOR", right=True),
    Column("PROGRESS", right=True, least=8),
    Column("WORKER", least=8),
)
WORKER_COLUMNS: Final = (
    Column("WORKER", least=12),
    Column("QUEUE", least=8),
    Column("SLOTS", right=True),
    Column("UP", right=True),
    Column("HEARD", right=True),
)


class Rates(msgspec.Struct, frozen=True):
    """Jobs a second since the last look."""

    completed: float = 0.0
    failed: float = 0.0
    retried: float = 0.0


class Glance(msgspec.Struct, frozen=True):
    """Everything at one moment, as --json gives it."""

    at_ms: int
    server: str
    where: str
    used_memory_bytes: int
    ping_ms: float
    queues: list[QueueView]
    rates: dict[str, Rates]
    workers: list[WorkerView]
    running: list[JobView]


class Watcher:
    """Looks again and again; rates come from the counters of the look before."""

    def __init__(self, session: Session, queues: Sequence[str]) -> None:
        self._session, self._queues = session, queues
        self._before: Mapping[str, Mapping[str, int]] = {}
        self._looked_at = 0.0

    async def look(self) -> Glance:
        began = time.monotonic()
        await reads.ping(self._session.redis)
        ping_ms = (time.monotonic() - began) * 1_000
        info = await reads.info(self._session.redis)
        links = await self._session.chosen(self._queues)
        workers = {at.queue: worker_views(await reads.workers(at)) for at in links}
        queues = [
            queue_view(
                at.queue, await reads.counts(at), await reads.settings_of(at), workers[at.queue]
            )
            for at in links
        ]
        return Glance(
            at_ms=now_ms(),
            server=f"{info.server} {info.version}",
            where=self._session.where,
            used_memory_bytes=info.used_memory,
            ping_ms=round(ping_ms, 2),
            queues=queues,
            rates=self._rates({at.queue: await reads.stats(at) for at in links}),
            workers=[worker for found in workers.values() for worker in found if worker.live],
            running=await _running(links, queues),
        )

    def _rates(self, now: Mapping[str, Mapping[str, int]]) -> dict[str, Rates]:
        before, self._before = self._before, now
        looked_at, self._looked_at = self._looked_at, time.monotonic()
        passed_s = self._looked_at - looked_at

        def rate(queue: str, counter: str) -> float:
            if queue not in before:
                return 0.0
            grown = now[queue].get(counter, 0) - before[queue].get(counter, 0)
            return round(max(0, grown) / passed_s, 1)

        return {
            queue: Rates(*(rate(queue, field) for field in Rates.__struct_fields__))
            for queue in now
        }


async def _running(links: Sequence[Link], queues: Sequence[QueueView]) -> list[JobView]:
    """Some of the jobs that run, the longest first."""
    found: list[JobView] = []
    for at, view in zip(links, queues, strict=True):
        if view.active and len(found) < RUNNING_MAX:
            jobs = (await page(at, JobState.ACTIVE, limit=RUNNING_OF_A_QUEUE_MAX)).jobs
            found += await held(at, [job_view(job) for job in jobs[:RUNNING_OF_A_QUEUE_MAX]])
    return sorted(found[:RUNNING_MAX], key=lambda job: job.claimed_at_ms or job.added_at_ms)


def laid_out(glance: Glance, console: Console, height: int | None) -> list[Painted]:
    """A glance in lines: queues, what runs, who works, as far as `height` goes."""
    left = (height or 10_000) - HEAD_LINES - FOOT_LINES
    lines = _head(glance, console)
    rows = queue_rows(glance.queues)
    for row, view in zip(rows, glance.queues, strict=True):
        rate = glance.rates[view.queue].completed
        row[_DONE] = Cell(f"{rate:.1f}", "green" if rate else "dim")
    shown = console.table_lines(QUEUE_COLUMNS, rows)
    lines += _as_many(shown, left, console, "queues")
    left -= min(len(shown), left)
    for columns, body in (
        (RUNNING_COLUMNS, _running_rows(glance)),
        (WORKER_COLUMNS, _worker_rows(glance)),
    ):
        if body and left >= SECTION_LINES_MIN:
            shown = [Painted(""), *console.table_lines(columns, body)]
            lines += _as_many(shown, left, console, "more")
            left -= min(len(shown), left)
    return lines


def _as_many(lines: Sequence[Painted], room: int, console: Console, what: str) -> Sequence[Painted]:
    if len(lines) <= room:
        return lines
    over = len(lines) - room + 1
    return [*lines[: room - 1], console.painted(Cell(f"… {over} {what}", "dim"))]


def _head(glance: Glance, console: Console) -> list[Painted]:
    def total(field: str) -> int:
        return sum(getattr(view, field) for view in glance.queues)

    counts: list[str | Cell] = []
    for field, style in (
        ("waiting", "yellow"),
        ("active", "blue"),
        ("delayed", "cyan"),
        ("failed", "red"),
        ("parked", "magenta"),
    ):
        number = total(field)
        counts += (Cell(str(number), style if number else "dim"), Cell(f" {field}   ", "dim"))
    done = sum(rates.completed for rates in glance.rates.values())
    failed = sum(rates.failed for rates in glance.rates.values())
    server = f"{glance.server}, {show_bytes(glance.used_memory_bytes)}, {glance.ping_ms:.1f} ms"
    return [
        console.painted(
            Cell("streamq top", "bold"),
            f"  {clock(glance.at_ms)}   ",
            Cell(f"{done:.1f} done/s", "green" if done else ""),
            "  ",
            Cell(f"{failed:.1f} failed/s", "red" if failed else ""),
            Cell(f"   {server}", "dim"),
        ),
        console.painted(*counts),
        Painted(""),
    ]


def _running_rows(glance: Glance) -> list[list[str | Cell]]:
    return [
        [
            Cell(f"{job.queue}/{job.name}", "blue"),
            job.id,
            length(max(0, glance.at_ms - (job.claimed_at_ms or glance.at_ms)) // 1_000 * 1_000),
            "" if job.progress is None else progress_of(job.progress),
            Cell(job.worker, "dim"),
        ]
        for job in glance.running
    ]


def _worker_rows(glance: Glance) -> list[list[str | Cell]]:
    return [
        [
            f"{worker.host}:{worker.pid}",
            worker.queue,
            str(worker.slots),
            length((glance.at_ms - worker.started_at_ms) // 1_000 * 1_000),
            ago(worker.heard_at_ms, glance.at_ms) if worker.heard_at_ms else "never",
        ]
        for worker in glance.workers
    ]
