"""Workers in the test's own process, on the session's server."""

from collections.abc import AsyncIterator

import pytest

from streamq.embedded import EmbeddedServer
from tests.support.workers import Floor


@pytest.fixture
async def floor(server: EmbeddedServer, prefix: str) -> AsyncIterator[Floor]:
    """A queue and its workers. At the end they leave in order, and the invariants hold."""
    async with Floor(server, prefix) as opened:
        yield opened
