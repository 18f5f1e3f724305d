"""A child hears its daemon whatever its loop does, and notices when there is none any more."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from streamq.run import pipe as words
from streamq.run.lifeline import Lifeline, first_command
from streamq.run.pipe import Command, Pipe, Report, child_end, daemon_end
from tests.support.waiting import until

LEASE_MS = 400


class Heard:
    def __init__(self, pipe: Pipe[Command, Report]) -> None:
        self.commands: list[Command] = []
        self.orphaned: list[str] = []
        self.lifeline = Lifeline(
            pipe,
            lease_ms=LEASE_MS,
            deliver=self.commands.append,
            orphaned=self.orphaned.append,
        )


@pytest.fixture
def daemon_and_heard() -> Iterator[tuple[Pipe[Report, Command], Heard]]:
    ours, theirs = socket.socketpair()
    daemon, child = daemon_end(ours), child_end(theirs)
    heard = Heard(child)
    yield daemon, heard
    daemon.release()
    until(lambda: bool(heard.orphaned), "the thread has seen the end")
    child.release()


def test_commands_are_delivered_in_their_order(
    daemon_and_heard: tuple[Pipe[Report, Command], Heard],
) -> None:
    daemon, heard = daemon_and_heard
    heard.lifeline.start()

    daemon.send(words.Quiet())
    daemon.send(words.Stop(1))

    until(lambda: heard.commands == [words.Quiet(), words.Stop(1)], "both commands")


def test_a_daemon_that_ends_is_noticed_once(
    daemon_and_heard: tuple[Pipe[Report, Command], Heard],
) -> None:
    daemon, heard = daemon_and_heard
    heard.lifeline.start()

    daemon.close()

    until(lambda: heard.orphaned == ["its daemon has ended"], "the end")


def test_a_daemon_that_falls_silent_is_noticed_and_still_heard(
    daemon_and_heard: tuple[Pipe[Report, Command], Heard],
) -> None:
    daemon, heard = daemon_and_heard
    heard.lifeline.start()

    until(lambda: len(heard.orphaned) == 1, "the silence")
    assert heard.orphaned[0].startswith("its daemon was silent for")
    daemon.send(words.Now())

    until(lambda: heard.commands == [words.Now()], "the daemon that came back")


STOPS_AND_LISTENS = """
import socket, sys, time
from streamq.run.lifeline import Lifeline
from streamq.run.pipe import child_end
orphaned = []
pipe = child_end(socket.socket(fileno=int(sys.argv[1])))
Lifeline(pipe, lease_ms=1000, deliver=lambda _: None, orphaned=orphaned.append).start()
print("ready", flush=True)
sys.stdin.readline()
print(orphaned, flush=True)
"""


@pytest.mark.slow
def test_time_in_which_the_child_itself_was_stopped_is_no_silence_of_its_daemon() -> None:
    ours, theirs = socket.socketpair()
    daemon = daemon_end(ours)
    child = subprocess.Popen(
        [sys.executable, "-c", STOPS_AND_LISTENS, str(theirs.fileno())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[theirs.fileno()],
        text=True,
    )
    theirs.close()
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        daemon.send(words.Pulse())

        os.kill(child.pid, signal.SIGSTOP)
        # Three times as long as a daemon may be silent: the fault lasts that long.
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=1.5)
        os.kill(child.pid, signal.SIGCONT)
        daemon.send(words.Pulse())
        child.stdin.write("\n")
        child.stdin.flush()

        assert child.stdout.readline() == "[]\n"
    finally:
        child.kill()
        child.communicate()
        daemon.release()


def test_the_setup_is_waited_for_and_what_is_behind_it_is_left() -> None:
    ours, theirs = socket.socketpair()
    daemon, child = daemon_end(ours), child_end(theirs)
    setup = words.Setup(app="a:b", daemon="d", lease_ms=1, grace_ms=1)
    daemon.send(setup)
    daemon.send(words.Pulse())

    assert first_command(child, 5.0) == setup
    assert child.receive() == [words.Pulse()]

    assert first_command(child, 0.05) is None  # nothing comes
    daemon.release()
    assert first_command(child, 5.0) is None  # nobody is there
    child.release()
