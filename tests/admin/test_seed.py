"""The answers of the seed's endpoints, to the letter: the keys, their order, their types."""

import json
from datetime import timedelta
from typing import Final

import httpx2
import pytest

from admin.api import queues as queues_api
from streamq import App, JobState
from streamq.testing import MovableClock, run_until_idle
from tests.admin.office import QUEUES, Mail, Office

API: Final = "/api/admin/jobs"
JOB_KEYS: Final = [
    "id", "name", "data", "progress", "attemptsMade", "timestamp", "processedOn", "finishedOn",
    "failedReason", "stacktrace", "returnvalue",
]  # fmt: skip
OUR_JOB_KEYS: Final = [
    "queue", "state", "priority", "attempts", "dueOn", "expiresOn", "worker", "headers", "errors",
]  # fmt: skip


def _starts_with(answer: httpx2.Response, seed: dict[str, object]) -> None:
    """The answer is the seed's object, key by key in its order; more keys only after its own."""
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    _compare(json.loads(answer.text), seed)


def _compare(found: object, seed: object) -> None:
    if isinstance(seed, dict):
        assert isinstance(found, dict)
        assert list(found)[: len(seed)] == list(seed)
        for key, value in seed.items():
            _compare(found[key], value)
    elif isinstance(seed, type):
        assert type(found) is seed
    else:
        assert found == seed


@pytest.fixture
async def jobs(office: Office) -> None:
    await office.in_every_state()


async def test_statistics(viewer: httpx2.AsyncClient, jobs: None) -> None:
    answer = await viewer.get(f"{API}/stats")

    _starts_with(
        answer,
        {
            "totalQueues": 9,
            "totalWaiting": 1,
            "totalActive": 0,
            "totalCompleted": 1,
            "totalFailed": 1,
            "totalDelayed": 1,
            "redisStatus": {"connected": True, "mode": "standalone", "version": str},
        },
    )


async def test_all_queues(viewer: httpx2.AsyncClient, jobs: None) -> None:
    answer = await viewer.get(f"{API}/queues")

    found = answer.json()
    assert [each["name"] for each in found] == sorted(QUEUES)
    _compare(
        found[2],
        {
            "name": "email", "waiting": 1, "active": 0, "completed": 1, "failed": 1, "delayed": 1,
            "paused": False,
        },
    )  # fmt: skip


async def test_details_of_a_queue(viewer: httpx2.AsyncClient, jobs: None) -> None:
    answer = await viewer.get(f"{API}/queue/email")

    _starts_with(
        answer,
        {
            "name": "email",
            "counts": {
                "waiting": 1, "active": 0, "completed": 1, "failed": 1, "delayed": 1,
                "paused": False,
            },
            "jobs": {"waiting": list, "active": list, "failed": list},
        },
    )  # fmt: skip
    front = answer.json()["jobs"]
    assert [job["id"] for job in front["waiting"]] == ["waiting"]
    assert [job["id"] for job in front["failed"]] == ["failed"]


async def test_the_front_of_a_queue_has_ten_of_each(
    viewer: httpx2.AsyncClient, office: Office
) -> None:
    await office.fail(12)
    await office.app.queue("email").retry_all(limit=1)
    for i in range(11):
        await office.send_email.add(Mail("x"), id=f"w{i}")

    front = (await viewer.get(f"{API}/queue/email")).json()["jobs"]

    assert {state: len(some) for state, some in front.items()} == {
        "waiting": 10, "active": 0, "failed": 10,
    }  # fmt: skip


async def test_a_job(viewer: httpx2.AsyncClient, jobs: None) -> None:
    answer = await viewer.get(f"{API}/job/email/completed")

    job = answer.json()
    assert list(job) == JOB_KEYS + OUR_JOB_KEYS
    _compare(
        job,
        {
            "id": "completed",
            "name": "send-email",
            "data": {"to": "ana@example.com", "subject": "Hi"},
            "progress": 0,
            "attemptsMade": 1,
            "timestamp": int,
            "processedOn": int,
            "finishedOn": int,
            "failedReason": None,
            "stacktrace": [],
            "returnvalue": {"messageId": "m-1"},
        },
    )
    assert job["timestamp"] <= job["processedOn"] <= job["finishedOn"]


