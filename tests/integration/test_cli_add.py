"""`streamq add`: what it adds, what it refuses and how it says so, and waiting for a result."""

import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from streamq.embedded import EmbeddedServer
from tests.support.command_line import CommandLine
from tests.support.waiting import until

pytestmark = pytest.mark.slow

GOOD = '{"to": "ana@sol.example"}'


@pytest.fixture
def shop(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    """A folder with an app whose handlers know what they take."""
    line = CommandLine(server.url, prefix, tmp_path)
    line.with_shop()
    return line


@pytest.fixture
def workers(shop: CommandLine, tmp_path: Path) -> Iterator[None]:
    """A `streamq run` of that app."""
    log = tmp_path / "run.log"
    running = shop.start("run", log=log)
    try:
        until(lambda: log.read_text().count("initialized") == 2, "workers turn", limit_s=30)
        yield
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0, log.read_text()


def test_an_added_job_stands_in_its_queue_with_all_that_was_said(shop: CommandLine) -> None:
    words = ["--priority", "1", "--attempts", "7", "--header", "tenant=sol", "--timeout", "3s"]

    done = shop.run("add", "email", "welcome", GOOD, "--id", "signup-17", *words)

    assert (done.code, done.out) == (0, "signup-17  email/welcome  added\n"), done
    job = shop.run("job", "signup-17", "--json").record()
    assert job | {"added_at_ms": 0} == {
        "id": "signup-17",
        "queue": "email",
        "name": "welcome",
        "state": "waiting",
        "priority": 1,
        "data": {"to": "ana@sol.example"},
        "added_at_ms": 0,
        "due_at_ms": None,
        "claimed_at_ms": None,
        "finished_at_ms": None,
        "attempts_used": 0,
        "attempts": 7,
        "timeout_ms": 3_000,
        "expires_at_ms": None,
        "headers": {"tenant": "sol"},
        "worker": "",
        "reason": "",
        "progress": None,
        "result": None,
        "errors": [],
    }


def test_an_id_that_exists_changes_nothing_and_says_so(shop: CommandLine) -> None:
    first = shop.run("add", "email", "welcome", GOOD, "--id", "once", "--json").record()
    again = shop.run("add", "email", "welcome", '{"to": "bo@x"}', "--id", "once", "--json").record()

    assert first == {"id": "once", "queue": "email", "name": "welcome", "existed": False}
    assert again == first | {"existed": True}
    assert shop.run("job", "once", "--json").record()["data"] == {"to": "ana@sol.example"}


def test_a_delay_and_a_moment_make_a_job_wait(shop: CommandLine) -> None:
    shop.run("add", "email", "welcome", GOOD, "--id", "later", "--delay", "2h")
    moment = datetime.now(timezone(timedelta(hours=-3))).replace(microsecond=0)
    moment += timedelta(days=300)
    shop.run("add", "email", "welcome", GOOD, "--id", "then", "--at", moment.isoformat())

    later, then = (shop.run("job", i, "--json").record() for i in ("later", "then"))

    assert later["state"] == then["state"] == "delayed"
    assert then["due_at_ms"] == moment.timestamp() * 1_000
    assert isinstance(later["due_at_ms"], int) and isinstance(later["added_at_ms"], int)
    assert later["due_at_ms"] - later["added_at_ms"] == 7_200_000


def test_a_payload_may_come_from_a_file(shop: CommandLine) -> None:
    (shop.folder / "data.json").write_text('{"to": "josé@sol.example", "name": "José"}')

    shop.run("add", "email", "welcome", "@data.json", "--id", "j")

    assert shop.run("job", "j", "--json").record()["data"] == {
        "to": "josé@sol.example",
        "name": "José",
    }


REFUSED = [
    (
        ["emial", "welcome", GOOD],
        'SQ201 No queue "emial" in app "shop". Did you mean "email"? Known: email, report'
        " (--force to allow it)",
    ),
    (
        ["email", "welcmoe", GOOD],
        'SQ206 No handler for email/welcmoe. Did you mean "welcome"? Known: bounce, slow, welcome'
        " (--force to send it all the same)",
    ),
    (["email", "welcome", '{"to": 5}'], "SQ203 email/welcome: Expected str, got int - at $.to"),
    (
        ["email", "welcome", '{"too": "a"}'],
        'SQ203 email/welcome: Object contains unknown field "too" (did you mean to?)',
    ),
    (["email", "welcome"], "SQ203 email/welcome: Object missing required field to"),
    (
        ["email", "welcome", GOOD, "--delay", "5"],
        'SQ207 delay="5": it is not a duration. Give "250ms", "5s", "1m30s", "2h" or "7d",'
        " or a timedelta.",
    ),
    (
        ["email", "welcome", GOOD, "--delay=-5s"],
        'SQ207 delay="-5s": it is negative. Give "250ms", "5s", "1m30s", "2h" or "7d",'
        " or a timedelta.",
    ),
    (
        ["email", "welcome", GOOD, "--delay", "-5s"],
        'SQ207 delay="-5s": it is negative. Give "250ms", "5s", "1m30s", "2h" or "7d",'
        " or a timedelta.",
    ),
    (
        ["email", "welcome", GOOD, "--priority", "11"],
        "SQ209 priority=11 is out of range: give 1 to 10.",
    ),
    (
        ["email", "welcome", GOOD, "--id", "two words"],
        'SQ208 id "two words" is not allowed: it must match [A-Za-z0-9._:@+-]{1,128}',
    ),
    (
        ["e mail", "welcome", GOOD],
        'SQ208 queue name "e mail" is not allowed: it must match [A-Za-z0-9._-]{1,64}',
    ),
    (
        ["report", "make-x", "@big.json"],
        "SQ205 payload is 293 KiB, limit 256 KiB (payload_limit). Put it in S3 and pass the key.",
    ),
    (
        ["report", "make-x", "{to"],
        "the payload: no JSON (JSON is malformed: object keys must be strings (byte 1))."
        " Mind the shell's quotes.",
    ),
    (
        ["email", "welcome", '{"to": NaN}'],
        "SQ204 $.to is NaN. JSON has no such number: pass None.",
    ),
    (
        ["email", "welcome", '{"to": "\\ud800"}'],
        'SQ204 $.to is text with half a surrogate pair. Decode it right, or with errors="replace".',
    ),
    (["report", "make-x", "@none.json"], "Cannot read none.json: no such file or directory."),
    (
        ["email", "welcome", GOOD, "--at", "2100-01-01T09:00"],
        '--at="2100-01-01T09:00" has no time zone, so whose clock is it? Add Z, or -03:00.',
    ),
    (
        ["email", "welcome", GOOD, "--header", "tenant"],
        '--header="tenant": give it as name=value.',
    ),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(w)[:40] for w, _ in REFUSED])
