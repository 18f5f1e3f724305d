"""Who has had which mail: so that a job that is tried again mails only those who have not."""

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol

import msgspec

# A failed job is kept for 7 days and may be tried again on the last of them, with its own delays.
KEPT = timedelta(days=14)
_STEM = "mail:"


class Values(Protocol):
    """What the ledger needs of `app.redis`."""

    async def get(self, name: str) -> bytes | None: ...
    async def set(self, name: str, value: bytes, *, expire: timedelta) -> bool: ...


class Ledger:
    """Addresses that a mail server took a mail for, by the job's key; forgotten after 14 days.

    Not a lock: two attempts that run at once (one of them stale) may both send.
    """

    def __init__(self, values: Values) -> None:
        self._values = values

    async def served(self, key: str) -> frozenset[str]:
        """Who has had it. Raises what a call to Redis raises."""
        stored = await self._values.get(_name(key))
        return (
            frozenset() if stored is None else msgspec.msgpack.decode(stored, type=frozenset[str])
        )

    async def add(self, key: str, served: frozenset[str], more: Iterable[str]) -> None:
        """Remember `more` beside those `served` before. Raises what a call to Redis raises."""
        everyone = sorted(served.union(more))
        await self._values.set(_name(key), msgspec.msgpack.encode(everyone), expire=KEPT)


def _name(key: str) -> str:
    # A digest, for a job's id may be as long as a name may be.
    return _STEM + hashlib.sha256(key.encode()).hexdigest()
