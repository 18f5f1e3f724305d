"""The ways into the queue `export`."""

from typing import Final

from processors.enqueue.adding import Delay, Job, Table, add, add_sync
from processors.export_data import ExportData
from processors.imobibase import QueueName

USER_DATA_EXPORT: Final = "user-data-export"


async def queue_export(
    data: ExportData | Table,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """Queue an export of a user's data (LGPD): an ExportData, or a table in JSON names."""
    return await add(_job(data, priority, delay, job_id))


def queue_export_sync(
    data: ExportData | Table,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """`queue_export` for code without an event loop."""
    return add_sync(_job(data, priority, delay, job_id), queue_export_sync, queue_export)


def _job(
    data: ExportData | Table, priority: int | None, delay: Delay | None, job_id: str | None
) -> Job:
    return Job(
        queue=QueueName.EXPORT,
        name=USER_DATA_EXPORT,
        data=data,
        priority=priority,
        delay=delay,
        id=job_id,
    )
