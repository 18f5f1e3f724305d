"""A queue: where producers add jobs and operators look, pause, retry, remove and clean.

Adding stands here; what operators do is in `operate.py`. Whatever is asked is checked before
anything is sent, in the caller's stack.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Final, TypeVar, Unpack

from streamq import blocking, sentry
from streamq.added import Added, Timeout, seconds_of, unpacked
from streamq.adding import AddOptions, Checked, NewJob, Terms, checked, checked_id, terms_of
from streamq.errors import OutcomeUnknown, ScriptFault, StoreError, UnknownJobName, UnknownQueue
from streamq.events import Transition, follow
from streamq.home import Home, now_ms
from streamq.job import NewJob as SealedJob
from streamq.operate import Operations
from streamq.producer import Receipt, parcels_of
from streamq.store.packed import Packed, packed

CHECKED_AT_ONCE: Final = 1_000
"""Jobs that `add_many` checks before it lets others of the loop run: some 1 ms."""

TERMS_KEPT_MAX: Final = 1_000
"""Names of which a queue remembers the terms; with more, they are found anew."""

R = TypeVar("R")


class Queue(Operations):
    """One queue of an App; get it by `app.queue(name)`."""

    def __init__(self, home: Home, name: str) -> None:
        super().__init__(home, name)
        self._known_terms: dict[str, Terms] = {}
        self._version = home.version

    async def add(
        self,
        name: str,
        data: object,
        *,
        force: bool = False,
        create: bool = False,
        **options: Unpack[AddOptions],
    ) -> Added[object]:
        """Adds one job; an id that exists changes nothing, and the reply says so.

        `force`: a name that no handler of this process takes; `create`: a queue that the App does
        not know. Raises InvalidInput (nothing was sent), RedisUnavailable within two seconds,
        NotApplied, StoreFull, and OutcomeUnknown: then add it again with the same id.
        """
        self._check_queue(create)
        terms = self.terms(name, force=force)
        return await self.add_on(terms, NewJob(name, data, **options), object)

    async def add_many(
        self, jobs: Sequence[NewJob], *, force: bool = False, create: bool = False
    ) -> list[Added[object]]:
        """Adds jobs in their order, 1,000 or 1 MiB a round trip.

        All are checked before the first is sent. Not one transaction: after an error the first
        ones may be there, as its note says, and to add all of them again is safe if they were given
        ids.
        """
        self._check_queue(create)
        by_name: dict[str, Terms] = {}
        ready: list[Checked] = []
        at_ms = now_ms(self.home, self.name)
        for i, new in enumerate(jobs):
            if (terms := by_name.get(new.name)) is None:
                terms = by_name[new.name] = self.terms(new.name, force=force)
            ready.append(checked(new, terms, at_ms))
            if i % CHECKED_AT_ONCE == CHECKED_AT_ONCE - 1:
                await asyncio.sleep(0)
        return await self._send(ready, object)

    def add_sync(
        self,
        name: str,
        data: object,
        *,
        force: bool = False,
        create: bool = False,
        **options: Unpack[AddOptions],
    ) -> Added[object]:
        """`add` for code without an event loop. Raises SyncInLoop where one runs."""
        return blocking.run(
            lambda: self.add(name, data, force=force, create=create, **options),
            called="add_sync",
            instead="add",
        )

    def add_many_sync(
        self, jobs: Sequence[NewJob], *, force: bool = False, create: bool = False
    ) -> list[Added[object]]:
        """`add_many` for code without an event loop. Raises SyncInLoop where one runs."""
        return blocking.run(
            lambda: self.add_many(jobs, force=force, create=create),
            called="add_many_sync",
            instead="add_many",
        )

    async def result(
        self,
        job: str,
        timeout: Timeout | None = None,  # noqa: ASYNC109 - the public word
    ) -> object:
        """What the job's handler returned, once it is completed; see `Added.result`.

        Raises JobNotFound for an id that is not there.
        """
        results = self.home.session().results(self.name)
        return unpacked(await results.of(checked_id(job), limit_s=seconds_of(timeout)), object)

    def follow(self, *, after: str | None = None) -> AsyncGenerator[Transition, None]:
        """The queue's transitions from now on, or later than the event `after`; see events.py."""
        session = self.home.session()
        return follow(session.redis, session.keys(self.name), after=after)

    # -- for handles

    async def add_on(self, terms: Terms, new: NewJob, kind: type[R]) -> Added[R]:
        """Adds one job on known terms; its result will be of type `kind`."""
        job = checked(new, terms, now_ms(self.home, self.name))
        return (await self._send([job], kind))[0]

    def terms(self, name: str, *, force: bool = False) -> Terms:
        """What holds for jobs of a name. Raises InvalidName, and UnknownJobName unless `force`."""
        home = self.home
        if self._version != home.version:
            self._known_terms.clear()
            self._version = home.version
        if (known := self._known_terms.get(name)) is not None:
            return known
        handler = home.handlers.find(self.name, name)
        found = terms_of(self.name, name, handler, home.queue_settings(self.name))
        if handler is None and (names := home.handlers.names(self.name, planners=False)):
            if force:
                return found
            raise UnknownJobName(self.name, name, names)
        if len(self._known_terms) < TERMS_KEPT_MAX:
            self._known_terms[name] = found
        return found

    def _check_queue(self, create: bool) -> None:
        home = self.home
        if not create and not home.knows_queue(self.name):
            raise UnknownQueue(self.name, home.name, home.queue_names())

    async def _send(self, ready: Sequence[Checked], kind: type[R]) -> list[Added[R]]:
        home, name = self.home, self.name
        # Sealed when they are asked for, which is while Redis works on those before them.
        jobs, labels = map(Checked.sealed, ready), [job.label for job in ready]
        if home.recorder is not None:
            recorded = [*jobs]
            existed = home.recorder(name, recorded)
            return [
                Added(job.id, was, name, home, None, kind)
                for job, was in zip(recorded, existed, strict=True)
            ]
        if not sentry.active() or not ready:
            return await self._sent(jobs, labels, kind)
        with sentry.publishing(name, [*jobs]) as traced:
            return await self._sent(traced, labels, kind)

    async def _sent(
        self, jobs: Iterable[SealedJob], labels: Sequence[str], kind: type[R]
    ) -> list[Added[R]]:
        """Call after call, each when the one before was answered, and made ready until then."""
        producer = self.home.session().producer(self.name)
        if len(labels) == 1:  # a single `add`: nothing is to be made ready meanwhile
            sent = packed([*jobs], labels)
            return self._added(sent, await producer.send(sent), kind)
        parcels = (packed(*some) for some in parcels_of(jobs, labels))
        added: list[Added[R]] = []
        sent, receipt = packed([], []), Receipt((), 0)
        parcel = next(parcels, None)
        while parcel is not None:
            answer = producer.send(parcel)
            try:
                await asyncio.sleep(0)  # it goes out: what follows is done while Redis works
                added += self._added(sent, receipt, kind)
                sent, parcel = parcel, next(parcels, None)
                receipt = await answer
            except StoreError as error:
                if len(sent) < len(labels):
                    error.add_note(_progress(error, len(added), sent, len(labels)))
                raise
            finally:
                answer.cancel()  # who was cancelled waits for it no more
        return added + self._added(sent, receipt, kind)

    def _added(self, jobs: Packed, receipt: Receipt, kind: type[R]) -> list[Added[R]]:
        home, name = self.home, self.name
        # With a moved clock the times of scripts are not those of the events.
        at_ms = receipt.at_ms if home.clock.now_ms() is None else None
        return [
            Added(job, was, name, home, at_ms, kind)
            for job, was in zip(jobs.ids, receipt.existed, strict=True)
        ]


def _progress(error: StoreError, added: int, sent: Packed, total: int) -> str:
    """Which jobs of an `add_many` are there after an error; they went in their order."""
    may_be = isinstance(error, OutcomeUnknown | ScriptFault)
    return (
        f"Of {total:,} jobs the first {added:,} are added;"
        f" the next {len(sent):,}, {sent.ids[0]} to {sent.ids[-1]},"
        f" {'may be' if may_be else 'are not'};"
        f" {total - added - len(sent):,} were not sent."
    )
