"""Reading several queues at once, and Redis with a patience of our own."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Final, TypeVar

from streamq.errors import StoreError

T = TypeVar("T")

PATIENCE_S: Final = 2.0
"""What `health`, `redis` and `stats` wait for: longer, and whoever asks takes us for dead too."""


class Unanswered(StoreError):
    """It took longer than our patience."""

    def __init__(self) -> None:
        super().__init__(f"Redis does not answer within {PATIENCE_S:g} s.")


async def together(calls: Iterable[Awaitable[T]]) -> list[T]:
    """The results of all, in their order. Each runs to its end even if another failed: one that is
    cancelled with its reply open would take the connection from everybody."""
    found: list[T] = []
    for each in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(each, BaseException):
            raise each
        found.append(each)
    return found


async def patiently(call: Coroutine[object, object, T]) -> T:
    """Raises StoreError, also for what takes too long; that goes on to its own end all the same."""
    asked = asyncio.create_task(call)
    done, _ = await asyncio.wait([asked], timeout=PATIENCE_S)
    if not done:
        _given_up.add(asked)
        asked.add_done_callback(_forget)
        raise Unanswered()
    return asked.result()


_given_up: set[asyncio.Task[object]] = set()


def _forget(asked: asyncio.Task[object]) -> None:
    _given_up.discard(asked)
    if not asked.cancelled():
        asked.exception()  # Redis was away, and that was said


def away(error: StoreError) -> str:
    """Why Redis does not answer, as a sentence without its code."""
    return str(error).removeprefix(f"{error.code} ")