async def test_a_job_that_failed_and_one_that_did_not_start(
    viewer: httpx2.AsyncClient, jobs: None
) -> None:
    failed = (await viewer.get(f"{API}/job/email/failed")).json()
    delayed = (await viewer.get(f"{API}/job/email/delayed")).json()

    assert failed["failedReason"].startswith("no such person")
    assert failed["stacktrace"][0].startswith("Traceback (most recent call last)")
    assert (delayed["processedOn"], delayed["finishedOn"], delayed["attemptsMade"]) == (
        None, None, 0,
    )  # fmt: skip
    assert delayed["dueOn"] > delayed["timestamp"]


async def test_failed_jobs_of_all_queues_the_newest_first(
    viewer: httpx2.AsyncClient, app: App, office: Office
) -> None:
    app.clock = clock = MovableClock(app)

    @app.job("invoice", name="bad", attempts=1)
    async def bad(data: object) -> None:
        raise ValueError("no invoice")

    for number, add in enumerate((office.send_email.add, bad.add, office.send_email.add)):
        await add(Mail("nobody"), id=f"j{number}")
        await run_until_idle(app)
        await clock.advance(seconds=5)

    answer = await viewer.get(f"{API}/failed")
    two = await viewer.get(f"{API}/failed?limit=2")

    found = answer.json()
    assert [(each["queue"], each["job"]["id"]) for each in found] == [
        ("email", "j2"), ("invoice", "j1"), ("email", "j0"),
    ]  # fmt: skip
    assert list(found[0])[:3] == ["queue", "job", "error"]
    assert list(found[0]["job"]) == JOB_KEYS + OUR_JOB_KEYS
    assert found[1]["error"] == found[1]["job"]["failedReason"] == "ValueError: no invoice"
    assert [each["job"]["id"] for each in two.json()] == ["j2", "j1"]


@pytest.mark.parametrize(
    ("asked", "given"), [("", 100), ("?limit=3", 3), ("?limit=0", 1), ("?limit=-7", 1),
    ("?limit=201", 130), ("?limit=" + "9" * 400, 130)],
)  # fmt: skip
async def test_a_limit_has_its_default_and_its_bounds(
    viewer: httpx2.AsyncClient, office: Office, asked: str, given: int
) -> None:
    await office.fail(130)

    answer = await viewer.get(f"{API}/failed{asked}")

    assert len(answer.json()) == given


async def test_logs_of_a_queue_the_newest_first(
    viewer: httpx2.AsyncClient, app: App, office: Office
) -> None:
    app.clock = clock = MovableClock(app)
    for job, to in (("a", "ana"), ("b", "nobody")):
        await office.send_email.add(Mail(to), id=job)
        await run_until_idle(app)
        await clock.advance(seconds=5)

    answer = await viewer.get(f"{API}/queue/email/logs?limit=50")
    one = await viewer.get(f"{API}/queue/email/logs?limit=1")

    failed, completed = answer.json()
    assert list(failed) == ["jobId", "name", "status", "timestamp", "data", "error"]
    assert list(completed) == ["jobId", "name", "status", "timestamp", "data"]
    assert (failed["jobId"], failed["status"]) == ("b", "failed")
    assert (completed["jobId"], completed["status"]) == ("a", "completed")
    assert failed["timestamp"] > completed["timestamp"]
    assert [line["jobId"] for line in one.json()] == ["b"]


async def test_the_performance_of_a_queue_is_computed_from_its_last_hundred_jobs(
    viewer: httpx2.AsyncClient, app: App, office: Office
) -> None:
    await office.fail(30)
    for i in range(90):
        await office.send_email.add(Mail("x"), id=f"c{i}")
    await run_until_idle(app)

    answer = await viewer.get(f"{API}/queue/email/performance")

    assert list(answer.json()) == ["avgProcessingTime", "successRate", "throughput", "recentJobs"]
    runs = await app.queue("email").runs(
        [each.id for each in await app.queue("email").ended(limit=100)]
    )
    took = [run.finished_at_ms - run.claimed_at_ms for run in runs]
    assert answer.json()["avgProcessingTime"] == pytest.approx(sum(took) / 100, abs=0.01)
    assert answer.json()["successRate"] == 90
    assert answer.json()["recentJobs"] == 100


