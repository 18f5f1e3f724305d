"""Messages that somebody publishes: one connection that only listens, and comes back by itself.

What is published while it is away is missed: who listens here has another way to learn of it (the
next beat), only later.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
from redis.exceptions import RedisError

from streamq.errors import RedisUnavailable
from streamq.store.address import (
    CONNECT_TIMEOUT_S,
    Address,
    AnyConnection,
    open_connection,
    resolve,
)

SILENCE_S: Final = 120.0
"""Then it asks whether the server is there. Seldom: what is missed meanwhile comes with the next
beat, and an idle process is to cost Redis next to nothing."""
PONG_LIMIT_S: Final = 10.0
PAUSE_MIN_S: Final = 0.1  # between two tries to connect
PAUSE_MAX_S: Final = 5.0

log = logging.getLogger("streamq.channel")


class Message(msgspec.Struct, frozen=True):
    channel: bytes
    data: bytes


class Channel:
    """Listens to `names` for as long as `listen` is iterated over."""

    def __init__(self, address: Address, names: Sequence[bytes], *, name: str) -> None:
        self._address = address
        self._names = tuple(names)
        self._name = name
        self.subscribed = asyncio.Event()
        """Set while the server has confirmed every name."""

    async def listen(self) -> AsyncIterator[Message]:
        """Every message, until cancelled. Trouble with the connection is waited out."""
        pause_s = PAUSE_MIN_S
        while True:
            connection: AnyConnection | None = None
            try:
                connection = await self._connected()
                async for message in self._messages(connection):
                    pause_s = PAUSE_MIN_S
                    if message is not None:
                        yield message
            except (RedisError, RedisUnavailable, OSError, TimeoutError) as error:
                log.debug("subscriber %s: %s", self._name, error)
            finally:
                self.subscribed.clear()
                if connection is not None:
                    with contextlib.suppress(RedisError, OSError):
                        await connection.disconnect(nowait=True)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _connected(self) -> AnyConnection:
        kwargs = await resolve(self._address, self._names[0])
        connection = open_connection(kwargs, client_name=self._name)
        async with asyncio.timeout(CONNECT_TIMEOUT_S * 2):
            await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    async def _messages(self, connection: AnyConnection) -> AsyncIterator[Message | None]:
        """Replies as they come; None for those that carry no message. Raises if it falls silent."""
        await connection.send_command("SUBSCRIBE", *self._names)
        confirmed = 0
        while True:
            reply = await self._next(connection)
            match reply:
                case [b"message", bytes() as channel, bytes() as data]:
                    yield Message(channel, data)
                case [b"subscribe", *_]:
                    confirmed += 1
                    if confirmed == len(self._names):
                        self.subscribed.set()
                    yield None
                case _:
                    yield None

    async def _next(self, connection: AnyConnection) -> object:
        # The library's own time-out: it drops the connection of a read that is cancelled.
        reply: object = await connection.read_response(disable_decoding=True, timeout=SILENCE_S)
        if reply is None:
            # A connection that lost its other side looks just like one where nothing is said.
            await connection.send_command("PING")
            reply = await connection.read_response(disable_decoding=True, timeout=PONG_LIMIT_S)
            if reply is None:
                raise TimeoutError("no answer to PING")
        return reply
