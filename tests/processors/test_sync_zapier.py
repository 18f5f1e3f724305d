"""Zapier: each change is an event of a delivery, signed, and known again when it comes twice."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest

from processors.database import Database
from processors.imobibase import QueueName
from processors.integrations.zapier import signature
from processors.queues import create_queue, queue_integration_sync, run_integration_sync
from streamq import App, Job, JobState
from streamq.testing import MovableClock, run_until_idle
from tests.processors.connected import add_lead, agency
from tests.processors.marks import progress_marks
from tests.processors.web_server import WebServer, answer, running

QUEUE = QueueName.INTEGRATION_SYNC


@pytest.fixture
async def hook(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WebServer]:
    async with running(answer(200, b'{"status":"success"}')) as web:
        monkeypatch.setenv("HTTP_PRIVATE_HOSTS", web.origin)
        monkeypatch.setenv("ZAPIER_WEBHOOK_URL", web.url)
        yield web


@pytest.fixture
async def sol(database: Database, imobibase: App, hook: WebServer) -> Database:
    """An agency with a lead, a property and a contract, whose webhook is the operator's."""
    await agency(database, "sol", "zapier")
    await add_lead(database, "sol", "ana")
    async with database.transaction() as work:
        await work.run(
            "INSERT INTO properties (id, tenant_id, title, type, category, price, address, city,"
            " state) VALUES ('p1', 'sol', 'Apê', 'apartamento', 'venda', 450000.50, 'Rua A, 1',"
            " 'São Paulo', 'SP')"
        )
        await work.run(
            "INSERT INTO contracts (id, tenant_id, property_id, lead_id, type, value)"
            " VALUES ('c1', 'sol', 'p1', 'ana', 'sale', 450000)"
        )
    return database


@pytest.fixture
def clock(imobibase: App) -> MovableClock:
    clock = MovableClock(imobibase)
    imobibase.clock = clock
    return clock


async def ran(imobibase: App, job_id: str) -> Job:
    await run_until_idle(imobibase, QUEUE.value)
    job = await create_queue(QUEUE).get(job_id)
    assert job is not None
    return job


def result_of(job: Job) -> object:
    assert job.state is JobState.COMPLETED, job.run
    assert job.run.result is not None
    return msgspec.msgpack.decode(job.run.result)


