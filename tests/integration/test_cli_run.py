"""`streamq run` and `streamq dev`: how they start, what they say, how they end."""

import json
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from streamq.embedded import EmbeddedServer
from tests.support import servers
from tests.support.command_line import CommandLine
from tests.support.waiting import until

pytestmark = pytest.mark.slow

GOOD = '{"to": "ana@sol.example"}'
LIMIT_S = 30.0


@pytest.fixture
def line(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    line = CommandLine(server.url, prefix, tmp_path)
    line.with_shop()
    return line


@contextmanager
def _running(
    line: CommandLine, log: Path, *words: str, says: str = "initialized"
) -> Iterator["subprocess.Popen[bytes]"]:
    """A command that goes on; at the end of the block it must not, nor anything it started."""
    process = line.start(*words, log=log)
    try:
        until(
            lambda: says in log.read_text() or process.poll() is not None,
            f"{says} in the log",
            limit_s=LIMIT_S,
        )
        assert process.poll() is None, log.read_text()
        family = [process.pid, *(p.pid for p in psutil.Process(process.pid).children(True))]
        yield process
        until(lambda: not any(map(psutil.pid_exists, family)), "all ended", limit_s=LIMIT_S)
    finally:
        process.kill()
        process.wait()


def test_a_burst_runs_what_is_there_and_ends(line: CommandLine) -> None:
    line.run("add", "email", "welcome", GOOD, "--id", "a")
    line.run("add", "report", "make-x", "--id", "b")

    done = line.run("run", "--burst", "-q", "email=2", "-q", "report")

    assert done.code == 0, done.err
    assert "[QueueManager] Queue 'email' initialized" in done.err
    assert "[Worker:email] Job a completed successfully" in done.err
    assert "[Worker:report] Job b completed successfully" in done.err


def test_a_burst_with_fail_says_by_its_exit_code_whether_a_job_failed(line: CommandLine) -> None:
    line.run("add", "email", "bounce", GOOD)
    assert line.run("run", "--burst", "--fail", "-q", "email").code == 5

    line.run("add", "email", "welcome", GOOD)
    assert line.run("run", "--burst", "--fail", "-q", "email").code == 0

    alone = line.run("run", "--fail")
    assert (alone.code, alone.out) == (2, "")
    assert "--fail goes with --burst" in alone.err


def test_the_scheduler_can_be_left_to_other_daemons(line: CommandLine) -> None:
    with_, without = line.run("run", "--burst"), line.run("run", "--burst", "--no-scheduler")

    assert (with_.code, without.code) == (0, 0)
    assert "fire no schedules" in without.err and "fire no schedules" not in with_.err


def test_only_the_queues_that_are_named_are_worked_on(line: CommandLine) -> None:
    line.run("add", "report", "make-x", "--id", "b")

    done = line.run("run", "--burst", "-q", "email")

    assert done.code == 0, done.err
    assert line.run("job", "b", "--json").record()["state"] == "waiting"


def test_term_ends_it_in_order(line: CommandLine, tmp_path: Path) -> None:
    with _running(line, tmp_path / "log", "run", "-q", "email=2,report=1") as process:
        slots = {w["queue"]: w["slots"] for w in line.run("workers", "--json").records()}
        process.send_signal(signal.SIGTERM)

        assert process.wait(LIMIT_S) == 0
    assert slots == {"email": 2, "report": 1}


def test_the_health_port_answers_the_probe(line: CommandLine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    words = ("run", "-q", "email", "--health-port", "0")
    with _running(line, log, *words) as process:
        port = log.read_text().partition("http://127.0.0.1:")[2].partition("/")[0]
        well = line.run("health", "--port", port, "--json")
        until(
            lambda: line.run("health", "--port", port, "--ready").code == 0,
            "it is ready",
            limit_s=LIMIT_S,
        )
        by_setting = line.run("health", variables={"STREAMQ_HEALTH_PORT": port})
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT_S)
    gone = line.run("health", "--port", port)

    assert (well.code, well.record()["status"]) == (0, "healthy")
    assert by_setting.out.startswith(f"healthy: worker at 127.0.0.1:{port}/livez in ")
    assert (gone.code, gone.err) == (
        1,
        f"unhealthy: no worker answers at 127.0.0.1:{port}/livez: connection refused\n",
    )


REFUSED = [
    (["run", "shpo:app"], 4, "SQ301 Cannot import shpo:app: ModuleNotFoundError 'shpo'"),
    (["run", "-q", "emial"], 2, 'SQ201 No queue "emial" in app "shop". Did you mean "email"?'),
    (["run", "-q", "email=0"], 2, '--queue="email=0": behind = stands how many jobs at a time'),
    (["run", "-q", "email,email=2"], 2, "--queue email is said twice."),
    (["run", "-c", "0"], 2, "SQ209 --concurrency=0 is out of range: give 1 to 10000."),
    (["run", "-p", "x"], 2, 'SQ311 Setting processes = "x" (from --processes): give a whole'),
    (["run", "--grace", "30"], 2, 'SQ311 Setting grace = "30" (from --grace): it is not a dur'),
    (["dev", "shpo:app"], 4, "SQ301 Cannot import shpo:app: ModuleNotFoundError 'shpo'"),
]


@pytest.mark.parametrize(("words", "code", "said"), REFUSED)
def test_a_start_that_cannot_be_right_is_refused_in_a_sentence(
    words: list[str], code: int, said: str, line: CommandLine
) -> None:
    done = line.run(*words)

    assert done.code == code, done
    assert said in done.err
    assert "Traceback" not in done.err
    assert "successor" not in done.err  # there will be none


def test_a_name_that_no_worker_knows_is_parked_and_says_what_to_do(line: CommandLine) -> None:
    line.run("add", "email", "welcmoe", GOOD, "--force", "--id", "a")

    done = line.run("run", "--burst", "-q", "email")
    parked = line.run("jobs", "email", "--state", "parked", "--json").record()

    said = (
        "SQ202 email/welcmoe parked: no handler. Did you mean welcome? It runs when a worker that"
        " knows it starts; see  streamq jobs email --state parked"
    )
    assert done.code == 0, done.err
    assert said in done.err
    assert parked["reason"] == said


def test_a_health_port_that_is_taken_ends_the_start(line: CommandLine) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]

        done = line.run("run", "-q", "email", "--health-port", str(port))

    assert done.code == 2
    assert f"SQ602 Port {port} is in use" in done.err
    assert "Traceback" not in done.err


