"""An admin with all its guards, on the test's server and prefix."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from admin.app import AdminApp
from streamq import App
from tests.admin.access.people import guarded_admin


@pytest.fixture(autouse=True)
async def no_session_is_left(raw: Redis) -> AsyncIterator[None]:
    """Sessions lie where other programs have them too, not under the test's prefix."""
    yield
    async for key in raw.scan_iter("sess:*", count=1_000):
        await raw.delete(key)


@pytest.fixture
def admin(app: App) -> AdminApp:
    return guarded_admin(app)
