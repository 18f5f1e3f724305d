"""Deletes what is old: the jobs `cleanup-*` of the queue `cleanup`."""

import asyncio
import logging
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from processors.cleaning.exports import sweep_exports
from processors.cleaning.folders import Folder, log_folder, sweep_folder, temp_folder
from processors.cleaning.rows import DOWNLOAD_LINKS, LOG_PILES, USER_SESSIONS, Pile, sweep_rows
from processors.cleaning.sessions import sweep_sessions
from processors.cleaning.swept import Swept
from processors.imobibase import QueueName, app, shared_of
from processors.saying import say
from streamq import Context, Fail, Payload

ATTEMPTS: Final = 3
TIMEOUT: Final = timedelta(hours=1)

log = logging.getLogger("CleanupProcessor")


class Target(StrEnum):
    SESSIONS = "sessions"
    LOGS = "logs"
    TEMP_FILES = "temp-files"
    OLD_EXPORTS = "old-exports"


class CleanUp(Payload, rename="camel"):
    """One clean-up of one kind of thing."""

    target: Target
    older_than: Annotated[int, Meta(ge=1, le=3_650)] = 30
    """Days."""
    dry_run: bool = False
    """Count, and delete nothing."""


class CleanedUp(Struct, frozen=True, rename="camel"):
    """What a finished job deleted; in a dry run, what it would have."""

    target: Target
    deleted: int
    bytes: int
    skipped: int
    more: bool
    """Whether a limit of the run ended it; the next one goes on."""
    dry_run: bool
    places: Mapping[str, int]
    """How many in each place."""


@app.job(QueueName.CLEANUP, name="cleanup-*", attempts=ATTEMPTS, timeout=TIMEOUT)
async def clean_up(data: CleanUp, job: Context) -> CleanedUp:
    """Deletes in small batches, each for good: another attempt goes on where this one ended."""
    days = f"{data.older_than} days"
    say(log, job, "cleanup.started", f"Cleaning up {data.target} older than {days}")
    await job.progress(0.1)
    sweeps = {
        Target.SESSIONS: _sessions,
        Target.LOGS: _logs,
        Target.TEMP_FILES: _temp_files,
        Target.OLD_EXPORTS: _old_exports,
    }
    places = await sweeps[data.target](data, job)
    total = sum(places.values(), Swept())
    for place, swept in places.items():
        job.log(f"{place}: {swept.deleted} deleted, {swept.bytes} bytes, {swept.skipped} skipped")
    await job.progress(1.0)
    would = "would be " if data.dry_run else ""
    text = f"Cleanup of {data.target} completed: {total.deleted} {would}deleted"
    say(log, job, "cleanup.completed", text)
    return CleanedUp(
        target=data.target,
        deleted=total.deleted,
        bytes=total.bytes,
        skipped=total.skipped,
        more=total.more,
        dry_run=data.dry_run,
        places={place: swept.deleted for place, swept in places.items()},
    )


Places = Mapping[str, Swept]


async def _sessions(data: CleanUp, job: Context) -> Places:
    """Rows that ended that long ago; in Redis those that never end, whatever their age."""
    return {
        "redis": await sweep_sessions(app.redis, dry_run=data.dry_run),
        **await _rows([USER_SESSIONS], data, job),
    }


async def _logs(data: CleanUp, job: Context) -> Places:
    places = await _rows(LOG_PILES, data, job)
    if app.settings.log_dir is None:
        return places
    return {**places, "LOG_DIR": await _files(log_folder(Path(app.settings.log_dir)), data, job)}


async def _temp_files(data: CleanUp, job: Context) -> Places:
    folder = temp_folder(Path(tempfile.gettempdir()))
    return {"temporary folder": await _files(folder, data, job)}


async def _old_exports(data: CleanUp, job: Context) -> Places:
    shared = shared_of(job)
    objects = await sweep_exports(
        shared.database,
        shared.storage.exports,
        before=_before(data, job),
        now=job.claimed_at,
        dry_run=data.dry_run,
    )
    return {"objects": objects, **await _rows([DOWNLOAD_LINKS], data, job)}


async def _rows(piles: Sequence[Pile], data: CleanUp, job: Context) -> Places:
    database = shared_of(job).database
    return {
        pile.table: await sweep_rows(database, pile, _before(data, job), dry_run=data.dry_run)
        for pile in piles
    }


async def _files(folder: Folder, data: CleanUp, job: Context) -> Swept:
    try:
        return await asyncio.to_thread(
            sweep_folder,
            folder,
            _before(data, job),
            dry_run=data.dry_run,
            stop=lambda: job.cancelled,
        )
    except OSError as error:
        raise Fail(f"{folder.path} cannot be cleaned: {error.strerror}") from error


def _before(data: CleanUp, job: Context) -> datetime:
    return job.claimed_at.astimezone(UTC) - timedelta(days=data.older_than)
