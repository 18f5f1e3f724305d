"""Browsers from which somebody has logged in before: a stranger's guesses do not lock those out."""

import hashlib
import hmac
import re
import secrets
from typing import Final

from starlette.requests import HTTPConnection

from admin.access.cookies import Cookie, cookies_of
from streamq import Port

COOKIE: Final = "imobibase.known"
KEPT_DAYS: Final = 90
ID_BYTES: Final = 32

_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_STEM: Final = "device:"


class Devices:
    """Knows a browser by a cookie of its own, which opens nothing."""

    def __init__(self, redis: Port, cookie: Cookie) -> None:
        """`redis`: the admin's values; the cookie is sent to the login alone."""
        self._redis = redis
        self._cookie = cookie

    async def known(self, connection: HTTPConnection, account: str) -> str | None:
        """What the browser is counted by if the account was logged in to from it, else None.

        Raises StoreError.
        """
        for value in cookies_of(connection, self._cookie.name):
            if not _ID.fullmatch(value):
                continue
            name = _name(value)
            found = await self._redis.get(name)
            if found is not None and hmac.compare_digest(found, account.encode()):
                return name
        return None

    async def remember(self, account: str) -> str:
        """The Set-Cookie by which the browser is known from now on. Raises StoreError."""
        value = secrets.token_urlsafe(ID_BYTES)
        await self._redis.set(_name(value), account, expire=f"{KEPT_DAYS}d")
        return self._cookie.header(value, KEPT_DAYS * 86_400)


def _name(value: str) -> str:
    return _STEM + hashlib.sha256(value.encode()).hexdigest()
