"""Puts an admin together for a command line, and serves it."""

from argparse import Namespace

from admin.access.guarded import guarded
from admin.app import AdminApp
from admin.cli import Exposed
from admin.serving import address_of, is_loopback, listen, serve
from admin.settings import load_settings
from streamq import App
from streamq.cli.console import Console
from streamq.cli.run import NoApp
from streamq.cli.session import opened_with_app, settings_of
from streamq.settings import Env


async def run_web(args: Namespace, console: Console) -> None:
    """Serves until it is told to stop. Raises ConfigError, and what keeps Redis from answering."""
    target = args.app or settings_of(args).app
    if target is None:
        raise NoApp("web")
    async with opened_with_app(args, target) as session:
        admin = admin_of(session.app, prefix=args.url_prefix)
        if not is_loopback(args.host) and not await admin.site.access.anybody():
            raise Exposed(args.host)
        listening = listen(args.host, args.port)
        console.line(f"streamq web  {address_of(listening)}{admin.site.settings.prefix}")
        console.flush()
        await serve(admin, listening)


def admin_of(app: App, *, prefix: str = "") -> AdminApp:
    """The admin of an App, with all that the environment says. Raises ConfigError."""
    settings = load_settings(production=app.settings.env is Env.PRODUCTION, prefix=prefix)
    return guarded(app, settings)
