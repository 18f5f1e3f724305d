"""What is done to many jobs is bounded, says how far it got, and can be tried dry."""

import asyncio
import time
from typing import Final

import httpx2
import pytest

from admin.api import bulk
from admin.api.bulk import OPERATOR_JOBS_MAX
from streamq import App, Bulk, JobState
from streamq.operate import BULK_JOBS_MAX, BULK_LIMIT_S
from streamq.testing import run_until_idle
from tests.admin.office import Mail, Office
from tests.admin.tokens import KeptAudit

API: Final = "/api/admin/jobs"
KEYS: Final = ["success", "message", "count", "remaining", "cursor", "dryRun"]


async def test_all_failed_jobs_are_retried(
    operator: httpx2.AsyncClient, app: App, office: Office, audit: KeptAudit
) -> None:
    await office.fail(250)

    answer = await operator.post(f"{API}/retry-all/email")

    assert list(answer.json()) == KEYS
    assert answer.json() == {
        "success": True, "message": "Retried 250 jobs", "count": 250, "remaining": 0,
        "cursor": None, "dryRun": False,
    }  # fmt: skip
    assert (await app.queue("email").counts()).waiting == 250
    (entry,) = audit.entries
    assert (entry.action, entry.queue, entry.detail) == (
        "queue.retry-all", "email", "Retried 250 jobs",
    )  # fmt: skip
    assert (entry.before, entry.after) == ({"jobs": 250}, {"jobs": 0, "count": 250})


async def test_a_limit_leaves_the_rest_and_the_cursor_goes_on_from_there(
    operator: httpx2.AsyncClient, app: App, office: Office
) -> None:
    await office.fail(250)
    path, cursor, counts = f"{API}/retry-all/email", None, []
    for _ in range(3):
        answer = await operator.post(path, json={"limit": 100, "cursor": cursor})
        counts.append((answer.json()["count"], answer.json()["remaining"]))
        cursor = answer.json()["cursor"]

    assert counts == [(100, 150), (100, 50), (50, 0)]
    assert cursor is None
    assert (await app.queue("email").counts()).failed == 0


@pytest.mark.parametrize(
    ("path", "body", "count"),
    [
        ("/retry-all/email", {}, 20),
        ("/retry-all/email", {"limit": 5}, 5),
        ("/clean/failed/email", {"olderThanDays": 0}, 20),
        ("/clean/failed/email", {}, 0),
        ("/drain/email", {}, 3),
        ("/drain/email", {"delayed": False}, 2),
    ],
)
async def test_a_dry_run_says_how_many_and_changes_nothing(
    boss: httpx2.AsyncClient,
    app: App,
    office: Office,
    path: str,
    body: dict[str, object],
    count: int,
) -> None:
    await office.fail(20)
    for job in ("a", "b"):
        await office.send_email.add(Mail("x"), id=job)
    await office.send_email.add(Mail("x"), id="c", delay="1h")
    before = await app.queue("email").counts()

    answer = await boss.post(API + path, json={**body, "dryRun": True})

    assert (answer.json()["count"], answer.json()["dryRun"]) == (count, True)
    assert answer.json()["message"].startswith("Would ")
    assert await app.queue("email").counts() == before


async def test_parked_jobs_are_retried_too(
    operator: httpx2.AsyncClient, app: App, office: Office
) -> None:
    await app.queue("email").add("nobodys", {}, id="a", force=True)
    await run_until_idle(app, "email")

    answer = await operator.post(f"{API}/retry-all/email", json={"state": "parked"})

    assert answer.json()["count"] == 1
    assert (await app.queue("email").counts()).parked == 0


async def test_a_rate_is_not_exceeded(
    operator: httpx2.AsyncClient, app: App, office: Office
) -> None:
    await office.fail(60)

    began = time.monotonic()
    answer = await operator.post(f"{API}/retry-all/email", json={"rate": 50, "limit": 40})

    assert answer.json()["count"] == 40
    assert time.monotonic() - began >= 40 / 50 - 0.2, "the last step is not waited for"


