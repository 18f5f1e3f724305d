"""A request on its way through a handler: who sent it, what it may touch, what is to be noted."""

from http import HTTPStatus

from starlette.requests import Request

from admin.errors import BadRequest, Forbidden, Refused
from admin.policy import Entry, Role, Row, Who
from admin.site import Site
from streamq import App, Queue
from streamq.errors import StoreError
from streamq.errors.wording import did_you_mean, listed, shown


class Call:
    """One call of a handler. `queue`, `job`, `before`, `after` and `detail` are for the audit."""

    def __init__(
        self, site: Site, request: Request, row: Row, who: Who | None, request_id: str
    ) -> None:
        self.site = site
        self.request = request
        self.row = row
        self.who = who
        self.request_id = request_id
        self.queue_name = self.job_id = self.detail = ""
        self.before: object = None
        self.after: object = None

    @property
    def app(self) -> App:
        return self.site.app

    def may(self, role: Role) -> bool:
        return self.who is not None and self.who.role >= role

    def require(self, role: Role, why: str) -> None:
        """Raises Forbidden for whoever is less, where only a part of a route needs `role`."""
        if not self.may(role):
            raise Forbidden(role, why)

    async def queue(self, name: str) -> Queue:
        """The queue that a path names. Raises BadRequest for one that nobody declared or used."""
        self.queue_name = name
        if not self.app.knows_queue(name) and name not in (used := await self.app.used_queues()):
            known = sorted({*self.app.queue_names(), *used})
            raise BadRequest(
                "Invalid queue name",
                f"No queue {shown(name)}.{did_you_mean(name, known)} There are: {listed(known)}.",
                code="SQ201",
            )
        return self.app.queue(name)

    async def queues(self) -> list[str]:
        """All queues: the App's, and what else was used under its prefix. Raises StoreError."""
        return sorted({*self.app.queue_names(), *await self.app.used_queues()})

    async def known_who(self) -> Who | None:
        """Who asks on a route that is open to anyone, as far as it can be told."""
        try:
            return await self.site.access.who(self.request)
        except (Refused, StoreError):
            return None

    def note(self, *, job: str = "", before: object = None, after: object = None) -> None:
        """What the audit shall hold of this change."""
        self.job_id = job or self.job_id
        self.before, self.after = before, after

    async def audit(self, action: str) -> None:
        """Notes at once something that changes nothing and is to be known all the same.

        Raises StoreError: what cannot be noted is not to be done.
        """
        await self.site.audit.note(self.entry(action, HTTPStatus.OK, ""))

    def entry(self, action: str, status: int, detail: str) -> Entry:
        who = self.who
        return Entry(
            who=who.name if who else "",
            role=who.role if who else "",
            via=who.via if who else "",
            address=who.address if who else "",
            action=action,
            status=status,
            request_id=self.request_id,
            queue=self.queue_name,
            job=self.job_id,
            detail=detail,
            before=self.before,
            after=self.after,
        )
