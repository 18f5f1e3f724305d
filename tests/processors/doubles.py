"""A web server that answers each request by what it asks: stands in for others' services."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from tests.processors.web_server import Asked

HEAD_LIMIT_S = 10
Respond = Callable[[Asked], Awaitable[bytes]]


class Service:
    """`respond` gives the answer's bytes (`web_server.answer`); what was asked is kept."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.asked: list[Asked] = []
        self.port = 0

    @property
    def origin(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://{self.origin}"

    def to(self, path: str) -> list[Asked]:
        """What was asked of that path, whatever its query."""
        return [one for one in self.asked if path_of(one) == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_LIMIT_S)
            line, *lines = head.decode("latin-1").strip().split("\r\n")
            pairs = (one.partition(":") for one in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            asked = Asked(line, headers, body)
            self.asked.append(asked)
            writer.write(await self.respond(asked))
            await writer.drain()
        writer.close()


def path_of(asked: Asked) -> str:
    return asked.line.split(" ")[1].partition("?")[0]


@asynccontextmanager
async def serving(respond: Respond) -> AsyncIterator[Service]:
    """A service on a free port of 127.0.0.1."""
    service = Service(respond)
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
