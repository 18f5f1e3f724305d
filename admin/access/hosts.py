"""Which names this site answers to: a page that points a name at us is to get nothing from us."""

import re
from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from admin.errors import Refused
from admin.wire import refusal

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

_HOST: Final = re.compile(
    r"(?P<name>[a-z0-9](?:[a-z0-9-]{0,62}(?:\.[a-z0-9-]{1,63}){0,8})\.?|\[[0-9a-f:.]{2,45}\])"
    r"(?::[0-9]{1,5})?"
)


class Hosts:
    """Around the whole application: refuses a Host that is none of ours.

    Beside the names given: loopback's, and the very address of the socket that was connected to,
    which probes use. Nothing is ever made from a Host: this is against names that are pointed here.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = LOOPBACK | frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_ours(scope):
            await self._app(scope, receive, send)
            return
        refused = Refused(
            HTTPStatus.MISDIRECTED_REQUEST,
            "Invalid host",
            "This server does not answer to that name. Names are added by ADMIN_HOSTS.",
        )
        request_id = str(scope.get("state", {}).get("request_id", ""))
        await refusal(refused, request_id)(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        said = Headers(scope=scope).getlist("host")
        if not said:
            return True  # HTTP/1.0, as a load balancer's probe speaks it: no browser
        if len(said) > 1:
            return False
        found = _HOST.fullmatch(said[0].lower())
        if found is None:
            return False
        name = found["name"].removesuffix(".")
        return name in self._names or name == _own_address(scope)


def _own_address(scope: Scope) -> str:
    host = (scope.get("server") or ("", None))[0] or ""
    return f"[{host}]" if ":" in host else host
