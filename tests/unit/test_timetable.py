"""The schedules of an App: what the code may say of them, and what a file changes."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from streamq import App, Context
from streamq.adding import NewJob
from streamq.clock import Clock
from streamq.durations import Ms
from streamq.errors import (
    DuplicateHandler,
    InvalidCron,
    InvalidInput,
    InvalidSchedule,
    InvalidSetting,
    OutOfRange,
    SyncInLoop,
    UnknownSchedule,
    UnknownTimeZone,
)
from streamq.schedule import Overlap, Schedule
from streamq.settings import Settings
from streamq.testing import capture_adds
from streamq.timetable import SCHEDULES_MAX, Planned, merged
from tests.support.schedules import DAY_MS, NOW_MS
from tests.support.settings_files import load


class Still(Clock):
    def now_ms(self) -> Ms:
        return Ms(NOW_MS)


@pytest.fixture
def app() -> App:
    made = App("shop", settings=Settings(timezone="America/Sao_Paulo"))
    made.clock = Still()
    made.declare_queue("backup")
    return made


async def plan(slot: datetime, job: Context) -> AsyncGenerator[Planned, None]:
    yield Planned("one", NewJob("send", {}))


def nightly(app: App, **said: object) -> Schedule:
    fields = {"queue": "backup", "job": "back-up", "cron": "0 2 * * *"} | said
    return app.schedule("nightly", **fields)  # type: ignore[arg-type]  # as `App.schedule` takes


def read(app: App, folder: Path, file: str) -> Schedule:
    """The schedule as it is with that file."""
    app.configure(load(folder, file))
    return app.schedules.get("nightly")


# ---- what the code says


@pytest.mark.parametrize(
    ("said", "error", "why"),
    [
        ({"cron": "0 9 * *"}, InvalidCron, "has 4 fields, cron needs 5"),
        ({"timezone": "America/Sao_Paolo"}, UnknownTimeZone, "Did you mean America/Sao_Paulo?"),
        ({"every": "1h"}, InvalidSchedule, "give a cron expression or an interval"),
        ({"cron": None}, InvalidSchedule, "give a cron expression or an interval"),
        ({"job": None}, InvalidSchedule, "give the name of a job, or a planner"),
        ({"plan": plan}, InvalidSchedule, "give the name of a job, or a planner"),
        ({"spread": "2d"}, InvalidSchedule, "spread 2d is too much"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_where_it_stands(
    app: App, said: dict[str, object], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        nightly(app, **said)


def test_a_name_is_given_once(app: App) -> None:
    nightly(app)

    with pytest.raises(InvalidSchedule, match="it is declared twice"):
        nightly(app)


def test_there_are_no_more_than_one_call_declares(app: App) -> None:
    for i in range(SCHEDULES_MAX):
        app.schedule(f"s{i}", queue="backup", job="back-up", every="1h")

    with pytest.raises(InvalidSchedule, match="at most 200 schedules"):
        nightly(app)


def test_one_that_names_no_zone_has_the_applications(app: App) -> None:
    nightly(app)
    app.schedule("utc", queue="backup", job="back-up", every="1h", timezone="UTC")

    assert [s.timezone for s in app.schedules.declared.values()] == ["America/Sao_Paulo", "UTC"]


def test_an_unknown_one_is_answered_by_what_was_meant(app: App) -> None:
    nightly(app)

    with pytest.raises(UnknownSchedule, match='Did you mean "nightly"'):
        app.schedules.get("nightli")


def test_a_planner_is_a_handler_that_nobody_else_adds_jobs_for(app: App) -> None:
    app.schedule("nightly", queue="backup", plan=plan, cron="0 2 * * *")

    assert app.handlers.names("backup") == ["plan-nightly"]
    assert app.handlers.names("backup", planners=False) == []
    # As in a queue without any handler, other names pass.
    assert app.queue("backup").terms("back-up").label == "unknown"


def test_a_planner_and_a_handler_of_its_name_are_refused(app: App) -> None:
    @app.job("backup", name="plan-nightly")
    async def mine(data: object) -> None: ...

    with pytest.raises(DuplicateHandler, match="backup/plan-nightly"):
        app.schedule("nightly", queue="backup", plan=plan, cron="0 2 * * *")


def test_a_schedule_with_an_unknown_queue_cannot_start(app: App) -> None:
    app.schedules.check()
    nightly(app, queue="bakup")

    with pytest.raises(InvalidSchedule) as refused:
        app.schedules.check()

    assert str(refused.value) == (
        'SQ403 schedule "nightly": app "shop" has no queue "bakup". Did you mean "backup"?'
        " Known: backup"
    )


# ---- what a file says


def test_a_file_changes_single_fields_of_what_the_code_says(app: App, tmp_path: Path) -> None:
    nightly(app, data={"type": "full"}, overlap=Overlap.SKIP)

    found = read(app, tmp_path, '[schedules.nightly]\ncron = "0 3 * * *"\nspread = "1m"\n')

    assert (found.cron, found.spread_ms) == ("0 3 * * *", 60_000)
    assert (found.overlap, found.data) == ("skip", msgspec.msgpack.encode({"type": "full"}))


def test_an_interval_in_a_file_takes_the_place_of_an_expression(app: App, tmp_path: Path) -> None:
    nightly(app)

    found = read(app, tmp_path, '[schedules.nightly]\nevery = "6h"\n')

    assert (found.cron, found.every_ms) == (None, 6 * 3_600_000)


def test_a_file_may_bring_schedules_of_its_own(app: App, tmp_path: Path) -> None:
    found = read(
        app,
        tmp_path,
        'timezone = "Europe/Lisbon"\n[schedules.nightly]\n'
        'cron = "0 2 * * *"\nqueue = "backup"\njob = "back-up"\ndata = { full = true }\n',
    )

    assert (found.queue, found.job, found.timezone) == ("backup", "back-up", "Europe/Lisbon")
    assert msgspec.msgpack.decode(found.data) == {"full": True}


def test_a_file_is_forgotten_with_its_settings(app: App, tmp_path: Path) -> None:
    nightly(app)
    read(app, tmp_path, '[schedules.nightly]\ncron = "0 3 * * *"\n')

    assert read(app, tmp_path, "").cron == "0 2 * * *"


@pytest.mark.parametrize(
    ("file", "key", "why"),
    [
        (
            '[schedules.nightli]\ncron = "0 3 * * *"\n',
            "schedules.nightli",
            'the code has no such schedule. Did you mean "nightly"?'
            " A new one needs queue, job too.",
        ),
        (
            '[schedules.other]\nqueue = "backup"\njob = "x"\n',
            "schedules.other",
            "the code has no such schedule. A new one needs cron or every too.",
        ),
        (
            '[schedules.nightly]\ncron = "0 3 * * *"\nevery = "1h"\n',
            "schedules.nightly.cron",
            "every is set too: give one of the two.",
        ),
        (
            '[schedules.planned]\njob = "x"\n',
            "schedules.planned.job",
            "a planner in the code makes the jobs of this one.",
        ),
    ],
)
def test_what_a_file_says_that_cannot_be_is_refused_with_key_and_file(
    app: App, tmp_path: Path, file: str, key: str, why: str
) -> None:
    nightly(app)
    app.schedule("planned", queue="backup", plan=plan, cron="0 2 * * *")
    settings = load(tmp_path, file)

    with pytest.raises(InvalidSetting) as refused:
        app.schedules.check(settings)

    assert str(refused.value).startswith(f"SQ311 Setting {key} = ")
    assert str(refused.value).endswith(f"(from {tmp_path / 'streamq.toml'}): {why}")


def test_other_settings_are_checked_without_being_taken(app: App, tmp_path: Path) -> None:
    nightly(app)
    settings = load(tmp_path, '[schedules.nightly]\nqueue = "bakup"\n')

    with pytest.raises(InvalidSchedule, match='no queue "bakup"'):
        app.schedules.check(settings)

    assert app.schedules.get("nightly").queue == "backup"


def test_a_file_brings_no_more_than_one_call_declares(app: App) -> None:
    code = {f"s{i}": nightly(App("shop")) for i in range(SCHEDULES_MAX + 1)}

    with pytest.raises(InvalidSchedule, match="at most 200"):
        merged(code, (), Settings())


# ---- slots of a time


async def test_the_slots_between_two_moments_are_those_of_both_ends_too(app: App) -> None:
    app.schedule("hourly", queue="backup", job="back-up", every="1h")
    end = datetime(2026, 11, 24, 9, tzinfo=UTC)

    slots = app.schedules.between("hourly", end - timedelta(hours=2), end)
    few = app.schedules.between("hourly", end - timedelta(hours=2), end, limit=2)

    assert [datetime.fromtimestamp(slot / 1_000, UTC).hour for slot in slots] == [7, 8, 9]
    assert few == slots[:2]


async def test_slots_to_come_are_not_filled_in(app: App) -> None:
    nightly(app)
    now = datetime.fromtimestamp(NOW_MS / 1_000, UTC)

    with pytest.raises(InvalidInput, match="is to come: its slots fire by themselves"):
        app.schedules.between("nightly", now, now + timedelta(seconds=1))
    with pytest.raises(InvalidInput, match="with a time zone"):
        app.schedules.between("nightly", now.replace(tzinfo=None), now)
    with pytest.raises(OutOfRange, match="limit=1001"):
        app.schedules.between("nightly", now, now, limit=1_001)


async def test_running_one_without_a_loop_is_refused_where_one_runs(app: App) -> None:
    nightly(app)

    with pytest.raises(SyncInLoop, match=r"run_sync\(\) called inside"):
        app.schedules.run_sync("nightly")


async def test_what_is_run_by_hand_is_captured_in_tests(app: App) -> None:
    nightly(app, data={"type": "full"})

    with capture_adds(app) as captured:
        job = await app.schedules.run("nightly")

    one = captured.one("backup", "back-up")
    assert (one.id, one.data) == (job, {"type": "full"})
    assert job.startswith("sched:nightly:now-")


def test_the_same_slots_have_the_same_timing_whatever_else_differs(app: App) -> None:
    one = nightly(app).in_zone("America/Sao_Paulo")
    others = [
        msgspec.structs.replace(one, data=b"x", overlap=Overlap.SKIP, spread_ms=5),
        msgspec.structs.replace(one, timezone="UTC"),
        msgspec.structs.replace(one, cron="0 3 * * *"),
        msgspec.structs.replace(one, cron=None, every_ms=DAY_MS),
    ]

    assert [other.timing == one.timing for other in others] == [True, False, False, False]
