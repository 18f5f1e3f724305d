"""Do the queues get on, and is what stands in their keys whole?"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Final

from streamq.cli.checks import Check, Finding, Level, Patient
from streamq.cli.text import number
from streamq.cli.times import length, now_ms
from streamq.cli.torn import JOBS_MAX, named, torn
from streamq.errors import LayoutNewer
from streamq.job import Counts, JobState
from streamq.store import reads
from streamq.store.keys import LAYOUT
from streamq.store.mending import repair_queue
from streamq.store.pages import page
from streamq.store.scripts import Link

FAILED_MANY: Final = 50
OVERDUE_MS: Final = 60_000
LOOKS_MAX: Final = 5
"""At a queue in use: jobs that move between two reads are no fault, so a fault has to stay."""
LOOK_AGAIN_S: Final = 0.1


async def layouts(patient: Patient) -> AsyncIterator[Finding]:
    for at in await patient.session.chosen([]):
        layout = (await reads.settings_of(at)).layout
        if layout is not None and layout > LAYOUT:
            error = LayoutNewer(at.queue, f"{layout} 1-{LAYOUT}" if LAYOUT > 1 else f"{layout} 1")
            yield Finding("layout", Level.ERROR, str(error))


async def at_work(patient: Patient) -> AsyncIterator[Finding]:
    """One finding for each queue in trouble, or one that all is well."""
    links = await patient.session.chosen([])
    well = True
    for at in links:
        async for finding in _of_queue(at):
            well = False
            yield finding
    if not links:
        yield Finding("queues", Level.NOTE, "none yet: nothing was added so far")
    elif well:
        yield Finding("queues", Level.OK, f"{number(len(links), 'queue')}: nothing stands still")


async def _of_queue(at: Link) -> AsyncIterator[Finding]:
    counts = await reads.counts(at)
    live = [worker for worker in await reads.workers(at) if worker.live]
    if counts.paused:
        yield Finding("queues", Level.NOTE, f"{at.queue} is paused", f"streamq resume {at.queue}")
    if counts.waiting and not live:
        yield Finding(
            "queues",
            Level.WARNING,
            f"{at.queue}: {_jobs(counts.waiting, 'waits', 'wait')} and no worker is live",
            f"streamq run -q {at.queue}",
        )
    if counts.parked:
        yield Finding(
            "queues",
            Level.WARNING,
            f"{at.queue}: {_jobs(counts.parked, 'is', 'are')} parked: no worker can run them",
            f"streamq jobs {at.queue} --state parked",
        )
    if counts.failed > FAILED_MANY:
        yield Finding(
            "queues",
            Level.WARNING,
            f"{at.queue}: {number(counts.failed, 'job')} have failed",
            f"streamq jobs {at.queue} --state failed",
        )
    overdue_ms = await _overdue_ms(at) if counts.delayed and live and not counts.paused else 0
    if overdue_ms > OVERDUE_MS:
        yield Finding(
            "queues",
            Level.WARNING,
            f"{at.queue}: a delayed job is overdue by {length(overdue_ms)}: its workers are stuck,"
            " or a limit holds them",
            f"streamq workers -q {at.queue};  streamq limit {at.queue}",
        )


async def _overdue_ms(at: Link) -> int:
    first = await page(at, JobState.DELAYED, limit=1, newest_first=False)
    due = first.jobs[0].due_at_ms if first.jobs else None
    return 0 if due is None else now_ms() - due


async def data(patient: Patient) -> AsyncIterator[Finding]:
    """Whether every job stands in exactly one place; with --fix, put right where it does not."""
    torn = False
    for at in await patient.session.chosen([]):
        if patient.fix:
            mended = await repair_queue(at)
            if mended.total:
                torn = True
                said = f"put right: {_named(mended.by_key)}"
                yield Finding("data", Level.OK, f"{at.queue}: {said}")
        elif lost := await _unaccounted(at):
            torn = True
            said = f"{lost}. {await _which(at)}"
            yield Finding("data", Level.ERROR, f"{at.queue}: {said}", "streamq doctor --fix")
    if not torn:
        yield Finding("data", Level.OK, "every job stands in exactly one place")


async def _which(at: Link) -> str:
    """The jobs that are meant, by their ids."""
    records, _ = await _records_and_pending(at)
    if records > JOBS_MAX:
        return f"In a queue of more than {JOBS_MAX:,} jobs only --fix looks at each"
    found = await torn(at)
    return _named(found) if found else "When each job was looked at, none was found"


def _named(by_what: Mapping[str, Collection[str]]) -> str:
    return "; ".join(f"{what} ({len(ids):,}): {named(ids)}" for what, ids in by_what.items())


async def _unaccounted(at: Link) -> str:
    """What does not add up in a queue, also when it is looked at again; empty if all does."""
    said = ""
    for _ in range(LOOKS_MAX):
        said = _difference(await reads.counts(at), *await _records_and_pending(at))
        if not said:
            return ""
        await asyncio.sleep(LOOK_AGAIN_S)
    return said


async def _records_and_pending(at: Link) -> tuple[int, int]:
    records: int = await reads.ask(at, "HLEN", at.keys.names["jobs"])
    pending = 0
    for key in at.keys.lines.values():
        if await reads.ask(at, "EXISTS", key):
            groups = await reads.ask(at, "XINFO", "GROUPS", key)
            pending += sum(dict(zip(g[::2], g[1::2], strict=True))[b"pending"] for g in groups)
    return records, pending


def _difference(counts: Counts, records: int, pending: int) -> str:
    placed = sum(getattr(counts, state) for state in JobState)
    if placed != records:
        return f"{_jobs(records, 'is', 'are')} kept, and {placed:,} stand somewhere"
    if pending != counts.active:
        return f"{_jobs(counts.active, 'is', 'are')} leased, and {pending:,} given out"
    return ""


def _jobs(count: int, one: str, many: str) -> str:
    """`1 job waits`, `12 jobs wait`."""
    return f"{number(count, 'job')} {one if count == 1 else many}"


CHECKS: Final[tuple[Check, ...]] = (layouts, at_work, data)
