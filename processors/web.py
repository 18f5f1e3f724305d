"""What `streamq web` opens for the application: the links to downloads that stand in mails."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from processors.database import Database, DatabaseUnavailable
from processors.downloads import PATH, opened
from processors.settings import load_settings
from processors.storage import Storage, StorageUnavailable
from streamq import App, Fail
from streamq.brought import Links
from streamq.settings import Env

log = logging.getLogger("streamq.downloads")

GONE = (
    "Este link não existe mais: ele expirou, ou o arquivo foi apagado.\n"
    "Peça um novo no ImobiBase.\n"
)


@asynccontextmanager
async def links(app: App) -> AsyncIterator[Links]:
    """Connects to nothing before the first link is opened. Raises ConfigError."""
    settings = load_settings(production=app.settings.env is Env.PRODUCTION)
    async with AsyncExitStack() as stack:
        database, storage = Database(settings.database), Storage(settings.storage)
        stack.push_async_callback(storage.aclose)
        await database.open()
        stack.push_async_callback(database.aclose)

        async def leads_to(token: str) -> str | None:
            try:
                return await opened(database, storage, token)
            except (DatabaseUnavailable, StorageUnavailable, Fail) as error:
                # For the operator; whoever opened it is a stranger, and is told to come again.
                log.error("a download cannot be opened: %s", error)
                raise ConnectionError(str(error)) from error

        yield Links(path=PATH, leads_to=leads_to, nowhere=GONE)
