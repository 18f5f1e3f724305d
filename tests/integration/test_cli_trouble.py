"""What the command line says when something is wrong, and what it never does to a terminal."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import termios
from contextlib import closing
from pathlib import Path

import pytest
import redis

from streamq.embedded import EmbeddedServer
from tests.processors.certificates import Authority
from tests.support import servers
from tests.support.command_line import CommandLine, command

pytestmark = pytest.mark.slow

HOSTILE = "\x1b[31mred \x1b]0;owned\x07 \u202eback"


@pytest.fixture
def line(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    return CommandLine(server.url, prefix, tmp_path)


@pytest.fixture
def nowhere(prefix: str, tmp_path: Path) -> CommandLine:
    """A Redis that is not there."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    return CommandLine(f"redis://127.0.0.1:{port}", prefix, tmp_path)


EVERY_VERB = [
    ["run", "shop:app"],
    ["dev", "shop:app"],
    ["add", "email", "welcome", "--force"],
    ["queues"],
    ["workers"],
    ["jobs", "email"],
    ["job", "x"],
    ["logs", "x"],
    ["events"],
    ["top", "--once"],
    ["retry", "x"],
    ["cancel", "x"],
    ["promote", "x"],
    ["rm", "x"],
    ["pause", "email"],
    ["resume", "--all"],
    ["limit", "email"],
    ["clean", "email"],
    ["drain", "email"],
]


@pytest.mark.parametrize("words", EVERY_VERB, ids=" ".join)
def test_a_redis_that_is_away_ends_every_verb_with_3_and_a_sentence(
    words: list[str], nowhere: CommandLine
) -> None:
    nowhere.with_shop()

    done = nowhere.run(*words)

    where = nowhere.environ()["REDIS_URL"].removeprefix("redis://")
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        f"SQ101 Cannot reach Redis at {where} (from REDIS_URL): connection refused."
        " Is it running? Start one:  streamq dev   or   redis-server.   Exit code 3.\n"
    )


def test_an_error_is_one_object_for_programs(nowhere: CommandLine) -> None:
    done = nowhere.run("queues", "--json")

    error = json.loads(done.err)["error"]
    assert (done.code, error["code"], error["exit_code"]) == (3, "SQ101", 3)
    assert str(error["message"]).startswith("SQ101 Cannot reach Redis at ")


def test_a_traceback_is_shown_to_who_asks_for_it(nowhere: CommandLine) -> None:
    assert "Traceback" in nowhere.run("queues", "-v").err


def test_the_option_wins_over_the_environment_and_is_named(
    nowhere: CommandLine, server: EmbeddedServer
) -> None:
    there = nowhere.run("health", "--redis", server.url)
    away = nowhere.run("queues", "--redis", "redis://127.0.0.1:1")

    assert there.code == 0
    assert "(from --redis)" in away.err


def test_a_wrong_password_is_told_with_who_said_it(prefix: str, tmp_path: Path) -> None:
    with servers.running() as own:
        with redis.Redis.from_url(own.url) as client:
            client.config_set("requirepass", "right")
        url = own.url.replace("unix://", "unix://:wrong@")
        line = CommandLine(url, prefix, tmp_path)

        done, probe = line.run("queues"), line.run("health")

    assert (done.code, done.err) == (
        3,
        "SQ102 Redis refused the password of REDIS_URL (user default).\n",
    )
    assert probe.code == 1


def test_a_server_that_wants_tls_is_told_from_one_that_is_away(prefix: str, tmp_path: Path) -> None:
    tls = Authority(tmp_path).server_context()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        line = CommandLine(f"redis://127.0.0.1:{port}", prefix, tmp_path)
        process = subprocess.Popen(
            command("queues"), cwd=tmp_path, env=line.environ(), stderr=subprocess.PIPE
        )
        for _ in range(2):  # its question, and then whether TLS is what was expected
            caller, _ = listener.accept()
            try:
                tls.wrap_socket(caller, server_side=True).close()
            except OSError:
                caller.close()
        _, err = process.communicate(timeout=30)

    assert process.returncode == 3
    assert err.decode() == (
        f"SQ103 Redis at 127.0.0.1:{port} (from REDIS_URL) speaks TLS:"
        " use rediss:// or REDIS_TLS=true\n"
    )


def test_memory_that_is_full_refuses_an_add_and_nothing_else(prefix: str, tmp_path: Path) -> None:
    with servers.running() as own:
        line = CommandLine(own.url, prefix, tmp_path)
        line.run("add", "email", "welcome", "--force", "--id", "before")
        with redis.Redis.from_url(own.url) as client:
            client.config_set("maxmemory", "1")

        done = line.run("add", "email", "welcome", "--force")
        removed = line.run("rm", "before")

    assert done.code == 1
    assert "email: Redis is out of memory; nothing was added. Raise maxmemory" in done.err
    assert removed.code == 0


