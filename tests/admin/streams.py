"""Reading server-sent events off a socket."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from admin.policy import Role
from tests.admin.tokens import bearer

PATH: Final = "/api/admin/jobs/events"
LIMIT_S: Final = 10.0


class Event(NamedTuple):
    """One event, or with an empty name a comment."""

    name: str
    id: str
    data: dict[str, object]


class Stream:
    """An open stream, read event by event."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._buffer = b""
        self.head = self._until(b"\r\n\r\n").decode()

    def next(self) -> Event | None:
        """The next event or comment; None at the end."""
        text = self._until(b"\n\n").decode()
        if not text:
            return None
        fields = dict(line.partition(": ")[::2] for line in text.split("\n"))
        data = json.loads(fields.get("data", "{}"))
        return Event(fields.get("event", ""), fields.get("id", ""), data)

    def changes(self) -> Iterator[dict[str, object]]:
        """The changes of all events that come, until the stream ends."""
        while (event := self.next()) is not None:
            found = event.data.get("changes", [])
            assert isinstance(found, list)
            yield from found

    def _until(self, mark: bytes) -> bytes:
        """What comes before the mark; empty at the end."""
        while mark not in self._buffer:
            part = self._link.recv(65_536)
            if not part:
                return b""
            self._buffer += part
        found, _, self._buffer = self._buffer.partition(mark)
        return found


@contextmanager
def stream(
    port: int, *, role: Role | None = Role.VIEWER, query: str = "", last_id: str = ""
) -> Iterator[Stream]:
    """Asks for the events; HTTP/1.0, so that they come as they are and not in chunks."""
    head = [f"GET {PATH}{query} HTTP/1.0", "Host: 127.0.0.1"]
    if role is not None:
        head.append(f"Authorization: {bearer(role)['Authorization']}")
    if last_id:
        head.append(f"Last-Event-ID: {last_id}")
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as link:
        link.sendall("\r\n".join([*head, "", ""]).encode())
        yield Stream(link)
