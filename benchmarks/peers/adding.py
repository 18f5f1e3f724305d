"""The process that adds: `python -m benchmarks.peers.adding NAME WAY JOBS`.

Standard library only (and uvloop, where the peer may use it). Prints how many seconds it took,
connection and imports not counted.
"""

import asyncio
import contextlib
import importlib
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

URL: Final = "PEERS_URL"
"""The variable that holds Redis's address, with the scheme redis://."""
PAYLOAD: Final = "x" * 48
"""50 bytes, packed; the same as streamq's own benchmark adds."""
SLOTS: Final = 100
"""Jobs at a time, where a peer's documentation sets no better number."""
CALLERS: Final = 50
"""At a time, where there is no bulk add and the queue has to be filled."""
PAUSE_MS: Final = (5, 15)
SEED: Final = 20_261_124


class Adder(Protocol):
    """What a peer's adapter opens to add its jobs."""

    bulk: bool
    """Whether the peer documents a way to add many; else `add_many` is not called."""

    async def add(self, since_ns: int | None = None) -> None:
        """One job, awaited: of `nothing`, or of `since` with that moment."""

    async def add_many(self, jobs: int) -> None:
        """So many jobs of `nothing`, as the documentation says it."""


Opener = Callable[[], AbstractAsyncContextManager[Adder]]


def url() -> str:
    """Redis's address."""
    return os.environ[URL]


async def fill(adder: Adder, jobs: int) -> None:
    """A queue for a drain, the quickest way there is."""
    if adder.bulk:
        await adder.add_many(jobs)
        return
    left = iter(range(jobs))

    async def one_caller() -> None:
        for _ in left:
            await adder.add()

    await asyncio.gather(*[one_caller() for _ in range(CALLERS)])


async def many(adder: Adder, jobs: int) -> None:
    """In bulk."""
    assert adder.bulk, "there is no bulk add"
    await adder.add_many(jobs)


async def singly(adder: Adder, jobs: int) -> None:
    """One after another, each awaited."""
    for _ in range(jobs):
        await adder.add()


async def timed(adder: Adder, jobs: int) -> None:
    """One now and then, to an idle worker."""
    draw = random.Random(SEED)
    for _ in range(jobs):
        await asyncio.sleep(draw.uniform(*PAUSE_MS) / 1000)
        await adder.add(time.monotonic_ns())


WAYS: Final = {way.__name__: way for way in (fill, many, singly, timed)}


async def main(name: str, way: str, jobs: int) -> None:
    adapter = importlib.import_module(f"benchmarks.peers.adapters.{name}")
    open_adder: Opener = adapter.adder
    async with open_adder() as adder:
        began = time.monotonic()
        await WAYS[way](adder, jobs)
        print(time.monotonic() - began)


def fast_loop() -> None:
    """uvloop for this process's asyncio, where the peer's packages have it."""
    with contextlib.suppress(ImportError):
        asyncio.set_event_loop_policy(importlib.import_module("uvloop").EventLoopPolicy())


if __name__ == "__main__":
    fast_loop()
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
