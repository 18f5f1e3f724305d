"""`streamq run`: the daemon, its worker processes, and their queues."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from typing import Final

from streamq.cli.console import Console
from streamq.cli.place import first_that_answers, places_of
from streamq.cli.session import own_redis, settings_of
from streamq.cli.spec import Command, Example
from streamq.errors import ConfigError, InvalidInput, InvalidName, OutOfRange, StoreError
from streamq.lookup import RedisPlace
from streamq.run.daemon import DaemonConfig, run_daemon
from streamq.run.loading import load_app
from streamq.store.keys import NAME

CONCURRENCY_MAX: Final = 10_000

# Options that are settings: their names in a file, and how the help says what they do.
SETTINGS: Final = {
    "processes": ("N", "worker processes (default 1)"),
    "grace": ("TIME", "wait for running jobs at a stop (default 30s)"),
    "max_jobs": ("N", "replace a process after so many jobs"),
    "max_rss": ("SIZE", "replace a process that uses more memory: 512MiB"),
    "health_port": ("PORT", "/livez, /readyz, /healthz, /metrics, on 127.0.0.1; 0: any"),
    "metrics_port": ("PORT", "one more for /metrics, on 127.0.0.1; 0: any"),
    "log_level": ("LEVEL", "DEBUG, INFO, WARNING, ERROR (default INFO)"),
    "log_format": ("FORMAT", "console or json (default console)"),
    "log_dir": ("FOLDER", "all lines to streamq.log there; HUP opens it anew"),
}


class NoApp(ConfigError):
    def __init__(self, verb: str) -> None:
        super().__init__(
            f'Which app?  streamq {verb} module:app   or  app = "module:app"  in streamq.toml.'
        )


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "app", nargs="?", metavar="APP", help="module:app (default: the setting app)"
    )
    parser.add_argument(
        "-q",
        "--queue",
        action="append",
        default=[],
        metavar="NAME[=N]",
        help="this queue, N jobs at a time (default: all of the app); repeatable",
    )
    parser.add_argument(
        "-c", "--concurrency", type=int, metavar="N", help="jobs at a time where -q says none"
    )
    for setting, (value, says) in SETTINGS.items():
        short = ["-p"] if setting == "processes" else []
        parser.add_argument(
            *short, "--" + setting.replace("_", "-"), dest=setting, metavar=value, help=says
        )
    parser.add_argument("--burst", action="store_true", help="end when the queues are empty")
    parser.add_argument(
        "--fail", action="store_true", help="with --burst: end with 5 if a job failed meanwhile"
    )
    parser.add_argument(
        "--scheduler",
        action=BooleanOptionalAction,
        default=True,
        help="fire the app's schedules beside the jobs (default), or leave it to other daemons",
    )
    parser.add_argument("--name", default="", help="of these workers, for whoever lists them")


async def run(args: Namespace, console: Console) -> int:
    overrides = overrides_of(args)
    target = args.app or settings_of(args, **overrides).app
    if target is None:
        raise NoApp("run")
    place = _place(args, target)
    return await run_daemon(config_of(args, target, overrides, place))


def overrides_of(args: Namespace) -> dict[str, str | int | bool]:
    """The settings that the command line says, by their keys."""
    said = {name: getattr(args, name, None) for name in ("redis", "prefix", *SETTINGS)}
    if args.verbose and said["log_level"] is None:
        said["log_level"] = "DEBUG"
    return {name: value for name, value in said.items() if value is not None}


def config_of(
    args: Namespace,
    target: str,
    overrides: dict[str, str | int | bool],
    place: RedisPlace | None,
) -> DaemonConfig:
    """What the daemon is to do. Raises InvalidInput."""
    if args.concurrency is not None and not 1 <= args.concurrency <= CONCURRENCY_MAX:
        raise OutOfRange("--concurrency", args.concurrency, 1, CONCURRENCY_MAX)
    if args.fail and not args.burst:
        raise InvalidInput(
            "--fail goes with --burst: without it there is no end to look back from."
        )
    return DaemonConfig(
        app=target,
        queues=queues_of(args.queue),
        concurrency=args.concurrency,
        burst=args.burst,
        fail=args.fail,
        scheduler=args.scheduler,
        label=args.name,
        config_path=args.config,
        overrides=overrides,
        redis=place,
    )


def queues_of(said: list[str]) -> dict[str, int | None]:
    """`email=10,report` by queue; None: as the settings say."""
    queues: dict[str, int | None] = {}
    for part in (part for option in said for part in option.split(",") if part):
        name, equals, number = part.partition("=")
        if not NAME.fullmatch(name):
            raise InvalidName("queue", name)
        if equals and not (number.isdigit() and 1 <= int(number) <= CONCURRENCY_MAX):
            raise InvalidInput(
                f'--queue="{part}": behind = stands how many jobs at a time, 1 to'
                f" {CONCURRENCY_MAX:,}: email=10."
            )
        if name in queues:
            raise InvalidInput(f"--queue {name} is said twice.")
        queues[name] = int(number) if equals else None
    return queues


def _place(args: Namespace, target: str) -> RedisPlace | None:
    """Where Redis is; None: where the app itself says.

    Asked here, so that who waits at a terminal is told at once. The app is imported in this
    process only if nothing answers: it may know of another place.
    """
    try:
        return first_that_answers(places_of(args)).place
    except StoreError:
        if own_redis(load_app(target), settings_of(args)) is None:
            raise
        return None


RUN = Command(
    usage="[APP]",
    about="""\
Starts a daemon with worker processes that take the jobs of an app's queues.

TERM or Ctrl-C: no new jobs, what runs has --grace to finish, the rest is handed
back without using an attempt. The second one: now. TSTP: no new jobs, stay up.
USR1: log all stacks. HUP: read settings again. TTIN, TTOU: one slot more, less.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq run", "the app of streamq.toml, all its queues"),
        Example("streamq run processors.app:app -q email=10 -q report=3", "two of them"),
        Example("streamq run -p 4 --health-port 9464", "four processes, and a port for probes"),
        Example("streamq run --burst", "until the queues are empty, as in a nightly job"),
        Example("streamq run --burst --fail", "the same, and 5 if a job failed for good"),
    ],
    wants_json=False,
)
