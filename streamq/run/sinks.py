"""Where log lines end: a terminal or pipe, or a file; and the thread that writes them there.

Whoever logs hands a line over and goes on: a terminal that is held, a full disk or a hung mount
costs lines, which are counted, and never a worker's time.
"""

import contextlib
import os
import queue
import select
import threading
from collections.abc import Callable
from enum import Enum, StrEnum
from pathlib import Path
from typing import Final, Protocol

LINES_MAX: Final = 10_000  # waiting for a reader that does not read; further ones are counted
FLUSH_LIMIT_S: Final = 1.0  # at the end
FILE_NAME: Final = "streamq.log"
_BATCH_MAX: Final = 200  # lines in one write
_BLOCKED_WAIT_S: Final = 0.5
_FILE_MODE: Final = 0o640
_FOLDER_MODE: Final = 0o750


class Written(StrEnum):
    """What became of lines that were to be written."""

    DONE = "done"
    LOST = "lost"
    """These; the next ones may find room."""
    GONE = "gone"
    """Nobody will ever read again."""


class Sink(Protocol):
    """Used by one thread."""

    def write(self, data: bytes) -> Written: ...
    def reopen(self) -> None: ...
    def close(self) -> None: ...


class Descriptor:
    """An open terminal, pipe or file that is somebody else's."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> Written:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                # A terminal that somebody made non-blocking: wait for it here, in this thread.
                select.select([], [self._fd], [], _BLOCKED_WAIT_S)
            except OSError:
                return Written.GONE
        return Written.DONE

    def reopen(self) -> None:
        """There is nothing to open anew."""

    def close(self) -> None:
        """It is not ours to close."""


class LogFile:
    """`streamq.log` in a folder. All processes of a daemon add to its end, whole lines at a time.

    Raises OSError if it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        self._path = folder / FILE_NAME
        self._fd = self._opened()
        self._torn = False

    def write(self, data: bytes) -> Written:
        # What a full disk cut off must not run into the line that comes after it.
        left = b"\n" + data if self._torn else data
        try:
            while left:
                left = left[os.write(self._fd, left) :]
                self._torn = bool(left)
        except OSError:
            return Written.LOST
        return Written.DONE

    def reopen(self) -> None:
        """The file of that name, which is another one if somebody moved the old one away."""
        with contextlib.suppress(OSError):  # then what is open is better than nothing
            fresh, before = self._opened(), self._fd
            self._fd = fresh
            os.close(before)

    def close(self) -> None:
        os.close(self._fd)

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _FILE_MODE)


class _Word(Enum):
    """What is said to the thread between two lines."""

    END = "end"
    REOPEN = "reopen"


class Writer:
    """Takes lines from any thread without waiting, and writes them to its sink from its own."""

    def __init__(self, sink: Sink, line_of: Callable[[str], str]) -> None:
        """`line_of`: a line of ours, in the log's format, that says how many others were lost."""
        self._sink = sink
        self._line_of = line_of
        self._lines: queue.SimpleQueue[str | _Word] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="streamq-logs", daemon=True)
        self.dropped = 0
        """Lines that found no room, in all."""
        self._unsaid = 0

    def start(self) -> None:
        self._thread.start()

    def put(self, line: str) -> None:
        """Takes a line; when LINES_MAX wait already it is counted instead."""
        if self._lines.qsize() >= LINES_MAX:
            self._lose(1)
        else:
            self._lines.put(line)

    def reopen(self) -> None:
        """The lines from now on go to the file that then has the name."""
        self._lines.put(_Word.REOPEN)

    def stop(self) -> None:
        """Writes what waits, as far as that takes no longer than FLUSH_LIMIT_S."""
        self._lines.put(_Word.END)
        self._thread.join(FLUSH_LIMIT_S)
        if not self._thread.is_alive():
            self._sink.close()

    def _run(self) -> None:
        while True:
            lines, word = self._taken()
            if self._unsaid:
                lost, self._unsaid = self._unsaid, 0
                lines.append(self._line_of(f"[Logs] {lost} lines were dropped: nobody took them"))
            if lines and not self._wrote(lines):
                return
            if word is _Word.REOPEN:
                self._sink.reopen()
            elif word is _Word.END:
                return

    def _taken(self) -> tuple[list[str], _Word | None]:
        """Some lines, up to a word."""
        lines: list[str] = []
        while not lines or (len(lines) < _BATCH_MAX and not self._lines.empty()):
            next_one = self._lines.get()
            if isinstance(next_one, _Word):
                return lines, next_one
            lines.append(next_one)
        return lines, None

    def _wrote(self, lines: list[str]) -> bool:
        """False when nobody will ever read again."""
        written = self._sink.write("\n".join(lines).encode("utf-8", "replace") + b"\n")
        if written is Written.LOST:
            self._lose(len(lines))
        return written is not Written.GONE

    def _lose(self, lines: int) -> None:
        self.dropped += lines
        self._unsaid += lines
