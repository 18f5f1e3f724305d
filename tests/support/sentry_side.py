"""The other side of Sentry's SDK: a transport that keeps what was to be sent."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import msgspec
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from streamq import sentry
from streamq.settings import Settings

DSN: Final = "https://abc@sentry.example/1"

Table = Mapping[str, object]


class Sent:
    """What was sent, in the order of its sending."""

    def __init__(self) -> None:
        self._items: list[tuple[str, bytes]] = []

    def take(self, envelope: Envelope) -> None:
        self._items += [(item.type or "", item.get_bytes()) for item in envelope.items]

    @property
    def errors(self) -> list[Table]:
        return self._of("event")

    @property
    def transactions(self) -> list[Table]:
        return self._of("transaction")

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(body.decode() for _, body in self._items)

    def _of(self, kind: str) -> list[Table]:
        return [msgspec.json.decode(body) for each, body in self._items if each == kind]


def recording(sent: Sent) -> type[Transport]:
    """A transport that hands all to `sent`."""

    class Recording(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            sent.take(envelope)

    return Recording


@contextmanager
def started(traces: float = 1.0) -> Iterator[Sent]:
    """Reports are made as with SENTRY_DSN set, and kept here."""
    sent = Sent()
    settings = Settings(sentry_dsn=DSN, sentry_traces=traces)
    assert sentry.start(settings, "v1", transport=recording(sent))
    try:
        yield sent
    finally:
        stop()


def stop() -> None:
    """As if the SDK had never been started."""
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)
    sentry._started = False


def part(table: object, *names: str | int) -> object:
    """What stands in a table of tables and lists, at the end of a path."""
    for name in names:
        if isinstance(name, int):
            assert isinstance(table, list), (name, table)
            table = table[name]
        else:
            assert isinstance(table, Mapping), (name, table)
            table = table[name]
    return table
