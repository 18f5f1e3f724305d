"""Asking Redis who somebody is, with a patience shorter than that of whoever asks us.

A server that does not answer must not hold up the answer that says so. A call that was given up
runs to its own end all the same: cancelled with its reply open, it would take the connection from
everybody.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Final, TypeVar

from starlette.requests import Request

from streamq.errors import OutcomeUnknown, StoreError

PATIENCE_S: Final = 0.4
"""For all that a request asks before its handler begins: a scrape is to be answered in a second."""
FIRST_PATIENCE_S: Final = 2.0
"""Until it has answered once: a connection has to be made first, with TLS maybe."""
AWAY_S: Final = 1.0
"""So long after a call without an answer no other is tried."""

_AWAY: Final = "redis_away"

T = TypeVar("T")


class Reach:
    """Redis, within reach or not."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._answered = False
        self._away_until_s = 0.0
        self._given_up: set[asyncio.Task[object]] = set()

    async def __call__(self, call: Coroutine[object, object, T]) -> T:
        """What the call gives. Raises StoreError, OutcomeUnknown also for what takes too long."""
        if time.monotonic() < self._away_until_s:
            call.close()
            raise OutcomeUnknown("read", "Redis did not answer a moment ago")
        asked = asyncio.create_task(call)
        limit_s = self._patience_s if self._answered else max(self._patience_s, FIRST_PATIENCE_S)
        done, _ = await asyncio.wait([asked], timeout=limit_s)
        if done:
            result = asked.result()
            self._answered = True
            return result
        self._away_until_s = time.monotonic() + AWAY_S
        self._given_up.add(asked)
        asked.add_done_callback(self._forget)
        raise OutcomeUnknown("read", f"no answer within {limit_s:g} s")

    def _forget(self, asked: asyncio.Task[object]) -> None:
        self._given_up.discard(asked)
        if not asked.cancelled() and not isinstance(asked.exception(), StoreError | None):
            asked.result()  # a bug of ours is not to be lost: the loop reports it


def mark_away(request: Request) -> None:
    """Redis did not answer to who this is."""
    setattr(request.state, _AWAY, True)


def is_away(request: Request) -> bool:
    """Whether it did not: what is asked next of this request's would not be answered either."""
    return bool(getattr(request.state, _AWAY, False))
