"""Whether a burst is over: nothing waits in the queues, runs, or is due.

What is delayed to a later time, retries among them, is left to a later run; and so is what waits
in a paused queue.
"""

from collections.abc import Iterable
from typing import Final

from streamq.store import reads
from streamq.store.reads import ask
from streamq.store.scripts import Link

EXIT_JOB_FAILED: Final = 5


async def nothing_left(queues: Iterable[Link]) -> bool:
    """Raises StoreError."""
    for at in queues:
        counts = await reads.counts(at)
        if counts.active or (counts.waiting and not counts.paused):
            return False
        if counts.delayed and not counts.paused and await _due(at):
            return False
    return True


async def failures(queues: Iterable[Link]) -> int:
    """How many jobs of these queues ever failed for good. Raises StoreError."""
    return sum([int(await ask(at, "HGET", at.keys.names["stats"], "failed") or 0) for at in queues])


async def _due(at: Link) -> int:
    seconds, micros = await ask(at, "TIME")
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    due: int = await ask(at, "ZCOUNT", at.keys.names["delayed"], "-inf", now_ms)
    return due
