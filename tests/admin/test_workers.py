"""Who works on what; and a word to one of them, wherever it runs."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx2
import pytest

from admin.app import create_app
from admin.policy import Role
from admin.settings import Settings
from streamq import App, JobState
from streamq.embedded import EmbeddedServer
from streamq.settings import Settings as EngineSettings
from streamq.testing.idle import working
from tests.admin.conftest import client_of
from tests.admin.office import Mail, Office
from tests.admin.tokens import ConfiguredTokens, KeptAudit
from tests.support import handlers
from tests.support.daemons import Fleet
from tests.support.waiting import soon

API: Final = "/api/admin/jobs"
KEYS: Final = [
    "id", "queue", "live", "kind", "host", "pid", "slots", "names", "build", "label", "startedOn",
    "heardOn", "diedOn",
]  # fmt: skip


async def test_a_worker_is_shown_with_its_lanes_summed(
    viewer: httpx2.AsyncClient, app: App, office: Office
) -> None:
    async with working(app, ["email", "report"], None, 20):
        await soon(lambda: _registered(app), "all lanes are there")
        both = (await viewer.get(f"{API}/workers")).json()
        one = (await viewer.get(f"{API}/workers?queue=report")).json()
    gone = (await viewer.get(f"{API}/workers")).json()

    assert [(each["queue"], each["slots"], each["live"]) for each in both] == [
        ("email", 20, True), ("report", 20, True),
    ]  # fmt: skip
    assert list(both[0]) == KEYS
    assert both[0]["names"] == ["send-email"]
    assert one == [both[1]]
    assert gone == []


async def _registered(app: App) -> bool:
    return all([len(await app.queue(name).workers()) == 2 for name in ("email", "report")])


async def test_a_job_names_its_worker_as_the_list_of_workers_does(
    viewer: httpx2.AsyncClient, app: App, office: Office
) -> None:
    async with working(app, ["email"], None, 20):
        await office.send_email.add(Mail("ana@example.com"), id="sent")
        await office.send_email.add(Mail("nobody"), id="unsent")
        await soon(lambda: _ended(app, 2), "both have ended")
        (worker,) = (await viewer.get(f"{API}/workers")).json()
        sent = (await viewer.get(f"{API}/job/email/sent")).json()
        (unsent,) = (await viewer.get(f"{API}/failed")).json()
        front = (await viewer.get(f"{API}/queue/email")).json()["jobs"]["failed"]

    assert sent["worker"] == unsent["job"]["worker"] == worker["id"]
    assert [error["worker"] for error in unsent["job"]["errors"]] == [worker["id"]]
    assert front == [unsent["job"]]


async def _ended(app: App, jobs: int) -> bool:
    return len(await app.queue("email").ended(limit=10)) == jobs


async def test_a_worker_that_is_not_there_is_not_told(
    operator: httpx2.AsyncClient, office: Office
) -> None:
    answer = await operator.post(f"{API}/workers/nobody/quiet")

    assert (answer.status_code, answer.json()["error"]) == (404, "Worker not found")


async def test_an_embedded_worker_hears_no_orders_and_that_is_said(
    operator: httpx2.AsyncClient, app: App, office: Office
) -> None:
    async with working(app, ["email"], None, 1):
        await soon(lambda: _there(app), "it is there")
        (worker,) = await app.queue("email").fleet()

        answer = await operator.post(f"{API}/workers/{worker.id}/stop")

    assert answer.status_code == 409
    assert "embedded in an application" in answer.json()["message"]


async def _there(app: App) -> bool:
    return bool(await app.queue("email").workers())


# ---- a daemon's


@pytest.fixture
async def fleet(server: EmbeddedServer, prefix: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(server.url, prefix, tmp_path) as started:
        yield started


@pytest.mark.slow
async def test_an_operator_quiets_and_wakes_a_worker_of_another_process(
    server: EmbeddedServer, prefix: str, fleet: Fleet
) -> None:
    audit = KeptAudit()
    async with App("ops", settings=EngineSettings(), redis=server.url, prefix=prefix) as app:
        admin = create_app(app, Settings(), access=ConfiguredTokens(), audit=audit)
        async with client_of(admin, Role.OPERATOR) as operator:
            daemon = await fleet.start()
            worker = ""

            async def told(word: str) -> bool:
                nonlocal worker
                live = (await operator.get(f"{API}/workers")).json()
                worker = live[0]["id"] if live else ""
                # Published, not kept: a daemon that only starts does not hear it.
                answer = await operator.post(f"{API}/workers/{worker or 'nobody'}/{word}")
                return answer.status_code == 200 and daemon.said(f"[Daemon] {word}, as an operator")

            await soon(lambda: told("quiet"), "it is quiet", limit_s=30)
            job = await fleet.add("quick")
            await fleet.beats(2)
            waiting = (await fleet.job(job)).state
            await soon(lambda: told("resume"), "it is told to go on", limit_s=30)
            await fleet.reaches(job, JobState.COMPLETED)

    assert waiting is JobState.WAITING
    done = [entry for entry in audit.entries if entry.status == 200]
    assert {(entry.action, entry.queue) for entry in done} == {
        ("worker.quiet", handlers.QUEUE), ("worker.resume", handlers.QUEUE),
    }  # fmt: skip
    assert done[0].after == {"worker": worker, "word": "quiet"}
