"""Real-estate portals: the feed as they read it, when it is sent, and the leads that come back."""

import json
from collections.abc import AsyncIterator
from xml.etree import ElementTree

import msgspec
import pytest

from processors.database import Database
from processors.imobibase import QueueName
from processors.queues import create_queue, queue_integration_sync
from processors.storage import Storage
from streamq import App, Job, JobState
from streamq.testing import run_until_idle
from tests.processors.connected import agency, leads
from tests.processors.doubles import Service, path_of, serving
from tests.processors.web_server import Asked, answer

QUEUE = QueueName.INTEGRATION_SYNC
NS = {"v": "http://www.vivareal.com/schemas/1.0/VRSync"}
KEY = "feeds/sol/vrsync.xml"
LEADS = [
    {
        "leadOrigin": "VivaReal",
        "timestamp": "2026-01-31T12:00:00Z",
        "originLeadId": "59ee0fc6e4b043e1b2a6d863",
        "originListingId": "87027856",
        "clientListingId": "p1",
        "name": "Nome Consumidor",
        "email": "consumidor@example.com",
        "ddd": "11",
        "phone": "999999999",
        "message": "Olá, tenho interesse neste imóvel.",
        "temperature": "ALTA",
    },
    {
        "leadOrigin": "Grupo OLX",
        "timestamp": "2026-01-31T12:01:00Z",
        "originLeadId": "2",
        "name": "Sem Endereço",
        "phone": "1",
    },
]


class Portal:
    """Takes feeds, and gives each lead once to who asks with the cursor that it gave."""

    def __init__(self) -> None:
        self.leads: list[dict[str, str]] = []

    async def respond(self, asked: Asked) -> bytes:
        if path_of(asked) == "/feed":
            return answer(202)
        start = int(asked.line.split(" ")[1].partition("since=")[2] or 0)
        page = {"leads": self.leads[start : start + 1], "next": str(start + 1)}
        return answer(200, json.dumps(page).encode())


@pytest.fixture
def theirs() -> Portal:
    return Portal()


