"""What is done to one job ends in one clear result, whatever its state and however often."""

import asyncio
from typing import Final

import httpx2
import pytest

from streamq import App, JobState
from streamq.testing import run_until_idle
from streamq.testing.idle import working
from tests.admin.office import Office
from tests.admin.tokens import KeptAudit
from tests.support.waiting import soon

API: Final = "/api/admin/jobs"


@pytest.fixture
async def jobs(office: Office) -> None:
    await office.in_every_state()


FIT: Final = {
    "retry": {"failed", "parked"},
    "promote": {"delayed"},
    "cancel": {"waiting", "delayed", "parked"},
}


@pytest.mark.parametrize("verb", FIT)
@pytest.mark.parametrize("state", [s.value for s in JobState if s is not JobState.ACTIVE])
async def test_an_action_fits_a_state_or_says_that_it_does_not(
    operator: httpx2.AsyncClient, app: App, jobs: None, verb: str, state: str
) -> None:
    first = await operator.post(f"{API}/{verb}/email/{state}")
    again = await operator.post(f"{API}/{verb}/email/{state}")

    job = await app.queue("email").get(state)
    assert job is not None
    if state in FIT[verb]:
        assert first.json()["success"] is True
        assert job.state != state
    else:
        assert (first.status_code, first.json()["error"]) == (409, "Conflict")
        assert state in first.json()["message"]
        assert job.state == state
    assert (again.status_code, again.json()["error"]) == (409, "Conflict")


@pytest.mark.parametrize("state", [s.value for s in JobState if s is not JobState.ACTIVE])
async def test_a_job_of_any_state_is_removed_once(
    operator: httpx2.AsyncClient, app: App, jobs: None, state: str
) -> None:
    first = await operator.delete(f"{API}/email/{state}")
    again = await operator.delete(f"{API}/email/{state}")

    assert first.json() == {"success": True, "message": f"Job {state} is removed"}
    assert (again.status_code, again.json()["error"]) == (404, "Job not found")
    assert await app.queue("email").get(state) is None


@pytest.mark.parametrize(
    ("method", "path", "ends"),
    [("DELETE", "/report/a", None), ("POST", "/cancel/report/a", JobState.FAILED)],
)
async def test_a_job_that_runs_is_told(
    operator: httpx2.AsyncClient,
    app: App,
    office: Office,
    method: str,
    path: str,
    ends: JobState | None,
) -> None:
    await office.hold.add({}, id="a")
    async with working(app, ["report"], None, 1):
        await soon(lambda: _is(app, JobState.ACTIVE), "it runs")

        answer = await operator.request(method, API + path)

        await soon(lambda: _is(app, ends), "its worker heard of it", limit_s=5)
    assert answer.json()["success"] is True
    assert "as soon as its worker hears of it" in answer.json()["message"]


async def _is(app: App, state: JobState | None) -> bool:
    job = await app.queue("report").get("a")
    return (None if job is None else job.state) == state


async def test_two_operators_who_retry_at_once_retry_once(
    operator: httpx2.AsyncClient, app: App, jobs: None
) -> None:
    answers = await asyncio.gather(*(operator.post(f"{API}/retry/email/failed") for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]
    assert (await app.queue("email").counts()).waiting == 2


# ---- add


async def test_a_job_is_added_with_its_options_once(
    operator: httpx2.AsyncClient, app: App, office: Office
) -> None:
    body = {
        "name": "send-email", "data": {"to": "ana@example.com"}, "id": "welcome:1",
        "priority": 1, "delay": 60_000, "attempts": 5, "timeout": 5_000,
        "headers": {"tenant": "sol"},
    }  # fmt: skip

    first = await operator.post(f"{API}/queue/email/jobs", json=body)
    again = await operator.post(f"{API}/queue/email/jobs", json={**body, "priority": 9})

    assert first.json() == {
        "success": True, "message": "Job welcome:1 was added", "jobId": "welcome:1",
        "existed": False,
    }  # fmt: skip
    assert again.json()["existed"] is True
    job = await app.queue("email").get("welcome:1")
    assert job is not None
    assert (job.state, job.options.priority, job.options.attempts) == (JobState.DELAYED, 1, 5)
    assert (job.options.timeout_ms, job.options.headers) == (5_000, {"tenant": "sol"})


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"name": "send-email", "data": {"to": 5}}, 422, "Expected str, got int - at $.to"),
        ({"name": "send-email", "data": {"too": "x"}}, 422, "(did you mean to?)"),
        ({"name": "send-mail", "data": {}}, 422, 'Did you mean "send-email"?'),
        ({"name": "a b", "data": {}}, 400, "$.name"),
        ({"name": "send-email", "data": {"to": "x"}, "id": "a b"}, 400, "$.id"),
        ({"name": "send-email", "data": {"to": "x" * 300_000}}, 422, "limit 256 KiB"),
        ({"name": "send-email", "data": {"to": "x"}, "priority": 11}, 400, "$.priority"),
        ({"name": "send-email", "data": {"to": "x"}, "delay": -1}, 400, "$.delay"),
        ({"name": "send-email", "data": {"to": "x"}, "attempt": 1}, 400, 'mean "attempts"?'),
        ({"data": {"to": "x"}}, 400, "`name`"),
    ],
)
async def test_what_cannot_be_added_is_said(
    operator: httpx2.AsyncClient, app: App, office: Office, body: object, status: int, says: str
) -> None:
    answer = await operator.post(f"{API}/queue/email/jobs", json=body)

    assert answer.status_code == status
    assert says in answer.json()["message"]
    assert (await app.queue("email").counts()).waiting == 0


