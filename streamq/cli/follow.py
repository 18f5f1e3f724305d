"""Verbs that go on until Ctrl-C."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress


async def until_interrupted(following: Coroutine[object, object, None]) -> None:
    """Ctrl-C is how a follower is meant to end: that is no error, and the exit code is 0."""
    with suppress(asyncio.CancelledError):
        await following
