"""The ways into the queue `integration-sync`."""

from processors.enqueue.adding import Delay, Job, Table, add, add_sync
from processors.imobibase import QueueName
from processors.integrations.kinds import Action, EntityType, Provider


async def queue_integration_sync(
    provider: Provider | str,
    action: Action | str = Action.SYNC,
    *,
    entity_type: EntityType | str | None = None,
    entity_id: int | str | None = None,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """Queue `sync-<provider>`: for all agencies that have connected it, or of one entity alone."""
    data = _data(provider, action, entity_type, entity_id)
    return await add(_job(data, priority, delay, job_id))


def queue_integration_sync_sync(
    provider: Provider | str,
    action: Action | str = Action.SYNC,
    *,
    entity_type: EntityType | str | None = None,
    entity_id: int | str | None = None,
    priority: int | None = None,
    delay: Delay | None = None,
    job_id: str | None = None,
) -> str:
    """`queue_integration_sync` for code without an event loop."""
    job = _job(_data(provider, action, entity_type, entity_id), priority, delay, job_id)
    return add_sync(job, queue_integration_sync_sync, queue_integration_sync)


def _data(
    provider: Provider | str,
    action: Action | str,
    entity_type: EntityType | str | None,
    entity_id: int | str | None,
) -> Table:
    fields = {
        "provider": str(provider),
        "action": str(action),
        "entityType": None if entity_type is None else str(entity_type),
        "entityId": entity_id,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _job(data: Table, priority: int | None, delay: Delay | None, job_id: str | None) -> Job:
    return Job(
        queue=QueueName.INTEGRATION_SYNC,
        name=f"sync-{data['provider']}",
        data=data,
        priority=priority,
        delay=delay,
        id=job_id,
    )
