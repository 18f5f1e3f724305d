"""Connections to Redis: one request after another, replies in order, and what became of a call.

Owns the three answers that a call can have: a reply, "not applied", and "unknown" (sent, but no
reply came). Nothing is ever repeated here on its own. Hands typed functions a `Link`.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any

import hiredis
from redis.crc import key_slot
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError

from streamq.errors import (
    NotApplied,
    OutcomeUnknown,
    RedisRefusedPassword,
    RedisSpeaksTls,
    RedisUnavailable,
    StoreError,
    StoreFull,
)
from streamq.store import calls
from streamq.store.address import (
    CONNECT_TIMEOUT_S,
    Address,
    AnyConnection,
    is_refused_password,
    key_of_each_master,
    open_connection,
    resolve,
)

Arg = bytes | str | int | float
Reply = Any
"""What Redis answered: ints, bytes, None and lists of them; each typed function knows its shape."""

CALL_TIMEOUT_S = 10.0  # a call that takes longer is given up, and its outcome is unknown
BLOCK_MARGIN_S = 10.0  # a blocking pop is given up this much after its own time-out
WIRES_OPEN_MAX = 64  # connections of one process; only on a cluster there are more than a few

EVALSHA = b"EVALSHA"

# Refused before anything was done: the same call later, or on another server, is safe.
_NOT_APPLIED = frozenset(
    [
        "LOADING",
        "READONLY",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "MISCONF",
        "NOREPLICAS",
        "BUSY",
        "TRYAGAIN",
        "MOVED",
        "ASK",
        "UNBLOCKED",
        "UNKILLABLE",
        "NOAUTH",
    ]
)
# These say that another server has to be asked: drop the connection and find it again.
_ELSEWHERE = frozenset(
    ["READONLY", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "ASK", "UNBLOCKED", "LOADING", "NOAUTH"]
)


class ConnectionChanged(StoreError):
    """The caller's connection is gone: `resync` comes first. Nothing was sent."""

    def __init__(self, call: str) -> None:
        super().__init__(f"{call}: the connection is a new one. Resync before the next turn.")


class ErrorReply(StoreError):
    """An error reply that is none of ours (`word`: WRONGTYPE, NOPERM, NOSCRIPT, ERR, ...).

    A plain command did nothing then; a script may have done its first part.
    """

    exit_code = 1

    def __init__(self, call: str, word: str, detail: str) -> None:
        self.call, self.word, self.detail = call, word, detail
        super().__init__(f"{call}: Redis answered {self.text}")

    @property
    def text(self) -> str:
        """As Redis said it."""
        return f"{self.word} {self.detail}".rstrip()


