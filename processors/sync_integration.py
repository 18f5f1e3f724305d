"""Synchronises an agency's data with a system that it has connected: what changed there comes in,
then what changed here goes out."""

import logging
from datetime import timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from processors.clients.http import HttpUnavailable
from processors.ids import Id, as_text
from processors.imobibase import QueueName, Shared, app, shared_of
from processors.integrations import configs, entities, portal
from processors.integrations.access import access_of
from processors.integrations.configs import Connection
from processors.integrations.hubspot import HubSpot
from processors.integrations.kinds import Action, EntityType, Provider
from processors.integrations.links import Links
from processors.integrations.portal import Portal
from processors.integrations.pulling import Taken, pull_leads
from processors.integrations.pushing import Sent, push_changes, push_one
from processors.integrations.remote import Remote
from processors.integrations.salesforce import Salesforce
from processors.integrations.zapier import Zapier
from processors.saying import say
from streamq import Context, Fail, Payload, Retry
from streamq.metrics import counter

ATTEMPTS: Final = 3
TIMEOUT: Final = timedelta(minutes=30)
_NAMED_MAX: Final = 5

RECORDS: Final = counter(
    app,
    "streamq_integration_records_total",
    "Records synchronised, by provider and what became of them.",
    labels=("provider", "outcome"),
)

# Its lines are `[IntegrationSyncProcessor] ...` on the console.
log = logging.getLogger("IntegrationSyncProcessor")


class SyncIntegration(Payload, rename="camel"):
    """One provider, for all agencies that have connected it; or one entity, for its agency.

    Raises ValueError for an entity without its type, and for one that is to be pulled.
    """

    provider: Provider
    action: Action
    entity_type: EntityType | None = None
    """None: all that the provider takes."""
    entity_id: Annotated[Id, Meta(description="of the row here")] | None = None

    def __post_init__(self) -> None:
        if self.entity_id is None:
            return
        if self.entity_type is None:
            raise ValueError("entityId needs entityType: property, lead or contract")
        if self.action is Action.PULL:
            raise ValueError("a pull reads whatever changed there; leave entityId out")