async def test_each_change_is_an_event(
    imobibase: App, sol: Database, hook: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = progress_marks(monkeypatch)
    job = await ran(imobibase, await queue_integration_sync("zapier"))

    assert result_of(job) == {"provider": "zapier", "agencies": 1, "sent": 3}
    assert marks == [10, 20, 100]
    events = {one["event"]: one for asked in hook.asked for one in json.loads(asked.body)}
    assert set(events) == {"property.changed", "lead.changed", "contract.changed"}
    lead = events["lead.changed"]
    assert lead["agency"] == "sol"
    assert lead["id"].startswith("lead:ana:")
    assert lead["data"] == {
        "id": "ana",
        "name": "Ana Souza",
        "email": "ana@example.com",
        "phone": "1",
        "source": "website",
        "status": "new",
        "budget": None,
        "notes": None,
    }
    assert events["property.changed"]["data"]["price"] == "450000.50"
    assert events["property.changed"]["data"]["zipCode"] is None
    assert events["contract.changed"]["data"]["leadId"] == "ana"


async def test_what_did_not_change_is_not_delivered_again(
    imobibase: App, sol: Database, hook: WebServer
) -> None:
    await ran(imobibase, await queue_integration_sync("zapier"))
    hook.asked.clear()
    await add_lead(sol, "sol", "bo")

    again = await ran(imobibase, await queue_integration_sync("zapier", "push"))

    assert result_of(again) == {"provider": "zapier", "agencies": 1, "sent": 1, "unchanged": 3}
    assert [one["data"]["id"] for asked in hook.asked for one in json.loads(asked.body)] == ["bo"]


async def test_many_changes_are_deliveries_of_fifty(
    imobibase: App, sol: Database, hook: WebServer
) -> None:
    async with sol.transaction() as work:
        await work.run(
            "INSERT INTO leads (id, tenant_id, name, email, phone, source, updated_at)"
            " SELECT 'l' || n, 'sol', 'Lead', 'l' || n || '@example.com', '1', 'olx',"
            " now() - interval '1 day'"  # all of one moment: the id tells them apart
            " FROM generate_series(1, 120) n"
        )

    job_id = await queue_integration_sync("zapier", "push", entity_type="lead")
    await ran(imobibase, job_id)

    sizes = [len(json.loads(asked.body)) for asked in hook.asked]
    assert sizes == [50, 50, 21]
    ids = {one["id"] for asked in hook.asked for one in json.loads(asked.body)}
    assert len(ids) == 121


async def test_a_delivery_whose_answer_was_lost_comes_again_with_the_same_ids(
    imobibase: App, sol: Database, hook: WebServer, clock: MovableClock
) -> None:
    whole, hook.reply = hook.reply, b"HTTP/1.1 20"
    job_id = await queue_integration_sync("zapier", "push", entity_type="lead")
    await ran(imobibase, job_id)
    hook.reply = whole
    await clock.advance(seconds=5)

    job = await ran(imobibase, job_id)

    assert job.state is JobState.COMPLETED
    first, second = (json.loads(asked.body) for asked in hook.asked)
    assert first == second


async def test_it_is_push_only(imobibase: App, sol: Database, hook: WebServer) -> None:
    job = await ran(imobibase, await queue_integration_sync("zapier", "pull"))

    assert result_of(job) == {"provider": "zapier", "skipped": "push-only"}
    assert hook.asked == []


async def test_a_webhook_that_leads_elsewhere_is_not_followed(
    imobibase: App, sol: Database, hook: WebServer
) -> None:
    hook.reply = answer(302, location="http://169.254.169.254/latest")

    job = await ran(imobibase, await queue_integration_sync("zapier"))

    assert job.state is JobState.FAILED
    assert "redirects are not followed" in job.run.reason
    assert len(hook.asked) == 1


async def test_an_agencys_own_webhook_into_a_private_network_is_not_called(
    imobibase: App, database: Database, hook: WebServer
) -> None:
    await agency(database, "sol", "zapier", {"webhookUrl": "https://127.0.0.1/hook"})
    await add_lead(database, "sol", "ana")

    job = await ran(imobibase, await queue_integration_sync("zapier"))

    assert job.state is JobState.FAILED
    assert "leads into a private network (127.0.0.1)" in job.run.reason


async def test_without_any_access_the_job_says_what_to_set(
    imobibase: App, database: Database
) -> None:
    await agency(database, "sol", "zapier")

    job = await ran(imobibase, await queue_integration_sync("zapier"))

    assert job.state is JobState.FAILED
    assert "set ZAPIER_WEBHOOK_URL" in job.run.reason


async def test_the_schedule_runs_each_provider_for_itself(
    imobibase: App, sol: Database, hook: WebServer
) -> None:
    await run_integration_sync()

    await run_until_idle(imobibase, QUEUE.value)

    assert (await create_queue(QUEUE).counts()).completed == 3  # the planner, and one for each
    assert hook.asked


def test_a_delivery_is_signed_with_each_secret_and_a_receiver_can_check_it() -> None:
    at, body = datetime(2026, 1, 31, 12, tzinfo=UTC), b'[{"id":1}]'

    headers = signature("new, old", body, at)

    moment, delivery = headers["X-ImobiBase-Timestamp"], headers["X-ImobiBase-Delivery"]
    signed = f"{moment}.{delivery}.".encode() + body
    assert headers["X-ImobiBase-Signature"].split(",") == [
        "v1=" + hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in (b"new", b"old")
    ]
    assert moment == str(int(at.timestamp()))
    assert signature("new", body + b" ", at)["X-ImobiBase-Signature"] not in headers.values()
    assert signature("", body, at) == {}