def test_what_cannot_be_right_is_refused_before_anything_is_sent(
    words: list[str], said: str, shop: CommandLine
) -> None:
    (shop.folder / "big.json").write_text(json.dumps({"big": "x" * 300_000}))

    done = shop.run("add", *words)

    assert (done.code, done.out, done.err) == (2, "", said + "\n")
    assert shop.run("queues", "--json").records() == []


def test_force_asks_no_app(shop: CommandLine) -> None:
    (shop.folder / "shop.py").write_text("raise RuntimeError('never imported')\n")

    assert shop.run("add", "brand-new", "any-name", "[1]", "--force", "--id", "n").code == 0
    assert shop.run("job", "n", "--json").record()["data"] == [1]


@pytest.mark.one_server
def test_without_an_app_only_a_queue_that_redis_knows_is_taken(
    server: EmbeddedServer, prefix: str, tmp_path: Path
) -> None:
    line = CommandLine(server.url, prefix, tmp_path)
    line.run("add", "email", "first", "--force")

    known, unknown = line.run("add", "email", "any"), line.run("add", "emial", "any")

    assert known.code == 0, known
    assert unknown.code == 2
    assert unknown.err == (
        f'SQ201 No queue "emial" in Redis at {server.address}. Did you mean "email"? Known: email\n'
    )


