"""When a queue is well, when it is not, and how many workers it wants."""

from typing import Final

import httpx2
import pytest

from admin.health import NO_WORKER_MS, Status, issues_of
from admin.policy import Role
from streamq import App, Counts
from streamq.testing import MovableClock, run_until_idle
from streamq.testing.idle import working
from tests.admin.office import Mail, Office
from tests.admin.tokens import bearer
from tests.support.waiting import soon

API: Final = "/api/admin/jobs"


@pytest.mark.parametrize(
    ("counts", "no_worker", "found"),
    [
        (Counts(), False, []),
        (Counts(failed=50), False, []),
        (Counts(failed=51), False, [(Status.WARNING, "Elevated number of failed jobs: 51")]),
        (Counts(failed=200), False, [(Status.WARNING, "Elevated number of failed jobs: 200")]),
        (Counts(failed=201), False, [(Status.CRITICAL, "High number of failed jobs: 201")]),
        (Counts(paused=True), False, [(Status.WARNING, "Queue is paused")]),
        (Counts(waiting=100), False, []),
        (Counts(waiting=101), False, [(Status.WARNING, "Queue may be stalled")]),
        (Counts(waiting=101, active=1), False, []),
        (Counts(waiting=1), True, [(Status.CRITICAL, "No worker")]),
    ],
)
def test_the_thresholds(counts: Counts, no_worker: bool, found: list[tuple[Status, str]]) -> None:
    assert issues_of(counts, no_worker=no_worker) == found


async def test_failed_jobs_and_a_pause_show_and_the_worst_counts(
    viewer: httpx2.AsyncClient, app: App, office: Office
) -> None:
    await office.fail(51)
    warned = (await viewer.get(f"{API}/health")).json()
    await app.queue("email").pause()
    await app.queue("email").retry_all()
    await app.queue("email").resume()
    for i in range(150):
        await office.send_email.add(Mail("nobody"), id=f"g{i}")
    await run_until_idle(app, "email")
    await app.queue("email").pause()
    critical = (await viewer.get(f"{API}/health")).json()

    assert warned["healthy"] is True, "a warning is no illness"
    assert _of(warned, "email") == {
        "name": "email", "status": "warning", "issues": ["Elevated number of failed jobs: 51"],
    }  # fmt: skip
    assert critical["healthy"] is False
    assert _of(critical, "email")["status"] == "critical"
    assert _of(critical, "email")["issues"] == [
        "High number of failed jobs: 201", "Queue is paused",
    ]  # fmt: skip


def _of(health: dict[str, list[dict[str, object]]], queue: str) -> dict[str, object]:
    return next(each for each in health["queues"] if each["name"] == queue)


async def test_a_queue_that_waits_a_minute_without_a_worker_is_critical(
    viewer: httpx2.AsyncClient, app: App, office: Office
) -> None:
    app.clock = clock = MovableClock(app)
    await office.send_email.add(Mail("x"))
    at_once = (await viewer.get(f"{API}/health")).json()
    await clock.advance(seconds=NO_WORKER_MS // 1_000 + 1)
    later = (await viewer.get(f"{API}/health")).json()

    assert _of(at_once, "email")["issues"] == []
    assert _of(later, "email") == {"name": "email", "status": "critical", "issues": ["No worker"]}
    assert later["healthy"] is False


async def test_a_queue_with_a_worker_is_not(
    viewer: httpx2.AsyncClient, app: App, office: Office
) -> None:
    app.clock = clock = MovableClock(app)
    await office.hold.add({}, id="a")
    await office.hold.add({}, id="b")
    await clock.advance(minutes=2)
    async with working(app, ["report"], None, 1):
        await soon(lambda: _waits_one(app), "one runs, one waits")

        health = (await viewer.get(f"{API}/health")).json()
        office.may_end.set()

    assert _of(health, "report")["issues"] == []


async def _waits_one(app: App) -> bool:
    counts = await app.queue("report").counts()
    return (counts.active, counts.waiting) == (1, 1)


# ---- probes


async def test_a_stranger_is_told_up_or_down_and_no_more(
    stranger: httpx2.AsyncClient, office: Office
) -> None:
    answers = [await stranger.get(path) for path in ("/livez", "/readyz", "/healthz")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[2].json() == {"status": "healthy"}


async def test_who_may_look_is_told_all(
    stranger: httpx2.AsyncClient, app: App, office: Office
) -> None:
    async with working(app, ["email"], None, 20):
        await soon(lambda: _has_worker(app), "a worker is there")
        answer = await stranger.get("/healthz", headers=bearer(Role.VIEWER))

    found = answer.json()
    assert list(found) == ["status", "version", "redis", "workers", "queues"]
    assert found["redis"]["ok"] is True
    (worker,) = found["workers"]
    assert (worker["queue"], worker["slots"]) == ("email", 20)
    assert len(found["queues"]) == 9


async def _has_worker(app: App) -> bool:
    return len(await app.queue("email").workers()) == 2


# ---- how many workers


async def test_an_empty_queue_wants_no_worker_and_one_that_waits_at_least_one(
    viewer: httpx2.AsyncClient, office: Office
) -> None:
    empty = (await viewer.get("/scale/email")).json()
    await office.send_email.add(Mail("x"))
    waiting = (await viewer.get("/scale/email")).json()

    assert empty == {"queue": "email", "backlog": 0, "wanted": 0, "wait_seconds": 0.0}
    assert (waiting["backlog"], waiting["wanted"]) == (1, 1)
    assert waiting["wait_seconds"] >= 0


async def test_as_many_are_wanted_as_work_it_off_in_a_minute(
    viewer: httpx2.AsyncClient, app: App
) -> None:
    queue = app.declare_queue("slow", concurrency=2)
    app.clock = clock = MovableClock(app)

    @app.job("slow", name="minute")
    async def minute(data: object) -> None:
        await clock.advance(seconds=50)

    await minute.add({})
    await run_until_idle(app, "slow")
    for _ in range(10):
        await minute.add({})

    wanted = (await viewer.get("/scale/slow")).json()["wanted"]
    await queue.limit(4)
    capped = (await viewer.get("/scale/slow")).json()["wanted"]
    await queue.pause()
    paused = (await viewer.get("/scale/slow")).json()["wanted"]

    assert wanted == 5, "ten jobs of 50 s each, two at a time in a process"
    assert capped == 2, "more than four at a time may not run"
    assert paused == 0
