"""`streamq acl`: the rules of Redis's ACL for each kind of process."""

from argparse import ArgumentParser, Namespace
from typing import Final

from streamq.cli.console import Console
from streamq.cli.session import settings_of
from streamq.cli.spec import Command, Example, Exit
from streamq.errors import InvalidInput
from streamq.store.rights import Role, rules_of

OLDEST: Final = (6, 2)
SERVER: Final = "7.0"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "role",
        nargs="?",
        choices=[role.value for role in Role],
        metavar="ROLE",
        help="producer, worker, admin or exporter (default: all)",
    )
    parser.add_argument(
        "--server",
        default=SERVER,
        metavar="VERSION",
        help="6.2: without what only later ones know (default: 7.0)",
    )


def run(args: Namespace, console: Console) -> int:
    prefix = settings_of(args).prefix
    major = _major(args.server)
    for role in [Role(args.role)] if args.role else Role:
        user, rules = f"{prefix}-{role}", rules_of(role, prefix, major=major)
        console.record({"user": user, "role": role, "rules": rules})
        console.line(" ".join(["user", user, *rules]))
    return Exit.OK


def _major(version: str) -> int:
    """Raises InvalidInput."""
    major, _, minor = version.partition(".")
    if not (major.isdigit() and minor.isdigit() and (int(major), int(minor)) >= OLDEST):
        raise InvalidInput(f"--server {version}: give a version from 6.2 on, such as 7.0.")
    return int(major)


ACL = Command(
    usage="[ROLE]",
    about="""\
The rules of Redis's ACL under which each kind of process works, and nothing
else does: for an ACL file, or behind ACL SETUSER. They hold no password: until
one is added (>secret, as the last rule) nobody can log in as that user.

A process gets its user by the URL: REDIS_URL=redis://USER:PASSWORD@host:6379""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq acl", "all of them, for this folder's prefix"),
        Example("streamq acl worker --prefix shop", "one, for another prefix"),
        Example("streamq acl exporter --server 6.2", "as a server of that version knows them"),
    ],
)
