"""An application as somebody would write it, on the test's server and prefix."""

from collections.abc import AsyncIterator, Iterator

import pytest

from streamq import App, Queue
from streamq.embedded import EmbeddedServer
from streamq.settings import Settings
from tests.integration.front.shop import Shop
from tests.support import servers
from tests.support.invariants import checked_queue


@pytest.fixture(autouse=True)
def invariants_hold(server: EmbeddedServer, prefix: str) -> Iterator[None]:
    with checked_queue(server.url, prefix):
        yield


@pytest.fixture
async def app(server: EmbeddedServer, prefix: str) -> AsyncIterator[App]:
    async with App(
        "shop", settings=Settings(), redis=servers.door(server.url), prefix=prefix
    ) as opened:
        yield opened


@pytest.fixture
def shop(app: App) -> Shop:
    return Shop(app)


@pytest.fixture
def queue(shop: Shop) -> Queue:
    """The queue of the shop's handlers."""
    return shop.app.queue("email")
