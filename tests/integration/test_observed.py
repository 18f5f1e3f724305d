"""Real processes, as whoever operates them sees them: metrics, logs, Sentry."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamq.embedded import EmbeddedServer
from streamq.run.sinks import FILE_NAME
from tests.support import apt, prometheus
from tests.support.command_line import CommandLine
from tests.support.sentry_endpoint import endpoint
from tests.support.waiting import until

pytestmark = pytest.mark.slow

LIMIT_S: Final = 30.0
TOKEN: Final = "a-token-of-some-length"
MAIL: Final = '"ana@sol.example"'
NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})

APP: Final = """\
import logging

from streamq import App
from streamq.metrics import counter

app = App("observed")
app.declare_queue("other")
app.schedule("tick", queue="other", job="nothing", every="1s")
MAILS = counter(app, "shop_mails_total", "Mails handed over.", labels=("template",))
log = logging.getLogger("EmailProcessor")


@app.job("email")
async def welcome(data: str) -> None:
    log.info("Sending email to %s", data)
    await MAILS.inc(template="welcome")


@app.job("email", attempts=1)
async def bounce(data: dict[str, str]) -> None:
    raise ValueError("no such mailbox")
"""


@pytest.fixture
def line(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    (tmp_path / "observed.py").write_text(APP)
    (tmp_path / "streamq.toml").write_text('app = "observed:app"\ngrace = "5s"\n')
    return CommandLine(server.url, prefix, tmp_path)


class Running:
    """A command that goes on."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def says(self, text: str) -> None:
        until(lambda: text in self.log, f"{text!r} in the log", limit_s=LIMIT_S)

    def port_of(self, page: str) -> int:
        """Of the line that says where that page is."""
        self.says(f"{page}\n")
        (found,) = [each for each in self.log.splitlines() if each.endswith(page)]
        return int(found.removesuffix(page).rpartition(":")[2])

    def ends(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


@contextmanager
def _running(
    line: CommandLine, *words: str, says: str, variables: Mapping[str, str] = NO_VARIABLES
) -> Iterator[Running]:
    log = line.folder / f"{words[0]}.log"
    running = Running(line.start(*words, log=log, variables=variables), log)
    family = [running.process.pid]
    try:
        running.says(says)
        family += [p.pid for p in psutil.Process(running.process.pid).children(True)]
        yield running
        until(lambda: not any(map(psutil.pid_exists, family[1:])), "all ended", limit_s=LIMIT_S)
    finally:
        running.process.kill()
        running.process.wait()


def _get(url: str, *, token: str = "") -> tuple[int, str]:
    asked = urllib.request.Request(url)
    if token:
        asked.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def _value(text: str, name: str, **labels: str) -> float:
    """The sum of the series of that name that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def _add(line: CommandLine, name: str, payload: str, times: int) -> None:
    done = line.run("add", "email", name, "-", stdin=f"{payload}\n" * times)
    assert done.code == 0, done.err


def _has_done(line: CommandLine, count: int, state: str = "completed") -> Callable[[], bool]:
    def done() -> bool:
        queues = line.run("queues", "--json").records()
        return [queue[state] for queue in queues if queue["queue"] == "email"] == [count]

    return done


def _fires(text: str) -> float:
    return _value(text, "streamq_schedule_fires_total", schedule="tick")


# -- ports


def test_a_daemon_tells_prometheus_and_an_autoscaler_how_it_is(line: CommandLine) -> None:
    words = ("run", "-q", "email=5", "--health-port", "0", "--metrics-port", "0")
    with _running(line, *words, says="initialized") as daemon:
        _add(line, "welcome", MAIL, 2)
        for _ in range(2):
            line.run("add", "email", "welcome", MAIL, "--id", "once")
        until(_has_done(line, 3), "three jobs are done", limit_s=LIMIT_S)
        health, own = daemon.port_of("/healthz"), daemon.port_of("/metrics")
        until(
            lambda: _value(_get(f"http://127.0.0.1:{own}/metrics")[1], "shop_mails_total") == 3,
            "all three are counted",
        )
        until(
            lambda: _fires(_get(f"http://127.0.0.1:{own}/metrics")[1]) >= 1,
            "the app's schedule fired, in the same process",
            limit_s=LIMIT_S,
        )

        until(
            lambda: all(
                _value(
                    _get(f"http://127.0.0.1:{port}/metrics")[1],
                    "streamq_script_seconds_count", script="step",
                ) > 0
                for port in (health, own)
            ),
            "the child has told its calls", limit_s=LIMIT_S,
        )  # fmt: skip
        texts = [_get(f"http://127.0.0.1:{port}/metrics")[1] for port in (health, own)]
        scale = _get(f"http://127.0.0.1:{health}/scale/email")
        nobody = _get(f"http://127.0.0.1:{health}/scale/emial")
        forged = _get(f"http://127.0.0.1:{health}/scale/e%7Bx%7D")
        assert daemon.ends() == 0

    child = {"queue": "email", "worker": f"{os.uname().nodename}:{_child_of(texts[0])}"}
    for text in texts:
        assert _value(text, "streamq_jobs_finished_total", job="welcome", outcome="completed") == 3
        assert _value(text, "streamq_queue_workers", queue="email") == 1
        assert _value(text, "streamq_worker_slots", **child) == 5
        assert _value(text, "streamq_worker_resident_bytes", worker=child["worker"]) > 1 << 20
        assert _value(text, "streamq_worker_loop_lag_seconds") < 5
        assert _value(text, "shop_mails_total", template="welcome") == 3
        assert _value(text, "streamq_jobs_deduplicated_total", job="welcome") == 1
        assert _value(text, "streamq_redis_reconnects_total") == 0
        # The children's calls, and the daemon's own.
        assert _value(text, "streamq_script_seconds_count", script="step") > 0
        assert _value(text, "streamq_script_seconds_count", script="beat") > 0
    coming_s = _value(texts[1], "streamq_schedule_next_fire_timestamp_seconds", schedule="tick")
    last_s = _value(texts[1], "streamq_schedule_last_fire_timestamp_seconds", schedule="tick")
    assert coming_s == last_s + 1
    assert scale == (200, '{"queue":"email","backlog":0,"wanted":0,"wait_seconds":0.0}\n')
    assert nobody == (404, "nobody ever used a queue of that name\n")
    assert forged[0] == 404


def _child_of(text: str) -> str:
    """The process id in the name of the one worker that there is."""
    (name,) = {
        sample.labels["worker"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "streamq_worker_busy"
    }
    return name.rpartition(":")[2]


def test_an_exporter_needs_no_app_and_ends_in_order(line: CommandLine) -> None:
    line.run("add", "email", "welcome", MAIL)
    (line.folder / "streamq.toml").unlink()

    with _running(line, "exporter", "--port", "0", says="/metrics\n") as exporter:
        port = exporter.port_of("/metrics")
        status, text = _get(f"http://127.0.0.1:{port}/metrics")
        scale = _get(f"http://127.0.0.1:{port}/scale/email")
        livez = _get(f"http://127.0.0.1:{port}/livez")
        again = line.run("exporter", "--port", str(port))
        assert exporter.ends() == 0

    assert status == 200
    assert _value(text, "streamq_jobs", queue="email", state="waiting") == 1
    assert msgspec.json.decode(scale[1])["wanted"] == 1
    assert livez == (200, "ok\n")
    assert again.code == 2
    assert again.err.startswith(f"SQ602 Port {port} is in use")


def test_an_exporter_for_other_machines_shows_nothing_without_the_token(line: CommandLine) -> None:
    bare = line.run("exporter", "--host", "0.0.0.0", "--port", "0")
    short = line.run("exporter", "--port", "0", variables={"METRICS_TOKEN": "short"})
    words, variables = ("exporter", "--host", "0.0.0.0", "--port", "0"), {"METRICS_TOKEN": TOKEN}
    with _running(line, *words, says="/metrics\n", variables=variables) as exporter:
        url = f"http://127.0.0.1:{exporter.port_of('/metrics')}"
        answers = [
            _get(f"{url}/metrics"),
            _get(f"{url}/scale/email", token="x" + TOKEN),
            _get(f"{url}/livez"),
            _get(f"{url}/metrics", token=TOKEN),
        ]
        assert exporter.ends() == 0

    assert bare.code == 2
    assert bare.err.startswith("SQ502 Refusing to listen on 0.0.0.0 without authentication.")
    assert (short.code, "short" in short.err) == (2, False)
    assert [status for status, _ in answers] == [401, 401, 200, 200]
    assert "streamq" not in answers[0][1]


@pytest.mark.timeout(apt.LIMIT_S + 60)  # it may have to be installed first
def test_a_real_prometheus_scrapes_daemon_and_exporter_and_they_agree(
    line: CommandLine, capfd: pytest.CaptureFixture[str]
) -> None:
    program = prometheus.find()
    if program is None:
        missing = "Prometheus is not here: on Debian: apt-get install prometheus"
        with capfd.disabled():
            print(f"\n!!! SKIPPED: {missing}", flush=True)
        pytest.skip(missing)
    run = ("run", "-q", "email", "--health-port", "0")
    token = {"METRICS_TOKEN": TOKEN}
    with (
        _running(line, *run, says="initialized") as daemon,
        _running(line, "exporter", "--port", "0", says="/metrics\n", variables=token) as exporter,
    ):
        _add(line, "welcome", MAIL, 4)
        until(_has_done(line, 4), "all jobs are done", limit_s=LIMIT_S)
        ports = {"daemon": daemon.port_of("/healthz"), "exporter": exporter.port_of("/metrics")}
        with prometheus.scraping(program, line.folder, ports, TOKEN) as scraped:
            until(
                lambda: len(scraped.query('streamq_jobs{state="completed"} == 4')) == 2,
                "both were scraped",
                limit_s=LIMIT_S,
            )
            assert scraped.trouble() == []
            # As an alert and a dashboard would ask.
            agreed = scraped.query("max by (queue) (streamq_jobs_finished_total)")
            spread = scraped.query(
                "max by (le) (streamq_job_run_seconds_bucket)"
                " - min by (le) (streamq_job_run_seconds_bucket)"
            )
            p99 = scraped.query(
                "histogram_quantile(0.99, max by (le) (streamq_job_wait_seconds_bucket))"
            )
            up = scraped.query("up + streamq_redis_up")
        assert daemon.ends() == 0
        assert exporter.ends() == 0

    assert [(each.labels, each.value) for each in agreed] == [({"queue": "email"}, 4.0)]
    assert {each.value for each in spread} == {0.0}
    assert len(spread) == 17
    assert 0 < p99[0].value < 3_600
    assert [each.value for each in up] == [2.0, 2.0]


# -- logs


def _lines(file: Path) -> Sequence[Mapping[str, object]]:
    return [msgspec.json.decode(each) for each in file.read_text().splitlines()]


def test_logs_go_to_a_folder_with_their_jobs_and_follow_a_rotation(line: CommandLine) -> None:
    folder = line.folder / "logs"
    file, old = folder / FILE_NAME, folder / "streamq.log.1"
    (line.folder / "run.log").touch()
    variables = {"LOG_DIR": str(folder), "LOG_FORMAT": "json"}
    process = line.start("run", "-q", "email", log=line.folder / "run.log", variables=variables)
    try:
        until(lambda: file.exists() and "initialized" in file.read_text(), "it runs", limit_s=30)
        line.run("add", "email", "welcome", MAIL, "--id", "a")
        line.run("add", "email", "bounce", "{}", "--id", "b")
        until(_has_done(line, 1, "failed"), "b has failed", limit_s=LIMIT_S)
        until(lambda: "Job b failed" in file.read_text(), "it is told")
        file.rename(old)
        process.send_signal(signal.SIGHUP)
        until(lambda: file.exists() and "read again" in file.read_text(), "a new file")
        line.run("add", "email", "welcome", '"bia@sol.example"', "--id", "c")
        until(lambda: "Job c completed" in file.read_text(), "the child writes there too")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()

    (asked,) = [each for each in _lines(old) if each["logger"] == "EmailProcessor"]
    assert asked["msg"] == "Sending email to ana@sol.example"
    fields = {name: asked[name] for name in ("queue", "job", "job_id", "attempt", "attempts")}
    assert fields == {
        "queue": "email", "job": "welcome", "job_id": "a", "attempt": 1, "attempts": 3,
    }  # fmt: skip
    events = {(each.get("event"), each.get("job_id")) for each in _lines(old)}
    assert {("job.started", "a"), ("job.completed", "a"), ("job.failed", "b")} <= events
    (failed,) = [each for each in _lines(old) if each.get("event") == "job.failed"]
    assert (failed["error"], failed["level"]) == ("ValueError", "ERROR")
    assert all(str(each.get("job_id")) != "a" for each in _lines(file))
    # Errors are for whoever started it, too.
    told = [msgspec.json.decode(each)["msg"] for each in _log_lines(line)]
    assert told == ["[Worker:email] Job b failed: ValueError: no such mailbox"]


def _log_lines(line: CommandLine) -> list[str]:
    return (line.folder / "run.log").read_text().splitlines()


def test_a_log_that_nobody_reads_stops_no_job(line: CommandLine) -> None:
    pipe = line.folder / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    process = line.start("run", "-q", "email", log=pipe)
    try:
        _add(line, "welcome", MAIL, 1_000)  # three lines each: a pipe holds a third of them

        until(_has_done(line, 1_000), "all jobs are done", limit_s=LIMIT_S)
        process.send_signal(signal.SIGTERM)

        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(held)


# -- Sentry


def test_a_failed_job_reaches_sentry_from_a_process_that_ends_at_once(line: CommandLine) -> None:
    with endpoint() as there:
        line.run("add", "email", "bounce", '{"to": "ana", "password": "hunter2"}', "--id", "b")

        done = line.run("run", "--burst", "-q", "email", variables={"SENTRY_DSN": there.dsn})

        assert done.code == 0, done.err
        (event,) = there.errors
    contexts = event["contexts"]
    assert isinstance(contexts, dict)
    assert contexts["job"]["id"] == "b"
    assert contexts["job"]["data"] == {"to": "ana", "password": "[redacted]"}


def test_an_endpoint_that_hangs_costs_no_job_and_no_more_than_two_seconds(
    line: CommandLine,
) -> None:
    _add(line, "welcome", MAIL, 15)
    _add(line, "bounce", "{}", 15)
    variables = {"SENTRY_TRACES_SAMPLE_RATE": "1"}
    with endpoint(hangs=True) as there:
        variables["SENTRY_DSN"] = there.dsn
        words = ("run", "-q", "email")
        with _running(line, *words, says="initialized", variables=variables) as daemon:
            until(_has_done(line, 15), "the good ones are done", limit_s=LIMIT_S)
            until(_has_done(line, 15, "failed"), "the others have failed", limit_s=LIMIT_S)
            until(lambda: there.requests > 0, "it was told", limit_s=LIMIT_S)
            began = time.monotonic()
            code = daemon.ends()
            took_s = time.monotonic() - began
            killed = "is killed" in daemon.log

    assert (code, killed) == (0, False)
    # The endpoint would hold it for two minutes, the SDK waits for half a minute by itself.
    assert took_s < LIMIT_S / 3


def test_a_dsn_that_is_none_stops_the_start_with_a_sentence(line: CommandLine) -> None:
    dsn = "https://s3cr3t@sentry.example/no-number"

    done = line.run("run", "--burst", "-q", "email", variables={"SENTRY_DSN": dsn})

    assert done.code == 2
    assert "SQ311 Setting sentry_dsn" in done.err
    assert "s3cr3t" not in done.err
