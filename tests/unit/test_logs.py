"""How log lines look, whose job they are of, and that a sink that is held holds nobody up."""

import asyncio
import contextvars
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import pytest

from streamq.errors import InvalidSetting
from streamq.job import NO_RUN, Claim, JobId, Line, WorkerId
from streamq.run.context import Context
from streamq.run.current import RUNNING, worker_name
from streamq.run.logs import ConsoleFormat, JsonFormat, Logs
from streamq.run.sinks import FILE_NAME, LINES_MAX, Descriptor, LogFile, Writer
from streamq.settings import LogFormat
from tests.support.waiting import until

COMPLETED: Final = "[Worker:email] Job %s completed successfully"
ESC, CSI, REVERSED = "\x1b[2K", "\x9b", "\u202e"


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


@pytest.mark.slow
@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_does_not_read_costs_lines_and_no_time(ends: Ends, blocking: bool) -> None:
    os.set_blocking(ends.fd, blocking)
    writer = Writer(Descriptor(ends.fd), str)
    writer.start()

    for _ in range(LINES_MAX * 3):
        writer.put("x" * 100)  # 3 MB: the pipe takes a fiftieth

    assert writer.dropped > 0
    # Now somebody reads: what waited is written, and what was dropped is said.
    until(ends.has("lines were dropped: nobody took them"), "the count of what was dropped")
    said = int(ends.text.partition("[Logs] ")[2].partition(" ")[0])
    assert 0 < said <= writer.dropped
    writer.stop()


def test_a_reader_that_is_gone_ends_nothing() -> None:
    out, into = os.pipe()
    os.close(out)
    writer = Writer(Descriptor(into), str)
    writer.start()

    for _ in range(10):
        writer.put("x")

    writer.stop()
    os.close(into)


# -- the job whose handler logs


def _job() -> Context:
    claim = Claim(
        JobId("abc123"), b"", None, b"1-0", Line("3"), "n", b"ticket", b"|3|1|w", WorkerId("w"), 1
    )
    return Context(
        claim, NO_RUN, queue="email", name="send-email", attempt=2, attempts=3, headers=None,
        state=None,
    )  # fmt: skip


@pytest.fixture
def lines(ends: Ends) -> Iterator[Callable[[], list[Mapping[str, object]]]]:
    """What was logged while the test ran, as JSON."""

    def read() -> list[Mapping[str, object]]:
        until(ends.has("\n"), "a line")
        return [msgspec.json.decode(line) for line in ends.text.splitlines()]

    with Logs("INFO", LogFormat.JSON, ends.fd):
        yield read


async def test_every_line_of_a_handler_has_its_jobs_fields_whoever_logs_it(
    lines: Callable[[], list[Mapping[str, object]]],
) -> None:
    async def handler() -> None:
        RUNNING.set(_job())
        logging.getLogger("somebody.else").info("asked")
        await asyncio.create_task(_logs("from a task of its own"))
        frame = contextvars.copy_context()
        await asyncio.to_thread(lambda: frame.run(logging.getLogger("pool").warning, "in a thread"))

    async def _logs(text: str) -> None:
        logging.getLogger("EmailProcessor").info(text)

    await asyncio.create_task(handler())
    logging.getLogger("somebody.else").info("outside of any")

    await asyncio.to_thread(until, lambda: len(lines()) == 4, "four lines")
    fields = {
        "worker": worker_name(), "queue": "email", "job": "send-email", "job_id": "abc123",
        "attempt": 2, "attempts": 3,
    }  # fmt: skip
    *inside, outside = lines()
    assert [{n: line.get(n) for n in fields} for line in inside] == [fields] * 3
    assert not outside.keys() & fields.keys()


def test_what_a_call_says_of_itself_wins_over_the_jobs_fields() -> None:
    record = _record("EmailProcessor", logging.INFO, "x")
    record.queue = "another"
    token = RUNNING.set(_job())
    try:
        Logs("INFO", LogFormat.JSON)._handlers[0].filter(record)
    finally:
        RUNNING.reset(token)

    fields = msgspec.json.decode(JsonFormat().format(record))

    assert (fields["queue"], fields["job_id"]) == ("another", "abc123")


# -- what others may put into a line


def test_nothing_that_a_terminal_obeys_leaves_by_the_console() -> None:
    bad = f"{ESC}{CSI}{REVERSED}\r\x07\x00\x7fname"

    line = ConsoleFormat(colour=False).format(_record("x", logging.ERROR, "for %s", bad))

    assert line == "[x] for \\x1b[2K\\x9b\\u202e\\r\\x07\\x00\\x7fname"