def test_an_app_that_cannot_be_imported_ends_with_4(shop: CommandLine) -> None:
    done = shop.run("add", "email", "welcome", GOOD, "--app", "shpo:app")
    missing = shop.run("add", "email", "welcome", GOOD, "--app", "shop:ap")

    assert (done.code, missing.code) == (4, 4)
    assert done.err == (
        "SQ301 Cannot import shpo:app: ModuleNotFoundError 'shpo' (looked in . and src)."
        " Run from the project's root or set app in streamq.toml.\n"
    )
    assert missing.err == (
        "SQ301 Cannot import shop:ap: it has no attribute ap (looked in . and src)."
        " App objects found there: shop:app. Run from the project's root or set app in"
        " streamq.toml.\n"
    )


def test_each_line_of_standard_input_is_a_job(shop: CommandLine) -> None:
    lines = "".join(json.dumps({"to": f"user-{i}@sol.example"}) + "\n" for i in range(2_500))

    done = shop.run("add", "email", "welcome", "-", "--delay", "1h", stdin=lines + "\n\n")

    assert (done.code, done.out) == (0, "2,500 email/welcome added\n"), done.err
    assert shop.run("queues", "email", "--json").record()["delayed"] == 2_500


def test_a_bad_line_is_named_and_what_is_added_before_it_too(shop: CommandLine) -> None:
    good = json.dumps({"to": "a@x"}) + "\n"

    early = shop.run("add", "email", "welcome", "-", stdin=good * 2 + '{"to": 1}\n')
    unread = shop.run("add", "email", "welcome", "-", stdin=good + "{to\n")
    late = shop.run("add", "email", "welcome", "-", stdin=good * 1_203 + '{"too": 1}\n' + good)

    assert early.code == unread.code == late.code == 2
    assert early.err == (
        "line 3: SQ203 email/welcome: Expected str, got int - at $.to. Nothing was added.\n"
    )
    assert unread.err.startswith("line 2: no JSON (JSON is malformed")
    assert late.err == (
        'line 1204: SQ203 email/welcome: Object contains unknown field "too" (did you mean to?).'
        " 1,000 jobs before line 1001 were added: go on with  tail -n +1001\n"
    )
    assert shop.run("queues", "email", "--json").record()["waiting"] == 1_000


@pytest.mark.usefixtures("workers")
def test_waiting_prints_the_result_of_a_job(shop: CommandLine) -> None:
    human = shop.run("add", "email", "welcome", GOOD, "--wait")
    program = shop.run("add", "report", "make-july", "--wait", "--json", "--id", "r1")

    assert (human.code, human.out) == (0, '{\n  "sent": "ana@sol.example"\n}\n'), human
    assert program.record() == {
        "id": "r1", "queue": "report", "name": "make-july", "existed": False, "result": "made",
    }  # fmt: skip


@pytest.mark.usefixtures("workers")
def test_waiting_for_a_job_that_fails_ends_with_5(shop: CommandLine) -> None:
    done = shop.run("add", "email", "bounce", GOOD, "--wait", "--id", "b1", "--json")

    assert (done.code, done.out) == (5, "")
    assert json.loads(done.err.splitlines()[-1])["error"] == {
        "code": "SQ251", "message": "SQ251 job b1 failed: 550 no such mailbox", "exit_code": 5,
    }  # fmt: skip


def test_waiting_ends_at_its_limit_and_the_job_goes_on(shop: CommandLine) -> None:
    done = shop.run("add", "email", "welcome", GOOD, "--wait", "--wait-max", "200ms", "--id", "w")

    assert done.code == 1
    assert done.err.splitlines() == [
        "No live worker for email: it waits until one starts.",
        "w added to email; Ctrl-C ends the waiting, not the job",
        "SQ252 job w has no result after 0.2 s. It goes on; ask again later.",
    ]
    assert shop.run("job", "w", "--json").record()["state"] == "waiting"


def test_an_interrupted_wait_ends_with_130_and_leaves_the_job(
    shop: CommandLine, tmp_path: Path
) -> None:
    log = tmp_path / "wait.log"
    waiting: subprocess.Popen[bytes] = shop.start(
        "add", "email", "welcome", GOOD, "--wait", "--id", "w", log=log
    )
    until(lambda: "Ctrl-C ends the waiting" in log.read_text(), "it waits", limit_s=30)

    waiting.send_signal(signal.SIGINT)

    assert waiting.wait(30) == 130
    assert "Traceback" not in log.read_text()
    assert shop.run("job", "w", "--json").record()["state"] == "waiting"