@pytest.fixture
async def portal(theirs: Portal, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with serving(theirs.respond) as running:
        monkeypatch.setenv("HTTP_PRIVATE_HOSTS", running.origin)
        yield running


@pytest.fixture
async def sol(database: Database, storage: Storage, imobibase: App, portal: Service) -> Database:
    await agency(database, "sol", "portals", {"baseUrl": portal.url, "apiKey": "k"})
    async with database.transaction() as work:
        await work.run(
            "INSERT INTO properties (id, tenant_id, title, description, type, category, price,"
            " address, city, state, zip_code, bedrooms, area, features, images, status) VALUES"
            " ('p1', 'sol', 'Apê & <sol>', E'Vista \x01mar ]]>', 'apartamento', 'venda', 450000.90,"
            "  'Rua das Flores, 10 - Centro', 'São Paulo', 'sp', '01000-000', 2, 70,"
            "  '{Piscina,\"Churrasqueira & forno\"}',"
            "  '{https://cdn.example.com/1.jpg,javascript:x,https://cdn.example.com/2.jpg}',"
            "  'available'),"
            " ('p2', 'sol', 'Casa', NULL, 'casa', 'aluguel', 1550, 'Rua B, 2', 'Rio', 'RJ', NULL,"
            "  NULL, NULL, NULL, NULL, 'available'),"
            " ('p3', 'sol', 'Alugada', NULL, 'casa', 'aluguel', 1, 'x', 'x', 'RJ', NULL, NULL,"
            "  NULL, NULL, NULL, 'rented')"
        )
    return database


async def ran(imobibase: App, action: str = "sync") -> Job:
    job_id = await queue_integration_sync("real-estate-portal", action)
    await run_until_idle(imobibase, QUEUE.value)
    job = await create_queue(QUEUE).get(job_id)
    assert job is not None
    return job


def result_of(job: Job) -> dict[str, object]:
    assert job.state is JobState.COMPLETED, job.run
    assert job.run.result is not None
    found: dict[str, object] = msgspec.msgpack.decode(job.run.result)
    return found


def text(listing: ElementTree.Element, path: str) -> str | None:
    return listing.findtext("/".join(f"v:{name}" for name in path.split("/")), None, NS)


async def test_the_feed_holds_what_is_on_offer_as_portals_read_it(
    imobibase: App, sol: Database, storage: Storage
) -> None:
    assert result_of(await ran(imobibase, "push"))["listings"] == 2

    feed = ElementTree.fromstring(await storage.exports.get(KEY))
    assert feed.tag == f"{{{NS['v']}}}ListingDataFeed"
    assert text(feed, "Header/ContactName") == "Imobiliária Sol"
    flat, house = feed.findall("v:Listings/v:Listing", NS)
    assert (text(flat, "ListingID"), text(flat, "Title")) == ("p1", "Apê & <sol>")
    assert (text(flat, "TransactionType"), text(house, "TransactionType")) == (
        "For Sale",
        "For Rent",
    )
    assert text(flat, "Details/PropertyType") == "Residential / Apartment"
    assert text(flat, "Details/Description") == "Vista mar ]]>"
    assert (text(flat, "Details/ListPrice"), text(house, "Details/RentalPrice")) == (
        "450000",
        "1550",
    )
    assert [one.text for one in flat.findall("v:Media/v:Item", NS)] == [
        "https://cdn.example.com/1.jpg",
        "https://cdn.example.com/2.jpg",
    ]
    assert [one.text for one in flat.findall("v:Details/v:Features/v:Feature", NS)] == [
        "Piscina",
        "Churrasqueira & forno",
    ]
    place = flat.find("v:Location", NS)
    assert place is not None
    assert [(one.tag.partition("}")[2], one.text) for one in place] == [
        ("Country", "Brasil"),
        ("State", "São Paulo"),
        ("City", "São Paulo"),
        ("Neighborhood", "Centro"),
        ("Address", "Rua das Flores, 10"),
        ("PostalCode", "01000-000"),
    ]


async def test_the_feed_is_sent_when_it_changed_and_only_then(
    imobibase: App, sol: Database, portal: Service, storage: Storage
) -> None:
    for _ in range(2):
        await ran(imobibase, "push")
    [first] = portal.to("/feed")
    assert first.line == "PUT /feed HTTP/1.1"
    assert (first.headers["authorization"], first.headers["content-type"]) == (
        "Bearer k",
        "application/xml",
    )
    async with sol.transaction() as work:
        await work.run("UPDATE properties SET price = 1 WHERE id = 'p1'")

    await ran(imobibase, "push")

    assert len(portal.to("/feed")) == 2
    assert b">1</ListPrice>" in portal.to("/feed")[1].body


async def test_leads_come_in_once_with_what_they_asked_for(
    imobibase: App, sol: Database, theirs: Portal
) -> None:
    theirs.leads = [dict(lead) for lead in LEADS]

    first, second = [result_of(await ran(imobibase, "pull")) for _ in range(2)]

    assert (first["created"], first["unusable"]) == (1, 1)
    assert "created" not in second
    [lead] = await leads(sol, "sol")
    assert (lead.name, lead.email, lead.phone, lead.source) == (
        "Nome Consumidor",
        "consumidor@example.com",
        "11999999999",
        "vivareal",
    )
    assert lead.notes == "Imóvel p1: Olá, tenho interesse neste imóvel."


async def test_who_asks_about_a_second_home_is_a_lead_again(
    imobibase: App, sol: Database, theirs: Portal
) -> None:
    theirs.leads = [
        LEADS[0],
        {**LEADS[0], "originLeadId": "3", "clientListingId": "p2", "leadOrigin": "ZAP Imóveis"},
    ]

    await ran(imobibase, "pull")

    assert [(lead.source, lead.notes) for lead in await leads(sol, "sol")] == [
        ("vivareal", "Imóvel p1: Olá, tenho interesse neste imóvel."),
        ("zapimoveis", "Imóvel p2: Olá, tenho interesse neste imóvel."),
    ]


async def test_what_was_deleted_here_does_not_come_back(
    imobibase: App, sol: Database, theirs: Portal
) -> None:
    theirs.leads = [LEADS[0]]
    await ran(imobibase, "pull")
    async with sol.transaction() as work:
        await work.run("UPDATE leads SET deleted_at = now()")
    theirs.leads.append({**LEADS[0], "timestamp": "2026-02-01T12:00:00Z", "message": "Ainda?"})

    done = result_of(await ran(imobibase, "pull"))

    assert (done.get("created"), done["unchanged"]) == (None, 1)
    async with sol.transaction() as work:
        assert await work.value(int, "SELECT count(*) FROM leads WHERE deleted_at IS NULL") == 0


async def test_without_a_portal_there_is_the_feed_alone(
    imobibase: App, database: Database, storage: Storage
) -> None:
    await agency(database, "sol", "real-estate-portal")

    assert result_of(await ran(imobibase))["agencies"] == 1
    assert b"<Listings>\n</Listings>" in await storage.exports.get(KEY)


async def test_without_a_bucket_the_job_fails_and_says_what_to_set(
    imobibase: App, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BACKUP_BUCKET", "EXPORT_BUCKET", "S3_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    await agency(database, "sol", "real-estate-portal")

    job = await ran(imobibase)

    assert job.state is JobState.FAILED
    assert "EXPORT_BUCKET" in job.run.reason
