"""What a queue needs of the App that it belongs to."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from streamq.clock import Clock
from streamq.handlers import Registry
from streamq.job import NewJob as SealedJob
from streamq.session import Session
from streamq.settings import JobDefaults

Recorder = Callable[[str, Sequence[SealedJob]], Sequence[bool]]
"""Takes the jobs of a queue in Redis's stead, for tests: for each, whether its id existed."""


class Home(Protocol):
    """The App, as its queues and handles see it."""

    name: str
    handlers: Registry
    clock: Clock
    recorder: Recorder | None
    version: int
    """Rises with each change of handlers or settings: what was derived from them is stale then."""

    def session(self) -> Session: ...
    def knows_queue(self, queue: str) -> bool: ...
    def queue_names(self) -> list[str]: ...
    def queue_settings(self, queue: str) -> JobDefaults: ...


def now_ms(home: Home, queue: str) -> int:
    """Redis's clock, as far as this process knows it; its own where nothing is sent."""
    moved = home.clock.now_ms()
    if moved is not None:
        return moved
    if home.recorder is not None:
        return time.time_ns() // 1_000_000
    return home.session().producer(queue).now_ms()
