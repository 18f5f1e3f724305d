"""Puts an admin together for a command line, and serves it."""

import asyncio
import os
import signal
import socket
import sys
from argparse import Namespace
from typing import Final

import msgspec

from admin.access.guarded import guarded
from admin.cli import Exposed
from admin.links import links_of
from admin.ready import NAME, Ready, with_ready
from admin.routes import API, ROUTES
from admin.serving import address_of, is_loopback, listen, serve
from admin.settings import Settings, load_settings
from streamq import App
from streamq.cli.console import Console
from streamq.cli.run import NoApp
from streamq.cli.session import opened_with_app, settings_of
from streamq.errors import PortInUse
from streamq.settings import Env

PORTS_TRIED: Final = 20
"""By `--dev`, from the one that was asked for upwards; then any that is free."""


async def run_web(args: Namespace, console: Console) -> None:
    """Serves until it is told to stop. Raises ConfigError, and what keeps Redis from answering."""
    target = args.app or settings_of(args).app
    if target is None:
        raise NoApp("web")
    async with opened_with_app(args, target) as session, links_of(session.app) as links:
        settings, ready = settings_for(session.app, prefix=args.url_prefix), None
        settings = msgspec.structs.replace(settings, read_only=args.read_only)
        if args.dev:
            settings, ready = with_ready(settings)
        admin = guarded(session.app, settings, rows=[*ROUTES, *links])
        if not is_loopback(args.host) and not await admin.site.access.anybody():
            raise Exposed(args.host)
        listening = _listen_near(args.host, args.port) if ready else listen(args.host, args.port)
        address = address_of(listening) + settings.prefix
        if ready is None:
            console.line(f"streamq web  {address}")
        else:
            _tell(console, address, ready)
            _end_with_stdin()
        console.flush()
        await serve(admin, listening)


def settings_for(app: App, *, prefix: str = "") -> Settings:
    """All that the environment says of an App's admin. Raises ConfigError."""
    return load_settings(production=app.settings.env is Env.PRODUCTION, prefix=prefix)


def _listen_near(host: str, port: int) -> socket.socket:
    """On that port or the next free one. Raises CannotListen."""
    for tried in range(port, port + PORTS_TRIED if port else port):
        try:
            return listen(host, tried)
        except PortInUse:
            continue
    return listen(host, 0)


def _tell(console: Console, address: str, ready: Ready) -> None:
    """Lines `label  what`, and an empty one behind the last: `streamq dev` reads them."""
    console.line(f"admin  {address}   api {API}   metrics /metrics")
    if ready.password is not None:
        console.line(f"login  {NAME}, password {ready.password}")
    console.line(f"token  {ready.token}")
    console.line()


def _end_with_stdin() -> None:
    """Whoever started us holds the other end; however it ends, the system closes that."""
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def closed() -> None:
        if not os.read(stdin, 1 << 10):
            loop.remove_reader(stdin)
            os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(stdin, closed)
