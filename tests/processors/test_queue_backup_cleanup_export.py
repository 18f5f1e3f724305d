"""The ways in of backups, clean-ups and exports: what is added, and what is refused before."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
import pytest

from processors.imobibase import QueueName
from processors.queues import (
    BackUpDatabase,
    ExportData,
    create_queue,
    queue_backup,
    queue_backup_sync,
    queue_cleanup,
    queue_cleanup_sync,
    queue_export,
    queue_export_sync,
)
from streamq.errors import InvalidInput, InvalidPayload, SyncInLoop

EXPORT: Mapping[str, object] = {
    "userId": 123,
    "type": "all",
    "format": "zip",
    "email": "user@example.com",
}


async def stored(queue: QueueName, job_id: str) -> tuple[str, object]:
    job = await create_queue(queue).get(job_id)
    assert job is not None
    return job.name, msgspec.msgpack.decode(job.data)


@pytest.mark.usefixtures("imobibase")
async def test_a_backup_is_full_and_kept_for_thirty_days_unless_told_otherwise() -> None:
    full = {"type": "full", "includeFiles": False, "retention": 30}
    assert await stored(QueueName.BACKUP, await queue_backup()) == ("database-backup", full)

    other = await queue_backup(BackUpDatabase(include_files=True, retention=7))
    changed = full | {"includeFiles": True, "retention": 7}
    assert await stored(QueueName.BACKUP, other) == ("database-backup", changed)
    with pytest.raises(InvalidPayload, match="retention"):
        await queue_backup({"type": "full", "retention": 0})


@pytest.mark.usefixtures("imobibase")
async def test_a_clean_up_is_named_for_what_it_cleans() -> None:
    added = await queue_cleanup("old-exports", 7, dry_run=True)

    assert await stored(QueueName.CLEANUP, added) == (
        "cleanup-old-exports",
        {"target": "old-exports", "olderThan": 7, "dryRun": True},
    )
    with pytest.raises(InvalidInput, match="'users' is nothing to clean up: sessions, logs"):
        await queue_cleanup("users")


@pytest.mark.usefixtures("imobibase")
async def test_an_export_is_added_with_the_fields_of_the_application() -> None:
    added = await queue_export(EXPORT, job_id="mine")

    assert added == "mine"
    assert await stored(QueueName.EXPORT, added) == ("user-data-export", EXPORT)
    with pytest.raises(InvalidPayload, match="format"):
        await queue_export({**EXPORT, "format": "pdf"})


@pytest.mark.usefixtures("imobibase_sync")
def test_each_way_in_has_a_blocking_twin() -> None:
    payload = msgspec.convert(EXPORT, ExportData)

    added = {queue_backup_sync(), queue_cleanup_sync("logs"), queue_export_sync(payload)}

    assert len(added) == 3


@pytest.mark.usefixtures("imobibase")
@pytest.mark.parametrize(
    ("twin", "instead"),
    [
        (queue_backup_sync, queue_backup),
        (lambda: queue_cleanup_sync("logs"), queue_cleanup),
        (lambda: queue_export_sync(EXPORT), queue_export),
    ],
)
async def test_a_blocking_twin_in_a_loop_names_the_coroutine(
    twin: Callable[[], str], instead: Callable[..., Awaitable[str]]
) -> None:
    with pytest.raises(SyncInLoop, match=instead.__name__):
        twin()
