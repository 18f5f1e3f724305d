"""Reads the words of a command line: options common to all verbs, slips of the pen, help.

argparse does the reading; what it says to a mistake is said here, with the nearest known option.
"""

import argparse
import re
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final, NoReturn

from streamq.cli.spec import Command
from streamq.errors import ConfigError
from streamq.suggest import nearest

HELP_COLUMNS: Final = 80
OPTION_COLUMNS: Final = 26

# How argparse says that a value is none of those it knows.
_CHOICE: Final = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)")
_MINUS: Final = re.compile(r"-\d")
_QUOTED: Final = re.compile(r"'([^']*)'")

# Options that may stand before the verb as well, and take a value.
VALUED: Final = ("--redis", "--config", "--prefix")


class UsageError(ConfigError):
    """The words make no command; `hint` says where to read on."""

    def __init__(self, said: str, hint: str) -> None:
        self.hint = hint
        super().__init__(said)

    @property
    def cli_text(self) -> str:
        return f"{self}\n{self.hint}"


class VerbParser(ArgumentParser):
    """Raises `UsageError` rather than to print and exit; knows its options by name."""

    def error(self, message: str) -> NoReturn:
        if found := _CHOICE.search(message):
            meant = nearest(found[1], _QUOTED.findall(found[2]))
            message = f"no {found[1]!r} here.{f' Did you mean {meant}?' if meant else ''}"
            message += f" There are: {', '.join(_QUOTED.findall(found[2]))}"
        raise UsageError(f"{self.prog}: {message}", f"See:  {self.prog} --help")

    def read(self, words: Sequence[str], given: Namespace) -> Namespace:
        """Options and arguments in any order; `given` holds what stood before the verb."""
        args, unknown = self.parse_known_intermixed_args(words, given)
        if unknown:
            self.error(self._unknown(unknown[0]))
        return args

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"one argument too many: {word!r}"
        name = word.partition("=")[0]
        known = [option for action in self._actions for option in action.option_strings]
        meant = nearest(name, known)
        return f"no option {name}.{f' Did you mean {meant}?' if meant else ''}"


def parser_of(verb: str, command: Command) -> VerbParser:
    """The parser of a verb, its help included."""
    examples = "".join(f"\n  {e.command}\n      {e.says}" for e in command.examples)
    parser = VerbParser(
        prog=f"streamq {verb}".strip(),
        usage=f"streamq {verb} {command.usage} [options]".replace("  ", " "),
        description=command.about,
        epilog=f"examples:{examples}" if examples else None,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,  # an option added later must not change what a script means today
        add_help=False,
    )
    # A value that begins with a minus, such as a negative time, for its option to refuse by name.
    parser._negative_number_matcher = _MINUS
    command.arguments(parser)
    common = parser.add_argument_group("common options")
    if command.wants_redis:
        common.add_argument(
            "--redis",
            metavar="URL",
            default=SUPPRESS,
            help="Redis (else: REDIS_URL, streamq.toml, `streamq dev`, localhost)",
        )
        common.add_argument(
            "--config", metavar="FILE", default=SUPPRESS, help="settings that win over streamq.toml"
        )
        common.add_argument(
            "--prefix", default=SUPPRESS, help="what all keys begin with (default: streamq)"
        )
    if command.wants_json:
        common.add_argument(
            "--json", action="store_true", default=SUPPRESS, help="one JSON object a line"
        )
    common.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=SUPPRESS,
        help="more detail; the traceback of an error",
    )
    common.add_argument("-h", "--help", action="help", help="this text")
    return parser


def split_at_verb(words: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """The words before the verb, the verb, the words behind it."""
    skip = False
    for i, word in enumerate(words):
        if skip:
            skip = False
        elif word in VALUED:
            skip = True
        elif not word.startswith("-"):
            return list(words[:i]), word, list(words[i + 1 :])
    return list(words), None, []


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """80 columns whatever the terminal: examples are set for it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=OPTION_COLUMNS, width=HELP_COLUMNS)
