"""The server under the application: uvicorn, with the patience and the end that we want.

A client that is slow with a request's head, or never takes what it asked for, keeps nothing but its
own socket for some seconds; a stop ends the event streams first, for nobody else would.
"""

import asyncio
import errno
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from admin.app import HEAD_BYTES_MAX, AdminApp
from streamq.errors import ConfigError, PortInUse

HEAD_LIMIT_S: Final = 10.0
"""From a connection, or a request's first byte, to the end of its head."""
KEPT_ALIVE_S: Final = 5
STALLED_MS: Final = 30_000
"""What was sent and is not taken; then the kernel drops the connection."""
CONNECTIONS_MAX: Final = 1_000
BACKLOG: Final = 256
GRACE_S: Final = 10
"""For requests on their way when it stops: a bulk one takes five."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class CannotListen(ConfigError):
    """`why` is the system's word."""

    def __init__(self, host: str, port: int, why: str) -> None:
        self.host, self.port, self.why = host, port, why
        super().__init__(f"Cannot listen on {host}, port {port}: {why}.")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; with port 0 on one that is free. Raises PortInUse, CannotListen."""
    try:
        (family, kind, proto, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise CannotListen(host, port, error.strerror or "no such host") from error
    listening = socket.socket(family, kind, proto)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stalled = getattr(socket, "TCP_USER_TIMEOUT", None)
        if stalled is not None:  # Linux has it; elsewhere a stalled reader stays until it leaves
            listening.setsockopt(socket.IPPROTO_TCP, stalled, STALLED_MS)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(port) from error
        raise CannotListen(host, port, error.strerror or str(error)) from error
    listening.setblocking(False)
    return listening


def address_of(listening: socket.socket) -> str:
    """The URL by which it is reached."""
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(app: AdminApp, listening: socket.socket) -> None:
    """Serves until SIGINT or SIGTERM, or until it is cancelled; the socket is closed then."""
    await server_of(app).serve(sockets=[listening])


def server_of(app: AdminApp) -> "AdminServer":
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,  # the logs are the process's
        access_log=False,
        server_header=False,
        proxy_headers=False,  # it would believe the leftmost address; see settings.proxies
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEPT_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    return AdminServer(config, app.site.hub.end)


class AdminServer(uvicorn.Server):
    """uvicorn's, which says that it is about to stop, and ends as a process should."""

    def __init__(self, config: uvicorn.Config, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # It waits for its connections first and tells the application after: an event stream would
        # hold it up for the whole of its grace.
        self._ending()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Without uvicorn's raising them again at the end: a stop that went well is no death."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


class PatientProtocol(H11Protocol):
    """HTTP/1.1, with an end to the patience for a request's head."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        # Not set anew by each byte that trickles in: from the first one on it runs.
        if self.conn.their_state is not h11.IDLE:
            self._head_is_here()
        elif self._head_timer is None and self.conn.trailing_data[0]:
            self._await_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            # It was answered before it said all, and would be read, and thrown away, without end.
            self.transport.close()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_LIMIT_S, self.transport.close)

    def _head_is_here(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
