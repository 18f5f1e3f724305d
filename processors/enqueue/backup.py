"""The ways into the queue `backup`; its schedule's is `run_database_backup`."""

from typing import Final

from processors.back_up_database import BackUpDatabase
from processors.enqueue.adding import Delay, Job, Table, add, add_sync
from processors.imobibase import QueueName

DATABASE_BACKUP: Final = "database-backup"


async def queue_backup(
    data: BackUpDatabase | Table | None = None,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """Queue a backup: a BackUpDatabase, or a table in JSON names; None: a full one, for 30 days."""
    return await add(_job(data, priority, delay, job_id))


def queue_backup_sync(
    data: BackUpDatabase | Table | None = None,
    *,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """`queue_backup` for code without an event loop."""
    return add_sync(_job(data, priority, delay, job_id), queue_backup_sync, queue_backup)


def _job(
    data: BackUpDatabase | Table | None,
    priority: int | None,
    delay: Delay | None,
    job_id: str | None,
) -> Job:
    return Job(
        queue=QueueName.BACKUP,
        name=DATABASE_BACKUP,
        data=BackUpDatabase() if data is None else data,
        priority=priority,
        delay=delay,
        id=job_id,
    )
