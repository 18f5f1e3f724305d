"""What every test may ask for: a server, a prefix of its own, a plain client."""

import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from redis.asyncio import Redis

from streamq.embedded import EmbeddedServer
from tests.support import servers
from tests.support.invariants import BrokenInvariant

# Who starts the tests in the background may have SIGINT ignored, and what they start would inherit
# that: a Ctrl-C would then do nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)


PROCESSES_PER_CORE = 2
"""Tests wait more than they work."""
EXIT_BROKEN = 9
"""An invariant did not hold: `tests.support.on_servers` tries nothing again."""
SLOW_FIXTURES = frozenset({"postgres", "s3_server"})
"""Servers that a process of tests starts for seconds: `make check` does without."""


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and SLOW_FIXTURES.intersection(item.fixturenames):
            item.add_marker("slow")
    if servers.chosen() is servers.ServerKind.CLUSTER:
        left_out = [item for item in items if item.get_closest_marker("one_server")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    most: int = config.option.maxprocesses or sys.maxsize
    return min(PROCESSES_PER_CORE * (os.cpu_count() or 1), most)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Verdict(), "streamq-verdict")


class Verdict:
    """Ends the run with a code of its own once an invariant was broken."""

    def __init__(self) -> None:
        self.broken = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.broken |= report.failed and BrokenInvariant.__name__ in report.longreprtext

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.broken:
            session.exitstatus = EXIT_BROKEN


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """One server for the session, of the kind that STREAMQ_TEST_SERVER names; append-only off."""
    kind = servers.chosen()
    binary = servers.find(kind)
    if binary is None:
        missing = f"{kind.label} is not here: {kind.way_out}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with servers.session(binary) as started:
        yield started


@pytest.fixture
def prefix(server: EmbeddedServer) -> Iterator[str]:
    """What all keys of this test begin with; they are removed after it."""
    mine = f"t{secrets.token_hex(4)}"
    yield mine
    with redis.Redis.from_url(server.url) as client, client.pipeline(transaction=False) as pipe:
        for key in client.scan_iter(match=f"{mine}:*", count=1_000):
            pipe.unlink(key)  # each alone: on a cluster they are of several slots
        pipe.execute()


@pytest.fixture
async def raw(server: EmbeddedServer) -> AsyncIterator[Redis]:
    """A plain client of that server, for looking at keys as they are: answers are bytes."""
    client = Redis.from_url(server.url, decode_responses=False)
    yield client
    await client.aclose()
