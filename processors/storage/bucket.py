"""One bucket: put, get, list, delete, upload in parts, and links that open for minutes."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

import msgspec

from processors.storage.trouble import ObjectMissing, StorageUnavailable
from processors.storage.upload import ENCRYPTION, Caller, Upload

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

Answer = TypeVar("Answer")

BYTES_MAX: Final = 64 * 1024**2
"""Of an object that is read into memory."""
CHUNK_BYTES: Final = 1024**2
PAGE_KEYS: Final = 1_000
"""S3's own limit, of a page of a list and of a delete."""
LINK_LIFETIME: Final = timedelta(minutes=15)
"""The longest. A link that lives for days is our own (`processors.downloads`)."""
_KEY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:=@+/-]{0,511}")


class ObjectInfo(msgspec.Struct, frozen=True):
    """One object, as a list shows it."""

    key: str
    size: int
    modified: datetime
    """In UTC."""


class Bucket:
    """Objects by key. Every call raises StorageUnavailable (try again) or Fail (never like this).

    Keys are ours: letters, digits and `_ . : = @ + - /`, no `..`; else ValueError. Objects are
    private and encrypted by the server (AES256).
    """

    def __init__(self, caller: Caller, name: str) -> None:
        self._caller = caller
        self.name = name

    async def put(self, key: str, data: bytes, mime_type: str) -> None:
        """Writes one object, whole: nobody sees half of it. For large ones, `upload`."""
        await self._call(
            key,
            lambda s3: s3.put_object(
                Bucket=self.name,
                Key=key,
                Body=data,
                ContentType=mime_type,
                ServerSideEncryption=ENCRYPTION,
            ),
        )

    @asynccontextmanager
    async def upload(self, key: str, mime_type: str) -> AsyncIterator[Upload]:
        """An object of any size, written chunk by chunk; it is there when the block has ended.

        If the block raises, nothing is there and no part is left over. So verify inside of it.
        """
        _check(key)
        upload = Upload(self._caller, self.name, key, mime_type)
        try:
            yield upload
            await upload.complete()
        except BaseException:
            await upload.abort()
            raise

    async def get(self, key: str, *, bytes_max: int = BYTES_MAX) -> bytes:
        """The whole object. Raises ObjectMissing, and ValueError if it is larger than that."""
        data = bytearray()
        async for chunk in self.read(key):
            data += chunk
            if len(data) > bytes_max:
                raise ValueError(f"{self.name}/{key} has more than {bytes_max} bytes; read it")
        return bytes(data)

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """The object, a megabyte at a time. Raises ObjectMissing.

        Raises StorageUnavailable if it breaks off: what came before is then only a part.
        """
        found = await self._call(key, lambda s3: s3.get_object(Bucket=self.name, Key=key))
        body, left = found["Body"], found["ContentLength"]
        try:
            while chunk := await self._call(key, lambda _: body.read(CHUNK_BYTES)):
                left -= len(chunk)
                yield chunk
        finally:
            body.close()
        if left:
            raise StorageUnavailable(f"{self.name}/{key} broke off {left} bytes before its end")

    async def info(self, key: str) -> ObjectInfo | None:
        """What there is of that key; None: nothing."""
        try:
            found = await self._call(key, lambda s3: s3.head_object(Bucket=self.name, Key=key))
        except ObjectMissing:
            return None
        return ObjectInfo(key, found["ContentLength"], found["LastModified"].astimezone(UTC))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object below `prefix`, by key, a thousand a call. `prefix` ends with `/`."""
        if not prefix.endswith("/"):
            raise ValueError(f"{prefix!r}: a prefix ends with / (`a` would match `ab/...` too)")
        after = ""
        while True:
            page = await self._page(prefix, after)
            for found in page.get("Contents", []):
                after = found["Key"]
                yield ObjectInfo(after, found["Size"], found["LastModified"].astimezone(UTC))
            if not page["IsTruncated"]:
                return

    async def _page(self, prefix: str, after: str) -> "ListObjectsV2OutputTypeDef":
        return await self._call(
            prefix,
            lambda s3: s3.list_objects_v2(
                Bucket=self.name, Prefix=prefix, StartAfter=after, MaxKeys=PAGE_KEYS
            ),
        )

    async def delete(self, keys: Iterable[str]) -> int:
        """Deletes them, a thousand a call; how many were asked for. A missing one is no error."""
        wanted = [*keys]
        for start in range(0, len(wanted), PAGE_KEYS):
            await self._delete(wanted[start : start + PAGE_KEYS])
        return len(wanted)

    async def _delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            _check(key)
        told = await self._call(
            keys[0],
            lambda s3: s3.delete_objects(
                Bucket=self.name,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            ),
        )
        if failed := told.get("Errors"):
            one = failed[0]
            raise StorageUnavailable(
                f"{len(failed)} of {len(keys)} were not deleted from {self.name}:"
                f" {one.get('Key')}: {one.get('Code')} {one.get('Message')}"
            )

    async def link(
        self, key: str, *, filename: str, mime_type: str, lifetime: timedelta = LINK_LIFETIME
    ) -> str:
        """A link to read that one object, saved under `filename`. It is a secret: never log it.

        `lifetime` is from one second to 15 minutes; else ValueError.
        """
        if not timedelta(seconds=1) <= lifetime <= LINK_LIFETIME:
            raise ValueError(f"{lifetime}: a link lives for 15 minutes at most")
        return await self._call(
            key,
            lambda s3: s3.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self.name,
                    "Key": key,
                    "ResponseContentDisposition": disposition(filename),
                    "ResponseContentType": mime_type,
                },
                ExpiresIn=int(lifetime.total_seconds()),
                HttpMethod="GET",
            ),
        )

    async def drop_unfinished(self, prefix: str, *, older_than: timedelta) -> int:
        """Gives up uploads that a killed worker left behind; how many there were, at most 1,000."""
        page = await self._call(
            prefix, lambda s3: s3.list_multipart_uploads(Bucket=self.name, Prefix=prefix)
        )
        limit = datetime.now(UTC) - older_than
        old = [one for one in page.get("Uploads", []) if one["Initiated"] <= limit]
        for one in old:
            await self._abort(one["Key"], one["UploadId"])
        return len(old)

    async def _abort(self, key: str, upload_id: str) -> None:
        await self._call(
            key,
            lambda s3: s3.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload_id),
        )

    async def _call(self, key: str, call: Callable[["S3Client"], Answer]) -> Answer:
        _check(key)
        return await self._caller.begin(f"{self.name}/{key}", call)


def _check(key: str) -> None:
    if _KEY.fullmatch(key) is None or ".." in key or "//" in key:
        raise ValueError(f"{key!r} is no key of ours")


def disposition(filename: str) -> str:
    """Content-Disposition for a file to save: RFC 6266, with a name in ASCII for old readers."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
