"""What every answer tells a browser: nothing from elsewhere, nothing inline, no frame, no cache."""

from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
HSTS: Final = "max-age=31536000"
"""A year. Without its subdomains: they are not ours to decide on."""

ALWAYS: Final[Mapping[str, str]] = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
UNLESS_SAID: Final[Mapping[str, str]] = {"cache-control": "no-store"}
"""A static file may say how long it is kept."""


class SafeHeaders:
    """Around the whole application, errors included. Never any header of CORS: it is off."""

    def __init__(self, app: ASGIApp, *, tls: bool) -> None:
        """`tls`: whether browsers come by https alone."""
        self._app = app
        self._always = _raw({**ALWAYS, **({"strict-transport-security": HSTS} if tls else {})})
        self._unless_said = _raw(UNLESS_SAID)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = [(name.lower(), value) for name, value in message["headers"]]
                names = {name for name, _ in said}
                message["headers"] = [
                    *(each for each in said if each[0] not in self._always),
                    *self._always.items(),
                    *(each for each in self._unless_said.items() if each[0] not in names),
                ]
            await send(message)

        await self._app(scope, receive, safe)


def _raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}
