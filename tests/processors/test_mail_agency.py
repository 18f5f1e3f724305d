"""In whose name a mail goes out: its sender, its colours, and the files it may take along."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from processors.clients.mailbox import Mailbox
from processors.database import Database
from processors.imobibase import QueueName
from processors.mails.agency import Agencies
from processors.queues import create_queue, queue_email
from processors.storage import Storage
from processors.templates.brand import Branding
from processors.templates.render import Site
from streamq import App, Job, JobState
from streamq.testing import run_until_idle
from tests.processors.agency_rows import OTHER_TENANT, TENANT, add_agency
from tests.processors.letters import part, read
from tests.processors.mail_server import MailServer

RENTER = "renter@example.com"
OURS = Mailbox("ImobiBase", "noreply@imobibase.com")
SITE = Site(app_url="https://app.imobibase.com", branding=Branding(), link_hosts=None)


@pytest.fixture
async def site(
    imobibase: App,
    database: Database,
    mails: MailServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> App:
    """The application with two agencies in its database, a mail server, a folder for files."""
    monkeypatch.setenv("MAIL_ATTACHMENTS_DIR", str(tmp_path))
    await add_agency(database)
    monkeypatch.setenv("APP_URL", "https://app.imobibase.com")
    monkeypatch.setenv("FROM_EMAIL", "ImobiBase <noreply@imobibase.com>")
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{mails.port}?timeout=0.5")
    return imobibase


async def sent(
    site: App, to: str | list[str] = RENTER, tenant: str | None = None, **changed: object
) -> Job:
    payload: Mapping[str, object] = {
        "to": to,
        "subject": "Olá",
        "template": "welcome",
        "data": {"userName": "Ana"},
    }
    job_id = await queue_email({**payload, **changed}, tenant=tenant)
    await run_until_idle(site, "email")
    job = await create_queue(QueueName.EMAIL).get(job_id)
    assert job is not None
    return job


async def change(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.execute(statement.encode())


async def test_a_mail_is_in_the_brand_of_the_agency_that_its_job_names(
    site: App, mails: MailServer
) -> None:
    await sent(site, tenant=TENANT)

    [mail] = mails.mails
    message = read(mail.content)
    # Our own address, which our servers may send from; the answer goes to the agency.
    assert mail.sender == "noreply@imobibase.com"
    assert message["From"] == "Imobiliária Sol <noreply@imobibase.com>"
    assert message["Reply-To"] == "Imobiliária Sol <contato@example.com>"
    html = part(message, "html")
    assert "Sua conta Imobiliária Sol está pronta" in html
    assert "background-color: #f97316" in html
    assert "Av. Paulista, 1000 - São Paulo/SP" in part(message, "plain")


async def test_a_senders_address_of_the_payload_wins(site: App, mails: MailServer) -> None:
    await sent(site, tenant=TENANT, **{"from": "Ana <ana@sol.com>"})

    message = read(mails.mails[0].content)
    assert message["From"] == "Ana <ana@sol.com>"
    assert message["Reply-To"] is None


async def test_without_a_name_it_is_the_agency_of_the_users_it_goes_to(database: Database) -> None:
    await add_agency(database)
    agencies = Agencies(database, SITE)

    for to, tenant in (
        (["user@example.com"], TENANT),
        (["User@Example.com"], TENANT),
        (["bo@example.com"], OTHER_TENANT),
        ([RENTER], None),
        # Of two agencies, or of one and a stranger: neither's brand is right.
        (["user@example.com", "bo@example.com"], None),
        (["user@example.com", RENTER], None),
    ):
        assert (await agencies.of(None, to)).tenant == tenant


async def test_an_agency_that_is_not_there_fails_the_job(
    site: App, database: Database, mails: MailServer
) -> None:
    unknown = await sent(site, tenant="luna")
    await change(database, f"UPDATE tenants SET deleted_at = now() WHERE id = '{TENANT}'")
    deleted = await sent(site, tenant=TENANT)

    assert unknown.state is deleted.state is JobState.FAILED
    assert unknown.run.reason.startswith("there is no agency 'luna' (header tenant)")
    assert mails.mails == []


async def test_a_slip_in_an_agencys_profile_does_not_stop_its_mails(database: Database) -> None:
    await add_agency(database)
    await change(
        database,
        "UPDATE tenants SET name = E'Sol\\n=?utf-8?q?x?=\\u202e', primary_color = 'red',"
        " secondary_color = ' #ABCDEF ', email = 'no address', logo = 'javascript:x', phone = ''",
    )

    agency = await Agencies(database, SITE).of(TENANT, [])

    assert agency.branding == Branding(
        company_name="Sol = ?utf-8?q?x?=",
        secondary_color="#ABCDEF",
        address="Av. Paulista, 1000 - São Paulo/SP",
    )
    assert agency.reply_to is None
    assert agency.sender(OURS) == Mailbox("Sol = ?utf-8?q?x?=", OURS.address)


async def test_a_brand_has_the_agencys_own_settings(database: Database) -> None:
    await add_agency(database)
    await change(
        database,
        "INSERT INTO brand_settings (tenant_id, logo_url, footer_text, custom_domain) VALUES"
        f" ('{TENANT}', '/uploads/sol.png', 'CRECI 12345-J', 'sol.com')",
    )
    await change(database, "UPDATE tenants SET phone = '+5511987654321'")
    agencies = Agencies(database, SITE)

    brand = (await agencies.of(TENANT, [])).branding

    assert brand.logo == "https://app.imobibase.com/uploads/sol.png"
    assert brand.footer_text == "CRECI 12345-J"
    assert brand.website == "https://sol.com"
    assert brand.phone == "+55 11 98765-4321"


async def test_a_brand_is_read_once_a_minute(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_agency(database)
    agencies = Agencies(database, SITE)
    first = await agencies.of(TENANT, [])
    await change(database, "UPDATE tenants SET name = 'Lua'")

    second = await agencies.of(TENANT, [])
    monkeypatch.setattr("processors.mails.agency.REMEMBERED_S", -1.0)
    fresh = Agencies(database, SITE)
    await fresh.of(TENANT, [])
    await change(database, "UPDATE tenants SET name = 'Mar'")

    assert second is first
    assert (await fresh.of(TENANT, [])).branding.company_name == "Mar"


async def attached(
    site: App, storage: Storage, key: str, *, bucket: str | None = None, tenant: str | None = TENANT
) -> Job:
    path = f"s3://{bucket or storage.exports.name}/{key}"
    file = {"filename": "fatura.pdf", "path": path}
    return await sent(site, tenant=tenant, attachments=[file])


async def test_an_object_of_the_agencys_own_is_attached(
    storage: Storage, site: App, mails: MailServer
) -> None:
    key = f"invoices/{TENANT}/12345.pdf"
    await storage.exports.put(key, b"%PDF-1.7", "application/pdf")

    job = await attached(site, storage, key)

    assert job.state is JobState.COMPLETED
    [file] = read(mails.mails[0].content).iter_attachments()
    assert file.get_filename() == "fatura.pdf"
    assert file.get_payload(decode=True) == b"%PDF-1.7"


async def test_an_object_that_is_not_the_agencys_fails_the_job(
    storage: Storage, site: App, mails: MailServer
) -> None:
    for key in (f"invoices/{OTHER_TENANT}/1.pdf", f"{TENANT}/1.pdf", f"a/b/{TENANT}/1.pdf"):
        await storage.exports.put(key, b"secret", "application/pdf")

        job = await attached(site, storage, key)

        assert (job.state, job.run.attempts) == (JobState.FAILED, 1)
        assert f"is not of agency {TENANT}" in job.run.reason
    missing = await attached(site, storage, f"invoices/{TENANT}/missing.pdf")
    assert "there is no object" in missing.run.reason
    assert mails.mails == []


async def test_no_other_bucket_and_no_mail_of_nobody_takes_objects(
    storage: Storage, site: App, mails: MailServer
) -> None:
    key = f"invoices/{TENANT}/1.pdf"
    await storage.exports.put(key, b"secret", "application/pdf")
    await storage.backups.put(key, b"secret", "application/pdf")

    of_backups = await attached(site, storage, key, bucket=storage.backups.name)
    of_nobody = await attached(site, storage, key, tenant=None)

    assert f"is not in {storage.exports.name} (EXPORT_BUCKET)" in of_backups.run.reason
    assert "say whose mail this is (tenant)" in of_nobody.run.reason
    assert mails.mails == []


async def test_an_object_that_is_too_large_is_not_fetched(
    storage: Storage, site: App, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.mails.files.ATTACHED_BYTES_MAX", 10)
    key = f"invoices/{TENANT}/1.pdf"
    await storage.exports.put(key, b"x" * 11, "application/pdf")

    job = await attached(site, storage, key)

    assert "has 11 bytes, there is room for 10; send a link" in job.run.reason
    assert mails.mails == []


async def test_attachments_arrive(site: App, mails: MailServer, tmp_path: Path) -> None:
    (tmp_path / "fatura.pdf").write_bytes(b"%PDF-1.7")
    await sent(
        site,
        attachments=[
            {"filename": "dados.csv", "content": "preço;1,5\n"},
            {"filename": "fatura nº 12345.pdf", "path": "fatura.pdf"},
        ],
    )

    files = list(read(mails.mails[0].content).iter_attachments())
    assert [one.get_filename() for one in files] == ["dados.csv", "fatura nº 12345.pdf"]
    assert files[1].get_payload(decode=True) == b"%PDF-1.7"


@pytest.mark.parametrize(
    ("attachment", "says"),
    [
        ({"filename": "a.txt", "path": "/etc/passwd"}, "outside of"),
        ({"filename": "a.txt", "path": "missing.txt"}, "there is no file"),
    ],
)
async def test_a_file_that_must_not_or_cannot_go_out_fails_the_job(
    site: App, mails: MailServer, attachment: Mapping[str, str], says: str
) -> None:
    job = await sent(site, attachments=[attachment])

    assert job.state is JobState.FAILED
    assert job.run.attempts == 1
    assert says in job.run.reason
    assert mails.mails == []
