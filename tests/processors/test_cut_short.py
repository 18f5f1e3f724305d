"""Reminders, notifications and synchronisations, killed at any await and run again: one of each."""

from collections.abc import Coroutine, Mapping

import msgspec
import pytest

from processors.database import Database
from processors.imobibase import QueueName
from processors.integrations.kinds import Action, Provider
from processors.notify import NotificationType, Notify, notify
from processors.queues import create_queue
from processors.remind_payments import RemindPayment, remind_payments
from processors.reminders.kinds import ReminderType
from processors.sync_integration import SyncIntegration, sync_integration
from streamq import App, JobState
from streamq.testing import perform
from tests.processors.browsers import Browser
from tests.processors.connected import add_lead, agency, leads
from tests.processors.crms import Crm, HubSpotDouble
from tests.processors.cutting import Attempt, each_await
from tests.processors.doubles import serving
from tests.processors.renting import Agency
from tests.processors.web_server import answer, running

pytestmark = pytest.mark.slow
FEWEST_AWAITS = 10


async def mail_jobs() -> list[Mapping[str, object]]:
    queue = create_queue(QueueName.EMAIL)
    found = (await queue.page(JobState.WAITING, limit=200)).jobs
    return [msgspec.msgpack.decode(job.data) for job in found]


async def test_a_reminder(imobibase: App, database: Database) -> None:
    sol = Agency(database)
    await sol.open()
    cuts = 60
    contracts = [await sol.contract(-5, email=f"renter{cut}@example.com") for cut in range(cuts)]
    async with imobibase.living() as shared:

        def attempts(awaits: int) -> Attempt:
            payload = RemindPayment(contract_id=contracts[awaits], type=ReminderType.OVERDUE)

            def attempt() -> Coroutine[object, None, object]:
                return perform(remind_payments, payload, state=shared, id=f"cut-{awaits}")

            return attempt

        last = [awaits async for awaits in each_await(attempts)][-1]

    assert last > FEWEST_AWAITS
    mailed = [str(mail["to"]) for mail in await mail_jobs()]
    assert sorted(mailed) == sorted(f"renter{awaits}@example.com" for awaits in range(last + 1))
    async with database.transaction() as rows:
        assert await rows.value(int, "SELECT count(*) FROM reminder_log") == last + 1


async def test_a_notification(
    imobibase: App, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agency(database, "sol", "none")
    async with running(answer(201)) as push:
        monkeypatch.setenv("HTTP_PRIVATE_HOSTS", push.origin)
        monkeypatch.setenv("VAPID_PRIVATE_KEY", "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
        monkeypatch.setattr("processors.notifications.telling.PUSHES_HOUR_MAX", 1_000)
        async with database.transaction() as work:
            await work.run(
                "INSERT INTO users (id, tenant_id, name, email, password)"
                " VALUES ('1', 'sol', 'Ana', 'ana@example.com', 'x')"
            )
            browser = Browser()
            await work.run(
                "INSERT INTO push_subscriptions (tenant_id, user_id, endpoint, p256dh, auth)"
                " VALUES ('sol', '1', %(endpoint)s, %(p256dh)s, %(auth)s)",
                endpoint=push.url,
                p256dh=browser.p256dh,
                auth=browser.auth,
            )
        payload = Notify(user_id=1, title="Olá", message="Oi", type=NotificationType.INFO)
        async with imobibase.living() as shared:

            def attempts(awaits: int) -> Attempt:
                return lambda: perform(notify, payload, state=shared, id=f"cut-{awaits}")

            last = [awaits async for awaits in each_await(attempts)][-1]

    assert last > FEWEST_AWAITS
    async with database.transaction() as rows:
        told = "SELECT count(told_at) FROM notifications"
        assert await rows.value(int, told) == last + 1
    # Of one that was sent and not written down there is a copy, which its tag puts in its place.
    shown = {msgspec.json.decode(browser.read(asked.body))["tag"] for asked in push.asked}
    assert len(shown) == last + 1
    assert len(push.asked) <= 2 * len(shown)


async def test_a_synchronisation(
    imobibase: App, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm = HubSpotDouble()
    async with serving(crm.respond) as service:
        monkeypatch.setenv("HTTP_PRIVATE_HOSTS", service.origin)
        config = {"baseUrl": service.url, "apiKey": Crm.KEY}
        await agency(database, "sol", "hubspot", config)
        payload = SyncIntegration(provider=Provider.HUBSPOT, action=Action.SYNC)
        async with imobibase.living() as shared:

            def attempts(awaits: int) -> Attempt:
                return lambda: _sync(database, crm, awaits, shared, payload)

            last = [awaits async for awaits in each_await(attempts, step=3)][-1]

    assert last > FEWEST_AWAITS
    ours = [lead.email for lead in await leads(database, "sol")]
    theirs = sorted(record.fields["email"] for record in crm.of("contacts"))
    assert len(set(ours)) == len(ours)
    assert sorted(ours) == theirs


async def _sync(
    database: Database, crm: HubSpotDouble, awaits: int, shared: object, payload: SyncIntegration
) -> object:
    """With a lead on each side that the other has not yet, made by the first of two attempts."""
    here, there = f"here{awaits}", f"there{awaits}@example.com"
    if not any(lead.email.startswith(here) for lead in await leads(database, "sol")):
        await add_lead(database, "sol", here)
    if not any(record.fields["email"] == there for record in crm.of("contacts")):
        crm.put("contacts", {"email": there, "firstname": "Bo", "lastname": "Lima", "phone": "1"})
    return await perform(
        sync_integration, payload, name="sync-hubspot", state=shared, id=f"cut-{awaits}"
    )
