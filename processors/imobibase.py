"""The App of ImobiBase: its nine queues, and what its handlers share in a worker process.

Handlers register themselves with `app` from here; `processors.app` imports them all.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from types import MappingProxyType

import msgspec

from processors.clients.delivery import Transport
from processors.clients.http import Http
from processors.clients.ledger import Ledger
from processors.clients.outbox import OutboxTransport
from processors.clients.sendgrid import SendgridTransport
from processors.clients.smtp import SmtpTransport
from processors.database import Database
from processors.mails.agency import Agencies
from processors.mails.record import Record
from processors.settings import Settings, load_settings
from processors.storage import Storage
from processors.templates.brand import Branding
from processors.templates.render import Site
from streamq import App, Context
from streamq.settings import Env


class QueueName(StrEnum):
    """The queues, by the names that they have in Redis and in the admin's addresses."""

    EMAIL = "email"
    INVOICE = "invoice"
    REPORT = "report"
    PAYMENT_REMINDER = "payment-reminder"
    BACKUP = "backup"
    CLEANUP = "cleanup"
    NOTIFICATION = "notification"
    EXPORT = "export"
    INTEGRATION_SYNC = "integration-sync"


CONCURRENCY: Mapping[QueueName, int] = MappingProxyType(
    {
        QueueName.EMAIL: 10,  # can send multiple emails in parallel
        QueueName.INVOICE: 5,  # moderate resource usage
        QueueName.REPORT: 3,  # resource-intensive operations
        QueueName.PAYMENT_REMINDER: 5,  # similar to invoices
        QueueName.BACKUP: 1,  # only one backup at a time
        QueueName.CLEANUP: 2,  # low priority, moderate load
        QueueName.NOTIFICATION: 10,  # lightweight operations
        QueueName.EXPORT: 3,  # resource-intensive
        QueueName.INTEGRATION_SYNC: 2,  # external API rate limits
    }
)
"""Jobs at a time in one worker process."""

MAX_ACTIVE: Mapping[QueueName, int] = MappingProxyType(
    {QueueName.BACKUP: 1, QueueName.INTEGRATION_SYNC: 2}
)
"""Jobs at a time in the whole fleet, where more processes must not mean more of them."""


class Shared(msgspec.Struct, frozen=True):
    """What handlers find in `job.state`."""

    settings: Settings
    site: Site
    transport: Transport
    agencies: Agencies
    record: Record
    """Who has had which mail."""
    database: Database
    storage: Storage
    http: Http


def shared_of(job: Context) -> Shared:
    assert isinstance(job.state, Shared)
    return job.state


@asynccontextmanager
async def lifespan(started: App) -> AsyncIterator[Shared]:
    """Opened once by each worker process. Raises ConfigError for settings it cannot work with."""
    settings = load_settings(production=started.settings.env is Env.PRODUCTION)
    http = Http(settings.private_hosts)
    transport = open_transport(settings, http)
    database = Database(settings.database)
    storage = Storage(settings.storage)
    site = Site(
        app_url=settings.app_url,
        branding=Branding(website=settings.app_url),
        link_hosts=settings.link_hosts,
    )
    kept = None if settings.database is None else database
    await database.open()
    try:
        yield Shared(
            settings=settings,
            site=site,
            transport=transport,
            agencies=Agencies(kept, site),
            record=Record(Ledger(started.redis), kept),
            database=database,
            storage=storage,
            http=http,
        )
    finally:
        await storage.aclose()
        await database.aclose()
        await transport.aclose()
        await http.aclose()


def open_transport(settings: Settings, http: Http) -> Transport:
    """SendGrid if there is a key, a mail server if there is one, else (never in production, see
    settings) a folder.
    """
    if settings.sendgrid is not None:
        return SendgridTransport(http, settings.sendgrid)
    if settings.smtp is None:
        return OutboxTransport(settings.outbox)
    return SmtpTransport(settings.smtp)


app = App("imobibase", lifespan=lifespan)
for _queue in QueueName:
    if _queue in MAX_ACTIVE:
        app.declare_queue(
            _queue.value, concurrency=CONCURRENCY[_queue], max_active=MAX_ACTIVE[_queue]
        )
    else:
        app.declare_queue(_queue.value, concurrency=CONCURRENCY[_queue])
