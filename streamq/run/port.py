"""A small HTTP server for small questions: GET and HEAD, no body, one answer a connection.

Owns what a probe, a scrape or an autoscaler needs of HTTP, and its limits. What is answered is the
pages'. On loopback everybody may ask; behind another address only who has the token, but for the
pages that are open.
"""

import asyncio
import contextlib
import errno
import hmac
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from streamq.errors import ConfigError, PortInUse

HOST: Final = "127.0.0.1"
REQUEST_LIMIT_S: Final = 5.0
REQUEST_BYTES_MAX: Final = 8_192
CONNECTIONS_MAX: Final = 64

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json; charset=utf-8"


class CannotListen(ConfigError):
    """An address that is not this machine's, or a port that is not for us."""

    def __init__(self, host: str, port: int, why: str) -> None:
        self.host, self.port, self.why = host, port, why
        super().__init__(
            f"Cannot listen on {host}:{port}: {why.lower()}. Give an address of this machine, and a"
            " port from 1024 on."
        )


class Asked(msgspec.Struct, frozen=True):
    """A request. `path` without its query; the names of `headers` in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]


class Answer(msgspec.Struct, frozen=True):
    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    kind: str = TEXT


Page = Callable[[Asked], Awaitable[Answer]]


class Port:
    """Listens from `open` to `close`. A path that ends with a slash is asked for all below it."""

    def __init__(
        self,
        port: int,
        pages: Mapping[str, Page],
        *,
        host: str = HOST,
        token: str | None = None,
        open_pages: Collection[str] = (),
    ) -> None:
        """`token`: has to be shown (`Authorization: Bearer ...`) for all but `open_pages`."""
        self._wanted = port
        self._pages = pages
        self._host = host
        self._token = token
        self._open_pages = frozenset(open_pages)
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port, once open; with 0 wanted, the one that was free."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def open(self) -> None:
        """Raises PortInUse, and CannotListen for whatever else is wrong with it."""
        try:
            self._server = await asyncio.start_server(
                self._serve, self._host, self._wanted, limit=REQUEST_BYTES_MAX
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(self._wanted) from error
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise CannotListen(self._host, self._wanted, why) from error

    async def close(self) -> None:
        """Whoever is not answered yet sees the connection end."""
        if self._server is not None:
            self._server.close()
        serving = tuple(self._serving)
        for each in serving:
            each.cancel()
        if serving:
            await asyncio.wait(serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = asyncio.current_task()
        assert mine is not None
        self._serving.add(mine)
        try:
            if len(self._serving) > CONNECTIONS_MAX:
                return
            async with asyncio.timeout(REQUEST_LIMIT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # whoever asked went away, or asked nothing that fits a probe
        except asyncio.CancelledError:
            return  # by `close`, or the loop's end: nobody waits for this
        finally:
            self._serving.discard(mine)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, head: bytes) -> bytes:
        asked = _read(head)
        if asked is None:
            return _response(Answer(b"not HTTP/1.1\n", HTTPStatus.BAD_REQUEST))
        if asked.method not in ("GET", "HEAD"):
            return _response(Answer(b"GET or HEAD\n", HTTPStatus.METHOD_NOT_ALLOWED))
        page = self._pages.get(asked.path) or self._pages.get(asked.path.rpartition("/")[0] + "/")
        if page is None:
            known = " ".join(self._pages).encode()
            return _response(Answer(b"there are " + known + b"\n", HTTPStatus.NOT_FOUND))
        if not self._may(asked):
            refused = Answer(b"show the token: Authorization: Bearer\n", HTTPStatus.UNAUTHORIZED)
            return _response(refused)
        return _response(await page(asked), with_body=asked.method == "GET")

    def _may(self, asked: Asked) -> bool:
        if self._token is None or asked.path in self._open_pages:
            return True
        said = asked.headers.get("authorization", "").encode("latin-1")
        return hmac.compare_digest(said, b"Bearer " + self._token.encode("latin-1", "replace"))


def _read(head: bytes) -> Asked | None:
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Asked(words[0], words[1].partition("?")[0], headers)


def _response(answer: Answer, *, with_body: bool = True) -> bytes:
    status = answer.status
    refused = "WWW-Authenticate: Bearer\r\n" if status is HTTPStatus.UNAUTHORIZED else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {answer.kind}\r\n"
        f"Content-Length: {len(answer.body)}\r\n"
        f"{refused}"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n"
        "\r\n"
    )
    return head.encode("latin-1") + (answer.body if with_body else b"")
