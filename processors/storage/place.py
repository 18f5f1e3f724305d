"""Where the buckets are: BACKUP_BUCKET, EXPORT_BUCKET, S3_ENDPOINT_URL, AWS_REGION."""

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec

REGION: Final = "us-east-1"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")


class InvalidStorage(ValueError):
    """A bucket, region or address that cannot be one. `name` is the variable that says it."""

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why
        super().__init__(f"{name}: {why}")


class StoragePlace(msgspec.Struct, frozen=True, kw_only=True):
    """The two buckets and who keeps them. Raises InvalidStorage when it is made.

    Who we are is found by boto3 where it always is: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
    a profile, the role of the machine.
    """

    backups: str
    exports: str
    """Everything that is made for people: invoices, reports, exports."""
    endpoint: str | None = None
    """None: Amazon's own for the region."""
    region: str = REGION
    """The buckets'; links that are signed for another one do not open."""

    def __post_init__(self) -> None:
        for name, bucket in (("BACKUP_BUCKET", self.backups), ("EXPORT_BUCKET", self.exports)):
            if _BUCKET.fullmatch(bucket) is None:
                raise InvalidStorage(name, "a bucket's name is 3 to 63 of a-z, 0-9, `.` and `-`")
        if self.backups == self.exports:
            raise InvalidStorage("EXPORT_BUCKET", "backups lie apart: it names BACKUP_BUCKET's")
        if _REGION.fullmatch(self.region) is None:
            raise InvalidStorage("AWS_REGION", "is no region; for example sa-east-1")
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        parts = urlsplit("")
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise InvalidStorage("S3_ENDPOINT_URL", "is no address like https://s3.example.com")
    if "@" in parts.netloc:
        raise InvalidStorage(
            "S3_ENDPOINT_URL", "holds a password: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
        )
