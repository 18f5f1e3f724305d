"""The application's files, those that the table `files` knows, as one tar beside the dump."""

import tarfile
from typing import Final

import msgspec

from processors.database import Database
from processors.storage import StorageUnavailable
from processors.storage.bucket import Bucket, ObjectInfo
from processors.storage.upload import Upload

MIME_TYPE: Final = "application/x-tar"
PAGE_ROWS: Final = 1_000
_BLOCK_BYTES: Final = tarfile.BLOCKSIZE
_END: Final = bytes(2 * _BLOCK_BYTES)
_MODE: Final = 0o600


class Archived(msgspec.Struct, frozen=True):
    """How many files it holds, and how many rows name an object that is not in our bucket."""

    files: int
    missing: int


class _File(msgspec.Struct, frozen=True):
    id: str
    path: str


async def archive(database: Database, bucket: Bucket, upload: Upload) -> Archived:
    """Writes a tar of every file whose row is not deleted; one chunk is in memory at a time.

    What the application kept elsewhere is not ours to read, and is counted as missing.
    """
    files = missing = 0
    after = ""
    while page := await _page(database, after):
        for file in page:
            info = await _info(bucket, file.path)
            if info is None:
                missing += 1
            else:
                await _add(bucket, info, upload)
                files += 1
        after = page[-1].id
    await upload.write(_END)
    return Archived(files, missing)


async def _page(database: Database, after: str) -> list[_File]:
    async with database.transaction(read_only=True) as work:
        return await work.every(
            _File,
            "SELECT id, path FROM files WHERE deleted_at IS NULL AND id > %(after)s"
            " ORDER BY id LIMIT %(limit)s",
            after=after,
            limit=PAGE_ROWS,
        )


async def _info(bucket: Bucket, path: str) -> ObjectInfo | None:
    try:
        return await bucket.info(path)
    except ValueError:  # no key of ours: a path on somebody's disk, an address
        return None


async def _add(bucket: Bucket, info: ObjectInfo, upload: Upload) -> None:
    entry = tarfile.TarInfo(info.key)
    entry.size, entry.mtime, entry.mode = info.size, int(info.modified.timestamp()), _MODE
    await upload.write(entry.tobuf(tarfile.PAX_FORMAT))
    size = 0
    async for chunk in bucket.read(info.key):
        size += len(chunk)
        await upload.write(chunk)
    if size != info.size:
        raise StorageUnavailable(f"{bucket.name}/{info.key} was changed while it was read")
    await upload.write(bytes(-size % _BLOCK_BYTES))
