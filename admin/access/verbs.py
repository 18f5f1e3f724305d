"""The verbs of access, as the command line shows them; what they do is imported when they do it."""

from argparse import ArgumentParser, Namespace
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Final

from streamq.cli.console import Console
from streamq.cli.spec import Command, Example
from streamq.errors import MissingExtra

LS, REVOKE = "ls", "revoke"
ROLES: Final = ("viewer", "operator", "admin")
"""Those of admin.policy, which brings a web framework along."""


@contextmanager
def _with_web(what: str) -> Iterator[None]:
    """Raises MissingExtra for what the extra `web` brings."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "starlette":
            raise
        raise MissingExtra(what, "starlette", "web") from error


def _token_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "word", nargs="?", choices=[LS, REVOKE], metavar="WORD", help="ls: list; revoke: take back"
    )
    parser.add_argument("token", nargs="?", metavar="ID", help="an id or a name, for revoke")
    parser.add_argument("--role", choices=ROLES, help="viewer, operator or admin")
    parser.add_argument(
        "--expires", metavar="30d", help="after how long it opens nothing; at most 366d"
    )
    parser.add_argument("--name", help="what it is called in lists and in the audit")
    parser.add_argument(
        "--entry",
        dest="entry",
        action="store_true",
        help="keep it nowhere; print its entry for ADMIN_TOKENS too",
    )


def _token(args: Namespace, console: Console) -> Coroutine[object, object, int]:
    with _with_web("Tokens"):
        from admin.access.token_verb import run
    return run(args, console)


TOKEN = Command(
    usage="[ls | revoke ID]",
    about="""\
Makes a bearer token for the admin API, and prints it alone on its last line.
Redis has its hash alone, so it is shown this once; it ends by itself.

With ls: every token, when it ends and when it was used last. With revoke and
an id or a name: that one opens nothing from now on.""",
    arguments=_token_arguments,
    run=_token,
    examples=[
        Example("streamq token --role admin", "for 30 days"),
        Example("streamq token --role viewer --name prometheus --expires 90d", "for a scraper"),
        Example("streamq token --role operator --entry", "for ADMIN_TOKENS; kept nowhere else"),
        Example("streamq token revoke prometheus", "as soon as this has ended, it is refused"),
    ],
)


def _hash_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--user", metavar="NAME", help="print the whole entry for ADMIN_USERS")
    parser.add_argument(
        "--role",
        choices=ROLES,
        default=ROLES[0],
        help="for --user: viewer (default), operator or admin",
    )


def _hash_password(args: Namespace, console: Console) -> int:
    with _with_web("Users"):
        from admin.access.hash_verb import run
    return run(args, console)


HASH_PASSWORD = Command(
    usage="",
    about="""\
Asks for a password, or takes the first line of standard input, and prints it
as ADMIN_USERS keeps it: scrypt with a salt of its own.

ADMIN_USERS holds entries NAME:ROLE:HASH, after spaces, commas or on lines.""",
    arguments=_hash_arguments,
    run=_hash_password,
    examples=[
        Example("streamq hash-password --user ana --role admin", "an entry for ADMIN_USERS"),
        Example("streamq hash-password < password.txt", "the hash alone"),
    ],
    wants_redis=False,
)
