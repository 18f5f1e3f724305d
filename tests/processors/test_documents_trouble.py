"""Invoices and reports while database or bucket are away: later, or a sentence, and never half."""

import errno
import gc
from pathlib import Path

import psycopg
import pytest

from processors.database import Database
from processors.imobibase import QueueName
from processors.queues import create_queue, queue_daily_report, queue_invoice
from processors.reports.as_csv import CsvWriter
from processors.reports.as_pdf import PdfWriter
from processors.reports.as_xlsx import XlsxWriter
from processors.storage import Storage
from streamq import App, Job, JobState
from streamq.testing import MovableClock, run_until_idle
from tests.processors.agency_rows import INVOICE, USER, add_agency, add_invoice, add_payment
from tests.processors.report_samples import TITLE, listed, report
from tests.processors.test_report_files import Making
from tests.support.postgres import Postgres

NOWHERE_S3 = "http://127.0.0.1:9"
NOWHERE_DATABASE = "postgresql://u:p@127.0.0.1:9/x"
INVOICES, REPORTS = QueueName.INVOICE, QueueName.REPORT


@pytest.fixture
async def site(imobibase: App, database: Database, storage: Storage) -> App:
    await add_agency(database)
    await add_payment(database)
    await add_invoice(database)
    imobibase.clock = MovableClock(imobibase)
    return imobibase


async def queued(queue: QueueName) -> str:
    if queue is INVOICES:
        return await queue_invoice(invoice_id=INVOICE, user_id=USER)
    return await queue_daily_report(USER, "user@example.com")


async def after_a_run(site: App, queue: QueueName, job_id: str) -> Job:
    await run_until_idle(site, queue)
    job = await create_queue(queue).get(job_id)
    assert job is not None
    return job


async def after_the_next_try(site: App, queue: QueueName, job_id: str) -> Job:
    clock = site.clock
    assert isinstance(clock, MovableClock)
    await clock.advance(seconds=6)
    return await after_a_run(site, queue, job_id)


async def untouched(database: Database, storage: Storage) -> bool:
    """No row says that anything was made, nobody is mailed."""
    async with database.transaction() as work:
        made = await work.value(
            int,
            "SELECT (SELECT count(*) FROM files) + (SELECT count(*) FROM download_links)"
            " + (SELECT count(*) FROM invoices WHERE status <> 'draft')",
        )
    mails = await create_queue(QueueName.EMAIL).counts()
    return made == 0 and mails.waiting == 0


@pytest.mark.parametrize(
    ("queue", "variable", "nowhere"),
    [
        (INVOICES, "DATABASE_URL", NOWHERE_DATABASE),
        (INVOICES, "S3_ENDPOINT_URL", NOWHERE_S3),
        (REPORTS, "S3_ENDPOINT_URL", NOWHERE_S3),
    ],
)
@pytest.mark.slow
async def test_what_is_away_is_tried_again_and_nothing_half_is_left(
    site: App,
    database: Database,
    storage: Storage,
    queue: QueueName,
    variable: str,
    nowhere: str,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, nowhere)
        job_id = await queued(queue)
        job = await after_a_run(site, queue, job_id)
    assert (job.state, job.run.attempts) == (JobState.DELAYED, 1)
    assert await untouched(database, storage)

    job = await after_the_next_try(site, queue, job_id)

    assert (job.state, job.run.attempts) == (JobState.COMPLETED, 2), job.run.reason
    assert (await create_queue(QueueName.EMAIL).counts()).waiting == 1


@pytest.mark.parametrize("queue", [INVOICES, REPORTS])
async def test_a_database_that_is_read_only_for_now_is_tried_again(
    site: App,
    database: Database,
    storage: Storage,
    postgres: Postgres,
    queue: QueueName,
) -> None:
    job_id = await queued(queue)
    name = database.server.name
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        job = await after_a_run(site, queue, job_id)
        assert job.state is JobState.DELAYED
        assert "read-only" in job.run.errors[0].message
        assert await untouched(database, storage)
        connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())

    job = await after_the_next_try(site, queue, job_id)

    assert job.state is JobState.COMPLETED


@pytest.mark.parametrize("queue", [INVOICES, REPORTS])
async def test_a_bucket_that_is_not_there_fails_at_once_and_says_what_to_do(
    site: App,
    database: Database,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    queue: QueueName,
) -> None:
    monkeypatch.setenv("EXPORT_BUCKET", "nobody-made-it")

    job = await after_a_run(site, queue, await queued(queue))

    assert (job.state, job.run.attempts) == (JobState.FAILED, 1)
    assert "set BACKUP_BUCKET and EXPORT_BUCKET" in job.run.reason
    assert await untouched(database, storage)


# What xlsxwriter leaves of a ZIP file tries once more, when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [CsvWriter, XlsxWriter, PdfWriter])
def test_a_full_disk_is_an_error_of_its_own_that_may_pass(kind: Making, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.symlink_to("/dev/full")

    with pytest.raises(Exception) as caught:  # xlsxwriter wraps it
        writer = kind(path, TITLE, report())
        writer.add(list(listed(writer.rows_max or 2_000)))
        writer.close()

    gc.collect()
    assert str(errno.ENOSPC) in str(caught.value) or "No space left" in str(caught.value)
