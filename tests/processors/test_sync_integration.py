"""Synchronisation with CRMs that keep records, over real sockets: both ways, and in trouble."""

from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest

from processors.database import Database
from processors.imobibase import QueueName
from processors.queues import create_queue, queue_integration_sync, queue_integration_sync_sync
from streamq import App, Job, JobState
from streamq.errors import InvalidPayload
from streamq.testing import MovableClock, run_until_idle
from tests.processors.connected import add_lead, agency, change_lead, leads, status
from tests.processors.crms import Crm, HubSpotDouble, SalesforceDouble
from tests.processors.doubles import Service, serving
from tests.processors.web_server import answer

QUEUE = QueueName.INTEGRATION_SYNC
SOL = "sol"


@pytest.fixture(params=["hubspot", "salesforce"])
def provider(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def crm(provider: str) -> Crm:
    return HubSpotDouble() if provider == "hubspot" else SalesforceDouble()


@pytest.fixture
async def service(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with serving(crm.respond) as running:
        monkeypatch.setenv("HTTP_PRIVATE_HOSTS", running.origin)
        yield running


@pytest.fixture
def config(provider: str, service: Service) -> Mapping[str, object]:
    """The agency's own access, as its settings hold it."""
    name = "baseUrl" if provider == "hubspot" else "instanceUrl"
    return {name: service.url, "apiKey": Crm.KEY}


@pytest.fixture
async def sol(
    database: Database, imobibase: App, provider: str, config: Mapping[str, object]
) -> Database:
    await agency(database, SOL, provider, config)
    return database


@pytest.fixture
def clock(imobibase: App) -> MovableClock:
    clock = MovableClock(imobibase)
    imobibase.clock = clock
    return clock


async def work(imobibase: App) -> None:
    await run_until_idle(imobibase, QUEUE.value)


async def seen(job_id: str) -> Job:
    job = await create_queue(QUEUE).get(job_id)
    assert job is not None
    return job


async def synced(imobibase: App, provider: str, action: str = "sync") -> Mapping[str, object]:
    """Runs one, and gives its result but for the provider's name."""
    return await result(imobibase, await queue_integration_sync(provider, action))


async def result(imobibase: App, job_id: str) -> Mapping[str, object]:
    await work(imobibase)
    job = await seen(job_id)
    assert job.state is JobState.COMPLETED, job.run
    assert job.run.result is not None
    found: dict[str, object] = msgspec.msgpack.decode(job.run.result)
    del found["provider"]
    return found


def as_theirs(crm: Crm, name: str, email: str, phone: str = "11 9") -> dict[str, str]:
    first, _, last = name.partition(" ")
    if isinstance(crm, HubSpotDouble):
        return {"firstname": first, "lastname": last, "email": email, "phone": phone}
    return {"FirstName": first, "LastName": last, "Email": email, "Phone": phone}


def kind_of(crm: Crm) -> str:
    return "contacts" if isinstance(crm, HubSpotDouble) else "Lead"


def emails(crm: Crm) -> list[str]:
    name = "email" if isinstance(crm, HubSpotDouble) else "Email"
    return sorted(record.fields[name] for record in crm.of(kind_of(crm)))


async def test_what_is_here_goes_there_and_what_is_there_comes_here(
    imobibase: App, sol: Database, crm: Crm, provider: str
) -> None:
    await add_lead(sol, SOL, "ana")
    for name in ("Bo Lima", "Caio Reis", "Duda Melo"):
        email = f"{name.split()[0].lower()}@example.com"
        crm.put(kind_of(crm), as_theirs(crm, name, email))

    done = await synced(imobibase, provider)

    assert done == {"agencies": 1, "created": 3, "sent": 1, "unchanged": 3}
    assert [lead.email for lead in await leads(sol, SOL)] == [
        f"{name}@example.com" for name in ("ana", "bo", "caio", "duda")
    ]
    assert emails(crm) == [f"{name}@example.com" for name in ("ana", "bo", "caio", "duda")]


async def test_a_second_run_sends_nothing_and_takes_nothing(
    imobibase: App, sol: Database, crm: Crm, provider: str
) -> None:
    await add_lead(sol, SOL, "ana")
    crm.put(kind_of(crm), as_theirs(crm, "Bo Lima", "bo@example.com"))
    await synced(imobibase, provider)
    before = msgspec.to_builtins(crm.records)

    done = [await synced(imobibase, provider) for _ in range(2)]

    assert all("sent" not in one and "created" not in one for one in done)
    assert msgspec.to_builtins(crm.records) == before
    assert len(await leads(sol, SOL)) == 2


async def test_the_later_change_wins_on_either_side(
    imobibase: App, sol: Database, crm: Crm, provider: str
) -> None:
    await add_lead(sol, SOL, "ana")
    await add_lead(sol, SOL, "bo", name="Bo Lima")
    await synced(imobibase, provider)
    theirs = {record.fields[("email" if provider == "hubspot" else "Email")]: record.id
              for record in crm.of(kind_of(crm))}  # fmt: skip

    crm.put(kind_of(crm), as_theirs(crm, "Ana Reis", "ana@example.com", "22"),
            theirs["ana@example.com"])  # fmt: skip
    older = crm.put(
        kind_of(crm), as_theirs(crm, "Bo Velho", "bo@example.com"), theirs["bo@example.com"]
    )
    await change_lead(sol, "bo", "Bo Novo", after=older.changed_at)
    await synced(imobibase, provider)

    assert [(lead.name, lead.phone) for lead in await leads(sol, SOL)] == [
        ("Ana Reis", "22"),
        ("Bo Novo", "1"),
    ]
    last = "lastname" if provider == "hubspot" else "LastName"
    assert sorted(record.fields[last] for record in crm.of(kind_of(crm))) == ["Novo", "Reis"]


async def test_who_is_on_both_sides_already_is_linked_by_the_address(
    imobibase: App, sol: Database, crm: Crm, provider: str
) -> None:
    await add_lead(sol, SOL, "ana", email="Ana@example.com")
    crm.put(kind_of(crm), as_theirs(crm, "Ana Souza", "ana@example.com"))

    for _ in range(3):
        await synced(imobibase, provider)

    assert len(await leads(sol, SOL)) == 1
    assert len(crm.of(kind_of(crm))) == 1


async def test_who_came_from_there_and_is_changed_here_is_changed_there(
    imobibase: App, sol: Database, crm: Crm, provider: str
) -> None:
    there = crm.put(kind_of(crm), as_theirs(crm, "Bo Lima", "bo@example.com"))
    await synced(imobibase, provider)
    async with sol.transaction() as rows:
        bo = await rows.value(str, "SELECT id FROM leads")
    assert bo is not None
    await change_lead(sol, bo, "Bo Novo", email="novo@example.com")

    for _ in range(3):
        await synced(imobibase, provider)

    assert [lead.name for lead in await leads(sol, SOL)] == ["Bo Novo"]
    assert [record.id for record in crm.of(kind_of(crm))] == [there.id]
    assert emails(crm) == ["novo@example.com"]


async def test_what_was_deleted_there_is_made_anew_when_it_changes_here(
    imobibase: App, sol: Database, crm: Crm, provider: str
) -> None:
    await add_lead(sol, SOL, "ana")
    await synced(imobibase, provider)
    crm.records.clear()
    await change_lead(sol, "ana", "Ana Nova")
    gone = await synced(imobibase, provider)
    await change_lead(sol, "ana", "Ana Novíssima")

    done = await synced(imobibase, provider)

    assert (gone["refused"], done["sent"]) == (1, 1)
    assert emails(crm) == ["ana@example.com"]


async def test_who_has_no_address_is_counted_and_holds_up_nobody(
    imobibase: App, sol: Database, crm: Crm, provider: str
) -> None:
    for email in ("", "no address", "x@localhost"):
        crm.put(kind_of(crm), as_theirs(crm, "Eva Dias", email))
    crm.put(kind_of(crm), as_theirs(crm, "Şahin Öz", "sahin@example.com"))

    done = await synced(imobibase, provider, "pull")

    assert done == {"agencies": 1, "created": 1, "unusable": 3}
    assert [lead.name for lead in await leads(sol, SOL)] == ["Şahin Öz"]


async def test_a_record_that_they_refuse_holds_up_no_other_and_is_named(
    imobibase: App, sol: Database, crm: Crm, provider: str
) -> None:
    others = [f"lead{number}" for number in range(9)]
    for lead in (*others[:4], "ana", *others[4:]):
        await add_lead(sol, SOL, lead)
    crm.rejected["ana@example.com" if provider == "hubspot" else "ana"] = "not this one"

    job_id = await queue_integration_sync(provider, "push")
    done = await result(imobibase, job_id)

    assert done == {"agencies": 1, "sent": 9, "refused": 1}
    assert emails(crm) == [f"{lead}@example.com" for lead in others]


async def test_one_entity_goes_alone(
    imobibase: App, sol: Database, crm: Crm, provider: str
) -> None:
    for lead in ("ana", "bo"):
        await add_lead(sol, SOL, lead)

    job_id = await queue_integration_sync(provider, "push", entity_type="lead", entity_id="bo")

    assert await result(imobibase, job_id) == {"agencies": 1, "sent": 1}
    assert emails(crm) == ["bo@example.com"]


async def test_a_429_is_obeyed_and_the_job_goes_on_where_it_was(
    imobibase: App, sol: Database, crm: Crm, provider: str, clock: MovableClock, service: Service
) -> None:
    await add_lead(sol, SOL, "ana")
    crm.told.append(answer(429, b"{}", retry_after="120"))
    job_id = await queue_integration_sync(provider)

    await work(imobibase)
    await clock.advance(seconds=119)
    await work(imobibase)
    assert len(service.asked) == 1

    await clock.advance(seconds=1)
    done = await result(imobibase, job_id)

    assert done["sent"] == 1
    assert (await seen(job_id)).run.attempts == 2
    assert await status(sol, SOL) == "connected"


@pytest.mark.parametrize("reply", [answer(503), answer(200, b"<html>"), b"HTTP/1.1 20"])
async def test_what_may_pass_is_tried_again(
    imobibase: App, sol: Database, crm: Crm, provider: str, clock: MovableClock, reply: bytes
) -> None:
    crm.told.append(reply)
    job_id = await queue_integration_sync(provider)

    await work(imobibase)
    assert (await seen(job_id)).state is JobState.DELAYED
    await clock.advance(seconds=5)

    assert (await result(imobibase, job_id))["agencies"] == 1


async def test_a_key_that_is_refused_fails_the_job_and_is_shown_in_the_agencys_settings(
    imobibase: App, database: Database, provider: str, config: Mapping[str, object]
) -> None:
    await agency(database, SOL, provider, {**config, "apiKey": "old"})
    job_id = await queue_integration_sync(provider)

    await work(imobibase)

    job = await seen(job_id)
    assert (job.state, job.run.attempts) == (JobState.FAILED, 1)
    assert "Imobiliária Sol (sol): " in job.run.reason
    assert "answered 401" in job.run.reason
    assert "old" not in job.run.reason
    assert await status(database, SOL) == "error"


async def test_trouble_with_one_agency_holds_up_no_other(
    imobibase: App, sol: Database, crm: Crm, provider: str, config: Mapping[str, object]
) -> None:
    await agency(sol, "nova", provider, {**config, "apiKey": "old"})
    await add_lead(sol, SOL, "ana")
    job_id = await queue_integration_sync(provider)

    await work(imobibase)

    assert (await seen(job_id)).state is JobState.FAILED
    assert emails(crm) == ["ana@example.com"]
    assert (await status(sol, SOL), await status(sol, "nova")) == ("connected", "error")


async def test_leads_of_one_agency_never_reach_the_account_of_another(
    imobibase: App, sol: Database, crm: Crm, provider: str
) -> None:
    await agency(sol, "nova", "other")
    await add_lead(sol, "nova", "eva")

    await synced(imobibase, provider)

    assert emails(crm) == []


async def test_killed_before_its_cursor_and_run_again_there_is_one_of_each(
    imobibase: App,
    sol: Database,
    crm: Crm,
    provider: str,
    clock: MovableClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def killed(*_: object) -> None:
        raise ConnectionError("killed here")

    await add_lead(sol, SOL, "ana")
    crm.put(kind_of(crm), as_theirs(crm, "Bo Lima", "bo@example.com"))
    job_id = await queue_integration_sync(provider)
    with monkeypatch.context() as broken:
        broken.setattr("processors.integrations.links.Links.put", killed)
        await work(imobibase)
        await clock.advance(seconds=5)

    await result(imobibase, job_id)

    assert emails(crm) == ["ana@example.com", "bo@example.com"]
    assert len(await leads(sol, SOL)) == 2


@pytest.mark.parametrize("state", ["disconnected", "connected"])
async def test_disconnected_or_disabled_is_skipped(
    imobibase: App,
    database: Database,
    provider: str,
    config: Mapping[str, object],
    service: Service,
    state: str,
) -> None:
    await agency(database, SOL, provider, {**config, "enabled": state != "connected"}, status=state)

    assert await synced(imobibase, provider) == {"skipped": "not-connected"}
    assert service.asked == []


async def test_the_operators_key_never_goes_to_an_address_of_the_agencys(
    imobibase: App,
    database: Database,
    provider: str,
    config: Mapping[str, object],
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HUBSPOT_API_KEY", "the-operators")
    monkeypatch.setenv("SALESFORCE_API_KEY", "the-operators")
    monkeypatch.setenv("SALESFORCE_INSTANCE_URL", "https://sol.my.salesforce.com")
    await agency(database, SOL, provider, {**config, "apiKey": ""})
    job_id = await queue_integration_sync(provider)

    await work(imobibase)

    if provider == "salesforce":
        assert "hold only a part of instanceUrl and apiKey" in (await seen(job_id)).run.reason
    assert all("the-operators" not in str(one.headers) for one in service.asked)


@pytest.mark.usefixtures("imobibase")
@pytest.mark.parametrize(
    "data",
    [
        {"provider": "pipedrive", "action": "sync"},
        {"provider": "hubspot", "action": "erase"},
        {"provider": "hubspot", "action": "push", "entityId": 1},
        {"provider": "hubspot", "action": "pull", "entityType": "lead", "entityId": 1},
    ],
)
async def test_what_is_no_synchronisation_is_refused(data: Mapping[str, object]) -> None:
    with pytest.raises(InvalidPayload):
        await create_queue(QUEUE).add("sync-hubspot", data)


def test_the_way_in_has_a_blocking_twin(imobibase_sync: App) -> None:
    assert queue_integration_sync_sync("zapier")
