"""Programs that are fed, on both event loops that a worker may have."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

import pytest
import uvloop

from processors.backups.running import running

Run = Callable[[Coroutine[None, None, int]], int]
LOOPS: Final[tuple[Run, ...]] = (asyncio.run, uvloop.run)


async def fed() -> int:
    """A program that has read enough, and ends."""
    async with running(["/usr/bin/env", "head", "-c", "500"], {}, fed=True) as program:
        reading = asyncio.create_task(program.read())
        for _ in range(40):
            await program.feed(b"x" * 1_000)  # too little for a drain to wait, and to hear of it
            await asyncio.sleep(0.005)
        assert await reading == b"x" * 500
        return await program.ended()


@pytest.mark.parametrize("run", LOOPS)
def test_what_a_program_reads_no_more_is_not_sent_to_it(run: Run) -> None:
    assert run(fed()) == 0
