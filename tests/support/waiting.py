"""Waiting for a state, with a limit: what tests do instead of sleeping for luck."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

LOOK_EVERY_S: Final = 0.01


def until(state: Callable[[], bool], what: str, *, limit_s: float = 10.0) -> None:
    """Returns once `state()` is true; after the limit, fails the test and names `what`."""
    deadline = time.monotonic() + limit_s
    while not state():
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(LOOK_EVERY_S)


async def soon(
    state: Callable[[], bool | Awaitable[bool]], what: str, *, limit_s: float = 10.0
) -> None:
    """The same in a coroutine; `state` may be one too."""
    deadline = time.monotonic() + limit_s
    while True:
        seen = state()
        if seen if isinstance(seen, bool) else await seen:
            return
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        await asyncio.sleep(LOOK_EVERY_S)
