"""Bearer tokens by configuration: the smallest access that is one, for tests of what is behind it.

The hash of a token is compared, in a time that says nothing; a token is one person with one role.
"""

import hashlib
import hmac
from collections.abc import Mapping

from starlette.requests import Request

from admin.policy import Access, Audit, Entry, Role, Via, Who

TOKENS: Mapping[str, Role] = {f"{role}-{'0' * 24}": role for role in Role}


def bearer(role: Role) -> dict[str, str]:
    """The header of somebody with that role."""
    return {"Authorization": f"Bearer {role}-{'0' * 24}"}


class ConfiguredTokens:
    """An `Access`."""

    def __init__(self, tokens: Mapping[str, Role] = TOKENS) -> None:
        self._roles = {_hashed(token): role for token, role in tokens.items()}

    async def who(self, request: Request) -> Who | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        given = _hashed(token)
        for hashed, role in self._roles.items():
            if hmac.compare_digest(hashed, given):
                host = request.client.host if request.client else ""
                return Who(f"the {role}", role, Via.TOKEN, host, credential=f"t-{role}")
        return None

    async def anybody(self) -> bool:
        return bool(self._roles)


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class KeptAudit:
    """An `Audit` that keeps its entries for who asks."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    async def note(self, entry: Entry) -> None:
        self.entries.append(entry)


# Both are what the seam asks for.
_access: Access = ConfiguredTokens()
_audit: Audit = KeptAudit()
