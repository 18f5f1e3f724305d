"""The App: an application's queues, handlers, hooks and settings, and its way to Redis.

One object for producers and workers: a producer adds through it, a worker runs what it registered.
"""

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Concatenate, Final, Self, TypedDict, TypeVar, Unpack, overload
from urllib.parse import unquote, urlsplit

import msgspec

from streamq import bulk
from streamq.adding import checked_attempts, checked_priority, payload_limit_bytes, timeout_ms
from streamq.backoff import Backoff, Choose, as_backoff
from streamq.clock import REAL, Clock
from streamq.control import Order, Word, give_order
from streamq.declaring import QueueTerms, declared
from streamq.durations import Duration, Ms
from streamq.errors import InvalidName
from streamq.handle import Handle, result_kind
from streamq.handlers import Registry, handler_of
from streamq.home import Recorder
from streamq.lookup import dev_redis
from streamq.planning import planned
from streamq.port import Port
from streamq.queue import Queue
from streamq.schedule import Recurrence, Schedule
from streamq.session import Session, Sessions
from streamq.settings import DEFAULT, JobDefaults, QueueSettings, Settings, load_settings
from streamq.store import reads
from streamq.store.address import REDIS_PORT, Address
from streamq.store.client import Redis
from streamq.store.keys import NAME
from streamq.store.reads import ServerInfo
from streamq.timetable import Planner, Timetable

DEV_LIMIT_S: Final = 0.2
"""For the server of `streamq dev` to take a connection; it is on this machine."""

P = TypeVar("P")
R = TypeVar("R")

Lifespan = Callable[["App"], AbstractAsyncContextManager[object]]
Middleware = Callable[..., Awaitable[object]]
FailedHook = Callable[..., Awaitable[None]]


class HandlerOptions(TypedDict):
    """What `@app.job` says of a handler, checked."""

    attempts: int | None
    backoff: Backoff | None
    priority: int | None
    timeout_ms: Ms | None
    payload_limit_bytes: int | None
    keep: bool | None


M = TypeVar("M", bound=Middleware)
F = TypeVar("F", bound=FailedHook)


class Register:
    """What `@app.job(...)` gives: makes a Handle of a function, async or plain."""

    def __init__(self, app: "App", queue: str, name: str | None, said: HandlerOptions) -> None:
        self._app, self._queue, self._name, self._said = app, queue, name, said

    @overload
    def __call__(
        self, function: Callable[Concatenate[P, ...], Awaitable[R]], /
    ) -> Handle[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[P, ...], R], /) -> Handle[P, R]: ...
    def __call__(self, function: Callable[Concatenate[P, ...], object], /) -> Handle[P, R]:
        handler = handler_of(function, self._queue, self._name, **self._said)
        self._app.handlers.register(handler)
        self._app.changed()
        return Handle(self._app.queue(self._queue), handler, function, result_kind(function))


