"""Asks before much is changed: on a terminal by a question, elsewhere only --yes goes on."""

import sys
from typing import Final

from streamq.cli.console import Console
from streamq.cli.spec import Exit
from streamq.errors import InvalidInput, StreamqError

_YES: Final = ("y", "yes")


class NotAgreed(StreamqError):
    """The question was answered with no; nothing was done."""

    exit_code = Exit.FAILED

    def __init__(self) -> None:
        super().__init__("Nothing was done.")


def agree(console: Console, would: str, *, yes: bool) -> None:
    """Returns if it may be done. `would` is such as `remove 12 failed jobs of email`.

    Raises `NotAgreed`, and `InvalidInput` where nobody can be asked.
    """
    if not yes and _answer(console, would, f"{would[0].upper()}{would[1:]}? [y/N] ") not in _YES:
        raise NotAgreed


def agree_by_name(console: Console, would: str, name: str, *, yes: bool) -> None:
    """The same for what cannot be undone: the name has to be typed."""
    question = f"This will {would}. Type the queue's name to go on: "
    if not yes and _answer(console, would, question) != name:
        raise NotAgreed


def _answer(console: Console, would: str, question: str) -> str:
    if not sys.stdin.isatty() or console.as_json:
        raise InvalidInput(f"This would {would}. Say that it shall:  --yes   (or --dry-run)")
    console.flush()
    # To standard error, as input() would not: standard output may be a pipe.
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower()
