"""`streamq schedule`: what recurs is listed, explained, run, paused and filled in."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamq.embedded import EmbeddedServer
from tests.support.command_line import CommandLine
from tests.support.waiting import until

pytestmark = pytest.mark.slow

SCHEDULES = """
[schedules.greet]
cron = "0 9 * * *"
queue = "email"
job = "welcome"
data = { to = "ana@sol.example" }
timezone = "America/Sao_Paulo"
[schedules.tick]
every = "1h"
queue = "report"
job = "make-tick"
[schedules.gap]
cron = "30 2 * * *"
queue = "report"
job = "make-gap"
timezone = "America/New_York"
"""


def with_schedules(line: CommandLine, text: str = SCHEDULES) -> None:
    line.with_shop()
    with (line.folder / "streamq.toml").open("a") as file:
        file.write(text)


@pytest.fixture
def line(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    line = CommandLine(server.url, prefix, tmp_path)
    with_schedules(line)
    return line


@pytest.fixture
def declared(line: CommandLine, tmp_path: Path) -> Iterator[CommandLine]:
    """A `streamq run` has declared them."""
    log = tmp_path / "run.log"
    running = line.start("run", "-q", "email", log=log)
    try:
        until(
            lambda: all(s["declared"] for s in line.run("schedule", "--json").records()),
            "a worker has declared them",
            limit_s=30,
        )
        yield line
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0, log.read_text()


# ---- looking


def test_ls_shows_when_what_and_where_each_is(line: CommandLine) -> None:
    human, program = line.run("schedule"), line.run("schedule", "ls", "greet", "--json")

    titles, *rows = human.out.splitlines()
    assert titles.split() == ["SCHEDULE", "WHEN", "ADDS", "NEXT", "LAST", "FIRED", "MISSED", "NOTE"]
    assert [row.split()[0] for row in rows] == ["greet", "tick", "gap"]
    assert "0 9 * * *" in rows[0] and "every 1h" in rows[1]
    assert all(row.endswith("no worker has declared it") for row in rows)
    greet = program.record()
    assert greet["next_ms"] is not None
    assert {k: v for k, v in greet.items() if k != "next_ms"} == {
        "name": "greet", "queue": "email", "job": "welcome", "cron": "0 9 * * *",
        "every_ms": None, "timezone": "America/Sao_Paulo", "overlap": "allow", "declared": False,
        "paused": False, "running": False, "last_ms": None, "fired": 0, "missed": 0,
        "owed_ms": None,
    }  # fmt: skip


def test_explain_shows_the_next_fires_local_and_utc_and_needs_no_redis(
    prefix: str, tmp_path: Path
) -> None:
    line = CommandLine(None, prefix, tmp_path)
    with_schedules(line)

    done = line.run("schedule", "explain", "greet", "-n", "3")

    assert done.code == 0, done.err
    about, policies, _, titles, *fires = done.out.splitlines()
    assert about == "greet  0 9 * * *  in America/Sao_Paulo, adds email/welcome"
    assert policies.startswith("an hour that does not exist: first-instant-after; one that comes")
    assert titles.split() == ["LOCAL", "UTC", "NOTE"]
    assert len(fires) == 3
    assert all(" 09:00 -0300" in fire and " 12:00 " in fire for fire in fires)


def test_explain_says_what_a_change_of_clocks_does(line: CommandLine) -> None:
    human = line.run("schedule", "explain", "gap", "-n", "400")
    told = line.run("schedule", "explain", "gap", "-n", "400", "--json").records()

    (moved,) = [row for row in told if row["effect"] == "moved"]
    assert str(moved["wall"]).endswith("T02:30:00")
    assert str(moved["local"]).endswith("T03:00:00-04:00")
    assert moved["note"] == "does not exist: moved to 03:00"
    (said,) = [text for text in human.out.splitlines() if "does not exist: moved" in text]
    assert " 03:00 -0400" in said


def test_an_interval_and_real_hours_mind_no_change_of_clocks(line: CommandLine) -> None:
    done = line.run("schedule", "explain", "tick")

    assert "counts real time: a change of clocks adds and drops nothing" in done.out
    assert len(done.out.splitlines()) == 4 + 5


# ---- changing


def test_one_is_run_now(line: CommandLine) -> None:
    done = line.run("schedule", "run", "greet", "--json")

    job = line.run("job", str(done.record()["id"]), "--json").record()
    assert (job["queue"], job["name"], job["state"]) == ("email", "welcome", "waiting")
    assert job["data"] == {"to": "ana@sol.example"}


def test_one_that_nobody_has_declared_cannot_be_paused(line: CommandLine) -> None:
    for word in ("pause", "resume"):
        done = line.run("schedule", word, "greet")

        assert done.code == 1
        assert done.err == (
            'No worker has declared schedule "greet" yet. Start one:  streamq run\n'
        )


def test_one_is_paused_and_goes_on(declared: CommandLine) -> None:
    said = [declared.run("schedule", word, "greet").out for word in ("pause", "pause")]
    shown = declared.run("schedule", "ls", "greet")
    program = declared.run("schedule", "ls", "greet", "--json").record()
    said += [declared.run("schedule", word, "greet").out for word in ("resume", "resume")]

    assert said[:2] == [
        "greet  paused: its slots pass by\n",
        "greet  paused, and was before: its slots pass by\n",
    ]
    assert said[2].startswith("greet  goes on; next fire in ")
    assert said[3].startswith("greet  was not paused; next fire in ")
    assert shown.out.splitlines()[1].endswith("paused")
    assert (program["paused"], program["next_ms"]) == (True, None)


def test_slots_of_the_past_are_filled_in_once(line: CommandLine) -> None:
    words = ["schedule", "backfill", "tick", "--from", "2026-11-01T00Z", "--to", "2026-11-01T05Z"]

    dry = line.run(*words, "--dry-run")
    few = line.run(*words, "--limit", "2")
    rest = line.run(*words)
    program = line.run(*words, "--json").record()

    assert dry.code == 0
    assert [text.split()[-1] for text in dry.out.splitlines()[:-1]] == [
        f"2026-11-01T0{hour}:00:00Z" for hour in range(6)
    ]
    assert dry.out.splitlines()[-1] == "0 of 6 slots added to report"
    assert few.out == "2 of 2 slots added to report\n"
    assert (
        few.err == "There may be more behind that limit: go on with  --from 2026-11-01T01:00:00Z\n"
    )
    assert rest.out == "4 of 6 slots added to report; the others were there\n"
    assert (program["slots"], program["added"], program["more"]) == (6, 0, False)
    assert line.run("queues", "report", "--json").record()["waiting"] == 6


# ---- what is said to a slip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["explain"], "Which schedule?  streamq schedule explain NAME"),
        (["explain", "gret"], 'SQ404 No schedule "gret". Did you mean "greet"?'),
        (["ls", "gret"], 'SQ404 No schedule "gret". Did you mean "greet"?'),
        (["expalin", "greet"], "streamq schedule: no 'expalin' here. Did you mean explain?"),
        (["explain", "greet", "-n", "501"], "SQ209 n=501 is out of range: give 1 to 500."),
        (["backfill", "greet"], "backfill needs --from MOMENT and --to MOMENT."),
        (
            ["backfill", "greet", "--from", "2026-11-01T00:00", "--to", "2026-11-02T00Z"],
            '--from="2026-11-01T00:00" has no time zone, so whose clock is it?',
        ),
        (
            ["backfill", "greet", "--from", "soon", "--to", "2026-11-02T00Z"],
            '--from="soon" is no moment',
        ),
        (
            ["backfill", "greet", "--from", "2026-11-01T00Z", "--to", "2999-01-01T00Z"],
            "is to come: its slots fire by themselves.",
        ),
        (
            [
                "backfill", "greet", "--from", "2026-11-01T00Z", "--to", "2026-11-02T00Z",
                "--limit", "0",
            ],
            "SQ209 limit=0 is out of range: give 1 to 1000.",
        ),
    ],
)  # fmt: skip
def test_a_slip_is_answered_and_nothing_is_done(
    line: CommandLine, words: list[str], said: str
) -> None:
    done = line.run("schedule", *words)

    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_without_an_app_it_says_how_to_name_one(
    server: EmbeddedServer, prefix: str, tmp_path: Path
) -> None:
    done = CommandLine(server.url, prefix, tmp_path).run("schedule")

    assert done.code == 2
    assert done.err.startswith("Schedules stand in an app. Which one?  streamq schedule ls --app")


def test_a_schedule_that_cannot_be_is_an_error_of_every_verb_that_knows_the_app(
    server: EmbeddedServer, prefix: str, tmp_path: Path
) -> None:
    line = CommandLine(server.url, prefix, tmp_path)
    with_schedules(line, SCHEDULES.replace('queue = "email"', 'queue = "emial"'))

    listed, started = line.run("schedule"), line.run("run", "--burst")
    doctor = line.run("doctor", "--json")

    assert (listed.code, started.code) == (2, 2)
    for said in (listed.err, started.err, doctor.out.replace('\\"', '"')):
        assert 'schedule "greet": app "shop" has no queue "emial". Did you mean "email"?' in said


def test_the_doctor_and_dev_count_them(line: CommandLine) -> None:
    findings = line.run("doctor", "--json").records()

    said = [found["said"] for found in findings if found.get("check") == "app"]
    assert said == ["shop:app: 2 queues, 4 handlers, 3 schedules"]
