"""The ways into the queue `report`: helpers, what they refuse, and the planners of schedules."""

from collections.abc import Awaitable, Callable
from datetime import date

import msgspec
import pytest

from processors import queues
from processors.build_report import BuildReport
from processors.database import Database
from processors.days import Period, day_before, day_of, month_before, week_before
from processors.imobibase import QueueName, app
from processors.queues import (
    create_queue,
    queue_batch_reports,
    queue_custom_report,
    queue_daily_report,
    queue_daily_report_sync,
    queue_monthly_report,
    queue_report,
    queue_weekly_report,
)
from streamq import App, JobState
from streamq.errors import InvalidPayload, SyncInLoop
from streamq.testing import MovableClock, capture_adds, run_until_idle
from tests.processors.agency_rows import OTHER_TENANT, OTHER_USER, TENANT, USER, add_agency

pytestmark = pytest.mark.usefixtures("imobibase")


@pytest.mark.parametrize(
    ("helper", "kind", "priority"),
    [
        (queue_daily_report, "daily", 4),
        (queue_weekly_report, "weekly", 4),
        (queue_monthly_report, "monthly", 3),
    ],
)
async def test_each_kind_has_its_helper_and_its_priority(
    helper: Callable[[int | str, str], Awaitable[str]], kind: str, priority: int
) -> None:
    with capture_adds(app) as captured:
        await helper(1, "user@example.com")

    job = captured.one("report", "generate-report")
    assert job.options.priority == priority
    assert job.data == {"type": kind, "format": "pdf", "userId": 1, "email": "user@example.com"}


async def test_the_documented_example_is_one_job_of_priority_2() -> None:
    with capture_adds(app) as captured:
        await queue_custom_report("2025-01-01", "2025-01-31", "pdf", "user@example.com", 1)
        await queue_custom_report(
            date(2025, 1, 1), date(2025, 1, 31), "pdf", "user@example.com", user_id=1
        )

    for job in captured:
        assert job.options.priority == 2
        assert job.data == {
            "type": "custom",
            "format": "pdf",
            "userId": 1,
            "email": "user@example.com",
            "startDate": "2025-01-01",
            "endDate": "2025-01-31",
        }


async def test_a_batch_is_spread_over_five_minutes_at_priority_5() -> None:
    users = [{"userId": number, "email": f"u{number}@example.com"} for number in range(50)]

    with capture_adds(app) as captured:
        ids = await queue_batch_reports("weekly", users)

    assert [job.id for job in captured] == ids
    assert {job.options.priority for job in captured} == {5}
    delays = [job.delay_ms or 0 for job in captured]
    assert 60_000 < max(delays) <= 300_000


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"type": "yearly"}, "type"),
        ({"format": "docx"}, "format"),
        ({"type": "custom"}, "startDate is missing"),
        ({"startDate": "2025-01-01"}, "endDate is missing"),
        ({"startDate": "2025-01-31", "endDate": "2025-01-01"}, "ends before it begins"),
        ({"startDate": "1900-01-01", "endDate": "2025-01-01"}, "at most 3660"),
        ({"startDate": "31/01/2025", "endDate": "2025-01-01"}, "date"),
        ({"userId": None}, "needs userId"),
        ({"email": "no address"}, "email"),
    ],
)
async def test_what_is_no_report_is_refused_before_it_is_sent(
    changed: dict[str, object], says: str
) -> None:
    with pytest.raises(InvalidPayload, match=says):
        await queue_report({"type": "daily", "format": "pdf", "userId": 1, **changed})


@pytest.mark.parametrize("kind", ["daily", "weekly", "monthly"])
async def test_a_payload_may_be_made_of_the_words_of_its_kinds(imobibase: App, kind: str) -> None:
    with capture_adds(imobibase) as captured:
        await queue_report(BuildReport(type=kind, format="pdf", user_id=1))  # type: ignore[arg-type]

    data = captured.one("report").data
    assert isinstance(data, dict)
    assert (data["type"], data["userId"]) == (kind, 1)


async def test_a_twin_is_refused_where_a_loop_runs() -> None:
    with pytest.raises(SyncInLoop, match="queue_daily_report"):
        queue_daily_report_sync(1, "user@example.com")


async def subscribe(database: Database, kind: str) -> None:
    """Two agencies' users; one who is gone, and one who wants none any more."""
    await add_agency(database)
    async with database.transaction() as work:
        await work.run(
            "INSERT INTO users (id, tenant_id, name, email, password, deleted_at) VALUES"
            " ('gone', %(tenant)s, 'Gone', 'gone@example.com', 'x', now()),"
            " ('off', %(tenant)s, 'Off', 'off@example.com', 'x', NULL)",
            tenant=TENANT,
        )
        await work.run(
            "INSERT INTO report_subscriptions (tenant_id, user_id, type, format, active) VALUES"
            " (%(mine)s, %(user)s, %(kind)s, 'excel', true),"
            " (%(theirs)s, %(other)s, %(kind)s, 'csv', true),"
            " (%(mine)s, 'gone', %(kind)s, 'pdf', true), (%(mine)s, 'off', %(kind)s, 'pdf', false)",
            mine=TENANT,
            theirs=OTHER_TENANT,
            user=USER,
            other=OTHER_USER,
            kind=kind,
        )


@pytest.mark.parametrize(
    ("kind", "before"), [("daily", day_before), ("weekly", week_before), ("monthly", month_before)]
)
async def test_a_schedule_plans_one_report_for_each_subscriber(
    imobibase: App, database: Database, kind: str, before: Callable[[date], Period]
) -> None:
    await subscribe(database, kind)
    imobibase.clock = clock = MovableClock(imobibase)
    period = before(day_of(clock.now()))
    run: Callable[[], Awaitable[str]] = getattr(queues, f"run_{kind}_reports")

    planner = await run()
    await clock.advance(days=40)  # it is late, and plans of its own slot
    with capture_adds(app) as captured:
        await run_until_idle(imobibase, "report")

    done = await create_queue(QueueName.REPORT).get(planner)
    assert done is not None
    assert done.state is JobState.COMPLETED, done.run.reason
    days = {"startDate": period.first.isoformat(), "endDate": period.last.isoformat()}
    found = {job.id: job.data for job in captured.of("report", "generate-report")}
    assert found == {
        f"{planner.replace('now-', '')}:{user}": {
            "type": kind, "format": form, "userId": user, "email": email, **days,
        }
        for user, email, form in (
            (USER, "user@example.com", "excel"),
            (OTHER_USER, "bo@example.com", "csv"),
        )
    }  # fmt: skip
    assert all((job.delay_ms or 0) <= 300_000 for job in captured)


async def test_planned_twice_it_adds_nothing_twice(imobibase: App, database: Database) -> None:
    await subscribe(database, "daily")
    queue = create_queue(QueueName.REPORT)
    planner = await queues.run_daily_reports()
    await run_until_idle(imobibase, "report")
    before = await queue.counts()
    slot = await queue.get(planner)
    assert slot is not None

    await queue.add("plan-daily-reports", msgspec.msgpack.decode(slot.data), id="again", force=True)
    await run_until_idle(imobibase, "report")

    after = await queue.counts()
    assert (before.delayed + before.completed, after.delayed + after.completed) == (3, 4)
