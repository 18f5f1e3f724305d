"""What one event loop needs of Redis: its connections, a producer and a follower for each queue.

A connection belongs to the loop that opened it; so a process has one session for each of its loops,
made at first use, and a forked child none of its parent's.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

from streamq import blocking
from streamq.clock import Clock
from streamq.events import Results
from streamq.producer import Producer
from streamq.store.address import Address
from streamq.store.client import Redis
from streamq.store.keys import Keys, keys_of
from streamq.store.scripts import Link, link

CLOSE_LIMIT_S: Final = 10.0


class Session:
    """Everything opened by one loop."""

    def __init__(self, address: Address, prefix: str, clock: Callable[[], Clock]) -> None:
        """`clock` is asked each time: a test may put another one into its App."""
        self.redis = Redis(address)
        self.prefix = prefix
        self.clock = clock
        self._keys: dict[str, Keys] = {}
        self._producers: dict[str, Producer] = {}
        self._results: dict[str, Results] = {}

    def keys(self, queue: str) -> Keys:
        if (found := self._keys.get(queue)) is None:
            found = self._keys[queue] = keys_of(self.prefix, queue)
        return found

    def link(self, queue: str) -> Link:
        """The queue, over the connection that all calls of this loop share."""
        return link(self.redis, self.keys(queue))

    def producer(self, queue: str) -> Producer:
        if (found := self._producers.get(queue)) is None:
            found = Producer(self.redis, self.link(queue), self.clock)
            self._producers[queue] = found
        return found

    def results(self, queue: str) -> Results:
        if (found := self._results.get(queue)) is None:
            found = self._results[queue] = Results(self.redis, self.keys(queue))
        return found

    async def close(self) -> None:
        """Lets what is on its way arrive, within a limit, and closes the connections."""
        for results in self._results.values():
            await results.close()
        for producer in self._producers.values():
            await producer.close()
        await self.redis.close()


class Sessions:
    """The sessions of one app in this process, by event loop."""

    def __init__(self, open_session: Callable[[], Session]) -> None:
        self._open = open_session
        self._begin()
        self._inherited: list[WeakKeyDictionary[asyncio.AbstractEventLoop, Session]] = []

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Session] = WeakKeyDictionary()

    def current(self) -> Session:
        """The session of the running loop. Raises RuntimeError where none runs."""
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            # A fork: the parent's connections are kept and not touched. To close one here would
            # take it out of the poller that parent and child share.
            self._inherited.append(self._by_loop)
            self._begin()
        session = self._by_loop.get(loop)
        if session is None:
            self._drop_ended()
            session = self._by_loop[loop] = self._open()
            blocking.at_end_of(loop, session.close)
        return session

    def _drop_ended(self) -> None:
        """Lets go of what loops left open that have ended: their sockets close with it."""
        for loop in list(self._by_loop):
            if loop.is_closed():
                del self._by_loop[loop]

    async def close(self) -> None:
        """Closes the running loop's session, and that of the blocking calls."""
        if self._pid != os.getpid():
            return
        here, there = asyncio.get_running_loop(), blocking.loop_in_use()
        if (session := self._by_loop.pop(here, None)) is not None:
            await session.close()
        if there is None or there is here or there.is_closed():
            return
        if (session := self._by_loop.pop(there, None)) is not None:
            closing = asyncio.run_coroutine_threadsafe(session.close(), there)
            await asyncio.wait([asyncio.wrap_future(closing)], timeout=CLOSE_LIMIT_S)
