"""What a verb works with once Redis was found: settings, a connection, the queues there are."""

from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from streamq.app import App
from streamq.cli.ping import ping, shown
from streamq.cli.place import first_that_answers, named, places_of
from streamq.errors import InvalidInput
from streamq.errors.wording import did_you_mean, listed
from streamq.lookup import RedisPlace
from streamq.queue import Queue
from streamq.run.loading import load_app
from streamq.settings import Settings, load_settings
from streamq.store import reads
from streamq.store.client import Redis
from streamq.store.scripts import Link, link

APP_OF_THE_COMMAND_LINE = "streamq"
"""A verb that needs no handlers works through an App without any."""


class NoSuchQueue(InvalidInput):
    """A queue that nobody ever added to or worked on, by that name."""

    code = "SQ201"

    def __init__(self, queue: str, where: str, known: Sequence[str]) -> None:
        self.queue, self.where, self.known = queue, where, tuple(known)
        super().__init__(
            f'No queue "{queue}" in Redis at {where}.{did_you_mean(queue, known)}'
            f" Known: {listed(known)}"
        )


class Session:
    """One App with its connection, and what there is at its other end."""

    def __init__(self, app: App, place: RedisPlace, *, knows_handlers: bool = False) -> None:
        self.app = app
        self.place = place
        self.knows_handlers = knows_handlers
        """Whether the App is an application's, and not the bare one of the command line."""

    @property
    def settings(self) -> Settings:
        return self.app.settings

    @property
    def redis(self) -> Redis:
        return self.app.connection()

    @property
    def where(self) -> str:
        return shown(self.place)

    def queue(self, name: str) -> Queue:
        """The queue, whether or not it was ever used. Raises `InvalidName`."""
        return self.app.queue(name)

    def link(self, queue: str, purpose: str = "scripts") -> Link:
        """The same for the functions of the store."""
        return link(self.redis, self.app.session().keys(queue), purpose)

    async def queues(self) -> list[str]:
        """Every queue that was ever added to or worked on, sorted."""
        return await reads.queues(self.redis, self.settings.prefix)

    async def known(self, queue: str) -> Link:
        """The queue. Raises `NoSuchQueue`: a slip of the pen must not look like an empty queue."""
        at = self.link(queue)
        known = await self.queues()
        if queue not in known:
            raise NoSuchQueue(queue, self.where, known)
        return at

    async def chosen(self, queues: Sequence[str]) -> list[Link]:
        """These queues, or all of them if none is named."""
        if not queues:
            return [self.link(queue) for queue in await self.queues()]
        return [await self.known(queue) for queue in queues]


def settings_of(args: Namespace, **overrides: object) -> Settings:
    """The settings with what the command line says. Raises a `ConfigError`."""
    said = {"redis": args.redis, "prefix": args.prefix, **overrides}
    return load_settings(
        config_path=Path(args.config) if args.config else None,
        overrides={key: value for key, value in said.items() if value is not None},
    )


@asynccontextmanager
async def opened(args: Namespace) -> AsyncIterator[Session]:
    """A session without handlers, closed at the end.

    Raises a `ConfigError`, and within two seconds what keeps Redis from answering.
    """
    settings = settings_of(args)
    place = first_that_answers(places_of(args)).place
    app = App(APP_OF_THE_COMMAND_LINE, settings=settings.with_redis(*place))
    async with app:
        yield Session(app, place)


@asynccontextmanager
async def opened_with_app(args: Namespace, target: str) -> AsyncIterator[Session]:
    """The same with an application: its handlers, its queues, and its own word on Redis.

    Raises AppNotImportable too.
    """
    app = load_app(target)
    place = configured(app, args)
    async with app:
        yield Session(app, place, knows_handlers=True)


def configured(app: App, args: Namespace) -> RedisPlace:
    """Gives the App the settings of this command line; where its Redis is, which answers."""
    settings = settings_of(args)
    own = own_redis(app, settings)
    if own is not None:
        ping(own)
        return own
    place = first_that_answers(places_of(args)).place
    app.configure(settings.with_redis(*place))
    return place


def own_redis(app: App, settings: Settings) -> RedisPlace | None:
    """Gives the App these settings; what it was made with, `App(redis=...)`, if that wins."""
    app.configure(settings)
    if app.settings.redis == settings.redis:
        return None
    return RedisPlace(app.settings.redis, named(app.settings.origins.of("redis")))
