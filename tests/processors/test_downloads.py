"""Links in mails: they open for days, and end with their day, their row or their object."""

import asyncio
import urllib.request
from datetime import timedelta

from processors.database import Database
from processors.downloads import Download, link_to, opened
from processors.storage import Storage

APP_URL = "https://app.imobibase.com"
REPORT = Download(
    key="reports/1/a.pdf", filename="Relatório de março.pdf", mime_type="application/pdf"
)


async def linked(database: Database, lifetime: timedelta = timedelta(days=7)) -> str:
    """The token of a link to the report."""
    async with database.transaction(tenant="1") as work:
        link = await link_to(work, REPORT, app_url=APP_URL, tenant="1", user="1", lifetime=lifetime)
    address, _, token = link.rpartition("/")
    assert address == f"{APP_URL}/downloads"
    return token


def fetched(url: str) -> tuple[bytes, str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read(), answer.headers["Content-Disposition"]


async def test_a_link_leads_to_the_file_as_often_as_it_is_opened(
    seeded: Database, storage: Storage
) -> None:
    await storage.exports.put(REPORT.key, b"%PDF", REPORT.mime_type)
    token = await linked(seeded)

    for _ in range(2):
        url = await opened(seeded, storage, token)
        assert url is not None
        content, how = await asyncio.to_thread(fetched, url)
        assert content == b"%PDF"
        assert "Relat%C3%B3rio" in how

    async with seeded.transaction() as work:
        assert await work.value(int, "SELECT opened FROM download_links") == 2


async def test_a_link_that_has_run_out_leads_nowhere(seeded: Database, storage: Storage) -> None:
    await storage.exports.put(REPORT.key, b"%PDF", REPORT.mime_type)
    token = await linked(seeded, lifetime=timedelta(seconds=-1))

    assert await opened(seeded, storage, token) is None


async def test_a_link_to_what_was_cleaned_up_leads_nowhere(
    seeded: Database, storage: Storage
) -> None:
    assert await opened(seeded, storage, await linked(seeded)) is None


async def test_a_token_that_nobody_gave_out_leads_nowhere(
    seeded: Database, storage: Storage
) -> None:
    token = await linked(seeded)

    for other in ("", "x", token[:-1], token + "x", token[:-1] + "\x00", "A" * 43):
        assert await opened(seeded, storage, other) is None


async def test_the_database_does_not_know_the_token(seeded: Database) -> None:
    token = await linked(seeded)

    async with seeded.transaction() as work:
        row = await work.value(str, "SELECT download_links::text FROM download_links")
    assert row is not None
    assert token not in row
