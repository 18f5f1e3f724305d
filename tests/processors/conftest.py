"""What tests of processors may ask for."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from processors.app import app
from streamq import App, Settings, load_settings
from streamq.clock import REAL
from streamq.embedded import EmbeddedServer
from tests.processors import mail_server
from tests.processors.certificates import Authority


@pytest.fixture
async def mails() -> AsyncIterator[mail_server.MailServer]:
    """A mail server that takes everything unless told otherwise, without TLS."""
    async with mail_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that attachments may come from."""
    made = tmp_path / "attachments"
    made.mkdir()
    return made


def _settings(server: EmbeddedServer, prefix: str) -> Settings:
    settings = load_settings(environ={}).with_redis(server.url, "the tests")
    return msgspec.structs.replace(settings, prefix=prefix)


@pytest.fixture
async def imobibase(server: EmbeddedServer, prefix: str) -> AsyncIterator[App]:
    """The application, on the tests' server and under a prefix of its own."""
    app.configure(_settings(server, prefix))
    yield app
    await app.close()
    app.clock = REAL


@pytest.fixture
def imobibase_sync(server: EmbeddedServer, prefix: str) -> Iterator[App]:
    """The same, for a test without an event loop."""
    app.configure(_settings(server, prefix))
    yield app
    asyncio.run(app.close())
