"""Where jobs are added and waited for, and where what they made is found and opened."""

import asyncio
import hashlib
import time
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from processors.backups.keeping import prefix_of
from processors.database import Database
from processors.demo.partners import Partners
from processors.demo.products import (
    Made,
    Mail,
    NotAsPromised,
    Stored,
    expect,
    open_mail,
    open_object,
)
from processors.demo.running import Running
from processors.enqueue.adding import create_queue
from processors.imobibase import QueueName
from processors.storage import Storage
from streamq.cli.dev_beside import FOLDER
from streamq.job import Job, JobState

SETTLE_LIMIT_S: Final = 120.0
DOWNLOAD_LIMIT_S: Final = 15.0
DELAYED_MAX: Final = 1_000
MADE_MAX: Final = 6
"""Lines for one job; more are counted."""
SUBJECT_MAX: Final = 50
_LOOK_EVERY_S: Final = 0.05
_QUIET_LOOKS: Final = 2
"""One look asks queue after queue, and a job may pass from one that is still to be asked."""
_EXPORTS: Final = ("invoices/", "reports/", "exports/", "feeds/")


class Products(msgspec.Struct, frozen=True):
    """What is there that was not before."""

    mails: Sequence[Mail]
    objects: Sequence[Stored]

    def of_kind(self, suffix: str) -> list[Stored]:
        return [one for one in self.objects if one.key.endswith(suffix)]


class Stage:
    """One demo. `settle` waits until nothing is left to do; `new` opens what was made since."""

    def __init__(
        self, running: Running, database: Database, storage: Storage, partners: Partners
    ) -> None:
        self.database = database
        self.storage = storage
        self.partners = partners
        self._folder = running.folder
        self._seen: set[str] = set()
        self._failed: set[str] = set()
        self._digests: set[bytes] = set()
        """Of all objects: what a link leads to is one of them."""

    @property
    def outbox(self) -> Path:
        return self._folder / FOLDER / "outbox"

    async def settle(self) -> None:
        """Waits until no job waits or runs; those that are due later are promoted. Raises
        NotAsPromised for a job that failed."""
        deadline, quiet = time.monotonic() + SETTLE_LIMIT_S, 0
        while quiet < _QUIET_LOOKS:
            busy = [str(name) for name in QueueName if not await self._idle(name)]
            quiet = 0 if busy else quiet + 1
            expect(time.monotonic() < deadline, f"not done in time: {', '.join(busy)}")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _idle(self, name: QueueName) -> bool:
        queue = create_queue(name)
        counts = await queue.counts()
        if counts.delayed:
            page = await queue.page(JobState.DELAYED, limit=DELAYED_MAX)
            for job in page.jobs:
                await queue.promote(job.id)
        for state in (JobState.FAILED, JobState.PARKED):
            if getattr(counts, state):
                for job in (await queue.page(state)).jobs:
                    self._say_failed(job)
        return not (counts.waiting or counts.active or counts.delayed)

    def _say_failed(self, job: Job) -> None:
        """Once for each."""
        if job.id not in self._failed:
            self._failed.add(job.id)
            why = job.run.errors[-1].message if job.run.errors else job.run.reason
            raise NotAsPromised(f"{job.queue}/{job.name} {job.state}: {why}")

    async def new(self) -> Products:
        """Opens all that was made since the last look. Raises NotAsPromised."""
        objects = [one async for one in self._objects()]
        self._digests |= {hashlib.sha256(one.data).digest() for one in objects}
        mails = [open_mail(path) for path in sorted(self.outbox.glob("*.eml")) if self._first(path)]
        for mail in mails:
            for link in mail.links:
                await self._download(link, mail)
        return Products(mails, objects)

    async def _objects(self) -> AsyncGenerator[Stored, None]:
        backups = self.storage.backups, (prefix_of(self.database.server.name),)
        for bucket, prefixes in (backups, (self.storage.exports, _EXPORTS)):
            for prefix in prefixes:
                async for found in bucket.list(prefix):
                    if self._first(f"{bucket.name}/{found.key} {found.size} {found.modified}"):
                        yield open_object(bucket.name, found.key, await bucket.get(found.key))

    def _first(self, thing: object) -> bool:
        known = str(thing) in self._seen
        self._seen.add(str(thing))
        return not known

    async def _download(self, link: str, mail: Mail) -> None:
        """As the mail's reader does it: through the admin, and on to the bucket."""
        try:
            data = await asyncio.to_thread(_fetched, link)
        except OSError as error:
            raise NotAsPromised(f"the link in {self.shown(mail.path)} fails: {error}") from error
        known = hashlib.sha256(data).digest() in self._digests
        expect(known, f"the link in {self.shown(mail.path)} leads to something else")

    def shown(self, path: Path) -> str:
        return str(path.relative_to(self._folder / FOLDER))

    def made(self, products: Products) -> list[Made]:
        """In words; each once, and of many the first."""
        objects = [Made(one.what, f"s3/{one.bucket}/{one.key}") for one in products.objects]
        mails = [
            Made(
                f"mail{', link downloaded' if mail.links else ''}: {mail.subject[:SUBJECT_MAX]}",
                self.shown(mail.path),
            )
            for mail in products.mails
        ]
        every = objects + mails
        more = len(every) - MADE_MAX
        return every[:MADE_MAX] + ([Made(f"and {more} more", "")] if more > 0 else [])


def _fetched(link: str) -> bytes:
    with urllib.request.urlopen(link, timeout=DOWNLOAD_LIMIT_S) as answer:
        content: bytes = answer.read()
    return content


Verify = Callable[[Stage, Job, Products], Awaitable[Sequence[Made]]]


class Step(msgspec.Struct, frozen=True):
    """One job: how it is added (its id comes back), and what must have come of it."""

    name: str
    queue: QueueName
    add: Callable[[], Awaitable[str]]
    verify: Verify
    """Raises NotAsPromised; what it gives is told beside the mails and objects."""


class Done(msgspec.Struct, frozen=True):
    """A step that was made. `trouble` empty: all is as promised."""

    step: Step
    trouble: str
    made: Sequence[Made] = ()


async def perform(stage: Stage, step: Step) -> Done:
    """Adds the job, waits for it and all that it leads to, and opens what they made."""
    try:
        job_id = await step.add()
        await stage.settle()
        job = await create_queue(step.queue).get(job_id)
        if job is None or job.state is not JobState.COMPLETED:
            raise NotAsPromised(f"its job is {'gone' if job is None else job.state}")
        products = await stage.new()
        verified = await step.verify(stage, job, products)
        return Done(step, "", [*stage.made(products), *verified])
    except NotAsPromised as error:
        return Done(step, str(error))
