"""A server for what Sentry's SDK sends; or one that holds every request and says nothing."""

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import msgspec

HELD_MAX_S: Final = 120.0


class Endpoint:
    """What came, and whether it is answered."""

    def __init__(self, *, hangs: bool) -> None:
        self.hangs = hangs
        self.requests = 0
        self.over = threading.Event()
        self.port = 0
        self._bodies: list[bytes] = []

    @property
    def dsn(self) -> str:
        return f"http://abc@127.0.0.1:{self.port}/1"

    @property
    def errors(self) -> list[Mapping[str, object]]:
        """The events that came, in their order."""
        events = []
        for body in list(self._bodies):
            _, *lines = body.splitlines()
            for header, item in zip(lines[::2], lines[1::2], strict=False):
                if msgspec.json.decode(header)["type"] == "event":
                    events.append(msgspec.json.decode(item))
        return events

    def take(self, body: bytes) -> None:
        self._bodies.append(body)


@contextmanager
def endpoint(*, hangs: bool = False) -> Iterator[Endpoint]:
    """Listens on 127.0.0.1 while the block lasts."""
    there = Endpoint(hangs=hangs)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            there.requests += 1
            if there.hangs:
                there.over.wait(HELD_MAX_S)
                return
            body = self.rfile.read(int(self.headers["Content-Length"]))
            zipped = self.headers.get("Content-Encoding") == "gzip"
            there.take(gzip.decompress(body) if zipped else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Not on the console of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    there.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, name="sentry", daemon=True)
    thread.start()
    try:
        yield there
    finally:
        there.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
