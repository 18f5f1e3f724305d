"""How log lines look, whose job they are of, and where they go.

Two formats: the console's, `[Component] what happened`, as it was written by whoever logged it; and
JSON, one object a line with the fields of `EVENT_FIELDS`. Both to stderr; with a folder given, to a
file in it, and stderr gets errors alone. What others could have put into a line is made harmless,
and what looks like a secret is hidden.
"""

import contextlib
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from streamq.errors import InvalidSetting
from streamq.harmless import harmless, harmless_json
from streamq.redact import redact_text
from streamq.run.current import RUNNING, worker_name
from streamq.run.sinks import Descriptor, LogFile, Sink, Writer
from streamq.settings import LogFormat

LINE_CHARS_MAX: Final = 32_000

EVENT_FIELDS: Final = (
    "event", "worker", "queue", "job", "job_id", "attempt", "attempts", "wait_ms", "run_ms",
    "error", "trace_id", "span_id",
)  # fmt: skip
"""What a log call may give as `extra`; `event` is a stable key such as job.completed. Those of the
job whose handler logs are there by themselves."""

_OURS: Final = "streamq"
_INDENT: Final = "\n    "
_COLOURS: Final = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m"}
_PLAIN: Final = "\x1b[0m"

# What the arguments of somebody's log call may raise when they are asked for their text.
_UNSHOWABLE: Final = (
    TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError, OSError,
    msgspec.MsgspecError,
)  # fmt: skip


class JobFields(logging.Filter):
    """Gives each record the fields of the job in whose handler it was logged, by any logger.

    For handlers of an application's own too: `handler.addFilter(JobFields())`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        job = RUNNING.get()
        if job is not None:
            given = vars(record)
            given.setdefault("worker", worker_name())
            given.setdefault("queue", job.queue)
            given.setdefault("job", job.name)
            given.setdefault("job_id", job.id)
            given.setdefault("attempt", job.attempt)
            given.setdefault("attempts", job.attempts)
        return True


class JsonFormat(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "ts": _stamp(record),
            "level": record.levelname,
            "logger": record.name,
            "msg": _text_of(record),
        }
        for name in EVENT_FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                fields[name] = value if isinstance(value, int | float) else _shown(str(value))
        if record.exc_info and record.exc_info[1]:
            fields["traceback"] = _traceback_of(record.exc_info[1])
        return harmless_json(msgspec.json.encode(fields).decode())


class ConsoleFormat(logging.Formatter):
    """Our own lines as they are written; those of others behind the name of their logger.

    What goes on in a second line is indented: one that begins at the margin is always a record's
    first, so that nobody's data can look like one.
    """

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        text = _text_of(record)
        if record.name.partition(".")[0] != _OURS:
            text = f"[{record.name}] {text}"
        if record.exc_info and record.exc_info[1]:
            text += "\n" + _traceback_of(record.exc_info[1])
        if not text.isprintable():
            text = _INDENT.join(harmless(line) for line in text.split("\n"))
        if self._colour and record.levelno >= logging.WARNING:
            shade = _COLOURS[logging.ERROR if record.levelno >= logging.ERROR else logging.WARNING]
            text = f"{shade}{text}{_PLAIN}"
        return text


def _stamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text_of(record: logging.LogRecord) -> str:
    text = record.getMessage()
    # Ours say ids, names and numbers; only what went wrong tells what somebody else wrote. At two
    # lines a job, to look through those too would cost more than all the rest of a line.
    if record.levelno < logging.WARNING and record.name.partition(".")[0] == _OURS:
        return _whole(text[:LINE_CHARS_MAX])
    return _shown(text)


def _traceback_of(error: BaseException) -> str:
    # The end of it: there stands what was raised.
    text = "".join(traceback.format_exception(error)).rstrip()
    return redact_text(_whole(text[-LINE_CHARS_MAX:]))


def _shown(text: str) -> str:
    return redact_text(_whole(text[:LINE_CHARS_MAX]))


def _whole(text: str) -> str:
    """Without half surrogate pairs, which no bytes can carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class _LineHandler(logging.Handler):
    """Formats where the line is logged (its arguments may change later) and hands it on."""

    def __init__(self, sink: Sink, form: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(form)
        self.addFilter(JobFields())
        self.writer = Writer(sink, self._line_of)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except _UNSHOWABLE:
            self.handleError(record)
        else:
            self.writer.put(line)

    def _line_of(self, text: str) -> str:
        return self.format(
            logging.LogRecord(f"{_OURS}.logs", logging.WARNING, "", 0, text, (), None)
        )


class Logs:
    """The log of this process while it is entered: everything that `logging` is told goes here."""

    def __init__(
        self, level: str, form: LogFormat, fd: int | None = None, *, folder: str | None = None
    ) -> None:
        """`fd`: instead of stderr. Raises InvalidSetting for a folder that no file is opened in."""
        out = sys.stderr.fileno() if fd is None else fd
        self._handlers = [
            _LineHandler(Descriptor(out), _formatter(form, colour=_wants_colour(out)))
        ]
        if folder is not None:
            self._handlers[0].setLevel(logging.ERROR)
            file = _LineHandler(_file_in(folder), _formatter(form, colour=False))
            self._handlers.append(file)
        self._level = level
        self._before: tuple[int, list[logging.Handler]] = (logging.WARNING, [])

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._before = (root.level, list(root.handlers))
        root.handlers[:] = self._handlers
        root.setLevel(self._level)
        for handler in self._handlers:
            handler.writer.start()
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
        for handler in self._handlers:
            handler.writer.stop()

    def reopen(self) -> None:
        """The file was moved away, or is to be: lines from now on go to one of the old name."""
        for handler in self._handlers:
            handler.writer.reopen()

    def toggle_debug(self) -> str:
        """Debug logging on, or back to the level before; the level that holds now."""
        root = logging.getLogger()
        level = self._level if root.level == logging.DEBUG else "DEBUG"
        root.setLevel(level)
        return level


def _file_in(folder: str) -> LogFile:
    try:
        return LogFile(Path(folder))
    except OSError as error:
        why = f"no file can be opened there: {error.strerror}. Give a folder that we may write to."
        raise InvalidSetting("log_dir", folder, "LOG_DIR", why) from error


def _formatter(form: LogFormat, *, colour: bool) -> logging.Formatter:
    return JsonFormat() if form is LogFormat.JSON else ConsoleFormat(colour=colour)


def _wants_colour(fd: int) -> bool:
    with contextlib.suppress(OSError):
        return os.isatty(fd) and "NO_COLOR" not in os.environ
    return False


def set_level(level: str) -> None:
    logging.getLogger().setLevel(level)
