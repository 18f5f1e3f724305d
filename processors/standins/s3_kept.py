"""Keeps the objects of a moto server, which itself keeps nothing, as files that anybody can open:
`<folder>/<bucket>/<key>`.
"""

import mimetypes
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PARTITION: Final = "aws"
PLAIN: Final = "application/octet-stream"
_PART: Final = ".part"
"""Ends the name of a file that is being written; no key of the application's ends so."""


class Kept:
    """The objects of those buckets, which are there by now."""

    def __init__(self, client: "S3Client", buckets: Sequence[str], folder: Path) -> None:
        self._client = client
        self._folders = {bucket: folder / bucket for bucket in buckets}
        self._saved: dict[tuple[str, str], str] = {}
        """ETags of what the files hold."""

    def load(self) -> None:
        """Puts what was kept into the server, as old as it was."""
        for bucket, folder in self._folders.items():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in sorted(folder.rglob("*")):
                if path.is_symlink() or not path.is_file():
                    continue
                if path.suffix == _PART:
                    path.unlink()  # its writer was killed
                else:
                    self._put(bucket, path.relative_to(folder).as_posix(), path)

    def _put(self, bucket: str, key: str, path: Path) -> None:
        with path.open("rb") as file:
            put = self._client.put_object(
                Bucket=bucket,
                Key=key,
                Body=file,
                ContentType=mimetypes.guess_type(key)[0] or PLAIN,
                ServerSideEncryption="AES256",
            )
        self._saved[bucket, key] = put["ETag"]
        # Clean-ups and retention go by it, and S3 has no call that sets it.
        stored = s3_backends[DEFAULT_ACCOUNT_ID][PARTITION].get_object(bucket, key)
        assert stored is not None
        written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        stored.last_modified = written_at.replace(tzinfo=None)

    def save(self) -> None:
        """Writes what is new or changed since, and removes the files of what was deleted."""
        there = {(bucket, key): etag for bucket, key, etag in self._listed()}
        for (bucket, key), etag in there.items():
            if self._saved.get((bucket, key)) != etag:
                self._write(bucket, key)
        for bucket, key in self._saved.keys() - there.keys():
            self._path(bucket, key).unlink(missing_ok=True)
        self._saved = there

    def _listed(self) -> Iterator[tuple[str, str, str]]:
        for bucket in self._folders:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for found in page.get("Contents", []):
                    yield bucket, found["Key"], found["ETag"]

    def _write(self, bucket: str, key: str) -> None:
        path = self._path(bucket, key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(path.name + _PART)
        try:
            found = self._client.get_object(Bucket=bucket, Key=key)
        except self._client.exceptions.NoSuchKey:
            return  # deleted since it was listed: the next look sees that
        with found["Body"] as body, open(part, "wb", opener=_private) as file:
            shutil.copyfileobj(body, file)
        os.utime(part, times=(found["LastModified"].timestamp(),) * 2)
        part.replace(path)

    def _path(self, bucket: str, key: str) -> Path:
        """Raises ValueError for a key that leads out of its bucket's folder."""
        folder = self._folders[bucket]
        path = folder / key
        if key.startswith("/") or ".." in path.parts:
            raise ValueError(f"{bucket}/{key} cannot be kept as a file")
        return path


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
