"""What all handlers of one admin application share."""

import logging
from collections.abc import Sequence

from admin.binding import Bound
from admin.hub import Hub
from admin.policy import Access, Audit, Entry, Guard
from admin.settings import Settings
from streamq import App

log = logging.getLogger("streamq.audit")


class Site:
    """One application: the engine's App that it shows, who guards it, and its table of routes."""

    def __init__(
        self,
        app: App,
        settings: Settings,
        *,
        access: Access,
        audit: Audit,
        guards: Sequence[Guard],
        rows: Sequence[Bound],
        hub: Hub,
    ) -> None:
        self.app = app
        self.settings = settings
        self.access = access
        self.audit = audit
        self.guards = tuple(guards)
        self.rows = tuple(rows)
        self.hub = hub


class LoggedAudit:
    """An audit that is the log alone: one line for each change."""

    async def note(self, entry: Entry) -> None:
        log.info(
            "%s %s %s %s -> %d", entry.who, entry.action, entry.queue, entry.job, entry.status,
            extra={"event": "admin.change", "address": entry.address, "via": entry.via},
        )  # fmt: skip
