"""The pytest plugin: a Redis for the session, and an App, a clock and workers for each test.

Nothing of streamq is loaded before a test asks for a fixture. `streamq_app` is an App of its own;
to test the application's, give its conftest a fixture of that name:

    @pytest.fixture
    def streamq_app(streamq_bind):
        return streamq_bind(shop.app)
"""

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # a project that tests without these fixtures need not have it
    from pytest import fixture as async_fixture  # type: ignore[no-redef]

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.testing.bound import InProcess
    from streamq.testing.moved import MovableClock


@pytest.fixture(scope="session")
def streamq_redis() -> Iterator[str]:
    """The URL of a server that ends with the session; its data is kept in memory only."""
    from streamq.embedded import EmbeddedServer

    # Straight under the folder for such things: a unix socket's path may have 100 bytes.
    folder = Path(tempfile.mkdtemp(prefix="sq-"))
    try:
        with EmbeddedServer(folder, append_only=False) as server:
            yield server.url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@async_fixture
async def streamq_bind(streamq_redis: str) -> "AsyncIterator[Callable[[App], App]]":
    """Points an App at the test's Redis, under a prefix of the test's own, until the test ends."""
    from streamq.testing.bound import bound

    prefix = f"t{secrets.token_hex(4)}"
    apps: list[App] = []
    with ExitStack() as stack:

        def bind(app: "App") -> "App":
            apps.append(stack.enter_context(bound(app, streamq_redis, prefix)))
            return app

        yield bind
        for app in apps:
            await app.close()


@pytest.fixture
def streamq_app(streamq_bind: "Callable[[App], App]") -> "App":
    """An App with nothing registered."""
    from streamq.app import App

    return streamq_bind(App("test"))


@pytest.fixture
def streamq_clock(streamq_app: "App") -> "MovableClock":
    """The App's clock: `await streamq_clock.advance(hours=3)`."""
    from streamq.testing.moved import MovableClock

    streamq_app.clock = clock = MovableClock(streamq_app)
    return clock


@pytest.fixture
def streamq_worker(streamq_app: "App") -> "InProcess":
    """Workers of the App in this process: `await streamq_worker.run_until_idle()`."""
    from streamq.testing.bound import InProcess

    return InProcess(streamq_app)