class Synced(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a finished job came to. `skipped`: why nothing was done."""

    provider: Provider
    agencies: int = 0
    created: int = 0
    updated: int = 0
    sent: int = 0
    unchanged: int = 0
    refused: int = 0
    unusable: int = 0
    listings: int = 0
    skipped: str | None = None


class Outcome(msgspec.Struct):
    """What was done so far, over all agencies."""

    taken: Taken = msgspec.field(default_factory=Taken)
    sent: Sent = msgspec.field(default_factory=Sent)
    listings: int = 0
    done: int = 0
    failed: list[str] = msgspec.field(default_factory=list)
    later: list[str] = msgspec.field(default_factory=list)
    after: timedelta | None = None


@app.job(QueueName.INTEGRATION_SYNC, name="sync-*", attempts=ATTEMPTS, timeout=TIMEOUT)
async def sync_integration(data: SyncIntegration, job: Context) -> Synced:
    """Agency by agency: trouble with one holds up no other, and a retry finds the others done.

    Tried again when somebody asks to wait (as long as they ask) or is away; failed when a key, an
    address or a request is refused, naming the agency, whose integration is then in `error`.
    """
    shared = shared_of(job)
    await job.progress(0.1)
    if data.provider is Provider.ZAPIER and data.action is Action.PULL:
        return await _skipped(data, job, "push-only")
    tenant = await _tenant(shared, data)
    async with shared.database.transaction(read_only=True) as work:
        connected = await configs.connections(work, data.provider, tenant)
    if not connected:
        return await _skipped(data, job, "not-connected")
    say(log, job, "sync.started", f"Syncing {data.provider} for {len(connected)} agencies")
    await job.progress(0.2)
    outcome = Outcome()
    for number, connection in enumerate(connected, 1):
        await _try(shared, data, connection, outcome)
        if number < len(connected):
            await job.progress(0.2 + 0.8 * number / len(connected))
    synced = await _counted(data, job, outcome)
    _raise_for_trouble(data.provider, outcome)
    await job.progress(1.0)
    say(log, job, "sync.completed", f"Synced {data.provider} for {outcome.done} agencies")
    return synced


async def _tenant(shared: Shared, data: SyncIntegration) -> str | None:
    """The agency of the one entity that is meant; None: all of them."""
    if data.entity_id is None or data.entity_type is None:
        return None
    async with shared.database.transaction(read_only=True) as work:
        tenant = await entities.tenant_of(work, data.entity_type, as_text(data.entity_id))
    if tenant is None:
        raise Fail(f"there is no {data.entity_type} {data.entity_id}: was it deleted?")
    return tenant


async def _try(
    shared: Shared, data: SyncIntegration, connection: Connection, outcome: Outcome
) -> None:
    who = f"{connection.agency} ({connection.tenant_id})"
    try:
        await _sync(shared, data, connection, outcome)
    except Retry as error:
        outcome.later.append(f"{who}: {error.reason}")
        if error.after_ms is not None:
            after = timedelta(milliseconds=error.after_ms)
            outcome.after = max(outcome.after or after, after)
        return
    except HttpUnavailable as error:
        outcome.later.append(f"{who}: {error}")
        return
    except Fail as error:
        outcome.failed.append(f"{who}: {error.reason}")
        well = False
    else:
        outcome.done += 1
        well = True
    async with shared.database.transaction(tenant=connection.tenant_id) as work:
        await configs.went(work, connection, well=well)


async def _sync(
    shared: Shared, data: SyncIntegration, connection: Connection, outcome: Outcome
) -> None:
    links = Links(connection.tenant_id, data.provider)
    remote = _remote(shared, data.provider, connection)
    pulls = data.action in (Action.SYNC, Action.PULL) and data.entity_id is None
    if pulls and data.entity_type in (None, EntityType.LEAD):
        await pull_leads(shared.database, links, remote, outcome.taken)
    if data.action in (Action.SYNC, Action.PUSH):
        await _push(shared, data, links, remote, outcome)


async def _push(
    shared: Shared, data: SyncIntegration, links: Links, remote: Remote, outcome: Outcome
) -> None:
    if isinstance(remote, Portal):
        if data.entity_type in (None, EntityType.PROPERTY):
            app_url = shared.settings.app_url
            feed, sent = await portal.publish(
                shared.database, shared.storage, links, remote, app_url
            )
            outcome.listings += feed.listings
            outcome.sent.sent += sent
        return
    kinds = [kind for kind in EntityType if kind in remote.takes]
    if data.entity_id is not None and data.entity_type in kinds:
        row_id = as_text(data.entity_id)
        await push_one(shared.database, links, remote, data.entity_type, row_id, outcome.sent)
        return
    for kind in kinds:
        if data.entity_type in (None, kind):
            await push_changes(shared.database, links, remote, kind, outcome.sent)


def _remote(shared: Shared, provider: Provider, connection: Connection) -> Remote:
    settings, http = connection.settings, shared.http
    if provider is Provider.PORTAL and not _has_portal(shared, connection):
        return Portal(http, None)
    access = access_of(provider, settings, shared.settings.accesses)
    match provider:
        case Provider.ZAPIER:
            return Zapier(http, access, connection.tenant_id)
        case Provider.SALESFORCE:
            return Salesforce(http, access)
        case Provider.HUBSPOT:
            named = settings.get("propertyObject")
            return HubSpot(http, access, named if isinstance(named, str) else None)
        case Provider.PORTAL:
            return Portal(http, access)


def _has_portal(shared: Shared, connection: Connection) -> bool:
    names = {"baseUrl", "apiKey"} & connection.settings.keys()
    return bool(names) or Provider.PORTAL in shared.settings.accesses


async def _counted(data: SyncIntegration, job: Context, outcome: Outcome) -> Synced:
    taken, sent = outcome.taken, outcome.sent
    synced = Synced(
        provider=data.provider,
        agencies=outcome.done,
        created=taken.created,
        updated=taken.updated,
        sent=sent.sent,
        unchanged=taken.unchanged + sent.unchanged,
        refused=sent.refused,
        unusable=taken.unusable,
        listings=outcome.listings,
    )
    for name in ("created", "updated", "sent", "refused", "unusable"):
        if count := getattr(synced, name):
            await RECORDS.inc(count, provider=data.provider.value, outcome=name)
    for reason in sent.reasons:
        job.log(f"refused: {reason}")
    return synced


def _raise_for_trouble(provider: Provider, outcome: Outcome) -> None:
    """Later before failed: those who fail now will again, when nobody else is left."""
    told = "; ".join([*outcome.later, *outcome.failed][:_NAMED_MAX])
    if outcome.later:
        raise Retry(after=outcome.after, reason=f"{provider}: {told}")
    if outcome.failed:
        raise Fail(f"{provider}: {len(outcome.failed)} agencies were not synchronised: {told}")


async def _skipped(data: SyncIntegration, job: Context, why: str) -> Synced:
    await job.progress(1.0)
    say(log, job, "sync.skipped", f"Skipped {data.provider}: {why}")
    return Synced(provider=data.provider, skipped=why)