async def test_a_queue_where_nothing_ran_has_no_performance(viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.get(f"{API}/queue/backup/performance")

    assert answer.json() == {
        "avgProcessingTime": 0, "successRate": 0, "throughput": 0, "recentJobs": 0,
    }  # fmt: skip


async def test_throughput_is_what_the_history_has_of_the_last_hour(
    viewer: httpx2.AsyncClient, app: App, office: Office
) -> None:
    app.clock = clock = MovableClock(app)
    await office.fail(6)
    # The sums of a minute are written by the first beat after it.
    await clock.advance(minutes=2)
    await run_until_idle(app, "email")
    before = (await viewer.get(f"{API}/queue/email/performance")).json()["throughput"]
    history = (await viewer.get(f"{API}/queue/email/history")).json()
    await clock.advance(minutes=61)

    after = (await viewer.get(f"{API}/queue/email/performance")).json()["throughput"]

    assert sum(each["failed"] for each in history) == 6
    assert list(history[0]) == ["timestamp", "added", "completed", "failed", "retried"]
    assert before == 0.1
    assert after == 0


async def test_redis_information(viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.get(f"{API}/redis")

    _starts_with(
        answer,
        {
            "health": {"status": "healthy", "latency": int},
            "info": {
                "connected": True, "mode": "standalone", "version": str, "usedMemory": int,
                "connectedClients": int, "uptime": int,
            },
        },
    )  # fmt: skip


async def test_health(viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.get(f"{API}/health")

    found = json.loads(answer.text)
    assert list(found) == ["healthy", "queues", "redis"]
    assert found["queues"][2] == {"name": "email", "status": "healthy", "issues": []}
    assert list(found["redis"]) == ["status", "latency"]
    _compare(found["redis"], {"status": "healthy", "latency": int})
    assert found["healthy"] is True


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("POST", "/retry/email/failed", {"success": True, "message": "Job failed waits again"}),
        ("POST", "/pause/email", {"success": True, "message": "Queue email is paused"}),
        ("POST", "/resume/email", {"success": True, "message": "Queue email is already at work"}),
        ("DELETE", "/email/waiting", {"success": True, "message": "Job waiting is removed"}),
        (
            "POST", "/retry-all/email",
            {"success": True, "message": "Retried 1 job", "count": 1, "remaining": 0},
        ),
    ],
)  # fmt: skip
async def test_what_an_action_answers(
    operator: httpx2.AsyncClient, jobs: None, method: str, path: str, said: dict[str, object]
) -> None:
    answer = await operator.request(method, API + path)

    _starts_with(answer, said)


@pytest.mark.parametrize(
    ("path", "state", "key", "default"),
    [
        ("completed", JobState.COMPLETED, "olderThanHours", timedelta(hours=24)),
        ("failed", JobState.FAILED, "olderThanDays", timedelta(days=7)),
    ],
)
async def test_cleaning_takes_the_seeds_bodies_and_defaults(
    operator: httpx2.AsyncClient,
    app: App,
    office: Office,
    path: str,
    state: JobState,
    key: str,
    default: timedelta,
) -> None:
    app.clock = clock = MovableClock(app)
    to = "nobody" if state is JobState.FAILED else "ana"
    for job, then in (("old", default), ("young", default / 2)):
        await office.send_email.add(Mail(to), id=job)
        await run_until_idle(app)
        await clock.advance(seconds=int(then.total_seconds()))

    by_default = await operator.post(f"{API}/clean/{path}/email")
    left = [each.id for each in await app.queue("email").ended([state], limit=5)]
    said = await operator.post(f"{API}/clean/{path}/email", json={key: 1})

    _starts_with(by_default, {"success": True, "message": "Removed 1 job", "count": 1})
    assert left == ["young"]
    _starts_with(said, {"success": True, "message": "Removed 1 job", "count": 1})
    assert (await app.queue("email").ended([state], limit=5)) == []


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/queue/emial", 400, "Invalid queue name"),
        ("/queue/emial/performance", 400, "Invalid queue name"),
        ("/job/emial/x", 400, "Invalid queue name"),
        ("/job/email/nobody", 404, "Job not found"),
        ("/queue/" + "x" * 65, 400, "Invalid queue name"),
    ],
)
async def test_what_is_wrong_is_said_in_the_words_of_the_system_before(
    viewer: httpx2.AsyncClient, path: str, status: int, error: str
) -> None:
    answer = await viewer.get(API + path)

    problem = json.loads(answer.text)
    assert answer.status_code == status
    assert list(problem) == ["error", "message", "code", "requestId"]
    assert problem["error"] == error
    assert problem["message"].endswith(".")


def test_a_hundred_jobs_are_what_averages_are_over() -> None:
    assert queues_api.RECENT_JOBS == 100
