"""The ways into the queue `cleanup`; those of its schedules are `run_cleanup_...`."""

from processors.clean_up import CleanUp, Target
from processors.enqueue.adding import Delay, Job, add, add_sync
from processors.imobibase import QueueName
from streamq.errors import InvalidInput


async def queue_cleanup(
    target: Target | str,
    older_than: int = 30,
    *,
    dry_run: bool = False,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """Queue a clean-up of `sessions`, `logs`, `temp-files` or `old-exports`; age in days."""
    return await add(_job(target, older_than, dry_run, priority, delay, job_id))


def queue_cleanup_sync(
    target: Target | str,
    older_than: int = 30,
    *,
    dry_run: bool = False,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """`queue_cleanup` for code without an event loop."""
    job = _job(target, older_than, dry_run, priority, delay, job_id)
    return add_sync(job, queue_cleanup_sync, queue_cleanup)


def _job(
    target: Target | str,
    older_than: int,
    dry_run: bool,
    priority: int | None,
    delay: Delay | None,
    job_id: str | None,
) -> Job:
    try:
        known = Target(target)
    except ValueError:
        raise InvalidInput(f"{target!r} is nothing to clean up: {', '.join(Target)}") from None
    return Job(
        queue=QueueName.CLEANUP,
        name=f"cleanup-{known}",
        data=CleanUp(target=known, older_than=older_than, dry_run=dry_run),
        priority=priority,
        delay=delay,
        id=job_id,
    )
