"""A web server that answers as it is told, byte for byte; it remembers what it was asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec

HEAD_LIMIT_S = 10


class Asked(msgspec.Struct, frozen=True):
    """One request; `headers` by their names in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


class WebServer:
    """`reply` is what it sends next: bytes as they are, or an endless source of `more`."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.more = b""
        """Sent again and again behind the reply, until the client goes."""
        self.asked: list[Asked] = []
        self.sent = 0
        self.connections = 0
        self.port = 0

    @property
    def origin(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.origin}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_LIMIT_S)
            line, *lines = head.decode("latin-1").strip().split("\r\n")
            pairs = (one.partition(":") for one in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.asked.append(Asked(line, headers, body))
            writer.write(self.reply)
            self.sent += len(self.reply)
            await writer.drain()
            while self.more:
                writer.write(self.more)
                self.sent += len(self.more)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer; `retry_after="5"` is the header `retry-after: 5`."""
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def running(
    reply: bytes | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[WebServer]:
    """A server on 127.0.0.1; without a reply of its own it says 200."""
    web = WebServer(answer(200, b"ok") if reply is None else reply)
    server = await asyncio.start_server(web.serve, "127.0.0.1", 0, ssl=tls)
    web.port = server.sockets[0].getsockname()[1]
    try:
        yield web
    finally:
        server.close()
