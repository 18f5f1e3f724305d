"""How long a command takes that answers and ends; beside it, a bare interpreter.

`streamq health` is asked by the probe of a container every few seconds.
"""

import asyncio
import statistics
import sys
import time
from typing import Final

from benchmarks.figures import BenchmarkFault, Better, Figure, Sheet, Side, turned
from benchmarks.harness import Ground
from benchmarks.machine import ROOT

SIDES: Final = (Side.STREAMQ, Side.LIMIT)
_NOTHING: Final = ("-c", "pass")


async def _started(words: tuple[str, ...]) -> float:
    """Ms until that command of the interpreter has ended. Raises BenchmarkFault if it failed."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    took_ms = (time.monotonic() - began) * 1e3
    if process.returncode:
        raise BenchmarkFault(f"{' '.join(words)} ended with {process.returncode}: {said.decode()}")
    return took_ms


async def measure(ground: Ground) -> list[Figure]:
    sheet, pace = Sheet(), ground.pace
    commands: dict[str, tuple[str, ...]] = {
        "streamq --help": ("-m", "streamq", "--help"),
        "streamq health": ("-m", "streamq", "--redis", ground.server.url, "health"),
    }
    for number in range(pace.rounds):
        for name, words in commands.items():
            for side in turned(SIDES, number):
                asked = words if side is Side.STREAMQ else _NOTHING
                took = [await _started(asked) for _ in range(pace.starts)]
                median_ms = statistics.median(took)
                sheet.note(name, "time", "ms", side, median_ms, better=Better.LOWER)
    return sheet.figures()
