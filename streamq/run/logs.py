"""How log lines look, and how they leave: by a thread, so that a blocked terminal stops nobody.

Two formats: the console's, one line of text, `[Component] what happened`, as it was written by
whoever logged it; and JSON, one object a line with the fields of `EVENT_FIELDS`. Both go to stderr.
"""

import contextlib
import logging
import os
import queue
import select
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import msgspec

from streamq.settings import LogFormat

LINES_MAX: Final = 10_000  # waiting for a reader that does not read; further ones are counted
LINE_CHARS_MAX: Final = 32_000
FLUSH_LIMIT_S: Final = 1.0  # at the end
_BATCH_MAX: Final = 200  # lines in one write
_BLOCKED_WAIT_S: Final = 0.5

EVENT_FIELDS: Final = (
    "event", "worker", "queue", "job", "job_id", "attempt", "attempts", "wait_ms", "run_ms",
    "error", "trace_id", "span_id",
)  # fmt: skip
"""What a log call may give as `extra`; `event` is a stable key such as job.completed."""

_OURS: Final = "streamq"
_COLOURS: Final = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m"}
_PLAIN: Final = "\x1b[0m"


def _stamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormat(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "ts": _stamp(record),
            "level": record.levelname,
            "logger": record.name,
            "msg": record.getMessage()[:LINE_CHARS_MAX],
        }
        for name in EVENT_FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                fields[name] = value if isinstance(value, int | float) else str(value)
        if record.exc_info and record.exc_info[1]:
            fields["traceback"] = _traceback_of(record.exc_info[1])
        return msgspec.json.encode(fields).decode()


class ConsoleFormat(logging.Formatter):
    """Our own lines as they are written; those of others behind the name of their logger."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()[:LINE_CHARS_MAX]
        if record.name.partition(".")[0] != _OURS:
            text = f"[{record.name}] {text}"
        if record.exc_info and record.exc_info[1]:
            text += "\n" + _traceback_of(record.exc_info[1])
        if self._colour and record.levelno >= logging.WARNING:
            shade = _COLOURS[logging.ERROR if record.levelno >= logging.ERROR else logging.WARNING]
            text = f"{shade}{text}{_PLAIN}"
        return text


def _traceback_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()[-LINE_CHARS_MAX:]


class Writer:
    """Takes lines from any thread without waiting, and writes them to `fd` from one of its own."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="streamq-logs", daemon=True)
        self.dropped = 0
        """Lines that found no room, in all."""
        self._unsaid = 0

    def start(self) -> None:
        self._thread.start()

    def put(self, line: str) -> None:
        """Takes a line; when LINES_MAX wait already it is counted instead."""
        if self._lines.qsize() >= LINES_MAX:
            self.dropped += 1
            self._unsaid += 1
        else:
            self._lines.put(line)

    def stop(self) -> None:
        """Writes what waits, as far as that takes no longer than FLUSH_LIMIT_S."""
        self._lines.put(None)
        self._thread.join(FLUSH_LIMIT_S)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch = [self._lines.get()]
            while len(batch) < _BATCH_MAX and not self._lines.empty():
                batch.append(self._lines.get())
            ended = None in batch
            lines = [line for line in batch if line is not None]
            if self._unsaid:
                lost, self._unsaid = self._unsaid, 0
                lines.append(f"[Logs] {lost} lines were dropped: nobody read them")
            if lines and not self._write("\n".join(lines).encode("utf-8", "replace") + b"\n"):
                return

    def _write(self, data: bytes) -> bool:
        """False when nobody will ever read again."""
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                # A terminal that somebody made non-blocking: wait for it here, in this thread.
                select.select([], [self._fd], [], _BLOCKED_WAIT_S)
            except OSError:
                return False
        return True


class _LineHandler(logging.Handler):
    """Formats where the line is logged (its arguments may change later) and hands it on."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except (TypeError, ValueError, msgspec.MsgspecError):
            self.handleError(record)
        else:
            self._writer.put(line)


class Logs:
    """The log of this process while it is entered: everything that `logging` is told goes here."""

    def __init__(self, level: str, form: LogFormat, fd: int | None = None) -> None:
        self._fd = sys.stderr.fileno() if fd is None else fd
        self.writer = Writer(self._fd)
        self._handler = _LineHandler(self.writer)
        self._handler.setFormatter(_formatter(form, self._fd))
        self._level = level
        self._before: tuple[int, list[logging.Handler]] = (logging.WARNING, [])

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._before = (root.level, list(root.handlers))
        root.handlers[:] = [self._handler]
        root.setLevel(self._level)
        self.writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        root = logging.getLogger()
        root.handlers[:] = self._before[1]
        root.setLevel(self._before[0])
        self.writer.stop()

    def toggle_debug(self) -> str:
        """Debug logging on, or back to the level before; the level that holds now."""
        root = logging.getLogger()
        level = self._level if root.level == logging.DEBUG else "DEBUG"
        root.setLevel(level)
        return level


def _formatter(form: LogFormat, fd: int) -> logging.Formatter:
    if form is LogFormat.JSON:
        return JsonFormat()
    terminal = False
    with contextlib.suppress(OSError):
        terminal = os.isatty(fd)
    return ConsoleFormat(colour=terminal and "NO_COLOR" not in os.environ)


def set_level(level: str) -> None:
    logging.getLogger().setLevel(level)
