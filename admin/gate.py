"""The way of a request: who is it, may they, what do they want; then the handler; then the audit.

One gate stands in front of the rows of one path. Whatever a handler refuses, and whatever Redis has
to say, leaves here as an answer; only what nobody foresaw goes on to the server's log.
"""

import hmac
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from admin.access.address import client_address
from admin.binding import Bound
from admin.call import Call
from admin.errors import BadRequest, Conflict, Forbidden, NotFound, Refused, Unauthorized
from admin.policy import Entry, Method, Open, Role, Row, Via, Who
from admin.settings import Settings
from admin.site import Site
from admin.wire import answer, body_of, path_of, query_of, refusal
from streamq.errors import (
    CallAgain,
    InvalidInput,
    InvalidName,
    JobNotFound,
    ScriptFault,
    StoreError,
    StoreFull,
    StreamqError,
    UnknownQueue,
    VersionConflict,
    WrongState,
)
from streamq.redact import redact_text

RETRY_AFTER_S: Final = 2
"""What a client is told to wait when Redis is away: it comes back within a second or so of it."""

log = logging.getLogger("streamq.admin")


class Gate:
    """An ASGI application for one path."""

    def __init__(self, site: Site, rows: Mapping[Method, Bound]) -> None:
        self._site = site
        self._rows: dict[str, Bound] = {method.value: bound for method, bound in rows.items()}
        if Method.GET in rows:
            self._rows["HEAD"] = rows[Method.GET]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response = await self._answer(request, self._rows[request.method])
        await response(scope, receive, send)

    async def _answer(self, request: Request, bound: Bound) -> Response:
        row, request_id = bound.row, request_id_of(request)
        try:
            who = await self._admitted(request, row)
            call = Call(self._site, request, row, who, request_id)
        except Refused as refused:
            return refusal(refused, request_id)
        except StoreError as error:
            return refusal(refused_for(error, row), request_id)
        try:
            response = await _handled(bound, call)
        except Refused as refused:
            await self._note(call, refused.status, refused.message or refused.error)
            return refusal(refused, request_id)
        except StreamqError as error:
            meant = refused_for(error, row)
            await self._note(call, meant.status, meant.message)
            return refusal(meant, request_id)
        await self._note(call, response.status_code, call.detail)
        return response

    async def _admitted(self, request: Request, row: Row) -> Who | None:
        """Raises a Refused for whoever may not go on."""
        who = None
        if row.needs is Open.CRON:
            who = cron_of(request, self._site.settings)
        elif isinstance(row.needs, Role):
            who = await self._site.access.who(request)
        for guard in self._site.guards:
            await guard(request, row, who)
        admit(row, who)
        if self._site.settings.read_only:
            admit_read_only(row)
        return who

    async def _note(self, call: Call, status: int, detail: str) -> None:
        """A change goes to the audit, done or refused. It is over: the audit cannot undo it."""
        if call.row.action is None:
            return
        entry = call.entry(call.row.action, status, detail)
        try:
            await self._site.audit.note(entry)
        except StoreError as error:
            log.error("not in the audit (%s): %s", error, _told(entry))


def admit(row: Row, who: Who | None) -> None:
    """Whether somebody may call a row. Raises Unauthorized, Forbidden."""
    if row.needs is Open.ANYONE:
        return
    if who is None:
        if row.needs is Open.CRON:
            raise Unauthorized("Send the CRON_SECRET: Authorization: Bearer ...")
        raise Unauthorized()
    if isinstance(row.needs, Role) and (who.via is Via.CRON or who.role < row.needs):
        raise Forbidden(row.needs, f"You are {who.role}; to {row.does} takes {row.needs}.")


def admit_read_only(row: Row) -> None:
    """Whether a row only shows, or is about the caller's own login. Raises Refused."""
    if row.action is not None and row.needs not in (Open.ANYONE, Role.VIEWER):
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "Forbidden: this admin is read-only",
            f"It was started with --read-only; to {row.does} ask one that was not.",
        )


def cron_of(request: Request, settings: Settings) -> Who | None:
    """The outside scheduler, if the request has its secret."""
    secret = settings.cron_secret
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if not secret or scheme.lower() != "bearer":
        return None
    if not hmac.compare_digest(given.strip().encode(), secret.encode()):
        return None
    return Who("cron", Role.VIEWER, Via.CRON, client_address(request, settings.proxies))


def request_id_of(request: Request) -> str:
    found = request.scope.get("state", {}).get("request_id", "")
    return str(found)


class _NoQuery(msgspec.Struct):
    """What a handler has that asks for none."""


async def _handled(bound: Bound, call: Call) -> Response:
    request, parts = call.request, dict[str, msgspec.Struct]()
    if bound.path is not None:
        parts["path"] = path_of(request, bound.path)
    query = query_of(request, bound.query or _NoQuery, strict=bound.row.action is not None)
    if bound.query is not None:
        parts["query"] = query
    if bound.body is not None:
        parts["body"] = await body_of(request, bound.body, call.site.settings.body_bytes_max)
    value = await bound.row.handler(call, **parts)
    return value if isinstance(value, Response) else answer(value, bound.row.answers)


def refused_for(error: StreamqError, row: Row) -> Refused:
    """What an error of the engine is to a client."""
    message, code = redact_text(str(error)), error.code or ""
    message = message.removeprefix(f"{code} ")
    failed = f"Failed to {row.does}"
    match error:
        case InvalidName(what="queue") | UnknownQueue():
            return BadRequest("Invalid queue name", message, code=code)
        case InvalidName(what="id"):
            return BadRequest("Invalid job id", message, code=code)
        case InvalidInput():
            return BadRequest("Invalid request", message, code=code)
        case JobNotFound():
            return NotFound("Job not found", message, code=code)
        case CallAgain() | VersionConflict() | WrongState():
            return Conflict(message, code=code)
        case ScriptFault():
            return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, failed, message, code=code)
        case StoreFull() | StoreError():
            return Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                failed,
                message,
                code=code,
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        case _:
            return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, failed, message, code=code)


def _told(entry: Entry) -> str:
    return (
        f"{entry.who} ({entry.via}, {entry.address}) {entry.action} {entry.queue} {entry.job}"
        f" -> {entry.status}"
    )
