"""The health port: /livez, /readyz and /healthz of a daemon, on loopback, for probes.

A small HTTP server for small questions: GET and HEAD, no body, one answer a connection. What it
answers is asked of the daemon by `Health`, a value taken at that moment.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from streamq.errors import PortInUse

HOST: Final = "127.0.0.1"
REQUEST_LIMIT_S: Final = 5.0
REQUEST_BYTES_MAX: Final = 8_192
CONNECTIONS_MAX: Final = 64


class RedisHealth(msgspec.Struct, frozen=True):
    ok: bool
    latency_ms: float | None = None


class WorkerHealth(msgspec.Struct, frozen=True):
    """One process. `turned_ms`: since its workers' last turn; None: none yet."""

    pid: int
    state: str
    slots: int
    busy: int
    stuck: int
    jobs_done: int
    rss_bytes: int
    turned_ms: int | None


class QueueHealth(msgspec.Struct, frozen=True):
    name: str
    status: str
    issues: tuple[str, ...] = ()


class Health(msgspec.Struct, frozen=True):
    """What /healthz answers, in the order of its keys; and the two short questions' answers."""

    status: str
    version: str
    redis: RedisHealth
    workers: tuple[WorkerHealth, ...]
    queues: tuple[QueueHealth, ...]


class Answers(msgspec.Struct, frozen=True):
    """The daemon's word. Reasons are empty where the answer is yes."""

    not_live: str
    not_ready: str
    health: Health


class HealthPort:
    """Listens from `open` to `close`."""

    def __init__(self, port: int, ask: Callable[[], Answers]) -> None:
        self._wanted = port
        self._ask = ask
        self._server: asyncio.Server | None = None
        self._open = 0

    @property
    def port(self) -> int:
        """The port, once open; with 0 wanted, the one that was free."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def open(self) -> None:
        """Raises PortInUse."""
        try:
            self._server = await asyncio.start_server(
                self._serve, HOST, self._wanted, limit=REQUEST_BYTES_MAX
            )
        except OSError as error:
            raise PortInUse(self._wanted) from error

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > CONNECTIONS_MAX:
                return
            async with asyncio.timeout(REQUEST_LIMIT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # whoever asked went away, or asked nothing that fits a probe
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _response(HTTPStatus.BAD_REQUEST, "text/plain", b"not HTTP/1.1\n")
        method, path = words[0], words[1].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"GET or HEAD\n")
        page = PAGES.get(path)
        if page is None:
            known = " ".join(PAGES).encode()
            return _response(HTTPStatus.NOT_FOUND, "text/plain", b"there are " + known + b"\n")
        status, kind, body = page(self._ask())
        return _response(status, kind, body, with_body=method == "GET")


def _live(answers: Answers) -> tuple[HTTPStatus, str, bytes]:
    return _yes_unless(answers.not_live)


def _ready(answers: Answers) -> tuple[HTTPStatus, str, bytes]:
    return _yes_unless(answers.not_ready)


def _full(answers: Answers) -> tuple[HTTPStatus, str, bytes]:
    return HTTPStatus.OK, "application/json", msgspec.json.encode(answers.health) + b"\n"


def _yes_unless(why_not: str) -> tuple[HTTPStatus, str, bytes]:
    if why_not:
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", why_not.encode() + b"\n"
    return HTTPStatus.OK, "text/plain", b"ok\n"


PAGES: Final[Mapping[str, Callable[[Answers], tuple[HTTPStatus, str, bytes]]]] = {
    "/livez": _live,
    "/readyz": _ready,
    "/healthz": _full,
}


def _response(status: HTTPStatus, kind: str, body: bytes, *, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {kind}; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n"
        "\r\n"
    )
    return head.encode("latin-1") + (body if with_body else b"")
