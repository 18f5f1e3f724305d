"""`streamq exporter`: metrics of all queues, and how many workers they want, on a port."""

import asyncio
import ipaddress
import os
import signal
from argparse import ArgumentParser, Namespace
from typing import Final

from streamq.cli.console import Console
from streamq.cli.session import opened
from streamq.cli.spec import Command, Example, Exit
from streamq.errors import ConfigError, InvalidSetting, OutOfRange
from streamq.lookup import read_secret
from streamq.run.measured import METRICS, Measured
from streamq.run.port import HOST, Answer, Asked, Port

PORT: Final = 9465
PORT_MAX: Final = 65_535
TOKEN: Final = "METRICS_TOKEN"
TOKEN_CHARS_MIN: Final = 16
OPEN: Final = ("/livez",)


class Exposed(ConfigError):
    """Other machines could read it, and nothing tells who may."""

    code = "SQ502"

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"Refusing to listen on {host} without authentication. Set {TOKEN} (Prometheus shows it"
            f" by authorization: credentials), or --host {HOST}."
        )


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--host", default=HOST, help=f"where to listen (default: {HOST})")
    parser.add_argument(
        "--port", type=int, default=PORT, help=f"default: {PORT}; 0: any that is free"
    )


async def run(args: Namespace, console: Console) -> int:
    if not 0 <= args.port <= PORT_MAX:
        raise OutOfRange("--port", args.port, 0, PORT_MAX)
    token = _token()
    if token is None and not _is_here(args.host):
        raise Exposed(args.host)
    over = _over()
    async with opened(args) as session:
        settings = session.settings
        measured = Measured(
            session.redis.address,
            settings.prefix,
            slots_of=lambda queue: settings.for_queue(queue).concurrency,
        )
        pages = {"/livez": _lives, **measured.pages}
        port = Port(args.port, pages, host=args.host, token=token, open_pages=OPEN)
        await port.open()
        console.line(f"metrics of {session.where} at http://{args.host}:{port.port}{METRICS}")
        console.flush()
        try:
            await over.wait()
        finally:
            await port.close()
            await measured.close()
    return Exit.OK


async def _lives(asked: Asked) -> Answer:
    return Answer(b"ok\n")


def _token() -> str | None:
    token = read_secret(os.environ, TOKEN)
    if token is not None and (len(token) < TOKEN_CHARS_MIN or not token.isascii()):
        why = f"give at least {TOKEN_CHARS_MIN} letters and digits."
        raise InvalidSetting(TOKEN, "***", TOKEN, why)
    return token


def _is_here(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _over() -> asyncio.Event:
    """Set by TERM and Ctrl-C, which are how it is meant to end."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    return over


EXPORTER = Command(
    usage="",
    about="""\
Serves metrics of all queues for Prometheus at /metrics, and for an autoscaler
at /scale/QUEUE how many worker processes a queue wants.

All of it is read from Redis, once a second at most: any number of exporters
say the same, and so does the health port of `streamq run`. On another address
than this machine's own it asks for the token in METRICS_TOKEN.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq exporter", f"http://{HOST}:{PORT}{METRICS}"),
        Example("streamq exporter --host 0.0.0.0", "with METRICS_TOKEN, or METRICS_TOKEN_FILE"),
    ],
    wants_json=False,
)
