"""What a worker process's handlers did: counted in a file that the benchmark maps as well.

Standard library only: it is loaded by every peer. A count costs a quarter of a microsecond, the
same for all, and needs no command to Redis. Threads and processes that fork may share one.
"""

import mmap
import os
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

FILE: Final = "PEERS_TALLY"
"""The variable that names the file."""
SAMPLES_MAX: Final = 4_096
_RAN, _FIRST_NS, _LAST_NS, _SAMPLES = range(4)
_CELLS: Final = _SAMPLES + SAMPLES_MAX
CELL_BYTES: Final = 8


class Tally:
    """Cells of 64 bits: how many ran, when the first and the last did, and what each sampled."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._cells = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
        self._lock = threading.Lock()

    @classmethod
    def empty(cls, path: Path) -> "Tally":
        path.write_bytes(bytes(_CELLS * CELL_BYTES))
        return cls(path)

    # -- in the worker

    def nothing(self, data: str) -> None:
        """One job that does nothing has run."""
        now_ns = time.monotonic_ns()
        with self._lock:
            self._count(now_ns)

    def since(self, added_ns: int) -> None:
        """One job has run that was added at that monotonic time."""
        now_ns = time.monotonic_ns()
        with self._lock:
            if (ran := self._cells[_RAN]) < SAMPLES_MAX:
                self._cells[_SAMPLES + ran] = now_ns - added_ns
            self._count(now_ns)

    def _count(self, now_ns: int) -> None:
        cells = self._cells
        if not cells[_FIRST_NS]:
            cells[_FIRST_NS] = now_ns
        cells[_LAST_NS] = now_ns
        cells[_RAN] += 1  # last: who reads it finds the times there

    # -- in the benchmark

    @property
    def ran(self) -> int:
        """How many handlers have run."""
        return self._cells[_RAN]

    @property
    def seconds(self) -> float:
        """From the first handler's call to the last one's."""
        return (self._cells[_LAST_NS] - self._cells[_FIRST_NS]) / 1e9

    @property
    def samples_ms(self) -> Sequence[float]:
        """The time from add to call of each `since`, in the order in which they ran."""
        return [ns / 1e6 for ns in self._cells[_SAMPLES : _SAMPLES + self.ran]]


@cache
def tally() -> Tally:
    """The tally of this worker, as the benchmark named it."""
    return Tally(Path(os.environ[FILE]))
