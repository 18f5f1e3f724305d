"""The admin application: ROUTES behind their gates, and what surrounds every answer."""

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from admin.binding import Bound, bind, by_path
from admin.errors import Refused
from admin.gate import Gate, request_id_of
from admin.hub import Hub
from admin.policy import Access, Audit, Guard, Row
from admin.routes import ROUTES
from admin.settings import Settings
from admin.site import LoggedAudit, Site
from admin.wire import refusal
from streamq import App

REQUEST_ID: Final = b"x-request-id"
ID_BYTES: Final = 8
HEAD_BYTES_MAX: Final = 16 << 10
"""Of a request line and its headers."""

log = logging.getLogger("streamq.admin")

Wrap = Callable[[ASGIApp], ASGIApp]
"""Puts something around the whole application, errors included: headers, the list of hosts."""


class AdminApp(Starlette):
    """What `create_app` makes. `site` is what its handlers share."""

    def __init__(self, site: Site, outside: Sequence[Wrap]) -> None:
        super().__init__(
            routes=_routes(site),
            exception_handlers={HTTPException: _not_routed, Exception: _unforeseen},
            lifespan=_lifespan,
        )
        # "/stats/" is no route; a redirect would send people to wherever the Host header says.
        self.router.redirect_slashes = False
        self.site = site
        self._outside = tuple(outside)

    def build_middleware_stack(self) -> ASGIApp:
        """Starlette has its answer to an error outside of all middleware; ours is around that."""
        app = super().build_middleware_stack()
        for wrap in reversed(self._outside):
            app = wrap(app)
        return _Heads(app)


def create_app(
    app: App,
    settings: Settings,
    *,
    access: Access,
    audit: Audit | None = None,
    guards: Sequence[Guard] = (),
    outside: Sequence[Wrap] = (),
    rows: Sequence[Row] = ROUTES,
) -> AdminApp:
    """The admin of an App. Connects to nothing; the App stays its owner's to close.

    `access` knows who asks; `guards` are asked in their order before each handler, the first of
    `outside` is outermost. Without an `audit` changes go to the log alone. Raises ValueError or
    TypeError for rows that cannot be meant.
    """
    site = Site(
        app,
        settings,
        access=access,
        audit=audit or LoggedAudit(),
        guards=guards,
        rows=bind(rows),
        hub=Hub(app, each_max=settings.streams_each, all_max=settings.streams_max),
    )
    return AdminApp(site, outside)


def _routes(site: Site) -> list[Route]:
    prefix = site.settings.prefix
    return [
        Route(prefix + path, Gate(site, rows), methods=[method.value for method in rows])
        for path, rows in by_path(site.rows).items()
    ]


def routed(app: AdminApp) -> Sequence[Bound]:
    """The rows behind the application's routes; there is no other way in."""
    return app.site.rows


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    assert isinstance(app, AdminApp)
    try:
        yield
    finally:
        await app.site.hub.close()


async def _not_routed(request: Request, error: Exception) -> Response:
    """No route of that path, or none of that method."""
    assert isinstance(error, HTTPException)
    status, headers = HTTPStatus(error.status_code), dict(error.headers or {})
    message = error.detail
    if status is HTTPStatus.NOT_FOUND:
        message = "There is nothing at this path. See /api/admin/jobs/openapi.json."
    elif status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods_at(request))
        message = f"This path takes {headers['Allow']}."
    refused = Refused(status, status.phrase, message, headers=headers)
    return refusal(refused, request_id_of(request))


def _methods_at(request: Request) -> list[str]:
    """All methods of a path: `DELETE /:queueName/:jobId` matches many a path beside its own row."""
    found: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            found |= route.methods or set()
    return sorted(found)


async def _unforeseen(request: Request, error: Exception) -> Response:
    """Nobody foresaw it: the server logs it with its stack, a client is told how to ask for it."""
    request_id = request_id_of(request)
    log.error("request %s failed: %s %s", request_id, request.method, request.scope["path"])
    refused = Refused(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Internal server error",
        f"It was logged; the request's id is {request_id}.",
    )
    return refusal(refused, request_id)


class _Heads:
    """Gives each request an id, and its answer the header with it; refuses a head that is too large
    (uvicorn counts only what comes in pieces)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(ID_BYTES)
        scope.setdefault("state", {})["request_id"] = request_id

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (REQUEST_ID, request_id.encode())]
            await send(message)

        if _head_bytes(scope) > HEAD_BYTES_MAX:
            await refusal(_head_too_large(), request_id)(scope, receive, marked)
            return
        await self._app(scope, receive, marked)


def _head_bytes(scope: Scope) -> int:
    lines = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return lines + len(scope.get("raw_path") or b"") + len(scope["query_string"])


def _head_too_large() -> Refused:
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return Refused(
        status, status.phrase, f"The request's head is larger than {HEAD_BYTES_MAX:,} bytes."
    )