def test_a_server_that_evicts_is_warned_of_and_worked_with(prefix: str, tmp_path: Path) -> None:
    with servers.running() as own:
        with redis.Redis.from_url(own.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        line = CommandLine(own.url, prefix, tmp_path)
        line.with_shop()

        done = line.run("run", "--burst", "-q", "email")

    assert done.code == 0, done.err
    assert "SQ110 Redis may delete jobs: maxmemory-policy is allkeys-lru." in done.err


def test_an_app_has_to_be_named(line: CommandLine) -> None:
    (line.folder / "streamq.toml").unlink()

    for verb in ("run", "dev"):
        done = line.run(verb)
        assert (done.code, done.err) == (
            2,
            f'Which app?  streamq {verb} module:app   or  app = "module:app"  in streamq.toml.\n',
        )


def test_an_app_may_know_of_another_redis_than_the_settings(
    server: EmbeddedServer, prefix: str, tmp_path: Path
) -> None:
    line = CommandLine("redis://127.0.0.1:1", prefix, tmp_path)
    line.with_shop()
    shop = tmp_path / "shop.py"
    shop.write_text(shop.read_text().replace('App("shop")', f'App("shop", redis="{server.url}")'))

    added = line.run("add", "email", "welcome", GOOD, "--id", "a")
    done = line.run("run", "--burst", "-q", "email")

    assert (added.code, done.code) == (0, 0), (added, done)
    assert "Job a completed successfully" in done.err


@pytest.fixture
def alone(prefix: str, tmp_path: Path) -> CommandLine:
    """A folder with an app, and nobody said where Redis is."""
    line = CommandLine(None, prefix, tmp_path)
    line.with_shop()
    return line


def test_dev_starts_all_of_it_and_tells_how_to_go_on(alone: CommandLine, tmp_path: Path) -> None:
    log = tmp_path / "dev.log"
    with _running(alone, log, "dev") as process:
        added = alone.run("add", "email", "welcome", GOOD, "--wait", "--json")
        where = alone.run("health").out
        second = alone.run("dev")
        process.send_signal(signal.SIGINT)

        assert process.wait(LIMIT_S) == 0, log.read_text()
    head = log.read_text().splitlines()
    assert added.record()["result"] == {"sent": "ana@sol.example"}
    assert str(tmp_path / ".streamq/redis") in where or "127.0.0.1" in where
    assert second.code == 2
    assert second.err == (
        f"Another `streamq dev` runs in this folder (process {process.pid})."
        " More workers beside it:  streamq run   What it does:  streamq top\n"
    )
    assert head[0].endswith("dev mode") and head[0].startswith("streamq ")
    assert head[1].startswith("  redis      started ")
    assert head[1].endswith("data in .streamq/redis   [no REDIS_URL set]")
    assert head[2] == "  app        shop:app  2 queues, 4 handlers (UTC)"
    assert head[3] == "  workers    1 process, 15 jobs at a time; what they say follows"
    assert head[4] == """  add        streamq add email bounce '{"to": "..."}' --wait"""
    assert head[-1] == "streamq dev has ended."
    assert not (tmp_path / ".streamq/redis.url").exists()


def test_what_dev_says_about_adding_is_a_command_that_adds(
    alone: CommandLine, tmp_path: Path
) -> None:
    log = tmp_path / "dev.log"
    with _running(alone, log, "dev", "-q", "email") as process:
        words = shlex.split(log.read_text().partition("streamq add ")[2].splitlines()[0])
        done = alone.run("add", *words, "--json")
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT_S)

    # It is the handler that fails on purpose: its job was taken, run, and its failure told.
    assert json.loads(done.err.splitlines()[-1])["error"]["code"] == "SQ251"


