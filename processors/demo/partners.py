"""Whom the agency is connected with, on this machine: a webhook and a portal, by real HTTP."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import msgspec

from processors.clients.http import BODY_BYTES_MAX

HOOK: Final = "/hook"
PORTAL: Final = "/portal"
LEAD_EMAIL: Final = "interessada@example.com"

# As portals give them; once, for its cursor is its time.
_LEADS: Final = {
    "leads": [
        {
            "originLeadId": "demo-1",
            "timestamp": "2026-01-15T12:00:00Z",
            "leadOrigin": "VivaReal",
            "name": "Beatriz Lima",
            "email": LEAD_EMAIL,
            "ddd": "11",
            "phone": "987654321",
            "message": "Gostaria de visitar o imóvel.",
        }
    ]
}


class Asked(msgspec.Struct, frozen=True):
    """One request; `headers` by their names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Partners(ThreadingHTTPServer):
    """Both, on one port; they listen from the start, and answer while they are `serving`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server_port}"
        self.asked: list[Asked] = []

    def at(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path.partition("?")[0] == path]


class Handler(BaseHTTPRequestHandler):
    server: Partners

    def do_GET(self) -> None:
        leads = {"leads": []} if "since=" in self.path else _LEADS
        self._answer(leads if self.path.startswith(f"{PORTAL}/leads") else {})

    def do_POST(self) -> None:
        self._answer({"status": "success"})

    def do_PUT(self) -> None:
        self._answer({})

    def _answer(self, content: Mapping[str, object]) -> None:
        length = min(int(self.headers.get("content-length", 0)), BODY_BYTES_MAX)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append(Asked(self.path, headers, self.rfile.read(length)))
        answer = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: it is all in `asked`."""


@contextmanager
def serving(partners: Partners) -> Iterator[None]:
    """In a thread, for as long as the block runs."""
    thread = threading.Thread(target=partners.serve_forever, name="partners", daemon=True)
    thread.start()
    try:
        yield
    finally:
        partners.shutdown()
        thread.join()
