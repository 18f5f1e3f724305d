"""An object on its way up, in parts: invisible until it is complete."""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from processors.storage.trouble import ObjectMissing, StorageUnavailable
from streamq import Fail

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

Answer = TypeVar("Answer")

ENCRYPTION: Final[Literal["AES256"]] = "AES256"
PART_BYTES: Final = 8 * 1024**2
"""Of the first thousand parts; it grows by that for each further thousand, to 440 GB in all."""
PARTS_MAX: Final = 10_000
"""S3's own limit."""
ABORT_LIMIT_S: Final = 60.0


class Caller(Protocol):
    """What buckets and uploads need of `Storage`."""

    def begin(
        self, what: str, call: Callable[["S3Client"], Answer]
    ) -> "asyncio.Future[Answer]": ...


class Upload:
    """What `Bucket.upload` gives: write to it, and know its size and hash."""

    def __init__(self, caller: Caller, bucket: str, key: str, mime_type: str) -> None:
        self._caller = caller
        self._bucket = bucket
        self._key = key
        self._mime_type = mime_type
        self._id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []
        self._waiting = bytearray()
        self._idle = asyncio.Event()
        self._idle.set()
        self._sha256 = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of all that was written so far, in hex."""
        return self._sha256.hexdigest()

    async def write(self, chunk: bytes) -> None:
        """Adds to it; waits while a part goes up, so that no more than one is in memory."""
        self._sha256.update(chunk)
        self.size += len(chunk)
        self._waiting += chunk
        while len(self._waiting) >= (part_bytes := self._part_bytes):
            part = bytes(self._waiting[:part_bytes])
            del self._waiting[:part_bytes]
            await self._send(part)

    async def complete(self) -> None:
        """Makes it visible, whole. `Bucket.upload` calls it at the end of its block."""
        if self._id is None:  # not one part was full: one call does it
            body = bytes(self._waiting)
            await self._run(
                lambda s3: s3.put_object(
                    Bucket=self._bucket,
                    Key=self._key,
                    Body=body,
                    ContentType=self._mime_type,
                    ServerSideEncryption=ENCRYPTION,
                )
            )
            return
        if self._waiting:
            await self._send(bytes(self._waiting))
        upload_id = self._id
        await self._run(
            lambda s3: s3.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=upload_id,
                MultipartUpload={"Parts": self._parts},
            )
        )

    async def abort(self) -> None:
        """Leaves nothing behind. What S3 does not take back now, `drop_unfinished` does later."""
        with contextlib.suppress(TimeoutError):
            # A part that arrives after the abort would stay, and be paid for.
            await asyncio.wait_for(self._idle.wait(), ABORT_LIMIT_S)
        if (upload_id := self._id) is None:
            return
        with contextlib.suppress(StorageUnavailable, ObjectMissing, Fail):
            await self._run(
                lambda s3: s3.abort_multipart_upload(
                    Bucket=self._bucket, Key=self._key, UploadId=upload_id
                )
            )

    @property
    def _part_bytes(self) -> int:
        return PART_BYTES * (1 + len(self._parts) // 1_000)

    async def _send(self, part: bytes) -> None:
        number = len(self._parts) + 1
        if number > PARTS_MAX:
            raise Fail(f"{self._bucket}/{self._key} has over {PARTS_MAX} parts: it is too large")
        upload_id = self._id or await self._begin()
        sent = await self._run(
            lambda s3: s3.upload_part(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=upload_id,
                PartNumber=number,
                Body=part,
            )
        )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    async def _begin(self) -> str:
        begun = await self._run(
            lambda s3: s3.create_multipart_upload(
                Bucket=self._bucket,
                Key=self._key,
                ContentType=self._mime_type,
                ServerSideEncryption=ENCRYPTION,
            )
        )
        self._id = begun["UploadId"]
        return self._id

    async def _run(self, call: Callable[["S3Client"], Answer]) -> Answer:
        self._idle.clear()
        future = self._caller.begin(f"{self._bucket}/{self._key}", call)
        future.add_done_callback(self._ended)
        # Shielded: a cancelled wait would call the future done while its thread still sends.
        return await asyncio.shield(future)

    def _ended(self, future: "asyncio.Future[Answer]") -> None:
        if not future.cancelled():
            future.exception()  # nobody may be waiting for it any more
        self._idle.set()
