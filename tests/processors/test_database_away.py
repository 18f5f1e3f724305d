"""Reminders, notifications and synchronisations while PostgreSQL is away: later, and once."""

import socket
from collections.abc import AsyncIterator

import psycopg
import pytest

from processors.database import Database
from processors.imobibase import QueueName
from processors.queues import (
    create_queue,
    queue_integration_sync,
    queue_notification,
    queue_overdue_payment_reminder,
)
from streamq import App, Job, JobState
from streamq.testing import MovableClock, run_until_idle
from tests.processors.connected import add_lead
from tests.processors.renting import SOL, Agency
from tests.processors.web_server import WebServer, running
from tests.support.postgres import Postgres

KINDS = (QueueName.PAYMENT_REMINDER, QueueName.NOTIFICATION, QueueName.INTEGRATION_SYNC)


@pytest.fixture
async def hook(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WebServer]:
    async with running() as web:
        monkeypatch.setenv("HTTP_PRIVATE_HOSTS", web.origin)
        monkeypatch.setenv("ZAPIER_WEBHOOK_URL", web.url)
        yield web


@pytest.fixture
async def sol(database: Database, imobibase: App, hook: WebServer) -> Database:
    """An agency with a late payment, a user, and a lead for Zapier."""
    agency = Agency(database)
    await agency.open()
    await agency.contract(-5)
    await add_lead(database, SOL, "ana")
    async with database.transaction() as work:
        await work.run(
            "INSERT INTO users (id, tenant_id, name, email, password)"
            " VALUES ('1', 'sol', 'Ana', 'ana@example.com', 'x')"
        )
        await work.run(
            "INSERT INTO integration_configs (tenant_id, integration_name, status)"
            " VALUES ('sol', 'zapier', 'connected')"
        )
    return database


@pytest.fixture
def clock(imobibase: App) -> MovableClock:
    clock = MovableClock(imobibase)
    imobibase.clock = clock
    return clock


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.database.pool.WAIT_LIMIT_S", 0.2)


async def queued(kind: QueueName) -> str:
    match kind:
        case QueueName.PAYMENT_REMINDER:
            return await queue_overdue_payment_reminder("sol-1", 5)
        case QueueName.NOTIFICATION:
            return await queue_notification(user_id=1, title="Olá", message="Oi", type="info")
        case _:
            return await queue_integration_sync("zapier", "push", entity_type="lead")


async def ran(imobibase: App, kind: QueueName, job_id: str) -> Job:
    await run_until_idle(imobibase, kind.value)
    job = await create_queue(kind).get(job_id)
    assert job is not None
    return job


async def products(kind: QueueName, database: Database, hook: WebServer) -> int | None:
    match kind:
        case QueueName.PAYMENT_REMINDER:
            return (await create_queue(QueueName.EMAIL).counts()).waiting
        case QueueName.NOTIFICATION:
            async with database.transaction() as work:
                return await work.value(int, "SELECT count(told_at) FROM notifications")
        case _:
            return len(hook.asked)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_database_that_refuses_is_asked_again(
    imobibase: App,
    sol: Database,
    hook: WebServer,
    clock: MovableClock,
    kind: QueueName,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = await queued(kind)
    with socket.socket() as closed, monkeypatch.context() as away:
        closed.bind(("127.0.0.1", 0))
        away.setenv("DATABASE_URL", f"postgresql://x@127.0.0.1:{closed.getsockname()[1]}/x")
        job = await ran(imobibase, kind, job_id)
    assert job.state is JobState.DELAYED
    assert await products(kind, sol, hook) == 0

    await clock.advance(seconds=5)
    job = await ran(imobibase, kind, job_id)

    assert (job.state, job.run.attempts) == (JobState.COMPLETED, 2)
    assert await products(kind, sol, hook) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_standby_that_takes_no_writes_is_asked_again_and_what_went_out_goes_out_once(
    imobibase: App,
    sol: Database,
    hook: WebServer,
    clock: MovableClock,
    kind: QueueName,
    postgres: Postgres,
) -> None:
    name = sol.server.name
    job_id = await queued(kind)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        job = await ran(imobibase, kind, job_id)
        connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
    assert job.state is JobState.DELAYED
    assert "is read-only now" in job.run.errors[0].message

    await clock.advance(seconds=5)
    job = await ran(imobibase, kind, job_id)

    assert job.state is JobState.COMPLETED
    if kind is QueueName.INTEGRATION_SYNC:
        # Delivered before it could be written down: again, with the same ids of its events.
        assert len({asked.body for asked in hook.asked}) == 1
    else:
        assert await products(kind, sol, hook) == 1
