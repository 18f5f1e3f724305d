"""A proxy between one client and one server that misbehaves on request: one proxy per link.

    async with Proxy(server.address) as proxy:
        fault = proxy.drop_reply(match=script.sha, nth=2)
        client = Redis.from_url(proxy.url)

A fault strikes once, at the n-th request since it was armed that holds the bytes of `match` (any
request, if there are none), on whatever connection that comes; other connections go on. `latency`,
`slice` and `down` are states of the whole link, until `heal`.
"""

import asyncio
import contextlib
import secrets
import socket
import struct
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streamq.embedded.wire import Address

REQUEST_BYTES_MAX: Final = 64 * 1024 * 1024
CHUNK_BYTES: Final = 64 * 1024
ANSWER_LIMIT_S: Final = 10.0
"""How long the server may take to answer a request whose answer is swallowed or comes late."""


class Verb(StrEnum):
    DROP_REPLY = "drop_reply"
    HOLD_REQUEST = "hold_request"
    BLACKHOLE = "blackhole"
    HALF_OPEN = "half_open"
    RESET = "reset"


class Fault:
    """One mishap, armed by a method of `Proxy`."""

    def __init__(self, verb: Verb, match: bytes, nth: int, *, hang: bool = False) -> None:
        assert nth >= 1, "requests are counted from 1"
        self.verb = verb
        self.hang = hang
        self.request = b""
        """What it struck."""
        self.reply = b""
        """What the server answered and the client never saw."""
        self._match = match
        self._left = nth
        self._struck = asyncio.Event()
        self._held: _Link | None = None

    def hits(self, request: bytes) -> bool:
        """Counts a request; true for the one to strike."""
        if self._match in request:
            self._left -= 1
            return self._left == 0
        return False

    async def struck(self, *, limit_s: float = ANSWER_LIMIT_S) -> None:
        """Returns once it has struck (a dropped reply: once the server has answered)."""
        await asyncio.wait_for(self._struck.wait(), limit_s)

    async def release(self) -> bytes:
        """Delivers the held request late, on its own connection; returns the server's answer."""
        await self.struck()
        assert self._held is not None, f"{self.verb} holds no request"
        link, self._held = self._held, None
        self.reply = await link.ask_unseen(self.request)
        link.close()
        return self.reply

    def strike(self, request: bytes, *, reply: bytes = b"", held: "_Link | None" = None) -> None:
        self.request, self.reply, self._held = request, reply, held
        self._struck.set()


