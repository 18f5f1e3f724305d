"""The verbs that change jobs and queues; they ask before much is changed."""

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from streamq.embedded import EmbeddedServer
from tests.support.command_line import CommandLine, command

pytestmark = pytest.mark.slow

LIMIT_S = 30.0


@pytest.fixture
def line(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    """Without an app: what an operator's machine has."""
    return CommandLine(server.url, prefix, tmp_path)


def _added(line: CommandLine, count: int, *words: str, name: str = "send-email") -> None:
    lines = "{}\n" * count
    assert line.run("add", "email", name, "-", "--force", *words, stdin=lines).code == 0


def _counts(line: CommandLine) -> dict[str, object]:
    return line.run("queues", "email", "--json").record()


def _typed(line: CommandLine, words: list[str], answer: str) -> tuple[int, str]:
    """Runs a command on a terminal of its own, where somebody answers its question."""
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        command(*words),
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=line.folder,
        env=line.environ(),
    )
    os.close(inner)
    said, answered, deadline = b"", False, time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < deadline:
            if select.select([outer], [], [], 0.1)[0]:
                try:
                    said += os.read(outer, 4_096)
                except OSError:  # the other end is closed: it has ended
                    break
            if not answered and said.rstrip().endswith((b"[y/N]", b"to go on:")):
                os.write(outer, answer.encode() + b"\n")
                answered = True
        return process.wait(LIMIT_S), said.decode()
    finally:
        process.kill()
        os.close(outer)


def test_a_failed_job_is_retried_by_its_id(line: CommandLine) -> None:
    line.run("add", "email", "send", "--force", "--id", "j")
    line.run("cancel", "j")

    retried = line.run("retry", "j", "--json")
    again = line.run("retry", "j")

    assert (retried.code, retried.record()["effect"]) == (0, "done")
    assert again.code == 1
    assert (
        again.out
        == "j  email/send  nothing done: it is waiting, retry is for failed and parked jobs\n"
    )


def test_a_dry_run_says_what_would_be_done_and_does_nothing(line: CommandLine) -> None:
    _added(line, 3)
    line.run("add", "email", "send", "--force", "--id", "j", "--delay", "1h")
    before = _counts(line)

    said = [
        line.run(*words).out
        for words in (
            ["cancel", "j", "--dry-run"],
            ["cancel", "email", "--all", "--dry-run"],
            ["rm", "email", "--all", "--state", "waiting", "--dry-run"],
            ["promote", "email", "--all", "--dry-run"],
            ["drain", "email", "--dry-run"],
            ["clean", "email", "--dry-run"],
        )
    ]

    assert said == [
        "j  email/send  would be cancelled\n",
        "would cancel 3 waiting jobs of email\n",
        "would remove 3 waiting jobs of email\n",
        "would promote 1 delayed job of email\n",
        "would remove 4 waiting and delayed jobs of email, for good\n",
        "would remove 0 completed jobs of email, older than 24h\n",
    ]
    assert _counts(line) == before


def test_many_are_not_touched_unless_somebody_agrees(line: CommandLine) -> None:
    _added(line, 2)
    before = _counts(line)

    for words in (["cancel", "email", "--all"], ["drain", "email"]):
        done = line.run(*words)
        assert (done.code, done.out) == (2, "")
        assert "Say that it shall:  --yes   (or --dry-run)" in done.err

    assert _counts(line) == before


def test_on_a_terminal_a_question_is_asked_and_no_means_no(line: CommandLine) -> None:
    _added(line, 2)

    refused, said = _typed(line, ["cancel", "email", "--all"], "n")
    agreed, _ = _typed(line, ["cancel", "email", "--all"], "y")

    assert refused == 1 and "Cancel 2 waiting jobs of email? [y/N]" in said
    assert "Nothing was done." in said
    assert agreed == 0
    assert (_counts(line)["waiting"], _counts(line)["failed"]) == (0, 2)


def test_drain_wants_the_name_of_the_queue_typed(line: CommandLine) -> None:
    _added(line, 2)

    refused, said = _typed(line, ["drain", "email"], "yes")
    agreed, _ = _typed(line, ["drain", "email"], "email")

    assert refused == 1
    assert "This will remove 2 waiting and delayed jobs of email, for good." in said
    assert agreed == 0
    assert _counts(line)["waiting"] == 0


