"""How log lines look, and that a reader who does not read holds nobody up."""

import logging
import os
import sys
from collections.abc import Callable, Iterator

import msgspec
import pytest

from streamq.run.logs import LINES_MAX, ConsoleFormat, JsonFormat, Logs, Writer
from streamq.settings import LogFormat
from tests.support.waiting import until

COMPLETED = "[Worker:email] Job %s completed successfully"


class Ends:
    """A pipe: what is written to `fd` is read here."""

    def __init__(self) -> None:
        self._out, self.fd = os.pipe()
        os.set_blocking(self._out, False)
        self._read = b""

    @property
    def text(self) -> str:
        try:
            while data := os.read(self._out, 65_536):
                self._read += data
        except BlockingIOError:
            pass
        return self._read.decode()

    def has(self, text: str) -> Callable[[], bool]:
        return lambda: text in self.text

    def close(self) -> None:
        os.close(self._out)
        os.close(self.fd)


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def _record(logger: str, level: int, message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(logger, level, "f.py", 1, message, args, None)


def test_our_lines_stand_on_the_console_as_they_are() -> None:
    record = _record("streamq.worker", logging.INFO, COMPLETED, "abc123")

    line = ConsoleFormat(colour=False).format(record)

    assert line == "[Worker:email] Job abc123 completed successfully"


def test_lines_of_others_stand_behind_their_name() -> None:
    record = _record("EmailProcessor", logging.INFO, "Sending email to %s", "user@example.com")

    line = ConsoleFormat(colour=False).format(record)

    assert line == "[EmailProcessor] Sending email to user@example.com"


def test_only_warnings_and_errors_have_a_colour() -> None:
    form = ConsoleFormat(colour=True)

    assert form.format(_record("streamq", logging.INFO, "x")) == "x"
    assert form.format(_record("streamq", logging.WARNING, "x")) == "\x1b[33mx\x1b[0m"
    assert form.format(_record("streamq", logging.ERROR, "x")) == "\x1b[31mx\x1b[0m"


def test_json_has_the_fields_that_were_given_and_no_others() -> None:
    record = _record("streamq.worker", logging.INFO, COMPLETED, "abc123")
    vars(record).update(
        event="job.completed", queue="email", job_id="abc123", run_ms=38, secret="payload"
    )

    fields = msgspec.json.decode(JsonFormat().format(record))

    assert list(fields) == ["ts", "level", "logger", "msg", "event", "queue", "job_id", "run_ms"]
    assert fields["run_ms"] == 38
    assert fields["ts"].endswith("Z")


def test_a_traceback_comes_along() -> None:
    try:
        raise ValueError("no such template")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f.py", 1, "failed", (), sys.exc_info())

    assert "ValueError: no such template" in ConsoleFormat(colour=False).format(record)
    assert (
        "ValueError: no such template"
        in msgspec.json.decode(JsonFormat().format(record))["traceback"]
    )


def test_everything_that_is_logged_leaves_by_the_writer(ends: Ends) -> None:
    before = list(logging.getLogger().handlers)

    with Logs("INFO", LogFormat.CONSOLE, ends.fd):
        logging.getLogger("streamq.daemon").info("[Daemon] one")
        logging.getLogger("streamq.daemon").debug("[Daemon] not asked for")
        logging.getLogger("shop").warning("two")

    assert ends.text == "[Daemon] one\n[shop] two\n"
    assert logging.getLogger().handlers == before


def test_debug_is_switched_on_and_back() -> None:
    with Logs("WARNING", LogFormat.CONSOLE, sys.stderr.fileno()) as logs:
        assert logs.toggle_debug() == "DEBUG"
        assert logging.getLogger().level == logging.DEBUG
        assert logs.toggle_debug() == "WARNING"


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_does_not_read_costs_lines_and_no_time(ends: Ends, blocking: bool) -> None:
    os.set_blocking(ends.fd, blocking)
    writer = Writer(ends.fd)
    writer.start()

    for _ in range(LINES_MAX * 3):
        writer.put("x" * 100)  # 3 MB: the pipe takes a fiftieth

    assert writer.dropped > 0
    # Now somebody reads: what waited is written, and what was dropped is said.
    until(ends.has("lines were dropped: nobody read them"), "the count of what was dropped")
    said = int(ends.text.partition("[Logs] ")[2].partition(" ")[0])
    assert 0 < said <= writer.dropped
    writer.stop()


def test_a_reader_that_is_gone_ends_nothing() -> None:
    out, into = os.pipe()
    os.close(out)
    writer = Writer(into)
    writer.start()

    for _ in range(10):
        writer.put("x")

    writer.stop()
    os.close(into)
