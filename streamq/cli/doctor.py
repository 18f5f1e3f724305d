"""`streamq doctor`: looks at everything, and says what to do."""

import textwrap
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from streamq.cli import checks_queues, checks_server
from streamq.cli.checks import Finding, Level, Patient
from streamq.cli.checks_app import app_findings
from streamq.cli.console import Cell, Console
from streamq.cli.place import first_that_answers, named, places_of
from streamq.cli.session import opened, settings_of
from streamq.cli.spec import Command, Example, Exit
from streamq.cli.text import number
from streamq.cli.views import encoded
from streamq.errors import ConfigError, StoreError
from streamq.lookup import nearest_file
from streamq.settings import Settings
from streamq.store import reads

STYLES: Final[Mapping[Level, str]] = {
    Level.OK: "green",
    Level.NOTE: "cyan",
    Level.WARNING: "yellow",
    Level.ERROR: "bad",
}
_LEVEL_COLUMNS: Final = 7
_CHECK_COLUMNS: Final = 11
_TEXT_COLUMNS_MIN: Final = 40
_TEXT_AT: Final = 2 + _LEVEL_COLUMNS + 2 + _CHECK_COLUMNS + 2


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "app", nargs="?", metavar="APP", help="module:app (default: the setting app)"
    )
    parser.add_argument(
        "--fix", action="store_true", help="put right what a crash or a foreign hand has torn"
    )


async def run(args: Namespace, console: Console) -> int:
    worst: Counter[Level] = Counter()
    async for finding in _findings(args):
        worst[finding.level] += 1
        _print(console, finding)
        console.flush()
    errors, warnings = worst[Level.ERROR], worst[Level.WARNING]
    console.record({"errors": errors, "warnings": warnings})
    console.line()
    console.line(_sum(errors, "error"), ", ", _sum(warnings, "warning"))
    return Exit.USAGE if errors else Exit.FAILED if warnings else Exit.OK


async def _findings(args: Namespace) -> AsyncIterator[Finding]:
    """From what all else stands on to what stands on it."""
    try:
        settings = settings_of(args)
    except ConfigError as error:
        yield Finding("settings", Level.ERROR, str(error))
        return
    yield _settings_read(settings)
    for finding in app_findings(args.app or settings.app, settings):
        yield finding
    try:
        answer = first_that_answers(places_of(args))
    except StoreError as error:
        yield Finding("redis", Level.ERROR, str(error))
        return
    async with opened(args) as session:
        said = f"at {session.where} (from {answer.place.origin})"
        yield Finding("redis", Level.OK, said)
        patient = Patient(session, await reads.info(session.redis), args.fix)
        for check in (*checks_server.CHECKS, *checks_queues.CHECKS):
            async for finding in check(patient):
                yield finding


def _settings_read(settings: Settings) -> Finding:
    file = nearest_file(Path.cwd())
    source = named(str(file)) if file else "no streamq.toml in this folder or above"
    return Finding("settings", Level.OK, f"{source}; env is {settings.env}")


def _print(console: Console, finding: Finding) -> None:
    if console.as_json:
        console.encoded(encoded(finding))
        return
    width = max(_TEXT_COLUMNS_MIN, (console.width or 10_000) - _TEXT_AT)
    first, *rest = textwrap.wrap(
        finding.said, width, break_long_words=False, break_on_hyphens=False
    ) or [""]
    level = Cell(finding.level.ljust(_LEVEL_COLUMNS), STYLES[finding.level])
    console.line("  ", level, f"  {finding.check:<{_CHECK_COLUMNS}}  ", first)
    for line in rest:
        console.line(" " * _TEXT_AT, line)
    if finding.do:
        console.line(" " * _TEXT_AT, Cell(f"→ {finding.do}", "cyan"))


def _sum(count: int, what: str) -> Cell:
    style = "" if not count else STYLES[Level.ERROR if what == "error" else Level.WARNING]
    return Cell(number(count, what), style)


DOCTOR = Command(
    usage="[APP]",
    about="""\
Checks settings, app, Redis, queues and data, and says what to do about what is
wrong. Needs no special rights in Redis; the app's modules are imported.

Ends with 0 if all is well, 1 with warnings, 2 with errors.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq doctor", "before the first worker, and whenever something is odd"),
        Example("streamq doctor --fix", "put right what a crash in the middle has torn"),
        Example("streamq doctor --json", "for a deployment: one finding a line"),
    ],
)