class Proxy:
    """Listens on 127.0.0.1; new connections go to `upstream`, which may be changed."""

    def __init__(self, upstream: Address) -> None:
        self.upstream = upstream
        self.latency_s = 0.0
        self.sliced = False
        self.requests = 0
        """How many requests were seen in all."""
        self._down = False
        self._faults: list[Fault] = []
        self._links: set[_Link] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._listener is not None, "the proxy is not started: use `async with`"
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"redis://{host}:{port}/0"

    def drop_reply(self, match: bytes = b"", nth: int = 1, *, hang: bool = False) -> Fault:
        """The server gets the request and answers; the client sees its connection end (or hang)."""
        return self._arm(Fault(Verb.DROP_REPLY, match, nth, hang=hang))

    def hold_request(self, match: bytes = b"", nth: int = 1) -> Fault:
        """The client sees its connection end; the server gets the request at `release`."""
        return self._arm(Fault(Verb.HOLD_REQUEST, match, nth))

    def blackhole(self, match: bytes = b"", nth: int = 1) -> Fault:
        """From that request on nothing passes, and neither side is told."""
        return self._arm(Fault(Verb.BLACKHOLE, match, nth))

    def half_open(self, match: bytes = b"", nth: int = 1) -> Fault:
        """The server's side is closed, the client is not told; the request is lost."""
        return self._arm(Fault(Verb.HALF_OPEN, match, nth))

    def reset(self, match: bytes = b"", nth: int = 1) -> Fault:
        """Both sides are reset; the request is lost."""
        return self._arm(Fault(Verb.RESET, match, nth))

    def latency(self, *, ms: float) -> None:
        """Every request and every piece of an answer is this much late."""
        self.latency_s = ms / 1_000

    def slice(self) -> None:
        """All goes byte by byte, both ways."""
        self.sliced = True

    def down(self) -> None:
        """All connections are reset, and so is every new one, until `heal`."""
        self._down = True
        self.cut()

    def cut(self) -> None:
        """All connections are reset now; new ones pass."""
        for link in tuple(self._links):
            link.reset()

    def heal(self) -> None:
        """Disarms all faults and makes the link as it should be; swallowed connections end."""
        self._faults.clear()
        self._down, self.sliced, self.latency_s = False, False, 0.0
        for link in tuple(self._links):
            if link.silent:
                link.close()

    def struck_by(self, request: bytes) -> Fault | None:
        self.requests += 1
        # Every armed fault counts the request, also when an earlier one strikes.
        hit = [fault for fault in self._faults if fault.hits(request)]
        self._faults = [fault for fault in self._faults if fault not in hit]
        return hit[0] if hit else None

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, limit=REQUEST_BYTES_MAX
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        for link in tuple(self._links):
            link.close()
        # They end with their sockets.
        await asyncio.gather(*self._running)
        await self._listener.wait_closed()

    def _arm(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._down:
            _reset(writer)
            return
        try:
            upstream = await _open(self.upstream)
        except OSError:
            _reset(writer)
            return
        link = _Link(self, (reader, writer), upstream)
        running = asyncio.create_task(link.run())
        self._links.add(link)
        self._running.add(running)
        try:
            await running
        finally:
            self._links.discard(link)
            self._running.discard(running)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection of the client, and its own connection to the server."""

    def __init__(self, proxy: Proxy, client: Stream, server: Stream) -> None:
        self.silent = False
        """The client hears nothing any more; what the server says is kept aside."""
        self._proxy = proxy
        self._requests, self._client = client
        self._replies, self._server = server
        self._unseen = bytearray()
        self._unseen_grew = asyncio.Event()

    async def run(self) -> None:
        replies = asyncio.create_task(self._pass_replies())
        try:
            # What is silent outlives its client: the server must not be told.
            if not await self._pass_requests() or not self.silent:
                self.close()
            await replies
        finally:
            replies.cancel()
            self.close()

    def close(self) -> None:
        self._client.close()
        self._server.close()

    def reset(self) -> None:
        _reset(self._client)
        _reset(self._server)

    async def ask_unseen(self, request: bytes) -> bytes:
        """Sends it, waits until the server has done it; returns the answer, unseen by others."""
        self.silent = True
        self._unseen.clear()
        # An ECHO behind it: when that comes back, all before it has been answered, however long.
        mark = secrets.token_hex(16).encode()
        echo = b"$%d\r\n%s\r\n" % (len(mark), mark)
        self._server.write(request + b"*2\r\n$4\r\nECHO\r\n" + echo)
        async with asyncio.timeout(ANSWER_LIMIT_S):
            while echo not in self._unseen:
                self._unseen_grew.clear()
                await self._unseen_grew.wait()
        return bytes(self._unseen.partition(echo)[0])

    async def _pass_requests(self) -> bool:
        """Until the client is gone, or a fault ends it; false if both sides are to be closed."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                request = await _read_request(self._requests)
                fault = self._proxy.struck_by(request)
                if fault is not None:
                    await self._suffer(fault, request)
                elif not self.silent:
                    await self._send(self._server, request)
        return self.silent

    async def _suffer(self, fault: Fault, request: bytes) -> None:
        match fault.verb:
            case Verb.DROP_REPLY:
                fault.strike(request, reply=await self.ask_unseen(request))
                if not fault.hang:
                    self.close()
            case Verb.HOLD_REQUEST:
                self.silent = True
                self._client.close()
                fault.strike(request, held=self)
            case Verb.BLACKHOLE:
                self.silent = True
                fault.strike(request)
            case Verb.HALF_OPEN:
                self.silent = True
                self._server.close()
                fault.strike(request)
            case Verb.RESET:
                self.reset()
                fault.strike(request)

    async def _pass_replies(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := await self._replies.read(CHUNK_BYTES):
                if self.silent:
                    self._unseen += chunk
                    self._unseen_grew.set()
                else:
                    await self._send(self._client, chunk)
        if not self.silent:
            self._client.close()

    async def _send(self, to: asyncio.StreamWriter, data: bytes) -> None:
        if self._proxy.latency_s:
            await asyncio.sleep(self._proxy.latency_s)
        if not self._proxy.sliced:
            to.write(data)
            await to.drain()
            return
        for at in range(len(data)):
            to.write(data[at : at + 1])
            await to.drain()
            # One turn of the loop a byte, so that the kernel cannot put them together here.
            await asyncio.sleep(0)


async def _open(address: Address) -> Stream:
    if isinstance(address, Path):
        return await asyncio.open_unix_connection(address, limit=REQUEST_BYTES_MAX)
    return await asyncio.open_connection(*address, limit=REQUEST_BYTES_MAX)


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    """One whole request as a client library writes it: an array of strings, or a bare line."""
    head = await reader.readuntil(b"\r\n")
    if not head.startswith(b"*"):
        return head
    parts = [head]
    for _ in range(int(head[1:])):
        length = await reader.readuntil(b"\r\n")
        parts += [length, await reader.readexactly(int(length[1:]) + 2)]
    return b"".join(parts)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):  # closed already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