class Wire:
    """One connection to one server, opened when it is needed, shared by callers of one event loop.

    Requests go out at once, replies are read in the order of the requests. `generation` counts the
    connections made: who depends on nothing being lost compares it.
    """

    def __init__(self, address: Address, key: bytes, *, name: str) -> None:
        self._address = address
        self._key = key  # on a cluster: any key of the slot
        self._name = name
        self._connection: AnyConnection | None = None
        self._opening = asyncio.Lock()
        self._last: asyncio.Future[None] | None = None  # done when the newest reply has been read
        self.generation = 0
        self.connected = False

    async def open(self) -> int:
        """Connects if there is no connection; its generation.

        Raises RedisUnavailable, RedisRefusedPassword, RedisSpeaksTls: nothing was sent.
        """
        async with self._opening:
            if self._usable() is None:
                connection = open_connection(
                    await resolve(self._address, self._key), client_name=self._name
                )
                await self._connect(connection)
                self._connection, self._last = connection, None
                if self.generation:
                    calls.reconnected()
                self.generation += 1
                self.connected = True
            return self.generation

    def _usable(self) -> AnyConnection | None:
        """The connection, unless the other side is known to have closed it."""
        connection = self._connection
        if connection is None:
            return None
        reader, writer = connection._reader, connection._writer
        if reader is None or writer is None or reader.at_eof() or writer.is_closing():
            # Seen before anything is sent: what is lost then is a connection and no call. redis-py
            # would connect anew by itself, and nobody would know that a resync is due.
            self._drop(connection)
        return self._connection

    async def _connect(self, connection: AnyConnection) -> None:
        where, origin = self._address.shown, self._address.origin
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S * 2):
                await connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError) as error:
            _abort(connection)
            text = str(error).rstrip(".")
            if is_refused_password(error):
                raise RedisRefusedPassword(origin, self._address.user) from error
            if "Connection closed by server" in text and self._address.scheme == "redis":
                text += " (does it speak TLS? then use rediss:// or REDIS_TLS=true)"
            if "WRONG_VERSION_NUMBER" in text or "unknown protocol" in text.lower():
                text += " (it does not speak TLS: use redis://)"
            if "Protocol Error" in text and "\\x15" in text:
                raise RedisSpeaksTls(where, origin) from error
            raise RedisUnavailable(where, origin, _plain_reason(text)) from error
        except BaseException:
            _abort(connection)
            raise

    async def call(
        self,
        what: str,
        command: Sequence[Arg],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        generation: int | None = None,
    ) -> Reply:
        """Sends a command and reads its reply. `what` names the call in messages; of a script its
        first word is the script's name, by which its time is counted.

        Raises NotApplied or StoreFull when Redis refused, ErrorReply for any other error reply,
        OutcomeUnknown when the request went out and no reply came, ConnectionChanged when
        `generation` is given and is not the connection's; and what `open` raises. Cancelled: the
        connection is dropped, so that no other caller is handed the reply.
        """
        began = time.perf_counter()
        (reply,) = await self.exchange(what, (command,), timeout_s=timeout_s, generation=generation)
        if command[0] == EVALSHA:
            calls.took(what.partition(" ")[0], time.perf_counter() - began)
        if isinstance(reply, StoreError):
            raise reply
        return reply

    def lives(self, generation: int) -> bool:
        """Whether the connection of that generation is there, as far as is known."""
        return self._usable() is not None and self.generation == generation

    async def exchange(
        self,
        what: str,
        commands: Sequence[Sequence[Arg]],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        generation: int | None = None,
    ) -> list[Reply]:
        """Sends commands in one go; the reply of each, or the StoreError that it came to.

        One behind a blocking command is carried out by Redis the moment that one is over, without
        another round trip. Raises what `call` raises, but for error replies.
        """
        # Before anything else: what cannot be sent (half a surrogate pair) disturbs nobody.
        packed = [
            hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # its stub names one
            for command in commands
        ]
        connection = self._usable()
        if connection is None:
            await self.open()
            connection = self._connection
            assert connection is not None
        if generation is not None and generation != self.generation:
            raise ConnectionChanged(what)
        before, mine = self._last, asyncio.get_running_loop().create_future()
        self._last = mine
        try:
            async with asyncio.timeout(timeout_s if timeout_s < math.inf else None):
                await connection.send_packed_command(packed, check_health=False)
                if before is not None and not before.done():
                    await before
                if connection is not self._connection:
                    raise OutcomeUnknown(what, "the connection was dropped")
                return [await self._reply(what, connection) for _ in commands]
        except (RedisError, OSError, TimeoutError) as error:
            self._drop(connection)
            raise OutcomeUnknown(what, _plain_reason(str(error) or "time-out")) from error
        except BaseException:
            self._drop(connection)
            raise
        finally:
            if not mine.done():
                mine.set_result(None)

    async def _reply(self, what: str, connection: AnyConnection) -> Reply:
        try:
            return await connection.read_response(disable_decoding=True)
        except (ResponseError, BusyLoadingError, AuthenticationError) as error:
            refused = self._refused(what, error, connection)
            refused.__cause__ = error
            return refused

    def _refused(self, what: str, error: RedisError, connection: AnyConnection) -> StoreError:
        """An error reply as ours."""
        # redis-py takes the word off the text where it knows the word.
        word, detail = error.status_code or "", str(error)
        if not word:
            word, _, detail = detail.partition(" ")
        # Redis 6.2 wraps what a command inside a script answered: "Error running script … -OOM …".
        for inner in ("OOM", *_NOT_APPLIED):
            if f"-{inner} " in detail:
                word = inner
                break
        if word in _ELSEWHERE:
            self._drop(connection)
        if word == "OOM":
            # `what` ends with the queue's name, unless it is a bare command of the port's.
            return StoreFull(what.rpartition(" ")[2] if " " in what else "")
        if word in _NOT_APPLIED:
            return NotApplied(what, word, detail)
        return ErrorReply(what, word, detail)

    def _drop(self, connection: AnyConnection) -> None:
        """The next call finds its server anew."""
        if connection is self._connection:
            self._connection, self.connected = None, False
        _abort(connection)

    def close_if_idle(self) -> None:
        """Closes unless somebody waits for a reply; a later call opens anew."""
        if self._connection is not None and (self._last is None or self._last.done()):
            self._drop(self._connection)

    async def close(self) -> None:
        """Closes; a later call would open anew."""
        if (connection := self._connection) is not None:
            self._connection, self.connected = None, False
            await connection.disconnect(nowait=True)


def _abort(connection: AnyConnection) -> None:
    """Closes without waiting: who reads on it is told so by an error."""
    writer = connection._writer
    if writer is not None:
        writer.transport.abort()
        connection._close()  # type: ignore[no-untyped-call]  # else it warns that it was left open


def _plain_reason(text: str) -> str:
    """`Error 111 connecting to localhost:6379. Connection refused` as people say it."""
    # uvloop and asyncio leave out the system's own word for it.
    lowered = text.lower().replace("connect call failed", "connection refused")
    for known in ("connection refused", "no such file or directory", "timed out", "timeout"):
        if known in lowered:
            return {"timed out": "time-out", "timeout": "time-out"}.get(known, known)
    if "name or service not known" in lowered or "nodename nor servname" in lowered:
        return "unknown host"
    return text


class Redis:
    """All the connections of one process (and one event loop) to one Redis."""

    def __init__(self, address: Address, *, name: str = "streamq") -> None:
        self.address = address
        self._name = name
        self._wires: dict[tuple[str, int], Wire] = {}

    def wire(self, purpose: str, key: bytes) -> Wire:
        """The connection for `purpose`: "scripts" is shared by all, on a cluster by slot."""
        slot = key_slot(key) if self.address.scheme == "redis+cluster" else -1
        found = self._wires.get((purpose, slot))
        if found is None:
            self._close_idle()
            found = Wire(self.address, key, name=f"{self._name}-{purpose}")
            self._wires[purpose, slot] = found
        return found

    async def everywhere(self, purpose: str) -> list[Wire]:
        """A connection to each master, to ask all of them. Raises RedisUnavailable."""
        return [self.wire(purpose, key) for key in await key_of_each_master(self.address)]

    def _close_idle(self) -> None:
        """On a cluster an application's own keys lie in any number of slots."""
        open_ones = [wire for wire in self._wires.values() if wire.connected]
        for wire in open_ones[: max(0, len(open_ones) + 1 - WIRES_OPEN_MAX)]:
            wire.close_if_idle()

    async def close(self) -> None:
        for wire in self._wires.values():
            await wire.close()
        self._wires.clear()
