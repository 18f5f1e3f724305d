"""`streamq config`: every setting as it holds here, and who set it."""

from argparse import ArgumentParser, Namespace
from typing import Final

from streamq.cli.console import Cell, Column, Console
from streamq.cli.declared import with_code
from streamq.cli.place import first_that_answers, named, places_of
from streamq.cli.session import settings_of
from streamq.cli.spec import Command, Example, Exit
from streamq.errors import ConfigError, InvalidInput, StoreError
from streamq.run.loading import load_app
from streamq.settings import DEFAULT, Settings, shown

COLUMNS: Final = (Column("SETTING"), Column("VALUE", least=20), Column("FROM", least=12))
LOOK_FOR_DEV_S: Final = 0.5


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "app", nargs="?", metavar="APP", help="module:app (default: the setting app)"
    )
    parser.add_argument("--set", action="store_true", help="only what somebody has set")


def run(args: Namespace, console: Console) -> int:
    settings = _with_dev_server(args, settings_of(args))
    missing = None
    if target := args.app or settings.app:
        try:
            settings = with_code(load_app(target), settings, target)
        except (ConfigError, InvalidInput) as error:
            missing = error
    lines = [line for line in shown(settings) if not args.set or line.origin != DEFAULT]
    rows: list[list[str | Cell]] = []
    for line in lines:
        origin = named(line.origin) if line.origin != DEFAULT else DEFAULT
        console.record({"setting": line.key, "value": line.value, "from": origin})
        style = "dim" if line.origin == DEFAULT else ""
        rows.append([line.key, Cell(line.value or "-", style), Cell(origin, style)])
    if rows:
        console.table(COLUMNS, rows)
    else:
        console.note("Nothing is set: every setting stands at its default.")
    if missing is not None:
        console.note(f"What the code declares is not shown: {missing}")
        return missing.exit_code
    return Exit.OK


def _with_dev_server(args: Namespace, settings: Settings) -> Settings:
    """The Redis that other verbs would use, if it is the one of `streamq dev`."""
    places = places_of(args)
    if len(places) == 1:
        return settings
    try:
        return settings.with_redis(*first_that_answers(places, LOOK_FOR_DEV_S).place)
    except StoreError:
        return settings


CONFIG = Command(
    usage="[APP]",
    about="""\
Every setting as it holds in this folder, and who set it: the app's code, a
file, a variable, an option, or nobody. Secrets are masked, values are as a file
has them. The app's modules are imported.

Weakest first: defaults, the code, streamq.toml (or [tool.streamq] in
pyproject.toml), --config, variables STREAMQ_*, options.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq config --set", "what is not at its default"),
        Example(
            "STREAMQ_QUEUES__EMAIL__CONCURRENCY=20 streamq config --set",
            "how a variable is named that sets it for one queue",
        ),
    ],
)
