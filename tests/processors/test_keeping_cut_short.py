"""Backups, exports and clean-ups, killed at any await and run again: one of each, nothing left."""

import time

import psutil
import pytest

from processors.back_up_database import BackUpDatabase, back_up_database
from processors.clean_up import CleanUp, Target, clean_up
from processors.database import Database
from processors.export_data import ExportData, export_data
from processors.exports.tables import ExportType
from processors.exports.write import ExportFormat
from processors.imobibase import QueueName
from processors.queues import create_queue
from processors.storage import Storage
from processors.storage.bucket import Bucket
from streamq import App
from streamq.clock import Clock
from streamq.durations import Ms
from streamq.testing import perform
from tests.processors.cutting import Attempt, each_await

pytestmark = pytest.mark.slow
FEWEST_AWAITS = 20


class Standing(Clock):
    """One that a test sets: both attempts of a job are of the same moment, as their job is."""

    def __init__(self) -> None:
        self.at_ms = Ms(time.time_ns() // 1_000_000)

    def now_ms(self) -> Ms:
        return self.at_ms


@pytest.fixture
def clock(imobibase: App) -> Standing:
    imobibase.clock = clock = Standing()
    return clock


async def stored(bucket: Bucket, prefix: str) -> set[str]:
    return {found.key async for found in bucket.list(prefix)}


async def unfinished(storage: Storage, bucket: Bucket) -> int:
    page = await storage.begin("", lambda s3: s3.list_multipart_uploads(Bucket=bucket.name))
    return len(page.get("Uploads", []))


async def column(database: Database, statement: str) -> list[object]:
    async with database.transaction() as work:
        rows = await (await work.connection.execute(statement.encode())).fetchall()
    return [value for (value,) in rows]


async def test_a_backup(
    imobibase: App, clock: Standing, database: Database, storage: Storage
) -> None:
    async with imobibase.living() as shared:

        def attempts(awaits: int) -> Attempt:
            clock.at_ms = Ms(clock.at_ms + 1_000)
            return lambda: perform(
                back_up_database, BackUpDatabase(), state=shared, id=f"cut-{awaits}"
            )

        cuts = [awaits async for awaits in each_await(attempts, step=7)]

    assert cuts[-1] > FEWEST_AWAITS
    assert await column(database, "SELECT DISTINCT status FROM backups") == ["completed"]
    keys = await column(database, "SELECT key FROM backups")
    assert len(keys) == len(cuts)
    assert await stored(storage.backups, "backups/") == {*keys}
    assert await unfinished(storage, storage.backups) == 0
    running = {child.name() for child in psutil.Process().children()}
    assert not running & {"pg_dump", "pg_restore"}


async def test_an_export(
    imobibase: App, clock: Standing, seeded: Database, storage: Storage
) -> None:
    payload = ExportData(
        user_id=123,
        type=ExportType.CONTRACTS,
        format=ExportFormat.ZIP,
        email="user@example.com",
    )
    async with imobibase.living() as shared:

        def attempts(awaits: int) -> Attempt:
            clock.at_ms = Ms(clock.at_ms + 1_000)
            return lambda: perform(export_data, payload, state=shared, id=f"cut-{awaits}")

        cuts = [awaits async for awaits in each_await(attempts, step=3)]

    assert cuts[-1] > FEWEST_AWAITS
    requests = "SELECT {} FROM data_export_requests WHERE user_id = '123'"
    assert await column(seeded, requests.format("DISTINCT status")) == ["completed"]
    keys = await column(seeded, requests.format("file_url"))
    assert len(keys) == len(cuts)
    assert await stored(storage.exports, "exports/") == {*keys}
    audit = "SELECT count(*) FROM compliance_audit_log WHERE user_id = '123' AND action = 'export'"
    assert await column(seeded, audit) == [len(cuts)]
    assert (await create_queue(QueueName.EMAIL).counts()).waiting == len(cuts)


async def test_a_clean_up(
    imobibase: App, clock: Standing, database: Database, storage: Storage
) -> None:
    async with database.transaction() as work:
        await work.run("INSERT INTO usage_logs (action) SELECT 'new' FROM generate_series(1, 3)")
    payload = CleanUp(target=Target.LOGS, older_than=1)
    async with imobibase.living() as shared:

        def attempts(awaits: int) -> Attempt:
            return lambda: perform(
                clean_up, payload, name="cleanup-logs", state=shared, id=f"cut-{awaits}"
            )

        async for _ in each_await(attempts, step=5):
            assert await column(database, "SELECT count(*) FROM usage_logs") == [3]
            await column(
                database,
                "INSERT INTO usage_logs (action, created_at)"
                " SELECT 'old', '2020-01-01' FROM generate_series(1, 1500) RETURNING 1",
            )
