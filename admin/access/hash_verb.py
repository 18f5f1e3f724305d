"""What `streamq hash-password` does: a password as the configuration keeps it."""

import getpass
import hmac
import sys
from argparse import Namespace
from typing import Final

from admin.access.accounts import NAME
from admin.access.passwords import PASSWORD_CHARS_MAX, hashed
from streamq.cli.console import Console
from streamq.cli.spec import Exit
from streamq.errors import InvalidInput
from streamq.errors.wording import shown

PASSWORD_CHARS_MIN: Final = 8
"""Ours; the application's own users keep what they have."""


def run(args: Namespace, console: Console) -> int:
    if args.user is not None and not NAME.fullmatch(args.user):
        raise InvalidInput(f"{shown(args.user)} cannot be a user's name: give {NAME.pattern}")
    password = _asked() if sys.stdin.isatty() else _piped()
    if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        raise InvalidInput(
            f"The password has {len(password)} characters:"
            f" give {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX}."
        )
    stored = hashed(password)
    entry = f"{args.user}:{args.role}:{stored}" if args.user else stored
    console.record({"entry" if args.user else "hash": entry})
    console.line(entry)
    return Exit.OK


def _asked() -> str:
    password = getpass.getpass("Password: ")
    again = getpass.getpass("Again: ")
    if not hmac.compare_digest(again.encode(), password.encode()):
        raise InvalidInput("That was not the same twice.")
    return password


def _piped() -> str:
    """The first line of standard input: a password on the command line shows in every `ps`."""
    try:
        return sys.stdin.readline(PASSWORD_CHARS_MAX + 2).rstrip("\r\n")
    except UnicodeDecodeError:
        raise InvalidInput("What came by standard input is no text.") from None
