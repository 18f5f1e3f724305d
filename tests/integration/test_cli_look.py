"""The verbs that look: queues, workers, jobs, job, logs, events, top."""

import json
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamq.embedded import EmbeddedServer
from tests.support.command_line import CommandLine
from tests.support.waiting import until

pytestmark = pytest.mark.slow

GOOD = '{"to": "ana@sol.example"}'
FRIENDS = "".join(json.dumps({"to": f"user-{i}@sol.example"}) + "\n" for i in range(7))


@pytest.fixture
def line(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    line = CommandLine(server.url, prefix, tmp_path)
    line.with_shop()
    return line


@pytest.fixture(scope="module")
def ran(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """In `email` one job completed, one failed, seven wait and one is delayed; only looked at."""
    line = CommandLine(server.url, f"t{secrets.token_hex(4)}", tmp_path_factory.mktemp("ran"))
    line.with_shop()
    line.run("add", "email", "welcome", GOOD, "--id", "good")
    line.run("add", "email", "bounce", GOOD, "--id", "bad", "--header", "tenant=sol")
    burst = line.run("run", "--burst", "-q", "email")
    assert burst.code == 0, burst.err
    line.run("add", "email", "welcome", "-", stdin=FRIENDS)
    line.run("add", "email", "welcome", GOOD, "--delay", "1h", "--id", "later")
    return line


@pytest.fixture
def working(line: CommandLine, tmp_path: Path) -> Iterator[CommandLine]:
    """A `streamq run` that runs one job, slowly."""
    log = tmp_path / "run.log"
    running = line.start("run", "-q", "email=3", "--name", "night", "--grace", "0s", log=log)
    try:
        until(lambda: "initialized" in log.read_text(), "a worker turns", limit_s=30)
        line.run("add", "email", "slow", GOOD, "--id", "slow")
        until(lambda: "Processing job slow" in log.read_text(), "the job runs", limit_s=30)
        yield line
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0, log.read_text()


def test_queues_shows_what_stands_where(ran: CommandLine) -> None:
    human, program = ran.run("queues", "email"), ran.run("queues", "email", "--json")

    assert human.out.splitlines()[1].split()[:7] == ["email", "7", "1", "0", "1", "0", "1"]
    assert program.record() == {
        "queue": "email",
        "waiting": 7,
        "delayed": 1,
        "active": 0,
        "completed": 1,
        "failed": 1,
        "parked": 0,
        "paused": False,
        "workers": 0,
        "slots": 0,
        "max_active": None,
        "rate": None,
    }


def test_an_empty_redis_has_no_queues_and_that_is_no_error(line: CommandLine) -> None:
    human, program = line.run("queues"), line.run("queues", "--json")

    assert (human.code, program.code) == (0, 0)
    assert (human.out, program.out) == ("", "")
    assert human.err.startswith("No queues yet in Redis at ")


def test_an_unknown_queue_is_an_error_and_not_an_empty_list(ran: CommandLine) -> None:
    for words in (["queues", "emial"], ["jobs", "emial"], ["events", "emial"], ["pause", "emial"]):
        done = ran.run(*words)

        assert (done.code, done.out) == (2, ""), words
        assert 'SQ201 No queue "emial"' in done.err and 'Did you mean "email"?' in done.err


def test_jobs_lists_what_needs_a_look_first(ran: CommandLine) -> None:
    states = [job["state"] for job in ran.run("jobs", "email", "--json").records()]

    assert states == ["failed", *["waiting"] * 7, "delayed", "completed"]


def test_jobs_shows_the_error_and_the_result_of_a_job(ran: CommandLine) -> None:
    failed = ran.run("jobs", "email", "--state", "failed").out.splitlines()[1]
    completed = ran.run("jobs", "email", "--state", "completed").out.splitlines()[1]

    assert failed.startswith("bad") and "550 no such mailbox" in failed
    assert completed.endswith('{"sent":"ana@sol.example"}')


def test_pages_of_jobs_hold_each_job_once(ran: CommandLine) -> None:
    seen: list[object] = []
    words = ["jobs", "email", "--state", "waiting", "--limit", "3", "--json"]
    cursor: list[str] = []
    for _ in range(3):
        *jobs, last = ran.run(*words, *cursor).records()
        if "cursor" not in last:
            seen += [job["id"] for job in (*jobs, last)]
            break
        seen += [job["id"] for job in jobs]
        cursor = ["--cursor", str(last["cursor"])]

    assert len(seen) == len(set(seen)) == 7


def test_jobs_finds_those_of_a_name(ran: CommandLine) -> None:
    by_name = ran.run("jobs", "email", "--name", "b*", "--json").records()
    nobody = ran.run("jobs", "email", "--name", "x*")

    assert [job["id"] for job in by_name] == ["bad"]
    assert (nobody.code, nobody.out, nobody.err) == (0, "", "No jobs named x* in email.\n")


def test_a_cursor_that_was_never_given_out_is_refused(ran: CommandLine) -> None:
    done = ran.run("jobs", "email", "--state", "failed", "--cursor", "xyz")
    stateless = ran.run("jobs", "email", "--cursor", "xyz")

    assert (done.code, stateless.code) == (2, 2)
    assert "Leave --cursor out to begin anew." in done.err
    assert "--cursor goes with the --state" in stateless.err


def test_a_job_is_shown_with_all_that_is_known(ran: CommandLine) -> None:
    human = ran.run("job", "bad", "-v")

    text = human.out
    assert text.splitlines()[0] == "email/bounce  bad  failed"
    facts = [row.split(maxsplit=1) for row in text.splitlines()]
    assert ["attempts", "1"] in facts
    assert ["header", "tenant: sol"] in facts
    assert ["payload", '{"to":"ana@sol.example"}'] in facts
    assert ["reason", "550 no such mailbox"] in facts
    assert 'raise Fail("550 no such mailbox")' in text


def test_a_job_in_two_queues_has_to_be_told_apart(line: CommandLine) -> None:
    line.run("add", "email", "welcome", GOOD, "--id", "twin")
    line.run("add", "report", "make-x", "--id", "twin")

    both = line.run("job", "twin")
    one = line.run("job", "twin", "-q", "report", "--json")

    assert both.code == 2
    assert both.err == "Job twin is in 2 queues: email, report. Say which:  -q email\n"
    assert one.record()["queue"] == "report"


def test_a_job_that_is_nowhere_is_said_to_be(ran: CommandLine) -> None:
    done = ran.run("job", "nobody")

    assert (done.code, done.out) == (1, "")
    assert done.err == 'SQ254 No job "nobody": never added, or removed.\n'


def test_what_a_job_logged_is_shown(ran: CommandLine) -> None:
    human, program = ran.run("logs", "good"), ran.run("logs", "good", "--json")
    silent = ran.run("logs", "bad")

    assert human.out.rstrip().endswith("writing to ana@sol.example")
    assert str(program.record()["line"]).endswith("writing to ana@sol.example")
    assert (silent.code, silent.err) == (0, "Job bad has logged nothing.\n")


def test_logs_are_followed_until_the_job_has_ended(working: CommandLine, tmp_path: Path) -> None:
    log = tmp_path / "follow.log"
    following = working.start("logs", "slow", "-f", log=log)
    until(lambda: "began" in log.read_text(), "its line is shown", limit_s=30)

    assert working.run("cancel", "slow").code == 0

    assert following.wait(30) == 0
    assert log.read_text().count("began") == 1


def test_events_tell_what_happened_and_what_happens(ran: CommandLine, tmp_path: Path) -> None:
    past = ran.run("events", "email", "--json").records()
    log = tmp_path / "events.log"
    following = ran.start("events", "-f", "--since", "1h", "--json", log=log)
    until(lambda: '"good"' in log.read_text(), "the past is shown", limit_s=30)

    ran.run("add", "report", "make-x", "--id", "new")

    until(lambda: '"new"' in log.read_text(), "a queue that is new is followed", limit_s=30)
    following.send_signal(signal.SIGINT)
    assert following.wait(30) == 0, log.read_text()
    of_good = [event for event in past if event["id"] == "good"]
    assert [event["state"] for event in of_good] == ["waiting", "active", "completed"]
    assert of_good[-1]["result"] == {"sent": "ana@sol.example"}
    followed = [json.loads(each)["id"] for each in log.read_text().splitlines()]
    assert followed.count("new") == 1 and followed.count("good") == 3


def test_workers_are_listed_and_one_can_be_told(working: CommandLine) -> None:
    worker = working.run("workers", "--json").record()

    assert (worker["queue"], worker["slots"], worker["label"]) == ("email", 3, "night")
    assert worker["live"] is True and "welcome" in json.dumps(worker["names"])
    log = working.folder / "run.log"
    for number, told in enumerate((str(worker["id"]), str(worker["daemon"]))):
        assert told in working.run("workers").out
        done = working.run("workers", "quiet", told)
        assert (done.code, done.out) == (0, f"{told} (email): takes no new jobs\n")
        until(_logged(log, "quiet, as an operator said", number + 1), "it is heard", limit_s=30)
        working.run("add", "email", "welcome", GOOD, "--id", f"later-{number}")
        assert working.run("job", f"later-{number}", "--json").record()["state"] == "waiting"
        working.run("workers", "resume", told)
        until(_logged(log, f"Job later-{number} completed"), "it takes jobs again", limit_s=30)


def _logged(log: Path, text: str, times: int = 1) -> Callable[[], bool]:
    return lambda: log.read_text().count(text) >= times


def test_a_job_names_its_worker_as_the_list_of_workers_does(working: CommandLine) -> None:
    working.run("add", "email", "bounce", GOOD, "--id", "bad")
    log = working.folder / "run.log"
    until(_logged(log, "Job bad failed"), "it failed", limit_s=30)

    shown = working.run("job", "bad", "--json").record()

    listed = working.run("workers", "--json").record()["id"]
    assert isinstance(shown["errors"], list)
    assert [shown["worker"], shown["errors"][0]["worker"]] == [listed, listed]


def test_a_worker_that_is_not_there_cannot_be_told(line: CommandLine) -> None:
    done = line.run("workers", "stop", "0123")
    nameless = line.run("workers", "stop")

    assert (done.code, done.err) == (2, "No live worker '0123'. See:  streamq workers\n")
    assert nameless.code == 2


def test_top_shows_queues_workers_and_what_runs(working: CommandLine) -> None:
    human = working.run("top", "--once").out
    program = working.run("top", "--once", "--json").record()

    assert "email/slow" in human and "RUNNING" in human and "WORKER" in human
    running, workers = program["running"], program["workers"]
    assert isinstance(running, list) and isinstance(workers, list)
    assert [job["id"] for job in running] == ["slow"]
    assert [worker["slots"] for worker in workers] == [3]