def test_all_of_a_name_are_cancelled_retried_and_removed(line: CommandLine) -> None:
    _added(line, 4, name="send-email")
    _added(line, 2, name="newsletter")

    cancelled = line.run("cancel", "email", "--all", "--name", "send-*", "-y")
    retried = line.run("retry", "email", "--all", "--limit", "3", "-y", "--json")
    removed = line.run("rm", "email", "--all", "--state", "failed", "-y")

    assert cancelled.out == "4 waiting jobs of email named send-* cancelled\n"
    assert retried.record() == {"queue": "email", "state": "failed", "done": 3}
    assert removed.out == "1 failed job of email removed\n"
    assert (_counts(line)["waiting"], _counts(line)["failed"]) == (5, 0)


def test_a_bulk_goes_beyond_the_bound_of_one_call(line: CommandLine) -> None:
    _added(line, 12_000, "--delay", "1h")

    done = line.run("promote", "email", "--all", "-y")

    assert (done.code, done.out) == (0, "12,000 delayed jobs of email promoted\n"), done.err
    assert (_counts(line)["waiting"], _counts(line)["delayed"]) == (12_000, 0)


def test_a_filter_without_all_is_refused(line: CommandLine) -> None:
    done = line.run("cancel", "email", "--name", "x")

    assert (done.code, done.err) == (
        2, "A filter goes with --all:  streamq cancel QUEUE --all --name ...\n",
    )  # fmt: skip


def test_a_queue_is_paused_and_goes_on(line: CommandLine) -> None:
    _added(line, 1)

    paused, shown = line.run("pause", "email"), _counts(line)["paused"]
    resumed = line.run("resume", "--all", "--json")

    assert (paused.code, paused.out, shown) == (0, "email  paused\n", True)
    assert resumed.record() == {"queue": "email", "paused": False, "waiting": 1}
    assert _counts(line)["paused"] is False


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pause_and_resume_want_to_know_which(verb: str, line: CommandLine) -> None:
    neither, both = line.run(verb), line.run(verb, "email", "--all")

    said = f"Which queues?  streamq {verb} QUEUE...   or   streamq {verb} --all\n"
    assert (neither.code, neither.err) == (both.code, both.err) == (2, said)


def test_limits_are_set_shown_and_taken_back(line: CommandLine) -> None:
    _added(line, 1)

    line.run("limit", "email", "--max-active", "4", "--rate", "100/1m")
    shown = line.run("limit", "email").out
    line.run("limit", "email", "--rate", "none")
    unrated = line.run("limit", "email", "--json").record()
    line.run("limit", "email", "--reset")
    reset = line.run("limit", "email", "--json").record()

    assert shown == (
        "email  at a time  4  (set by an operator)\n"
        "email  starts     100 per 1m  (set by an operator)\n"
    )
    assert (unrated["max_active"], unrated["rate"], unrated["rate_set_here"]) == (4, None, True)
    assert reset == {
        "queue": "email",
        "max_active": None,
        "max_active_set_here": False,
        "rate": None,
        "rate_set_here": False,
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "5"], '--rate="5": give "50/s", "100/m" or { count = 50, per = "1s" }.'),
        (["--max-active", "0"], "SQ209 max_active=0 is out of range: give 1 to 1000000."),
        (["--max-active", "x"], '--max-active="x": give a whole number from 1, or none.'),
        (["--reset", "--rate", "1/s"], "--reset goes alone: it takes back what was set here."),
    ],
)
def test_a_limit_that_cannot_be_is_refused(words: list[str], said: str, line: CommandLine) -> None:
    _added(line, 1)

    done = line.run("limit", "email", *words)

    assert (done.code, done.err) == (2, said + "\n")


def test_clean_removes_what_ended_long_ago(line: CommandLine) -> None:
    _added(line, 3)
    line.run("cancel", "email", "--all", "-y")

    young = line.run("clean", "email", "--state", "failed", "--older-than", "1h", "-y")
    old = line.run(
        "clean", "email", "--state", "failed", "--older-than", "0s", "--limit", "2", "-y"
    )

    assert young.out == "0 failed jobs of email, older than 1h, removed\n"
    assert old.out == "2 failed jobs of email, older than 0s, removed\n"
    assert _counts(line)["failed"] == 1


def test_drain_may_keep_what_is_delayed(line: CommandLine) -> None:
    _added(line, 2)
    _added(line, 3, "--delay", "1h")

    done = line.run("drain", "email", "--keep-delayed", "--yes")

    assert done.out == "2 waiting jobs of email removed; what runs goes on\n"
    assert (_counts(line)["waiting"], _counts(line)["delayed"]) == (0, 3)
