"""Verbs that go on until Ctrl-C."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress


async def until_interrupted(following: Coroutine[object, object, None]) -> None:
    """Ctrl-C is how a follower is meant to end: that is no error, and the exit code is 0.

    TERM, and HUP of a terminal that closes, end it in order too: `top` gives the screen back.
    """
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await following