def test_a_pipe_that_is_closed_early_is_no_trouble(line: CommandLine) -> None:
    line.run("add", "email", "welcome", "-", "--force", stdin="{}\n" * 3_000)
    jobs = subprocess.Popen(
        command("jobs", "email", "--limit", "3000", "--json"),
        cwd=line.folder,
        env=line.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert jobs.stdout is not None and jobs.stderr is not None
    jobs.stdout.readline()
    jobs.stdout.close()
    err = jobs.stderr.read()
    jobs.stderr.close()

    assert jobs.wait(30) == 141
    assert err == b""


def _on_a_terminal(line: CommandLine, words: list[str], **variables: str) -> str:
    outer, inner = pty.openpty()
    ended = subprocess.run(
        command(*words),
        stdin=subprocess.DEVNULL,
        stdout=inner,
        stderr=inner,
        cwd=line.folder,
        env=line.environ(variables),
        timeout=30,
        check=False,
    )
    os.close(inner)
    said = b""
    try:
        while part := os.read(outer, 65_536):
            said += part
    except OSError:  # all is read, and nobody holds the other end
        pass
    finally:
        os.close(outer)
    assert ended.returncode == 0, said
    return said.decode()


def test_colour_is_for_terminals_and_never_with_no_color(line: CommandLine) -> None:
    line.run("add", "email", "welcome", "--force")

    assert "\x1b[" in _on_a_terminal(line, ["queues"])
    assert "\x1b[" not in _on_a_terminal(line, ["queues"], NO_COLOR="1")
    assert "\x1b[" not in _on_a_terminal(line, ["queues"], TERM="dumb")
    assert "\x1b[" not in line.run("queues").out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_top_gives_the_terminal_back_however_it_is_ended(line: CommandLine, number: int) -> None:
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (20, 80))
    top = subprocess.Popen(
        command("top"), stdin=inner, stdout=inner, stderr=inner, cwd=line.folder, env=line.environ()
    )
    before = termios.tcgetattr(inner)
    said = b""
    while b"q quits" not in said:
        said += os.read(outer, 65_536)

    top.send_signal(number)

    while b"\x1b[?1049l" not in said:
        assert select.select([outer], [], [], 30)[0], said
        said += os.read(outer, 65_536)
    assert top.wait(30) == 0
    assert termios.tcgetattr(inner) == before
    os.close(inner)
    os.close(outer)


def test_nothing_in_a_job_is_obeyed_by_a_terminal(line: CommandLine) -> None:
    data = json.dumps({"to": HOSTILE}, ensure_ascii=False)
    line.run("add", "email", "welcome", data, "--force", "--id", "j", "--header", f"x={HOSTILE}")

    shown = {
        "job": _on_a_terminal(line, ["job", "j"], NO_COLOR="1"),
        "job --json": _on_a_terminal(line, ["job", "j", "--json"]),
        "jobs": _on_a_terminal(line, ["jobs", "email"], NO_COLOR="1"),
    }

    for where, said in shown.items():
        assert "\x1b" not in said and "\x07" not in said and "\u202e" not in said, where
    assert "\\u001b[31mred" in shown["job"] and "\\u202e" in shown["job"]
    job = json.loads(shown["job --json"])
    assert job["data"] == {"to": HOSTILE} and job["headers"] == {"x": HOSTILE}


def test_an_output_without_our_letters_gets_escapes_and_no_error(line: CommandLine) -> None:
    line.run("add", "email", "welcome", '{"to": "日本"}', "--force", "--id", "j")

    done = line.run("job", "j", variables={"PYTHONIOENCODING": "ascii"})

    assert done.code == 0
    assert "\\u65e5\\u672c" in done.out


@pytest.mark.one_server
def test_a_fault_of_our_own_is_a_line_and_not_a_page(line: CommandLine) -> None:
    line.run("add", "email", "welcome", "--force")
    with redis.Redis.from_url(line.environ()["REDIS_URL"]) as client:
        key = f"{line.environ()['STREAMQ_PREFIX']}:{{email}}:leases"
        client.delete(key)
        client.set(key, "not a hash")
    try:
        done = line.run("queues")
    finally:
        with redis.Redis.from_url(line.environ()["REDIS_URL"]) as client:
            client.delete(key)

    assert done.code == 1
    assert len(done.err.splitlines()) == 1 and "WRONGTYPE" in done.err
    assert "Traceback" not in done.err


ACME = '''\
"""Another package, with a verb of its own."""

from streamq.cli.spec import Command, Example


def arguments(parser):
    parser.add_argument("who")


def run(args, console):
    console.record({"hello": args.who})
    console.line(f"hello {args.who}")
    return 7


GREET = Command("WHO", "Greets.", arguments, run, [Example("streamq greet ana", "greets ana")])
'''


def test_another_package_adds_a_verb_of_its_own(line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "acme.py").write_text(ACME)
    about = tmp_path / "acme-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[streamq.verbs]\ngreet = acme:GREET\nbad = acme:ACME\n"
    )
    (tmp_path / "acme.py").write_text(ACME + "ACME = 1\n")

    done = line.run("greet", "ana")
    listed = line.run("--help").out
    slip = line.run("gret", "ana")
    unfit = line.run("bad")

    assert (done.code, done.out) == (7, "hello ana\n")
    assert "from other packages\n  bad, greet" in listed
    assert "Did you mean greet?" in slip.err
    assert (unfit.code, unfit.err) == (
        2, "The verb bad of acme:ACME is no streamq.cli.spec.Command.\n",
    )  # fmt: skip


def test_a_probe_ends_with_1_whatever_is_wrong(line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "streamq.toml").write_text('health_port = "high"\n')

    by_settings = line.run("health")
    by_port = line.run("health", "--port", "1", "--json")

    assert by_settings.code == by_port.code == 1
    assert "SQ311" in by_settings.err
    assert by_port.record()["status"] == "unhealthy"