def test_what_dev_was_given_is_there_when_it_starts_again(
    alone: CommandLine, tmp_path: Path
) -> None:
    with _running(alone, tmp_path / "1.log", "dev", "-q", "email") as process:
        alone.run("add", "email", "welcome", GOOD, "--delay", "1h", "--id", "kept")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0

    with _running(alone, tmp_path / "2.log", "dev", "-q", "email") as process:
        kept = alone.run("job", "kept", "--json")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0

    assert kept.record()["state"] == "delayed"


def test_a_terminal_that_is_closed_ends_dev_and_its_server(
    alone: CommandLine, tmp_path: Path
) -> None:
    log = tmp_path / "dev.log"
    with _running(alone, log, "dev", "-q", "email") as process:
        process.send_signal(signal.SIGHUP)

        assert process.wait(LIMIT_S) == 0, log.read_text()


@pytest.mark.one_server
def test_dev_uses_the_redis_that_is_named_and_starts_none(
    line: CommandLine, server: EmbeddedServer, tmp_path: Path
) -> None:
    log = tmp_path / "dev.log"
    with _running(line, log, "dev", "-q", "email") as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0

    assert f"  redis      {server.address}   (from REDIS_URL)" in log.read_text()
    assert not (tmp_path / ".streamq/redis").exists()


def test_an_address_that_a_killed_dev_left_is_no_trouble(alone: CommandLine) -> None:
    folder = alone.folder / ".streamq"
    folder.mkdir()
    (folder / "redis.url").write_text(f"unix://{folder}/gone.sock\n")

    done = alone.run("queues", variables={"STREAMQ_REDIS": ""})

    assert done.code in (0, 3)  # whether or not a Redis runs on this machine's usual port
    assert "gone.sock" not in done.err
