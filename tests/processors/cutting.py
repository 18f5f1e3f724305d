"""Attempts of a job that are cut short at any of their awaits, as a kill does, but for clean-up."""

import asyncio
import contextlib
import itertools
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Final

AWAITS_MAX: Final = 1_000
Attempt = Callable[[], Coroutine[object, None, object]]


async def cut(work: Coroutine[object, None, object], awaits: int) -> bool:
    """Runs it up to the end of that many awaits, and cancels it before it hears of the last one's
    result. Whether it came that far.
    """
    came_there: list[bool] = []
    run = asyncio.create_task(_counted(work, awaits, came_there))
    with contextlib.suppress(asyncio.CancelledError):
        await run
    return bool(came_there)


async def _counted(
    work: Coroutine[object, None, object], awaits: int, came_there: list[bool]
) -> None:
    await _steps(work, awaits, came_there)


@types.coroutine
def _steps(
    work: Coroutine[object, None, object], awaits: int, came_there: list[bool]
) -> Generator[object, None, None]:
    given: asyncio.CancelledError | None = None
    with contextlib.suppress(StopIteration):
        for count in itertools.count():
            if count == awaits:
                came_there.append(True)
                own = asyncio.current_task()
                assert own is not None
                # A real one, which time limits and groups inside can tell from one of their own.
                own.cancel()
                given = yield from _passed(None)
            given = yield from _passed(work.send(None) if given is None else work.throw(given))


@types.coroutine
def _passed(waiting: object) -> Generator[object, None, asyncio.CancelledError | None]:
    """Waits for what the work waits for; what it is to be told of instead."""
    try:
        yield waiting
    except asyncio.CancelledError as error:
        return error
    return None


async def each_await(attempts: Callable[[int], Attempt], step: int = 1) -> AsyncIterator[int]:
    """For 0, 1, 2, ... awaits: an attempt that is cut there and a whole one after it, then the
    number, for what is to be looked at. `step`: leaves some out, where there are many.
    """
    for awaits in itertools.count(0, step):
        assert awaits <= AWAITS_MAX
        attempt = attempts(awaits)
        came_there = await cut(attempt(), awaits)
        await attempt()
        yield awaits
        if not came_there:
            return
