"""The application's own small values in Redis: `app.redis`. Keys, counters, lists, messages.

All keys begin with the app's prefix and `app:`, so nothing here can touch a queue.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

from streamq.durations import Duration, to_ms
from streamq.errors import OutOfRange
from streamq.session import Session
from streamq.store import port

LIST_KEPT_MAX: Final = 100_000
DELETED_MAX: Final = 1_000


class Port:
    """Raises what a call to Redis raises: RedisUnavailable, NotApplied, OutcomeUnknown, StoreFull;
    and InvalidName for a name outside `[A-Za-z0-9._:@+-]{1,128}`."""

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session

    async def get(self, name: str) -> bytes | None:
        """The value, or None."""
        at = self._session()
        return await port.get(at.redis, at.prefix, name)

    async def set(
        self,
        name: str,
        value: bytes | str,
        *,
        expire: Duration | None = None,
        only_new: bool = False,
    ) -> bool:
        """Whether it was written: not if `only_new` and the name was there."""
        at = self._session()
        expire_ms = None if expire is None else max(1, to_ms(expire, "expire"))
        return await port.put(
            at.redis, at.prefix, name, value, expire_ms=expire_ms, only_new=only_new
        )

    async def delete(self, *names: str) -> int:
        """How many of them were there; at most 1,000 a call."""
        if len(names) > DELETED_MAX:
            raise OutOfRange("names", len(names), 0, DELETED_MAX)
        at = self._session()
        return await port.delete(at.redis, at.prefix, names)

    def scan(self, stem: str = "") -> AsyncIterator[str]:
        """The names that begin with `stem`. Those that come or go meanwhile may be missed."""
        at = self._session()
        return port.scan(at.redis, at.prefix, stem)

    async def increment(self, name: str, by: int = 1, *, expire: Duration | None = None) -> int:
        """The counter's new value; with `expire` it ends that long after its first increment."""
        at = self._session()
        expire_ms = None if expire is None else max(1, to_ms(expire, "expire"))
        return await port.increment(at.redis, at.prefix, name, by, expire_ms=expire_ms)

    async def append(self, name: str, value: bytes | str, *, keep: int = 1_000) -> None:
        """Adds to the end of a list that keeps its newest `keep` values, at most 100,000."""
        _check_length("keep", keep)
        at = self._session()
        await port.append(at.redis, at.prefix, name, value, keep=keep)

    async def tail(self, name: str, limit: int = 100) -> list[bytes]:
        """The newest values of a list, oldest first."""
        _check_length("limit", limit)
        at = self._session()
        return await port.tail(at.redis, at.prefix, name, limit)

    async def publish(self, channel: str, message: bytes | str) -> int:
        """How many subscribers heard it. Nothing is kept for those who did not."""
        at = self._session()
        return await port.publish(at.redis, at.prefix, channel, message)


def _check_length(what: str, length: int) -> None:
    if isinstance(length, bool) or not 1 <= length <= LIST_KEPT_MAX:
        raise OutOfRange(what, length, 1, LIST_KEPT_MAX)
