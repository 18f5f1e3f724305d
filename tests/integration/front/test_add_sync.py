"""Adding without an event loop: from threads, from a fork, and not where a loop runs."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from streamq import App, blocking
from streamq.embedded import EmbeddedServer
from streamq.errors import InvalidPayload, SyncInLoop
from streamq.settings import Settings
from tests.integration.front.shop import Shop, Welcome, number_of
from tests.support import servers
from tests.support.waiting import until

pytestmark = pytest.mark.filterwarnings(
    # Python 3.12 and later warn of every fork of a process with threads; that is what is tested.
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture
def plain(server: EmbeddedServer, prefix: str) -> Iterator[Shop]:
    """The shop of a program that has no loop."""
    app = App("shop", settings=Settings(), redis=servers.door(server.url), prefix=prefix)
    yield Shop(app)
    blocking.run(app.close, called="close", instead="close")


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as opened:
        yield opened


def _waiting(client: redis.Redis, prefix: str) -> int:
    return int(client.xlen(f"{prefix}:{{email}}:wait:3"))


def test_a_program_without_a_loop_adds(plain: Shop, client: redis.Redis, prefix: str) -> None:
    added = plain.welcome.add_sync(Welcome(to="bo"), id="a")
    again = plain.app.queue("email").add_sync("welcome", {"to": "bo"}, id="a")
    many = plain.app.queue("email").add_many_sync([plain.welcome.new(Welcome(to="x"))] * 3)

    assert (added.existed, again.existed) == (False, True)
    assert len(many) == 3
    assert _waiting(client, prefix) == 4


def test_threads_that_add_share_one_connection_and_its_calls(
    plain: Shop, client: redis.Redis, prefix: str
) -> None:
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda i: plain.welcome.add_sync(Welcome(to=str(i))), range(400)))

    (value,) = client.hvals(f"{prefix}:{{email}}:adds")
    assert _waiting(client, prefix) == 400
    assert number_of(value) < 400  # some rode together


def test_an_error_comes_to_the_caller(plain: Shop) -> None:
    with pytest.raises(InvalidPayload):
        plain.app.queue("email").add_sync("welcome", {"to": 1})


async def test_a_blocking_call_where_a_loop_runs_is_refused(plain: Shop) -> None:
    queue = plain.app.queue("email")

    with pytest.raises(SyncInLoop) as caught:
        plain.welcome.add_sync(Welcome(to="x"))
    with pytest.raises(SyncInLoop, match=r"add_many_sync\(\) .* use await add_many\(\)"):
        queue.add_many_sync([])

    assert str(caught.value) == (
        "SQ212 add_sync() called inside a running event loop: use await add()."
    )


async def test_a_thread_beside_a_loop_may_add(shop: Shop, client: redis.Redis, prefix: str) -> None:
    with ThreadPoolExecutor(1) as threads:
        added = threads.submit(shop.welcome.add_sync, Welcome(to="x")).result()
    await shop.welcome.add(Welcome(to="y"))

    assert not added.existed
    assert client.hlen(f"{prefix}:{{email}}:adds") == 2  # each loop its own producer
    assert _waiting(client, prefix) == 2


def _in_fork(work: object) -> int:
    """Runs it in a forked child; the child's exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()  # type: ignore[operator]  # called in the child only
            code = 0
        finally:
            os._exit(code)
    status: list[int] = []

    def ended() -> bool:
        found, said = os.waitpid(pid, os.WNOHANG)
        if found:
            status.append(said)
        return bool(found)

    try:
        until(ended, "the forked child ends", limit_s=20)
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return os.waitstatus_to_exitcode(status[0])


def test_a_forked_child_adds_by_connections_of_its_own_and_so_does_its_parent(
    plain: Shop, client: redis.Redis, prefix: str
) -> None:
    plain.welcome.add_sync(Welcome(to="parent"), id="p1")

    code = _in_fork(lambda: plain.welcome.add_sync(Welcome(to="child"), id="c1"))
    plain.welcome.add_sync(Welcome(to="parent"), id="p2")

    assert code == 0
    assert _waiting(client, prefix) == 3
    assert client.hlen(f"{prefix}:{{email}}:adds") == 2


def test_a_child_that_goes_on_with_its_parents_loop_has_a_session_of_its_own(
    server: EmbeddedServer, prefix: str
) -> None:
    app = App("shop", settings=Settings(), redis=servers.door(server.url), prefix=prefix)

    async def session() -> object:
        return app.session()

    loop = asyncio.new_event_loop()
    before = loop.run_until_complete(session())

    def differs() -> None:
        assert loop.run_until_complete(session()) is not before

    code = _in_fork(differs)
    loop.close()

    assert code == 0


def test_a_fork_while_another_thread_begins_to_add_does_not_hang(
    plain: Shop, client: redis.Redis, prefix: str
) -> None:
    plain.welcome.add_sync(Welcome(to="parent"))

    with blocking._lock:  # as held by a thread that the child will not have
        code = _in_fork(lambda: plain.welcome.add_sync(Welcome(to="child")))

    assert code == 0
    assert _waiting(client, prefix) == 2


PROGRAM = """
import sys
from streamq import App

app = App("shop", redis=sys.argv[1], prefix=sys.argv[2])
app.declare_queue("email")
print(app.queue("email").add_sync("welcome", {"to": "bo"}).existed)
"""


def test_a_program_that_ends_after_its_add_ends_without_a_word(
    server: EmbeddedServer, prefix: str, client: redis.Redis
) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", PROGRAM, server.url, prefix],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
    assert _waiting(client, prefix) == 1


def test_the_thread_of_blocking_calls_is_a_daemon(plain: Shop) -> None:
    plain.welcome.add_sync(Welcome(to="x"))

    (thread,) = (t for t in threading.enumerate() if t.name == "streamq-blocking")
    assert thread.daemon