def test_data_cannot_look_like_another_line() -> None:
    forged = "a\n[Worker:email] Job abc123 completed successfully\rx"

    line = ConsoleFormat(colour=False).format(_record("shop", logging.WARNING, "got %s", forged))

    assert line == ("[shop] got a\n    [Worker:email] Job abc123 completed successfully\\rx")


def test_json_means_the_same_and_holds_nothing_that_a_terminal_obeys() -> None:
    bad = f"{ESC}{CSI}{REVERSED}\n\x7f"

    text = JsonFormat().format(_record("x", logging.ERROR, "for %s", bad))

    assert msgspec.json.decode(text)["msg"] == f"for {bad}"
    assert text.isprintable()


def test_half_a_surrogate_pair_is_no_reason_to_lose_a_line(ends: Ends) -> None:
    for form in LogFormat:
        with Logs("INFO", form, ends.fd):
            logging.getLogger("x").error("name %s", "a\ud800b")

    assert ends.text.count("name a?b") == 2


SECRETS: Final = [
    ("postgres://imobi:hunter2@db/app is away", "hunter2"),
    ("Authorization: Bearer eyJhbGciOi.eyJzdWIiOjEyMzQ.sig", "eyJzdWIiOjEyMzQ"),
    ("{'password': 's3cr3t', 'to': 'ana@sol.example'}", "s3cr3t"),
]


@pytest.mark.parametrize("form", [JsonFormat(), ConsoleFormat(colour=False)])
@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_what_looks_like_a_secret_is_hidden(
    text: str, secret: str, form: logging.Formatter
) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        record = logging.LogRecord("x", logging.INFO, "f.py", 1, "%s", (text,), sys.exc_info())
    record.error = text
    failed = _record("streamq.worker", logging.ERROR, "[Worker:email] Job a failed: %s", text)

    said = form.format(record) + form.format(failed)

    assert secret not in said
    assert said.count("[redacted]") >= 2


def test_an_address_may_be_logged() -> None:
    line = ConsoleFormat(colour=False).format(
        _record("EmailProcessor", logging.INFO, "Sending email to %s", "user@example.com")
    )

    assert line == "[EmailProcessor] Sending email to user@example.com"


# -- a folder of its own


def test_a_folder_takes_all_lines_and_stderr_errors_alone(ends: Ends, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "logs"

    with Logs("INFO", LogFormat.CONSOLE, ends.fd, folder=str(folder)):
        logging.getLogger("streamq").info("[Daemon] one")
        logging.getLogger("streamq").error("[Daemon] two")

    assert (folder / FILE_NAME).read_text() == "[Daemon] one\n[Daemon] two\n"
    assert ends.text == "[Daemon] two\n"


def test_a_file_that_was_moved_away_is_opened_anew_when_told(ends: Ends, tmp_path: Path) -> None:
    file, old = tmp_path / FILE_NAME, tmp_path / "streamq.log.1"

    with Logs("INFO", LogFormat.CONSOLE, ends.fd, folder=str(tmp_path)) as logs:
        logging.getLogger("streamq").info("[Daemon] before")
        until(lambda: file.read_text() != "", "the first line")
        file.rename(old)
        logging.getLogger("streamq").info("[Daemon] between")
        logs.reopen()
        logging.getLogger("streamq").info("[Daemon] after")

    assert old.read_text() == "[Daemon] before\n[Daemon] between\n"
    assert file.read_text() == "[Daemon] after\n"


def test_a_full_disk_costs_lines_that_are_counted_in_the_logs_format(
    ends: Ends, tmp_path: Path
) -> None:
    file = tmp_path / FILE_NAME
    file.symlink_to("/dev/full")

    with Logs("INFO", LogFormat.JSON, ends.fd, folder=str(tmp_path)) as logs:
        logging.getLogger("x").info("lost")
        writer = logs._handlers[1].writer
        until(lambda: writer.dropped == 1, "the loss is counted")
        file.unlink()
        logs.reopen()
        logging.getLogger("x").info("there is room again")

    said = [msgspec.json.decode(line)["msg"] for line in file.read_text().splitlines()]
    assert said == ["there is room again", "[Logs] 1 lines were dropped: nobody took them"]


def test_a_folder_that_cannot_be_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InvalidSetting, match=r"log_dir = .*no file can be opened there"):
        Logs("INFO", LogFormat.CONSOLE, folder=str(tmp_path / "file"))


def test_the_file_is_not_for_everybody(tmp_path: Path) -> None:
    LogFile(tmp_path).close()

    assert (tmp_path / FILE_NAME).stat().st_mode & 0o007 == 0
