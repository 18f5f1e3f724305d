"""S3 for one worker process: one client, which is safe for threads, and a bounded pool of them."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, TypeVar

from processors.storage.bucket import Bucket
from processors.storage.place import StoragePlace
from processors.storage.trouble import told
from streamq import Fail
from streamq.errors import MissingExtra

if find_spec("boto3") is None:
    raise MissingExtra("files in S3", "boto3", "processors")
if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Answer = TypeVar("Answer")

THREADS: Final = 8
CONNECT_LIMIT_S: Final = 5
ANSWER_LIMIT_S: Final = 30
"""Between two bytes."""
ATTEMPTS: Final = 3
"""Of one call, by botocore, within a second or two; the job's own come after that."""


class Storage:
    """The application's two buckets. `place` None: no bucket is named, and whoever asks for one
    fails with that.
    """

    def __init__(self, place: StoragePlace | None) -> None:
        self._place = place
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        self._lock = threading.Lock()

    @property
    def backups(self) -> Bucket:
        """Dumps of the database. Raises Fail if no bucket is set."""
        return Bucket(self, self._named.backups)

    @property
    def exports(self) -> Bucket:
        """What is made for people: invoices, reports, exports. Raises Fail if no bucket is set."""
        return Bucket(self, self._named.exports)

    async def aclose(self) -> None:
        """Waits for calls that are under way, each of which has its limits."""
        await asyncio.to_thread(self._threads.shutdown)

    def begin(self, what: str, call: Callable[["S3Client"], Answer]) -> "asyncio.Future[Answer]":
        """Runs `call` in one of the threads. Whoever stops waiting for it does not stop it.

        The future raises ObjectMissing, StorageUnavailable, Fail; `what` is named in those.
        """

        def run() -> Answer:
            with told(what):
                with self._lock:
                    client = self._client
                return call(client)

        return asyncio.get_running_loop().run_in_executor(self._threads, run)

    @property
    def _named(self) -> StoragePlace:
        if self._place is None:
            raise Fail(
                "BACKUP_BUCKET, EXPORT_BUCKET and S3_ENDPOINT_URL are not set: this job needs a"
                " place for its file. `make dev` brings one"
            )
        return self._place

    @cached_property
    def _client(self) -> "S3Client":
        # A third of a second: what needs no S3 does not wait for it.
        import boto3
        from botocore.config import Config

        place = self._named
        return boto3.session.Session().client(
            "s3",
            region_name=place.region,
            endpoint_url=place.endpoint,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "auto" if place.endpoint is None else "path"},
                connect_timeout=CONNECT_LIMIT_S,
                read_timeout=ANSWER_LIMIT_S,
                max_pool_connections=THREADS,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            ),
        )
