"""Links of the application that are opened here: those that its setting `[web] links` names."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from admin.call import Call
from admin.errors import Refused
from admin.gate import RETRY_AFTER_S
from admin.policy import Method, Open, Row
from streamq import App
from streamq.brought import CannotBring, Links, named

SETTING: Final = "web.links"


class Name(msgspec.Struct):
    """The part behind the links' path."""

    name: str


@asynccontextmanager
async def links_of(app: App) -> AsyncIterator[Sequence[Row]]:
    """The rows for them, while what they need is open. Raises CannotBring, and what it raises."""
    target = app.settings.web_links
    if target is None:
        yield ()
        return
    brought = named(SETTING, target)(app)
    if not isinstance(brought, AbstractAsyncContextManager):
        raise CannotBring(SETTING, target, "it gives no async context manager")
    async with brought as links:
        if not isinstance(links, Links):
            raise CannotBring(SETTING, target, "its context manager gives no Links")
        yield [row_of(links)]


def row_of(links: Links) -> Row:
    """Raises ValueError for a path that is none."""

    async def open_link(call: Call, path: Name) -> Response:
        try:
            url = await links.leads_to(path.name)
        except OSError as error:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Failed to open the link",
                "Try again in a minute.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            ) from error
        if url is None:
            return PlainTextResponse(links.nowhere, HTTPStatus.NOT_FOUND)
        return RedirectResponse(url, HTTPStatus.SEE_OTHER)

    return Row(
        method=Method.GET,
        path=f"{links.path}{{name}}",
        handler=open_link,
        needs=Open.ANYONE,
        does="open a link",
    )
