"""Where backups lie in their bucket, and for how long."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from processors.storage.bucket import Bucket

_STAMP: Final = "%Y%m%dT%H%M%S.%f"
_NAME: Final = re.compile(r"(\d{8}T\d{6}\.\d{3})Z\.(dump|files\.tar)")
UNFINISHED_LIFETIME: Final = timedelta(days=2)
"""Longer than a backup may take: parts of an upload that are older belong to a lost worker."""


def dump_key(database: str, at: datetime) -> str:
    """`backups/<database>/<utc, to the millisecond>.dump`."""
    stamp = at.astimezone(UTC).strftime(_STAMP)[:-3]
    return f"{prefix_of(database)}{stamp}Z.dump"


def files_key(key: str) -> str:
    """The object beside that dump for the files."""
    return f"{key.removesuffix('.dump')}.files.tar"


def prefix_of(database: str) -> str:
    return f"backups/{database}/"


async def delete_old(bucket: Bucket, database: str, *, before: datetime) -> list[str]:
    """Deletes backups from before that time, but never the newest dump; the keys that went.

    Only what is named as ours is looked at, and its age is the one in its name. Uploads that were
    never finished go too.
    """
    prefix = prefix_of(database)
    ages = {
        found.key: at
        async for found in bucket.list(prefix)
        if (at := _made_at(found.key.removeprefix(prefix))) is not None
    }
    newest = max((at for key, at in ages.items() if key.endswith(".dump")), default=None)
    old = [key for key, at in ages.items() if at < before and at != newest]
    if old:
        await bucket.delete(old)
    await bucket.drop_unfinished(prefix, older_than=UNFINISHED_LIFETIME)
    return old


def _made_at(name: str) -> datetime | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
