"""Workers of one queue in the test's own event loop, on a real server; and looks at what they do.

    async with Floor(server, prefix) as floor:
        @floor.job()
        async def mail(data: str, job: Context) -> str: ...

        worker = await floor.hire(concurrency=2)
        job = await floor.add("mail", "ana")
        await floor.reaches(job, JobState.COMPLETED)

At its end all workers leave in order, and the invariants hold.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self, Unpack

import redis

from streamq import App, Job, JobState, Queue
from streamq.adding import AddOptions
from streamq.clock import Clock
from streamq.durations import Ms
from streamq.embedded import EmbeddedServer
from streamq.embedded.wire import Address as Upstream
from streamq.errors import StoreError
from streamq.job import JobId
from streamq.run.lane import Lane
from streamq.run.worker import Worker
from streamq.settings import Settings
from streamq.store import transitions
from streamq.store.address import Address
from streamq.store.client import Redis
from streamq.store.keys import Keys, keys_of
from streamq.store.replies import Beaten
from streamq.store.scripts import Link, link, script
from tests.support import invariants, servers
from tests.support.proxy import Fault, Proxy
from tests.support.waiting import soon

QUEUE: Final = "q"
LIMIT_S: Final = 20.0
"""For anything that workers have to come to on a busy machine."""

LEASE_MS: Final = 30_000
BEAT_EVERY_S: Final = 0.2


SCRIPTS: Final = {script(name).sha: name for name in ("register", "step", "resync", "reap", "beat")}


def sha(name: str) -> bytes:
    """What a call of that script holds: for the faults of a proxy."""
    return script(name).sha


class StillClock(Clock):
    """What time it is for scripts, workers and the App: it moves only by `later`."""

    def __init__(self) -> None:
        self.at_ms = Ms(1_800_000_000_000)

    def now_ms(self) -> Ms:
        return self.at_ms


class Hired:
    """A worker at work."""

    def __init__(self, worker: Worker, redis: Redis) -> None:
        self.worker = worker
        self.redis = redis
        self.run = asyncio.create_task(worker.run())

    def at_each_turn(self, act: Callable[[], None]) -> None:
        """Acts when a turn has come back and its claims have begun."""
        for lane in self.worker._lanes:
            on_turn = lane._on_turn

            def turned(lane: Lane, on_turn: Callable[[Lane], None] = on_turn) -> None:
                act()
                on_turn(lane)

            lane._on_turn = turned

    async def leaves(self, *, limit_s: float = LIMIT_S) -> None:
        """It claims nothing more, and ends when what runs has ended."""
        self.worker.stop()
        async with asyncio.timeout(limit_s):
            await self.run
        await self.redis.close()

    async def vanishes(self) -> None:
        """As if its process were killed: nothing is handed in, no row goes."""
        self.run.cancel()
        await asyncio.wait([self.run])
        await self.redis.close()


class Floor:
    """One queue of an App. `counters_hold` False: what happens in the test cannot be counted."""

    def __init__(self, server: EmbeddedServer, prefix: str, *, counters_hold: bool = True) -> None:
        self.server = server
        self.url = servers.door(server.url)
        self.prefix = prefix
        self.counters_hold = counters_hold
        self.app = self.another_app()
        self.hired: list[Hired] = []
        self.raw = redis.Redis.from_url(server.url, protocol=2)

    def another_app(self, url: str | None = None) -> App:
        """An App like the first, with no handlers yet: another deploy, or another producer."""
        return App("tests", settings=Settings(), redis=url or self.url, prefix=self.prefix)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await asyncio.gather(*(h.leaves() for h in self.hired if not h.run.done()))
            await asyncio.gather(*(h.redis.close() for h in self.hired))
        finally:
            await self.app.close()
            if error is None:
                invariants.check(self.raw, self.prefix, counters=self.counters_hold)
            self.raw.close()

    # -- handlers, jobs and workers

    @property
    def queue(self) -> Queue:
        return self.app.queue(QUEUE)

    @property
    def job(self) -> Callable[..., Callable[..., object]]:
        """`@floor.job(name=..., attempts=...)`."""

        def of_queue(**said: object) -> Callable[..., object]:
            return self.app.job(QUEUE, **said)  # type: ignore[arg-type]  # as `App.job` takes them

        return of_queue

    def proxy(self) -> "Watched":
        """Between a worker and the server."""
        return Watched(self.server.address)

    async def add(self, name: str, data: object = None, **options: Unpack[AddOptions]) -> JobId:
        return (await self.queue.add(name, data, force=True, **options)).id

    async def hire(
        self,
        concurrency: int = 2,
        *,
        app: App | None = None,
        url: str | None = None,
        clock: Clock | None = None,
        kind: str = "e",
        state: object = None,
        ahead: bool = True,
    ) -> Hired:
        """Starts a worker, and returns when it sleeps or works.

        `ahead` False: it sends no turn ahead of a token, so that each of its turns is its lane's.
        """
        app = app or self.app
        redis = Redis(Address(url or self.url, "the test"), name="hired")
        worker = Worker(
            app, QUEUE, redis, concurrency=concurrency, kind=kind, state=state,
            clock=clock or app.clock,
        )  # fmt: skip
        if not ahead:
            for lane in worker._lanes:
                lane.send_ahead = lambda: None  # type: ignore[method-assign]
        hired = Hired(worker, redis)
        self.hired.append(hired)
        await soon(
            lambda: worker.turned_at > 0 or hired.run.done(), "its first turn", limit_s=LIMIT_S
        )
        return hired

    async def reaches(self, job: JobId, state: JobState, *, limit_s: float = LIMIT_S) -> Job:
        """The job, once it stands there."""
        seen: Job | None = None

        async def there() -> bool:
            nonlocal seen
            seen = await self.queue.get(job)
            return seen is not None and seen.state is state

        try:
            await soon(there, f"{job} is {state}", limit_s=limit_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {seen}") from None
        # Once more: a read of several keys is not one instant, and its run may be the one before.
        settled = await self.queue.get(job)
        assert settled is not None
        return settled

    async def settles_and_frees(self, hired: Hired, job: JobId, state: JobState) -> Job:
        """The job, once it stands there and the worker's slots are all free again."""
        settled = await self.reaches(job, state)
        await soon(lambda: hired.worker.busy == 0, "all slots are free")
        return settled

    async def all_reach(self, state: JobState, count: int, *, limit_s: float = LIMIT_S) -> None:
        """So many jobs stand there."""

        async def there() -> bool:
            counts = await self.queue.counts()
            return int(getattr(counts, state.value)) == count

        await soon(there, f"{count} jobs are {state}", limit_s=limit_s)

    def stop_time(self) -> StillClock:
        """From now on time stands still, but for `later`. Before the App's first call."""
        clock = StillClock()
        self.app.clock = clock
        return clock

    async def later(self, ms: int) -> None:
        """Moves the still clock; a script then sees what is due, and wakes those who sleep."""
        clock = self.app.clock
        assert isinstance(clock, StillClock), "time does not stand still: stop_time()"
        clock.at_ms = Ms(clock.at_ms + ms)
        await transitions.promote(self.link(), [], now_ms=clock.at_ms)

    # -- the raw keys

    @property
    def keys(self) -> Keys:
        return keys_of(self.prefix, QUEUE)

    def link(self) -> Link:
        return link(self.app.connection(), self.keys)

    def dump(self) -> invariants.Dump:
        return invariants.read(self.raw, self.prefix, QUEUE)

    def states(self) -> Mapping[str, str]:
        return self.dump().states()

    def stats(self) -> Mapping[str, int]:
        return {f.decode(): int(n) for f, n in self.dump().hashes["stats"].items()}

    def leases(self) -> int:
        """How many jobs are active."""
        count = self.raw.hlen(self.keys.names["leases"])
        assert isinstance(count, int)
        return count

    def redis_ms(self) -> int:
        """Redis's own time."""
        seconds, micros = self.raw.time()
        return int(seconds) * 1_000 + int(micros) // 1_000

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Beats, as often as a test can wait: where a token may be swallowed, a beat brings one."""

        async def beat() -> None:
            while True:
                with contextlib.suppress(StoreError):
                    await self.beat(*self.hired)
                await asyncio.sleep(BEAT_EVERY_S)

        beats = asyncio.create_task(beat())
        try:
            yield
        finally:
            beats.cancel()
            await asyncio.wait([beats])

    async def beat(self, *hired: Hired, lease_ms: int = LEASE_MS) -> Beaten:
        """What a daemon would do for these workers, once."""
        ids = [worker for each in hired for worker in each.worker.ids]
        return await transitions.beat(self.link(), ids, lease_ms=lease_ms)


class Watched(Proxy):
    """A proxy that notes what each request was."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream)
        self.seen: list[str] = []
        """The command of each request; of a script its name."""

    def struck_by(self, request: bytes) -> Fault | None:
        words = request.split(b"\r\n")
        called = words[2].decode().upper() if len(words) > 2 else words[0].decode()
        if called == "EVALSHA":
            called = SCRIPTS.get(words[4], "?")
        self.seen.append(called)
        return super().struck_by(request)
