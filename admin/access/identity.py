"""Who sent a request: by the token in its header, else by the session in its cookie.

A header wins, and is not second-guessed: a token that does not hold is nobody, cookie or not. What
somebody may do is looked up each time; nothing of it is taken from what they sent.
"""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Final, Generic, TypeVar

from starlette.requests import Request

from admin.access.accounts import Account, Accounts
from admin.access.address import client_address
from admin.access.desk import Desk
from admin.access.reach import Reach, mark_away
from admin.access.sessions import Nodes, Ours, Visit, visit_of
from admin.access.tokens import Kept, Tokens
from admin.errors import Forbidden, Unauthorized
from admin.policy import Role, Via, Who
from admin.settings import Settings
from streamq.errors import StoreError

REMEMBERED_S: Final = 600.0
"""Who was known so long ago may still look while Redis is away: health is asked for just then."""
REMEMBERED_MAX: Final = 1_000
TOKEN_CHARS_MAX: Final = 256
SAFE: Final = frozenset({"GET", "HEAD"})


F = TypeVar("F")
SessionFound = Ours | Nodes


class Remembered(Generic[F]):
    """What Redis had for the credentials that it was asked for last."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, tuple[F, float]] = OrderedDict()

    def put(self, credential: str, found: F | None) -> None:
        key = _digest(credential)
        self._found.pop(key, None)
        if found is not None:
            self._found[key] = found, time.monotonic()
            while len(self._found) > REMEMBERED_MAX:
                self._found.popitem(last=False)

    def get(self, credential: str) -> F | None:
        found, at_s = self._found.get(_digest(credential), (None, 0.0))
        return found if time.monotonic() - at_s < REMEMBERED_S else None


def _digest(credential: str) -> str:
    return hashlib.sha256(credential.encode()).hexdigest()


class Identity:
    """An `Access`."""

    def __init__(
        self, settings: Settings, accounts: Accounts, tokens: Tokens, reach: Reach, desk: Desk
    ) -> None:
        self._settings = settings
        self.desk = desk
        """Where somebody becomes known by a password."""
        self.accounts = accounts
        self.tokens = tokens
        self._reach = reach
        self._tokens_seen: Remembered[Kept] = Remembered()
        self._sessions_seen: Remembered[SessionFound] = Remembered()

    def address(self, request: Request) -> str:
        return client_address(request, self._settings.proxies)

    async def who(self, request: Request) -> Who | None:
        """Raises Unauthorized, Forbidden and NotNow with the reason, StoreError."""
        header = request.headers.get("authorization")
        if header is not None:
            return await self._by_token(request, header)
        return await self._by_session(request)

    async def anybody(self) -> bool:
        return bool(self.accounts) or await self.tokens.exist()

    # -- tokens

    async def _by_token(self, request: Request, header: str) -> Who | None:
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or len(token) > TOKEN_CHARS_MAX:
            return None
        kept = self.tokens.configured(token)
        if kept is None:
            kept = await self._asked(request, token, self._token(token), self._tokens_seen)
        if kept is None:
            return None
        return Who(kept.name, kept.role, Via.TOKEN, self.address(request), f"t-{kept.id}")

    async def _token(self, token: str) -> Kept | None:
        kept = await self.tokens.find(token)
        if kept is not None:
            await self.tokens.used(kept)
        return kept

    # -- sessions

    async def _by_session(self, request: Request) -> Who | None:
        visit = visit_of(request)
        if not visit.claimed:
            return None
        cookie = ";".join(request.headers.getlist("cookie"))
        found = await self._asked(request, cookie, visit.find(), self._sessions_seen)
        if found is None:
            return None
        if isinstance(found, Nodes):
            return await self._of_node(request, found)
        return await self._of_ours(request, visit, found)

    async def _of_ours(self, request: Request, visit: Visit, found: Ours) -> Who | None:
        account = await self.accounts.of_key(found.session.account)
        if account is None or not _still(account, found):
            await self._reach(visit.end_this(found))
            return None
        return self._user(account, found.session.role, found.name, request)

    async def _of_node(self, request: Request, found: Nodes) -> Who | None:
        if self.accounts.table is None:
            raise Unauthorized(
                "This is a session of the application, whose users stand in a table:"
                " set DATABASE_URL so that their roles are known, or log in here."
            )
        account = await self.accounts.of_table(found.user_id)
        if account is None:
            return None
        if account.role is None:
            raise Forbidden(Role.ADMIN, f"{account.name} is not an admin of the application.")
        return self._user(account, account.role, found.name, request)

    def _user(self, account: Account, role: Role, name: str, request: Request) -> Who:
        return Who(account.name, role, Via.SESSION, self.address(request), f"s-{name[:12]}")

    async def _asked(
        self,
        request: Request,
        credential: str,
        asked: Coroutine[object, object, F | None],
        remembered: Remembered[F],
    ) -> F | None:
        """What Redis has for a credential; while it is away, what it had not long ago.

        Only to look: nobody is to change anything with a credential that may be taken back.
        """
        try:
            found = await self._reach(asked)
        except StoreError:
            mark_away(request)
            kept = remembered.get(credential)
            if kept is None or request.method not in SAFE:
                raise
            return kept
        remembered.put(credential, found)
        return found


def _still(account: Account, found: Ours) -> bool:
    """Whether the account is what it was when the session began."""
    same_password = hmac.compare_digest(account.seal, found.session.seal)
    return same_password and account.role == found.session.role
