"""The health port: /livez, /readyz and /healthz of a daemon, and what is measured of its queues.

What it answers is asked of the daemon by `Answers`, a value taken at that moment; /metrics and
/scale are read from Redis (`measured`).
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from streamq.run.port import JSON, Answer, Asked, Page, Port

NO_PAGES: Final[Mapping[str, Page]] = {}


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


class HealthPort(Port):
    """Listens on loopback, from `open` to `close`."""

    def __init__(
        self, port: int, ask: Callable[[], Answers], more: Mapping[str, Page] = NO_PAGES
    ) -> None:
        self._ask = ask
        own: dict[str, Page] = {
            "/livez": self._live,
            "/readyz": self._ready,
            "/healthz": self._full,
        }
        super().__init__(port, own | dict(more))

    async def _live(self, asked: Asked) -> Answer:
        return _yes_unless(self._ask().not_live)

    async def _ready(self, asked: Asked) -> Answer:
        return _yes_unless(self._ask().not_ready)

    async def _full(self, asked: Asked) -> Answer:
        return Answer(msgspec.json.encode(self._ask().health) + b"\n", kind=JSON)


def _yes_unless(why_not: str) -> Answer:
    if why_not:
        return Answer(why_not.encode() + b"\n", HTTPStatus.SERVICE_UNAVAILABLE)
    return Answer(b"ok\n")
