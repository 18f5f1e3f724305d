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
from streamq.testing.idle import working
from tests.admin.office import Mail, Office
from tests.admin.tokens import KeptAudit
from tests.support.waiting import soon

API: Final = "/api/admin/jobs"
KEYS: Final = ["success", "message", "count", "remaining", "cursor", "dryRun", "jobId"]


async def test_all_failed_jobs_are_retried(
    operator: httpx2.AsyncClient, app: App, office: Office, audit: KeptAudit
) -> None:
    await office.fail(250)

    answer = await operator.post(f"{API}/retry-all/email")

    assert list(answer.json()) == KEYS
    assert answer.json() == {
        "success": True, "message": "Retried 250 jobs", "count": 250, "remaining": 0,
        "cursor": None, "dryRun": False, "jobId": None,
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


async def test_no_request_is_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BULK_LIMIT_S == 5
    monkeypatch.setattr(bulk, "BULK_LIMIT_S", 0.2)
    calls: list[int] = []

    async def one(some: int) -> Bulk:
        calls.append(some)
        await asyncio.sleep(0.05)
        return Bulk(1, True, "on")

    done = await bulk.stepwise(one, limit=1_000)

    assert done == Bulk(len(calls), True, "on")
    assert 1 <= len(calls) <= 5
    assert calls == [1_000 - i for i in range(len(calls))]


# ---- with a rate


async def test_with_a_rate_a_job_of_the_queue_does_it(
    operator: httpx2.AsyncClient, app: App, office: Office, audit: KeptAudit
) -> None:
    await office.fail(60)

    answer = await operator.post(f"{API}/retry-all/email", json={"rate": 200, "limit": 40})
    begun = answer.json()
    job = begun["jobId"]
    waits = (await operator.get(f"{API}/job/email/{job}")).json()
    await run_until_idle(app, "email")
    done = (await operator.get(f"{API}/job/email/{job}")).json()

    assert (begun["count"], begun["remaining"]) == (0, 60)
    assert begun["message"] == f"Job {job} does it: 40 jobs, 200 a second"
    assert (waits["name"], waits["state"], waits["progress"]) == ("streamq.bulk", "waiting", 0)
    assert (done["state"], done["progress"]) == ("completed", 100)
    assert done["returnvalue"] == {"count": 40}
    # They were nobody's mail again, and failed a second time: none is retried twice.
    counts = await app.queue("email").counts()
    assert (counts.failed, (await app.queue("email").stats()).value("requeued")) == (60, 40)
    (entry,) = audit.entries
    assert (entry.action, entry.job) == ("queue.retry-all", job)
    assert entry.after == {"limit": 40, "rate": 200.0}


@pytest.mark.slow
async def test_a_rate_is_not_exceeded_and_its_progress_is_seen(
    operator: httpx2.AsyncClient, app: App, office: Office
) -> None:
    await office.fail(60)
    answer = await operator.post(f"{API}/retry-all/email", json={"rate": 30})
    job = answer.json()["jobId"]

    began = time.monotonic()
    async with working(app, ["email"], None, 20):
        await soon(lambda: _progress(operator, job, 20, 90), "it is under way", limit_s=10)
        requeued = (await app.queue("email").stats()).value("requeued")
        took_s = time.monotonic() - began
        await soon(lambda: _progress(operator, job, 100, 100), "it is over", limit_s=20)

    assert requeued <= 30 * took_s + 6, "a step of six is done before its time is waited for"
    assert time.monotonic() - began >= 60 / 30 - 0.3, "the last step is not waited for"


async def _progress(client: httpx2.AsyncClient, job: str, least: int, most: int) -> bool:
    progress: int = (await client.get(f"{API}/job/email/{job}")).json()["progress"]
    return least <= progress <= most


@pytest.mark.parametrize(
    ("path", "body", "left"),
    [
        ("/clean/failed/email", {"olderThanDays": 0, "confirm": "email", "rate": 500}, (0, 0)),
        ("/clean/failed/email", {"olderThanDays": 0, "confirm": "email", "rate": 500, "limit": 8},
         (12, 0)),
        ("/drain/email", {"confirm": "email", "rate": 500, "limit": 2}, (20, 1)),
    ],
)  # fmt: skip
async def test_it_cleans_and_drains_only_what_was_there(
    boss: httpx2.AsyncClient,
    app: App,
    office: Office,
    path: str,
    body: dict[str, object],
    left: tuple[int, int],
) -> None:
    await office.fail(20)
    if "drain" in path:
        for job in ("c", "d", "e"):
            await office.send_email.add(Mail("x"), id=job, delay="1h")

    answer = await boss.post(API + path, json=body)
    await run_until_idle(app, "email")

    assert (await boss.get(f"{API}/job/email/{answer.json()['jobId']}")).json()["finishedOn"]
    counts = await app.queue("email").counts()
    assert (counts.failed, counts.delayed) == left


async def test_another_attempt_goes_on_where_the_one_before_ended(
    operator: httpx2.AsyncClient, app: App, office: Office
) -> None:
    """Its worker may end at any step, and its limit holds all the same."""
    await office.fail(20)
    answer = await operator.post(f"{API}/retry-all/email", json={"rate": 500, "limit": 10})
    await app.redis.set(f"streamq.bulk:{answer.json()['jobId']}", "7")

    await run_until_idle(app, "email")

    assert (await app.queue("email").stats()).value("requeued") == 3
    job = (await operator.get(f"{API}/job/email/{answer.json()['jobId']}")).json()
    assert job["returnvalue"] == {"count": 10}


async def test_where_there_is_nothing_to_do_no_job_is_added(
    operator: httpx2.AsyncClient, app: App, office: Office
) -> None:
    answer = await operator.post(f"{API}/retry-all/email", json={"rate": 5})

    assert answer.json()["jobId"] is None
    assert answer.json()["message"] == "There is nothing to do"
    assert (await app.queue("email").counts()).waiting == 0


async def test_of_a_paused_queue_it_is_said_that_the_run_waits(
    operator: httpx2.AsyncClient, app: App, office: Office
) -> None:
    await office.fail(3)
    await app.queue("email").pause()

    answer = await operator.post(f"{API}/retry-all/email", json={"rate": 5})

    assert answer.json()["message"].endswith("it waits, for the queue is paused")


async def test_a_run_cannot_be_added_past_the_rules_of_its_route(
    operator: httpx2.AsyncClient, app: App, office: Office
) -> None:
    run = {"action": "drain", "rate": 9, "limit": 9, "asked_at_ms": 0}

    answer = await operator.post(
        f"{API}/queue/email/jobs", json={"name": "streamq.bulk", "data": run, "force": True}
    )

    assert (answer.status_code, answer.json()["error"]) == (422, "Unfit name")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/retry-all/email", {"limit": 0}),
        ("/retry-all/email", {"limit": BULK_JOBS_MAX + 1}),
        ("/retry-all/email", {"rate": 0}),
        ("/retry-all/email", {"rate": 10_001}),
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