async def test_no_run_is_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BULK_LIMIT_S == 5
    monkeypatch.setattr(bulk, "BULK_LIMIT_S", 1.0)
    calls: list[int] = []

    async def one(some: int) -> Bulk:
        calls.append(some)
        return Bulk(some, True, "on")

    began = time.monotonic()
    done = await bulk.paced(one, limit=1_000, rate=10)

    assert time.monotonic() - began <= 1.0
    assert done == Bulk(len(calls), True, "on")
    assert 5 <= len(calls) <= 11


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/retry-all/email", {"limit": 0}),
        ("/retry-all/email", {"limit": BULK_JOBS_MAX + 1}),
        ("/retry-all/email", {"rate": 0}),
        ("/retry-all/email", {"state": "completed"}),
        ("/retry-all/email", {"dryrun": True}),
        ("/clean/failed/email", {"olderThanHours": 1}),
        ("/clean/failed/email", {"olderThanDays": -1}),
        ("/clean/completed/email", {"olderThanHours": 1e9}),
        ("/clean/completed/email", {"olderThanHours": "24"}),
    ],
)
async def test_what_is_out_of_range_or_a_slip_is_refused_and_nothing_is_done(
    boss: httpx2.AsyncClient, app: App, office: Office, path: str, body: object
) -> None:
    await office.fail(3)

    answer = await boss.post(API + path, json=body)

    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid body")
    assert (await app.queue("email").counts()).failed == 3


async def test_an_option_in_the_query_is_no_option_and_refused(
    boss: httpx2.AsyncClient, app: App, office: Office
) -> None:
    await office.fail(3)

    answer = await boss.post(f"{API}/retry-all/email?dryRun=true")

    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid query")
    assert (await app.queue("email").counts()).failed == 3, "and what was meant dry is not done"


async def test_a_cursor_that_nobody_gave_out_is_refused(
    boss: httpx2.AsyncClient, office: Office
) -> None:
    await office.fail(3)

    answer = await boss.post(f"{API}/retry-all/email", json={"cursor": "x"})

    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid request")


# ---- what takes more than an operator


async def test_more_than_a_thousand_retries_take_an_admin(
    operator: httpx2.AsyncClient, boss: httpx2.AsyncClient, office: Office
) -> None:
    body = {"limit": OPERATOR_JOBS_MAX + 1}

    answers = [await each.post(f"{API}/retry-all/email", json=body) for each in (operator, boss)]

    assert [answer.status_code for answer in answers] == [403, 200]


async def test_to_clean_all_takes_an_admin_and_the_queues_name(
    operator: httpx2.AsyncClient, boss: httpx2.AsyncClient, app: App, office: Office
) -> None:
    await office.fail(5)
    path, body = f"{API}/clean/failed/email", {"olderThanDays": 0}

    answers = [
        await operator.post(path, json={**body, "confirm": "email"}),
        await boss.post(path, json=body),
        await boss.post(path, json={**body, "confirm": "report"}),
        await boss.post(path, json={**body, "confirm": "email"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 422, 422, 200]
    assert '"confirm": "email"' in answers[1].json()["message"]
    assert answers[3].json()["count"] == 5
    assert await app.queue("email").ended([JobState.FAILED], limit=9) == []


async def test_to_drain_takes_an_admin_and_the_queues_name(
    operator: httpx2.AsyncClient, boss: httpx2.AsyncClient, app: App, office: Office
) -> None:
    for job in ("a", "b"):
        await office.send_email.add(Mail("x"), id=job)
    await office.send_email.add(Mail("x"), id="c", delay="1h")

    answers = [
        await operator.post(f"{API}/drain/email", json={"confirm": "email"}),
        await boss.post(f"{API}/drain/email"),
        await boss.post(f"{API}/drain/email", json={"confirm": "email", "delayed": False}),
        await boss.post(f"{API}/drain/email", json={"confirm": "email"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 422, 200, 200]
    assert [answer.json()["count"] for answer in answers[2:]] == [2, 1]
    counts = await app.queue("email").counts()
    assert (counts.waiting, counts.delayed) == (0, 0)


async def test_two_who_retry_all_at_once_retry_each_job_once(
    operator: httpx2.AsyncClient, app: App, office: Office
) -> None:
    await office.fail(300)

    answers = await asyncio.gather(*(operator.post(f"{API}/retry-all/email") for _ in range(3)))

    assert sum(answer.json()["count"] for answer in answers) == 300
    assert (await app.queue("email").counts()).waiting == 300
