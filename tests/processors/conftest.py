"""What tests of processors may ask for."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

from processors.app import app
from processors.database import Database, DatabaseServer
from processors.schema import apply_schema
from processors.seeding import Size, seed
from processors.settings import load_settings as load_processors
from processors.standins.s3 import S3Server
from processors.storage import Storage
from streamq import App, Settings, load_settings
from streamq.clock import REAL
from streamq.embedded import EmbeddedServer
from tests.processors import mail_server
from tests.processors.certificates import Authority
from tests.support.postgres import Databases, NoPostgres, Postgres, running

PASSWORD: Final = "of-the-tests"
"""Of every user of the seed data."""


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the session, by its socket and by TCP with a password."""
    try:
        with running() as started:
            yield started
    except NoPostgres as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Databases:
    return Databases(postgres, {"schema": apply_schema, "seeded": _fill})


def _fill(server: DatabaseServer) -> None:
    apply_schema(server)
    seed(server, Size.SMALL, password=PASSWORD)


@pytest.fixture
def database_server(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DatabaseServer]:
    """A database of the test's own with the schema and no rows; DATABASE_URL names it."""
    with databases.fresh("schema") as server:
        monkeypatch.setenv("DATABASE_URL", databases.postgres.url_of(server.name))
        yield server


@pytest.fixture
async def database(database_server: DatabaseServer) -> AsyncIterator[Database]:
    """That database, as a handler has it in `shared_of(job).database`."""
    database = Database(database_server)
    await database.open()
    yield database
    await database.aclose()


@pytest.fixture
async def seeded(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A database of the test's own with the small seed data; DATABASE_URL names it.

    Its days are those of today: see `processors.seeding.examples` for rows that are known by id.
    """
    with databases.fresh("seeded") as server:
        monkeypatch.setenv("DATABASE_URL", databases.postgres.url_of(server.name))
        database = Database(server)
        await database.open()
        yield database
        await database.aclose()


async def make_bucket(storage: Storage, name: str) -> None:
    await storage.begin(name, lambda s3: s3.create_bucket(Bucket=name))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 for the session."""
    with S3Server() as started:
        yield started


@pytest.fixture
async def storage(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Storage]:
    """Two buckets of the test's own, as a handler has them in `shared_of(job).storage`.

    The environment names them, so that a worker of the test has the same.
    """
    mine = secrets.token_hex(4)
    for name, value in s3_server.variables.items():
        own = f"{mine}.{value}" if name.endswith("_BUCKET") else value
        monkeypatch.setenv(name, own)
    storage = Storage(load_processors(production=False).storage)
    await make_bucket(storage, storage.backups.name)
    await make_bucket(storage, storage.exports.name)
    yield storage
    await storage.aclose()
