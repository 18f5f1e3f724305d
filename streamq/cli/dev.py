"""`streamq dev`: a Redis of its own, workers, and what they say, until Ctrl-C."""

import asyncio
import fcntl
import os
import signal
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from streamq.app import App
from streamq.brought import Fact
from streamq.cli import run as run_verb
from streamq.cli.console import Cell, Console
from streamq.cli.dev_admin import AdminProcess, beside
from streamq.cli.dev_beside import brought, left
from streamq.cli.example import add_command, contents
from streamq.cli.ping import ping, shown
from streamq.cli.place import first_that_answers, places_of
from streamq.cli.session import own_redis, settings_of
from streamq.cli.spec import Command, Example
from streamq.cli.text import columns_of, number
from streamq.cli.version import installed
from streamq.embedded import EmbeddedServer
from streamq.errors import ConfigError
from streamq.lookup import DEV_URL_FILE, RedisPlace
from streamq.run.daemon import DaemonConfig, run_daemon
from streamq.run.loading import load_app
from streamq.settings import DEFAULT, Settings

SERVER_FOLDER: Final = ".streamq/redis"
LOCK_FILE: Final = ".streamq/dev.lock"
GRACE: Final = "5s"
"""If nobody says otherwise: who pressed Ctrl-C at a terminal does not wait for half a minute."""

WHY_OUR_OWN: Final = "[no REDIS_URL set]"

_LABEL_COLUMNS: Final = 9


class DevRuns(ConfigError):
    """Two of them in one folder would share a server, which ends with the first."""

    def __init__(self, holder: str) -> None:
        self.holder = holder
        super().__init__(
            f"Another `streamq dev` runs in this folder (process {holder})."
            " More workers beside it:  streamq run   What it does:  streamq top"
        )


async def run(args: Namespace, console: Console) -> int:
    overrides = run_verb.overrides_of(args)
    settings = settings_of(args, **overrides)
    target = args.app or settings.app
    if target is None:
        raise run_verb.NoApp("dev")
    if settings.origins.of("grace") == DEFAULT:
        overrides["grace"] = GRACE
    config = run_verb.config_of(args, target, overrides, None)
    app = load_app(target)
    own = own_redis(app, settings)
    settings.check_queues(app.queue_names())
    app.schedules.check()
    with _only_one(), _redis(args, settings, own) as (place, about):
        # What the app was made with is for its processes to know; anything else they are told.
        told = None if own else place
        config = run_verb.config_of(args, target, overrides, told)
        queues = config.queues or dict.fromkeys(app.queue_names())
        with brought(settings.dev_beside) as stood, beside(args, target, told) as admin:
            web = await _said_by(admin)
            _tell_where(settings.dev_url_variable, web)
            _greet(console, target, app, about, queues, [*stood, *web])
            code = await _until_told(config)
    with suppress(OSError):  # the terminal may be gone
        console.line("streamq dev has ended.")
        console.flush()
    return code


async def _said_by(admin: AdminProcess | None) -> Sequence[Fact]:
    if admin is None:
        return [("admin", "not installed:  pip install 'streamq[web]'")]
    return await admin.facts()


def _tell_where(variable: str | None, web: Sequence[Fact]) -> None:
    """Links that the app makes lead to the web of this run, on whatever port it listens."""
    address = web[0][1].split()[0]
    if variable is not None and not os.environ.get(variable) and "://" in address:
        os.environ[variable] = address


async def _until_told(config: DaemonConfig) -> int:
    """The daemon; but a terminal that is closed ends it, as Ctrl-C does.

    By itself it reads its settings anew at HUP: a service has no terminal.
    """
    daemon = asyncio.create_task(run_daemon(config))
    await asyncio.sleep(0)  # its own handlers of signals stand now
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGHUP, os.kill, os.getpid(), signal.SIGTERM
    )
    return await daemon


@contextmanager
def _only_one() -> Iterator[None]:
    """Raises DevRuns. The lock is the kernel's: it goes with the process, however that ends."""
    Path(LOCK_FILE).parent.mkdir(mode=0o700, exist_ok=True)
    held = os.open(LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DevRuns(os.read(held, 32).decode(errors="replace").strip() or "?") from None
        os.truncate(held, 0)
        os.write(held, str(os.getpid()).encode())
        yield
    finally:
        os.close(held)


@contextmanager
def _redis(
    args: Namespace, settings: Settings, own: RedisPlace | None
) -> Iterator[tuple[RedisPlace, str]]:
    """The Redis that was named, which has to answer; else one of our own, which ends with us."""
    if own is not None:
        ping(own)
        yield own, f"{shown(own)}   (from {own.origin})"
        return
    if settings.origins.of("redis") != DEFAULT:
        place = first_that_answers(places_of(args)).place
        yield place, f"{shown(place)}   (from {place.origin})"
        return
    # Every other verb in this folder is told where the server is.
    with EmbeddedServer(SERVER_FOLDER) as server, left(Path(DEV_URL_FILE), f"{server.url}\n"):
        program = f"{server.binary.name} {server.version} ({server.binary.origin})"
        about = f"started {program}, data in {SERVER_FOLDER}   {WHY_OUR_OWN}"
        yield RedisPlace(server.url, DEV_URL_FILE), about


def _greet(
    console: Console,
    target: str,
    app: App,
    about: str,
    queues: Mapping[str, int | None],
    beside: Sequence[Fact],
) -> None:
    slots = sum(said or app.queue_settings(queue).concurrency for queue, said in queues.items())
    processes = app.settings.processes
    console.line(Cell("streamq", "bold"), f" {installed('streamq')}  dev mode")
    if console.width is not None and columns_of(about) > console.width - _LABEL_COLUMNS - 4:
        about = about.removesuffix(WHY_OUR_OWN).rstrip()
    _fact(console, "redis", about)
    _fact(console, "app", f"{target}  {contents(app)} ({app.settings.timezone})")
    _fact(
        console,
        "workers",
        f"{number(processes, 'process', 'processes')}, {number(slots, 'job')} at a time;"
        " what they say follows",
    )
    if (command := add_command(app)) is not None:
        _fact(console, "add", command)
    for label, said in beside:
        _fact(console, label, said)
    _fact(console, "look", "streamq top    streamq queues    streamq events -f")
    _fact(console, "stop", "Ctrl-C")
    console.line()
    console.flush()


def _fact(console: Console, label: str, said: str) -> None:
    console.line("  ", Cell(label.ljust(_LABEL_COLUMNS), "dim"), "  ", said)


DEV = Command(
    usage="[APP]",
    about="""\
Everything that an app needs, in one command: a Redis of its own if none is
named (REDIS_URL, streamq.toml), workers for all queues and what they say, and
the admin on port 5000 or the next free one, with a token and a login. What the
setting dev.beside names is started before them: a database, a store of files.

Other verbs in this folder find that Redis by themselves. Its data is kept in
.streamq/redis. Ctrl-C ends all of it.""",
    arguments=run_verb.arguments,
    run=run,
    examples=[
        Example("streamq dev", "the app of streamq.toml"),
        Example("streamq dev shop.app:app -c 2", "two jobs at a time in each queue"),
    ],
    wants_json=False,
)
