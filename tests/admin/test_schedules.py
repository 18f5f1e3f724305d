"""Schedules are listed with where they are, run by hand, paused, and run from outside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx2
import pytest

from streamq import App, JobState
from streamq.run.clockwork import Clockwork
from streamq.testing import MovableClock, run_until_idle
from streamq.testing.idle import working
from tests.admin.conftest import CRON_SECRET
from tests.admin.office import GREETING, Office
from tests.admin.tokens import KeptAudit
from tests.support.waiting import soon

API: Final = "/api/admin/jobs"
KEYS: Final = [
    "name", "running", "cron", "every", "timezone", "queue", "job", "paused", "lastSlot",
    "nextSlot", "fired", "missed", "lastJobId", "overlap",
]  # fmt: skip
CRON: Final = {"Authorization": f"Bearer {CRON_SECRET}"}


@pytest.fixture
def schedules(app: App, office: Office) -> None:
    """One more than the office has."""
    app.schedule(
        "daily-reports", queue="report", job="hold", cron="0 0 * * *", timezone="America/Sao_Paulo"
    )


@asynccontextmanager
async def _scheduling(app: App) -> AsyncIterator[None]:
    """With somebody who declares and fires, as in every worker process."""
    task = asyncio.create_task(Clockwork(app, app.connection(), clock=app.clock).run())
    try:
        await soon(lambda: _declared(app), "they are declared")
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _declared(app: App) -> bool:
    return all([each.state is not None for each in await app.schedules.all()])


async def test_schedules_are_listed_before_any_worker_knows_of_them(
    viewer: httpx2.AsyncClient, schedules: None
) -> None:
    found = (await viewer.get(f"{API}/scheduled")).json()

    assert [(each["name"], each["running"]) for each in found] == [
        ("greet", False), ("daily-reports", False),
    ]  # fmt: skip
    greet, daily = found
    assert list(greet) == KEYS
    assert daily["cron"] == "0 0 * * *"
    assert daily["timezone"] == "America/Sao_Paulo"
    assert (greet["every"], greet["queue"], greet["job"]) == (3_600_000, "email", "send-email")
    assert daily["lastSlot"] is None
    assert daily["nextSlot"] > 1_700_000_000_000


async def test_a_schedule_shows_what_it_fired_and_that_its_job_runs(
    viewer: httpx2.AsyncClient, app: App, office: Office
) -> None:
    app.clock = clock = MovableClock(app)
    app.schedule("hold", queue="report", job="hold", every="1h")
    async with _scheduling(app):
        pass
    await clock.advance(hours=1)
    async with _scheduling(app):
        await soon(lambda: _waits(app, "report"), "it fired")
    async with working(app, ["report"], None, 1):
        await soon(lambda: _runs(viewer), "its job runs")
        _, shown = (await viewer.get(f"{API}/scheduled")).json()
        office.may_end.set()

    assert shown["fired"] == 1
    assert shown["lastJobId"] == f"sched:hold:{shown['lastSlot']}"
    assert shown["nextSlot"] == shown["lastSlot"] + 3_600_000


async def _waits(app: App, queue: str) -> bool:
    return (await app.queue(queue).counts()).waiting == 1


async def _runs(viewer: httpx2.AsyncClient) -> bool:
    return bool((await viewer.get(f"{API}/scheduled")).json()[1]["running"])


async def test_a_schedule_is_run_now_beside_its_slots(
    operator: httpx2.AsyncClient, app: App, schedules: None, audit: KeptAudit
) -> None:
    answer = await operator.post(f"{API}/schedules/greet/run")

    job = answer.json()["jobId"]
    assert answer.json()["success"] is True
    await run_until_idle(app, "email")
    found = await app.queue("email").get(job)
    assert found is not None
    assert (found.state, found.value()) == (JobState.COMPLETED, GREETING)
    (entry,) = audit.entries
    assert (entry.action, entry.queue, entry.job) == ("schedule.run", "email", job)


async def test_a_schedule_is_paused_and_goes_on(
    operator: httpx2.AsyncClient, app: App, schedules: None, audit: KeptAudit
) -> None:
    async with _scheduling(app):
        said = [
            (await operator.post(f"{API}/schedules/greet/{verb}")).json()["message"]
            for verb in ("pause", "pause", "resume")
        ]
        await operator.post(f"{API}/schedules/daily-reports/pause")
        shown = (await operator.get(f"{API}/scheduled")).json()

    assert said == [
        "Schedule greet is paused", "Schedule greet is already paused", "Schedule greet is at work",
    ]  # fmt: skip
    assert [each["paused"] for each in shown] == [False, True]
    assert [entry.action for entry in audit.entries] == [
        "schedule.pause", "schedule.pause", "schedule.resume", "schedule.pause",
    ]  # fmt: skip


async def test_a_schedule_that_no_worker_knows_cannot_be_paused_and_that_is_said(
    operator: httpx2.AsyncClient, schedules: None
) -> None:
    answer = await operator.post(f"{API}/schedules/greet/pause")

    assert answer.status_code == 409
    assert answer.json()["message"] == (
        "No worker has declared schedule greet yet. Start one of queue email."
    )


@pytest.mark.parametrize("path", ["", "/run", "/pause", "/resume"])
async def test_a_schedule_that_is_none_is_not_found(
    operator: httpx2.AsyncClient, schedules: None, path: str
) -> None:
    method = "POST" if path else "GET"

    answer = await operator.request(method, f"{API}/schedules/great{path}")

    assert (answer.status_code, answer.json()["error"]) == (404, "Schedule not found")
    assert 'Did you mean "greet"?' in answer.json()["message"]


async def test_a_schedule_tells_its_next_fires_in_its_own_zone(
    viewer: httpx2.AsyncClient, schedules: None
) -> None:
    answer = await viewer.get(f"{API}/schedules/daily-reports?limit=3")

    found = answer.json()
    assert found["schedule"]["name"] == "daily-reports"
    assert len(found["fires"]) == 3
    for fire in found["fires"]:
        assert fire["local"].endswith("T00:00:00-03:00")
        assert fire["timestamp"] % 86_400_000 == 3 * 3_600_000


async def test_an_outside_scheduler_runs_one_with_its_secret(
    stranger: httpx2.AsyncClient, app: App, schedules: None, audit: KeptAudit
) -> None:
    without = await stranger.post("/api/cron/greet")
    answer = await stranger.post("/api/cron/greet", headers=CRON)
    unknown = await stranger.post("/api/cron/great", headers=CRON)
    by_get = await stranger.get("/api/cron/greet", headers=CRON)

    assert without.status_code == 401
    assert answer.json()["success"] is True
    assert await app.queue("email").get(answer.json()["jobId"]) is not None
    assert (unknown.status_code, by_get.status_code) == (404, 405)
    assert [(entry.who, entry.via, entry.action) for entry in audit.entries] == [
        ("cron", "cron", "schedule.cron"), ("cron", "cron", "schedule.cron"),
    ]  # fmt: skip


async def test_a_payload_of_a_schedule_is_what_its_jobs_get(
    operator: httpx2.AsyncClient, app: App, schedules: None
) -> None:
    job = (await operator.post(f"{API}/schedules/greet/run")).json()["jobId"]

    shown = (await operator.get(f"{API}/job/email/{job}")).json()

    assert shown["data"] == GREETING
