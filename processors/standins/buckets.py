"""`python -m processors.standins.buckets`: make the two buckets where they are not there yet.

For stand-ins and for stores of one's own; elsewhere buckets are made by those who pay for them.
"""

import asyncio
import os
import sys

from processors.settings import load_settings
from processors.storage.client import Storage
from processors.storage.place import StoragePlace
from processors.storage.trouble import ObjectMissing, StorageUnavailable
from streamq import Fail
from streamq.errors import ConfigError


async def make_buckets(place: StoragePlace | None) -> None:
    """Raises Fail, StorageUnavailable."""
    storage = Storage(place)
    try:
        for bucket in (storage.backups, storage.exports):
            await _made(storage, bucket.name)
    finally:
        await storage.aclose()


async def _made(storage: Storage, name: str) -> None:
    try:
        await storage.begin(name, lambda s3: s3.head_bucket(Bucket=name))
    except ObjectMissing:
        await storage.begin(name, lambda s3: s3.create_bucket(Bucket=name))


def main() -> int:
    """0 when both are there, 1 when not, 2 if none is named."""
    try:
        place = load_settings(production=False, environ=os.environ).storage
        asyncio.run(make_buckets(place))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (Fail, StorageUnavailable) as error:
        print(error, file=sys.stderr)
        return 1
    assert place is not None
    print(f"{place.backups} and {place.exports} are there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
