"""Exports whose links have ended: their objects, and the uploads that were never finished."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from processors.cleaning.swept import Swept
from processors.database import Database
from processors.downloads import LIFETIME
from processors.storage.bucket import Bucket, ObjectInfo

PREFIX: Final = "exports/"
BATCH_KEYS: Final = 1_000
KEYS_MAX: Final = 1_000_000
"""Looked at in one run."""
UNFINISHED_LIFETIME: Final = timedelta(days=2)
"""Longer than an export may take."""


class _Kept(msgspec.Struct, frozen=True):
    key: str


async def sweep_exports(
    database: Database, bucket: Bucket, *, before: datetime, now: datetime, dry_run: bool
) -> Swept:
    """Deletes objects below `exports/` that are from before that time and that nobody may open.

    The rows of requests stay, without their link. An object whose request has not ended, or is
    being worked on, stays. What has no request at all was left by a worker that was killed.
    """
    before = min(before, now - LIFETIME)
    swept = Swept()
    seen = 0
    batch: list[ObjectInfo] = []
    async for found in bucket.list(PREFIX):
        seen += 1
        if found.modified < before:
            batch.append(found)
        if len(batch) == BATCH_KEYS:
            swept += await _sweep(database, bucket, batch, now, dry_run=dry_run)
            batch = []
        if seen == KEYS_MAX:
            swept += Swept(more=True)
            break
    if batch:
        swept += await _sweep(database, bucket, batch, now, dry_run=dry_run)
    if not dry_run:
        await bucket.drop_unfinished(PREFIX, older_than=UNFINISHED_LIFETIME)
    return swept


async def _sweep(
    database: Database,
    bucket: Bucket,
    batch: Sequence[ObjectInfo],
    now: datetime,
    *,
    dry_run: bool,
) -> Swept:
    async with database.transaction(read_only=True) as work:
        kept = await work.every(
            _Kept,
            "SELECT file_url AS key FROM data_export_requests WHERE file_url = ANY(%(keys)s)"
            " AND (expires_at >= %(now)s OR status IN ('pending', 'processing'))",
            keys=[found.key for found in batch],
            now=now,
        )
    live = {one.key for one in kept}
    old = [found for found in batch if found.key not in live]
    keys = [found.key for found in old]
    if not dry_run and keys:
        await bucket.delete(keys)
        async with database.transaction() as work:
            await work.run(
                "UPDATE data_export_requests SET export_url = NULL, file_url = NULL"
                " WHERE file_url = ANY(%(keys)s)",
                keys=keys,
            )
    return Swept(len(old), sum(found.size for found in old))
