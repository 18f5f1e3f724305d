"""A queue driven by hand for each test, and the invariants after it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from streamq.embedded import EmbeddedServer
from streamq.store.address import Address
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.scripts import Link, link
from tests.support import invariants, servers
from tests.support.by_hand import ByHand
from tests.support.planted import plant_each
from tests.support.torn import Case, Torn, tear


class Look:
    """The raw keys of this test's queue, and whether its counters are exact at the end."""

    def __init__(self, raw: redis.Redis, prefix: str) -> None:
        self.raw, self.prefix = raw, prefix
        self.counters_hold = True

    def dump(self) -> invariants.Dump:
        return invariants.read(self.raw, self.prefix, "q")

    def states(self) -> dict[str, str]:
        return self.dump().states()

    def stats(self) -> dict[str, int]:
        return {f.decode(): int(n) for f, n in self.dump().hashes["stats"].items()}

    def meta(self, field: str) -> str | None:
        value = self.dump().hashes["meta"].get(field.encode())
        return None if value is None else value.decode()

    def waiting(self) -> list[tuple[str, str]]:
        """Line and id of what waits, in the order in which it will be taken."""
        dump = self.dump()
        return [(e.line, e.job.decode()) for e in dump.entries if e.free and dump.is_live(e)]

    def tokens(self) -> tuple[int, int]:
        dump = self.dump()
        return dump.tokens["wake"], dump.tokens["wake:0"]

    def told(self) -> list[tuple[str, list[str]]]:
        """What `events` holds: a state and the ids that reached it."""
        return [
            (state.decode(), ids.decode().split())
            for fields in self.stream("events")
            for state, ids in fields
            if state != b"results"
        ]

    def stream(self, name: str) -> list[list[tuple[bytes, bytes]]]:
        """The entries of `events` or a history, oldest first, each its fields as they stand."""
        (entries,) = invariants.ask(self.raw, ("XRANGE", f"{self.prefix}:{{q}}:{name}", "-", "+"))
        return [list(zip(f[::2], f[1::2], strict=True)) for _, f in entries]

    @contextmanager
    def listening(self, channel: bytes) -> Iterator[Callable[[], bytes]]:
        """A subscription; what is yielded gives the next message."""
        ear = self.raw.pubsub()  # type: ignore[no-untyped-call]
        ear.subscribe(channel)

        def next_message() -> bytes:
            heard = ear.get_message(timeout=5)
            assert heard is not None, "nothing was published"
            return bytes(heard["data"])

        assert ear.get_message(timeout=5)["type"] == "subscribe"
        yield next_message
        ear.close()


class Trial:
    """A case of a script put to the test, on a queue of its own."""

    def __init__(self, url: str, look: Look, hand: ByHand) -> None:
        self._url, self._look, self._hand = url, look, hand

    async def tear(self, case: Case) -> Torn:
        return await tear(self._url, self._look.raw, self._hand, case)

    async def plant_each(self, case: Case) -> list[str]:
        return await plant_each(self._look.raw, self._hand, case)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each call failing in turn, each key planted: hundreds of trials a test, left out of the fast
    gate."""
    for item in items:
        if isinstance(item, pytest.Function) and "trial" in item.fixturenames:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def look(server: EmbeddedServer, prefix: str) -> Iterator[Look]:
    """Looks at the keys as they are; after every test, checks them."""
    with redis.Redis.from_url(server.url, protocol=2) as raw:
        seen = Look(raw, prefix)
        yield seen
        invariants.check(raw, prefix, counters=seen.counters_hold)


@pytest.fixture
def server_url(server: EmbeddedServer) -> str:
    return servers.door(server.url)


@pytest.fixture
async def at(server: EmbeddedServer, prefix: str) -> AsyncIterator[Link]:
    client = Redis(Address(servers.door(server.url), "the test"))
    yield link(client, keys_of(prefix, "q"))
    await client.close()


@pytest.fixture
async def hand(at: Link, look: Look) -> ByHand:
    """Queue q, with nobody registered. (Asks for `look`, so that it is checked last.)"""
    return ByHand(at)


@pytest.fixture
def trial(server: EmbeddedServer, look: Look, hand: ByHand) -> Trial:
    return Trial(servers.door(server.url), look, hand)