# ---- another payload


async def test_a_retry_with_another_payload_adds_a_job_in_its_stead_once(
    boss: httpx2.AsyncClient, app: App, jobs: None
) -> None:
    path, body = f"{API}/retry/email/failed", {"data": {"to": "ana@example.com"}}

    first = await boss.post(path, json=body)
    again = await boss.post(path, json=body)
    other = await boss.post(path, json={"data": {"to": "bo@example.com"}})

    ids = [answer.json()["jobId"] for answer in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]
    queue = app.queue("email")
    failed, added = await queue.get("failed"), await queue.get(ids[0])
    assert failed is not None
    assert failed.state is JobState.FAILED, "what failed stays, as it was"
    assert added is not None
    assert added.value() == {"to": "ana@example.com"}
    assert added.options.headers == {"retry-of": "failed"}
    await run_until_idle(app, "email")
    done = await queue.get(ids[0])
    assert done is not None
    assert done.state is JobState.COMPLETED


async def test_only_an_admin_changes_a_payload(
    operator: httpx2.AsyncClient, app: App, jobs: None
) -> None:
    answers = [
        await operator.post(f"{API}/retry/email/failed", json={"data": {"to": "x"}}),
        await operator.patch(f"{API}/job/email/waiting", json={"data": {"to": "x"}}),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["error"]) == (
            403, "Forbidden: admin access required",
        )  # fmt: skip
    job = await app.queue("email").get("waiting")
    assert job is not None
    assert job.value() != {"to": "x"}


@pytest.mark.parametrize("state", ["completed", "waiting", "delayed"])
async def test_only_what_failed_is_retried_with_another_payload(
    boss: httpx2.AsyncClient, app: App, jobs: None, state: str
) -> None:
    answer = await boss.post(f"{API}/retry/email/{state}", json={"data": {"to": "x"}})

    assert answer.status_code == 409
    assert (await app.queue("email").counts()).waiting == 1


async def test_a_job_that_waits_is_changed(
    boss: httpx2.AsyncClient, app: App, jobs: None, audit: KeptAudit
) -> None:
    data = {"to": "bo@example.com"}

    changed = await boss.patch(f"{API}/job/email/waiting", json={"data": data, "priority": 1})
    delayed = await boss.patch(f"{API}/job/email/delayed", json={"delay": 0})
    ended = await boss.patch(f"{API}/job/email/failed", json={"priority": 1})
    nothing = await boss.patch(f"{API}/job/email/waiting", json={})
    wrong = await boss.patch(f"{API}/job/email/waiting", json={"data": {"to": 5}})

    assert changed.json() == {"success": True, "message": "Job waiting is changed"}
    job = await app.queue("email").get("waiting")
    assert job is not None
    assert (job.value(), job.options.priority) == (data, 1)
    assert delayed.status_code == 200
    now = await app.queue("email").get("delayed")
    assert now is not None
    assert now.state is JobState.WAITING
    assert (ended.status_code, nothing.status_code, wrong.status_code) == (409, 422, 422)
    entry = audit.entries[0]
    assert (entry.action, entry.queue, entry.job) == ("job.change", "email", "waiting")
    assert entry.after == {"data": data, "priority": 1}


# ---- what is noted


async def test_each_change_is_noted_once_with_who_what_and_what_became_of_it(
    operator: httpx2.AsyncClient, jobs: None, audit: KeptAudit
) -> None:
    done = await operator.post(f"{API}/retry/email/failed")
    refused = await operator.post(f"{API}/retry/email/waiting")
    await operator.get(f"{API}/job/email/waiting")

    first, second = audit.entries
    assert (first.who, first.role, first.via) == ("the operator", "operator", "token")
    assert (first.action, first.queue, first.job) == ("job.retry", "email", "failed")
    assert (first.before, first.after) == ({"state": "failed"}, {"state": "waiting"})
    assert (first.status, first.request_id) == (200, done.headers["x-request-id"])
    assert first.address == "127.0.0.1"
    assert (second.status, second.request_id) == (409, refused.headers["x-request-id"])
    assert "waiting" in second.detail
    assert (second.before, second.after) == (None, None)