class App:
    """An application. Importing one connects to nothing and reads no settings.

    `settings`: else the nearest file and the environment say them, when first asked for. `redis`: a
    URL, which wins over the settings; `prefix`: of every key, likewise. `lifespan(app)` is entered
    once in each worker process; what it gives is every handler's `job.state`. `build`: what runs
    here, for operators; a parked job that could not be decoded waits for another build.
    """

    def __init__(
        self,
        name: str,
        *,
        settings: Settings | None = None,
        lifespan: Lifespan | None = None,
        prefix: str | None = None,
        redis: str | None = None,
        build: str = "",
    ) -> None:
        """Raises TypeError for a client of redis-py: its time-outs and retries are not ours."""
        if redis is not None and not isinstance(redis, str):
            raise TypeError(
                f"redis is to be a URL, not a {type(redis).__name__}: streamq makes its own"
                " connections, whose time-outs and retries it depends on."
            )
        if not NAME.fullmatch(name):
            raise InvalidName("app", name)
        self.name = name
        self.lifespan = lifespan
        self.build = build
        self.handlers = Registry()
        self.middlewares: tuple[Middleware, ...] = ()
        self.failed_hooks: tuple[FailedHook, ...] = ()
        self.clock: Clock = REAL
        self.recorder: Recorder | None = None
        self.version = 0
        self._given_redis = redis
        self._given_prefix = prefix
        self._settings = None if settings is None else self._own(settings)
        self._declared: dict[str, QueueSettings] = {}
        self._merged: dict[str, JobDefaults] = {}
        self._queues: dict[str, Queue] = {}
        self._known: frozenset[str] | None = None
        self._sessions = Sessions(self._open_session)
        self.redis = Port(self.session)
        self.schedules = Timetable(self, lambda: self.settings)
        self.handlers.know(bulk.NAME, bulk.bulk_handler(self.queue, self.redis))

    def __repr__(self) -> str:
        return f"App({self.name!r})"

    # -- registering

    def job(
        self,
        queue: str,
        name: str | None = None,
        *,
        attempts: int | None = None,
        backoff: Backoff | Sequence[Duration] | Choose | None = None,
        priority: int | None = None,
        timeout: Duration | None = None,
        payload_limit: str | None = None,
        keep: bool | None = None,
    ) -> Register:
        """Registers a function for the jobs of a queue by name; async, or plain (it gets a thread).

        `name` is the function's unless given; `sync-*` takes all names that begin so, `*` whatever
        nobody else takes. The function takes the payload, whose annotation is its type, and if it
        wants it the `Context`. Raises DuplicateHandler, InvalidName, OutOfRange, TypeError.
        """
        self._check_queue(queue)
        return Register(
            self,
            queue,
            name,
            HandlerOptions(
                attempts=None if attempts is None else checked_attempts(attempts),
                backoff=None if backoff is None else as_backoff(backoff),
                priority=None if priority is None else checked_priority(priority),
                timeout_ms=None if timeout is None else timeout_ms(timeout),
                payload_limit_bytes=(
                    None if payload_limit is None else payload_limit_bytes(payload_limit)
                ),
                keep=keep,
            ),
        )

    def middleware(self, function: M) -> M:
        """Decorates `async def around(job: Context, call_next)`: wraps every attempt.

        It awaits `call_next()` and returns what that gave. The first one registered is outermost.
        """
        self.middlewares = (*self.middlewares, function)
        return function

    def on_failed(self, function: F) -> F:
        """Decorates `async def hook(job: Context, error)`: called when a job failed for good."""
        self.failed_hooks = (*self.failed_hooks, function)
        return function

    def declare_queue(self, name: str, **terms: Unpack[QueueTerms]) -> Queue:
        """A queue of this App, and what holds for it unless files or variables say otherwise.

        For a queue without handlers here, and for values other than the defaults. Raises
        InvalidInput.
        """
        self._check_queue(name)
        self._declared[name] = declared(**terms)
        self.changed()
        return self.queue(name)

    def schedule(
        self,
        name: str,
        *,
        queue: str,
        job: str | None = None,
        plan: Planner | None = None,
        **terms: Unpack[Recurrence],
    ) -> Schedule:
        """Declares jobs that are added over and over; see `Timetable.declare`.

        Raises InvalidSchedule, InvalidCron, UnknownTimeZone, InvalidName.
        """
        made = self.schedules.declare(name, queue=queue, job=job, plan=plan, **terms)
        if plan is not None:
            run_plan = planned(self.queue, self.redis, made, plan)
            self.handlers.register(handler_of(run_plan, queue, made.job, planner=True))
        self.changed()
        return made

    # -- queues and settings

    def queue(self, name: str) -> Queue:
        """A queue, whether or not this App knows it (`add` does mind). Raises InvalidName."""
        if (found := self._queues.get(name)) is None:
            found = self._queues[name] = Queue(self, name)
        return found

    def knows_queue(self, name: str) -> bool:
        """Whether it was declared, or a handler was registered for it."""
        if self._known is None:
            self._known = frozenset(self.queue_names())
        return name in self._known

    def queue_names(self) -> list[str]:
        """The queues that this App knows, sorted."""
        return sorted({*self._declared, *self.handlers.queues()})

    def declared_for(self, queue: str) -> QueueSettings:
        """What the code alone says of a queue."""
        return self._declared.get(queue, QueueSettings())

    @property
    def settings(self) -> Settings:
        """The settings, read when first asked for. Raises ConfigError."""
        if self._settings is None:
            self._settings = self._own(load_settings())
        return self._settings

    def configure(self, settings: Settings) -> None:
        """Other settings, from a command line; before the first connection is made."""
        self._settings = self._own(settings)
        self.changed()

    def queue_settings(self, queue: str) -> JobDefaults:
        """What holds for a queue: defaults < code < files < variables < command line."""
        if (found := self._merged.get(queue)) is None:
            said = self.declared_for(queue)
            found = self._merged[queue] = self.settings.for_queue(queue, said)
        return found

    # -- Redis

    def session(self) -> Session:
        """What the running event loop has open. Raises RuntimeError where none runs."""
        return self._sessions.current()

    def connection(self) -> Redis:
        """The connections of the running event loop; they open when they are first needed."""
        return self.session().redis

    async def used_queues(self) -> list[str]:
        """Every queue that was ever added to or worked on, known here or not, sorted."""
        session = self.session()
        return await reads.queues(session.redis, session.prefix)

    async def server(self) -> ServerInfo:
        """What Redis tells of itself; no rights are needed for it."""
        return await reads.info(self.connection())

    async def ping(self) -> None:
        """One round trip. Raises what keeps Redis from answering."""
        await reads.ping(self.connection())

    async def tell(self, word: Word, worker: str) -> int:
        """Tells a worker, by its id, its process's or its daemon's, through whichever daemon keeps
        it; how many daemons heard it, wherever they run. 0: nobody did, say it again."""
        session = self.session()
        return await give_order(session.redis, session.prefix, Order(word, worker))

    @asynccontextmanager
    async def living(self) -> AsyncIterator[object]:
        """Within the lifespan: what it gave, which is every handler's `job.state`."""
        if self.lifespan is None:
            yield None
            return
        async with self.lifespan(self) as shared:
            yield shared

    async def close(self) -> None:
        """Lets adds that are on their way arrive, and closes this loop's connections.

        Those of the blocking calls too. A later call would open them anew.
        """
        await self._sessions.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # -- how

    def changed(self) -> None:
        """Handlers or settings are others now: what was derived from them is derived anew."""
        self.version += 1
        self._merged.clear()
        self._known = None

    def _check_queue(self, name: str) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InvalidName("queue", name)

    def _own(self, settings: Settings) -> Settings:
        """The settings with what the code gave; the command line knows better than the code."""
        if self._given_redis is not None and not settings.origins.of("redis").startswith("--"):
            settings = settings.with_redis(self._given_redis, "App(redis=...)")
        if self._given_prefix is not None and not settings.origins.of("prefix").startswith("--"):
            settings = msgspec.structs.replace(settings, prefix=self._given_prefix)
        return settings

    def _open_session(self) -> Session:
        settings = self.settings
        url, origin = settings.redis, settings.origins.of("redis")
        if origin == DEFAULT:
            # Nobody said where Redis is: `streamq dev` in this folder or above may have one.
            left = dev_redis(Path.cwd())
            if left is not None and _listens(left.url):
                url, origin = left
            else:
                origin = "the default"
        return Session(Address(url, origin), settings.prefix, lambda: self.clock)


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    unix = parts.scheme == "unix"
    try:
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
            probe.settimeout(DEV_LIMIT_S)
            if unix:
                probe.connect(os.fsencode(unquote(parts.path)))
            else:
                probe.connect((parts.hostname or "localhost", parts.port or REDIS_PORT))
    except OSError:
        return False
    return True
