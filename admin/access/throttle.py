"""How often: requests of one client on the API, and tries to log in, counted in Redis for all.

A window begins with its first count and ends by itself; what is refused counts too, so that whoever
does not wait gains nothing.
"""

import hashlib
import math
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.requests import Request

from admin.access.address import client_address, client_network
from admin.access.reach import Reach, is_away
from admin.access.refusals import TooOften
from admin.policy import Method, Open, Row, Who
from admin.settings import Settings
from streamq import Port
from streamq.errors import StoreError

API_WINDOW_S: Final = 60
LOGIN_WINDOW_S: Final = 15 * 60
LOGIN_ATTEMPTS_ACCOUNT: Final = 10
LOGIN_ATTEMPTS_ADDRESS: Final = 30
"""An office is one address; it has several people, and not three hundred guesses an hour each."""


class Limit(msgspec.Struct, frozen=True):
    """At most `most` in a window."""

    most: int
    window_s: int


class Counter:
    """Counts what somebody does, under names that tell nobody who."""

    def __init__(self, redis: Port) -> None:
        """`redis`: the admin's values."""
        self._redis = redis

    async def over(self, what: str, of: str, limit: Limit) -> int:
        """Counts one more; 0, or in how many seconds the window ends that is full.

        Raises StoreError.
        """
        name = _name(what, of)
        count = await self._redis.increment(name, expire=f"{limit.window_s}s")
        if count <= limit.most:
            return 0
        left_ms = await self._redis.ms_left(name)
        if left_ms is None:
            # Somebody wrote it by hand, or a dump came back without ends: nobody is to wait for it.
            await self._redis.delete(name)
        return max(1, math.ceil((left_ms or 0) / 1_000))

    async def forgive(self, what: str, of: str, limit: Limit) -> None:
        """Takes one back: it was as it should be. Raises StoreError."""
        await self._redis.increment(_name(what, of), -1, expire=f"{limit.window_s}s")


def _name(what: str, of: str) -> str:
    return f"{what}:{hashlib.sha256(of.encode(errors='replace')).hexdigest()[:32]}"


class ApiThrottle:
    """A `Guard`: so many requests a minute of one token, session or address.

    Probes and static files are not counted: a load balancer that is told 429 takes us for dead.
    """

    def __init__(self, counter: Counter, settings: Settings, reach: Reach) -> None:
        self._counter = counter
        self._limit = Limit(settings.requests_a_minute, API_WINDOW_S)
        self._settings = settings
        self._reach = reach

    async def __call__(self, request: Request, row: Row, who: Who | None) -> None:
        if row.needs is Open.ANYONE and row.method is Method.GET:
            return
        if is_away(request):
            return  # it cannot be counted, and every answer but "Redis is away" is a 503
        client = who.credential if who and who.credential else self._address(request)
        try:
            wait_s = await self._reach(self._counter.over("api", client, self._limit))
        except StoreError:
            return
        if wait_s:
            raise TooOften(
                HTTPStatus.TOO_MANY_REQUESTS.phrase,
                f"More than {self._limit.most} requests a minute. Go on in {wait_s} s.",
                retry_after_s=wait_s,
            )

    def _address(self, request: Request) -> str:
        return client_network(client_address(request, self._settings.proxies))


class LoginThrottle:
    """Tries to log in: of one account, and of one address.

    Who has logged in to the account from this browser before is counted apart: a stranger's guesses
    cannot lock an owner out.
    """

    def __init__(
        self,
        counter: Counter,
        *,
        account: int = LOGIN_ATTEMPTS_ACCOUNT,
        address: int = LOGIN_ATTEMPTS_ADDRESS,
    ) -> None:
        self._counter = counter
        self._account = Limit(account, LOGIN_WINDOW_S)
        self._address = Limit(address, LOGIN_WINDOW_S)

    async def count(self, login: str, address: str, device: str | None) -> None:
        """Before a password is looked at. `device`: one that the account is known from.

        Raises TooOften, and StoreError: uncounted guesses are not let through.
        """
        wait_s = 0
        for what, of, limit in self._counted(login, address, device):
            wait_s = max(wait_s, await self._counter.over(what, of, limit))
        if wait_s:
            minutes = math.ceil(wait_s / 60)
            raise TooOften(
                "Too many attempts",
                f"Too many tries to log in. Try again in {minutes} min.",
                retry_after_s=wait_s,
            )

    async def succeeded(self, login: str, address: str, device: str | None) -> None:
        """The try that was counted was a good one. Raises StoreError."""
        for what, of, limit in self._counted(login, address, device):
            await self._counter.forgive(what, of, limit)

    def _counted(
        self, login: str, address: str, device: str | None
    ) -> list[tuple[str, str, Limit]]:
        if device is not None:
            return [("login-device", device, self._account)]
        return [
            ("login-address", client_network(address), self._address),
            ("login-account", login.casefold(), self._account),
        ]
