"""An admin with all its guards, on the test's server and prefix; and a users table where asked."""

import os
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from redis.asyncio import Redis

from admin.app import AdminApp
from streamq import App
from tests.admin.access.people import guarded_admin
from tests.admin.access.users_table import UsersInTable
from tests.support.postgres import NoPostgres, Postgres, running


@pytest.fixture(autouse=True)
async def no_session_is_left(raw: Redis) -> AsyncIterator[None]:
    """Sessions lie where other programs have them too, not under the test's prefix."""
    yield
    async for key in raw.scan_iter("sess:*", count=1_000):
        await raw.delete(key)


@pytest.fixture
def admin(app: App) -> AdminApp:
    return guarded_admin(app)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    try:
        with running() as server:
            yield server
    except NoPostgres as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def users(postgres: Postgres) -> Iterator[UsersInTable]:
    """The application's `users` table, with what its Node part wrote, and two who are no admins."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        table = UsersInTable(connection, postgres.url)
        table.create()
        yield table
        table.drop()
