"""`streamq web`: the admin API of an application, on a port."""

from argparse import ArgumentParser, Namespace
from typing import Final

from streamq.cli.console import Console
from streamq.cli.spec import Command, Example, Exit
from streamq.errors import ConfigError, InvalidInput, MissingExtra, OutOfRange

HOST: Final = "127.0.0.1"
PORT: Final = 5000
PORT_MAX: Final = 65_535
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class Exposed(ConfigError):
    """Other machines could reach it, and there is nobody who could be let in, nor kept out."""

    code = "SQ502"

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"Refusing to listen on {host} without authentication."
            " Set ADMIN_TOKENS or ADMIN_USERS, or --host 127.0.0.1."
        )


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "app", nargs="?", metavar="APP", help="module:app (default: the setting app)"
    )
    parser.add_argument("--host", default=HOST, help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=PORT, help="default: 5000; 0: any that is free")
    parser.add_argument(
        "--url-prefix", default="", metavar="PATH", help="what all paths begin with: /ops"
    )
    parser.add_argument(
        "--read-only", action="store_true", help="shows everything, and changes nothing"
    )
    parser.add_argument(
        "--dev",
        action="store_true",
        help="as `streamq dev` starts it: the next free port, a token and a login of its own,"
        " until its standard input is closed",
    )


async def run(args: Namespace, console: Console) -> int:
    if not 0 <= args.port <= PORT_MAX:
        raise OutOfRange("--port", args.port, 0, PORT_MAX)
    if args.dev and args.host not in LOOPBACK:
        raise InvalidInput("--dev prints a token of an admin: it is for --host 127.0.0.1 alone.")
    try:
        from admin.web import run_web
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "h11"):
            raise
        raise MissingExtra("The admin pages", str(error.name), "web") from error
    await run_web(args, console)
    return Exit.OK


WEB = Command(
    usage="[APP]",
    about="""\
Serves the admin API of an app: its queues, jobs, workers and health, under
/api/admin/jobs. It shows nothing without a login or a token, and listens on
this machine alone unless there is somebody who can log in.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq web", "the app of streamq.toml, on http://127.0.0.1:5000"),
        Example("streamq web processors.app:app --host 0.0.0.0", "behind a proxy that speaks TLS"),
        Example("curl -H 'Authorization: Bearer ...' localhost:5000/api/admin/jobs/stats", "ask"),
    ],
    wants_json=False,
)
