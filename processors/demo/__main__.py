"""`python -m processors.demo`, in a folder with the application's streamq.toml (or below it).

It runs in a new folder among the system's temporary ones, and leaves there what was made.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from psycopg.types.json import Json

from processors.app import app
from processors.database import Database
from processors.demo.kinds import ADMIN_ID, NINE
from processors.demo.partners import HOOK, PORTAL, Partners, serving
from processors.demo.products import Made
from processors.demo.running import DevFailed, Running, clean_environ, running
from processors.demo.stage import Done, Stage, perform
from processors.demo.timetable import steps
from processors.integrations.kinds import Provider
from processors.settings import load_settings as load_processors
from processors.storage import Storage
from streamq import load_settings
from streamq.cli.console import Cell, Column, Console
from streamq.cli.dev_beside import FOLDER
from streamq.errors import ConfigError
from streamq.lookup import FILE_NAME, nearest_file

COLUMNS: Final = (Column("JOB"), Column("OUTCOME"), Column("MADE", least=24), Column("WHERE"))
ORIGIN: Final = "the demo"
_SERVERS: Final = ("postgres", "redis")
"""Data that nobody looks at, below `.streamq`."""


class NoSettings(ConfigError):
    def __init__(self) -> None:
        super().__init__(f"There is no {FILE_NAME} here or above: run it in the project's folder.")


def main() -> int:
    """0 if every job completed and everything that was made could be opened; else 1, 2."""
    config = nearest_file(Path.cwd())
    colour = sys.stdout.isatty()
    console = Console(sys.stdout, sys.stderr, colour=colour, colour_err=colour)
    try:
        if config is None:
            raise NoSettings
        folder = Path(tempfile.mkdtemp(prefix="streamq-demo-"))
        console.line(f"streamq dev in {folder}")
        console.flush()
        with Partners() as partners:
            variables = {"HTTP_PRIVATE_HOSTS": partners.host}
            with running(folder, config, variables) as dev, serving(partners):
                done = asyncio.run(_demo(dev, config, partners, console))
        for each in _SERVERS:
            shutil.rmtree(folder / FOLDER / each, ignore_errors=True)
    except ConfigError as error:
        console.failure(str(error), {})
        return 2
    except DevFailed as error:
        console.failure(str(error), {})
        return 1
    except KeyboardInterrupt:
        return 130
    return _told(console, folder, done)


async def _demo(dev: Running, config: Path, partners: Partners, console: Console) -> Sequence[Done]:
    # The S3 library reads its keys there.
    os.environ.update(dev.variables)
    settings = load_processors(production=False, environ={**clean_environ(), **dev.variables})
    app.configure(load_settings(config, {}).with_redis(dev.redis_url, ORIGIN))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app)
        database, storage = Database(settings.database), Storage(settings.storage)
        stack.push_async_callback(storage.aclose)
        await database.open()
        stack.push_async_callback(database.aclose)
        await _connect(database, partners)
        stage, done = Stage(dev, database, storage, partners), list[Done]()
        for step in (*NINE, *steps()):
            console.line(Cell(f"  {step.name}", "dim"))
            console.flush()
            done.append(await perform(stage, step))
    return done


async def _connect(database: Database, partners: Partners) -> None:
    """The first agency connects its webhook and its portal, as it would in its settings."""
    access = {
        Provider.ZAPIER: {"webhookUrl": f"http://{partners.host}{HOOK}", "secret": "demo"},
        Provider.PORTAL: {"baseUrl": f"http://{partners.host}{PORTAL}", "apiKey": "demo"},
    }
    async with database.transaction() as work:
        for provider, config in access.items():
            await work.run(
                "UPDATE integration_configs SET status = 'connected', config = %(config)s"
                " WHERE tenant_id = (SELECT tenant_id FROM users WHERE id = %(user)s)"
                " AND integration_name = %(provider)s",
                user=ADMIN_ID,
                provider=provider.value,
                config=Json(config),
            )


def _told(console: Console, folder: Path, done: Sequence[Done]) -> int:
    rows: list[list[str | Cell]] = []
    for one in done:
        outcome = Cell("failed", "bad") if one.trouble else Cell("completed", "green")
        things = one.made or [Made(one.trouble or "nothing that is kept", "")]
        for number, made in enumerate(things):
            first = ["", ""] if number else [one.step.name, outcome]
            rows.append([*first, made.what, made.where])
    console.line()
    console.table(COLUMNS, rows)
    bad = sum(bool(one.trouble) for one in done)
    console.line()
    console.line(f"It all lies in {folder / FOLDER}; mails in a browser: outbox/index.html")
    if bad:
        console.line(Cell(f"{bad} of {len(done)} are not as promised.", "bad"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
