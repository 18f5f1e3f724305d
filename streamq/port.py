"""An application's own small values in Redis: `app.redis`. Keys, counters, lists, messages.

All keys begin with the app's prefix and `app:`, so nothing here can touch a queue; `admin` and
`shared` give the same for other keys.
"""

import re
from collections.abc import AsyncIterator, Callable
from typing import Final

from streamq.durations import Duration, to_ms
from streamq.errors import InvalidName, OutOfRange
from streamq.session import Session
from streamq.store import port
from streamq.store.keys import admin_root, app_root, shared_root
from streamq.store.port import Written as Written

LIST_KEPT_MAX: Final = 100_000
JOURNAL_KEPT_MAX: Final = 1_000_000
READ_MAX: Final = 1_000
DELETED_MAX: Final = 1_000

_PLACE: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")

Root = Callable[[str], bytes]


class Port:
    """Raises what a call to Redis raises: RedisUnavailable, NotApplied, OutcomeUnknown, StoreFull;
    and InvalidName for a name outside `[A-Za-z0-9._:@+-]{1,128}`."""

    def __init__(self, session: Callable[[], Session], root: Root = app_root) -> None:
        """`root`: what all keys begin with, from the app's prefix."""
        self._session = session
        self._root = root

    @property
    def admin(self) -> "Port":
        """The values of the app's admin: tokens, throttles, the audit."""
        return Port(self._session, admin_root)

    def shared(self, root: str) -> "Port":
        """Values that other programs read and write too: their keys begin with `root` alone.

        `root` is as `sess:`. What begins as this app's own keys do is refused at the first call.
        """
        return Port(self._session, lambda prefix: shared_root(prefix, root))

    def _at(self) -> tuple[Session, bytes]:
        session = self._session()
        return session, self._root(session.prefix)

    # -- values

    async def get(self, name: str, *, renew: Duration | None = None) -> bytes | None:
        """The value, or None; with `renew` it lives on for so long from now."""
        at, root = self._at()
        if renew is None:
            return await port.get(at.redis, root, name)
        return await port.get_renewed(at.redis, root, name, _expire_ms(renew))

    async def set(
        self,
        name: str,
        value: bytes | str,
        *,
        expire: Duration | None = None,
        only_new: bool = False,
    ) -> bool:
        """Whether it was written: not if `only_new` and the name was there."""
        at, root = self._at()
        expire_ms = None if expire is None else _expire_ms(expire)
        return await port.put(at.redis, root, name, value, expire_ms=expire_ms, only_new=only_new)

    async def delete(self, *names: str) -> int:
        """How many of them were there; at most 1,000 a call."""
        if len(names) > DELETED_MAX:
            raise OutOfRange("names", len(names), 0, DELETED_MAX)
        at, root = self._at()
        return await port.delete(at.redis, root, names)

    async def ms_left(self, name: str) -> int | None:
        """How many ms a value still lives: 0 if it is not there, None if it never ends."""
        at, root = self._at()
        return await port.ms_left(at.redis, root, name)

    def scan(self, stem: str = "") -> AsyncIterator[str]:
        """The names that begin with `stem`. Those that come or go meanwhile may be missed."""
        at, root = self._at()
        return port.scan(at.redis, root, stem)

    async def increment(self, name: str, by: int = 1, *, expire: Duration | None = None) -> int:
        """The counter's new value; with `expire` it ends that long after its first increment."""
        at, root = self._at()
        expire_ms = None if expire is None else _expire_ms(expire)
        return await port.increment(at.redis, root, name, by, expire_ms=expire_ms)

    # -- lists

    async def append(self, name: str, value: bytes | str, *, keep: int = 1_000) -> None:
        """Adds to the end of a list that keeps its newest `keep` values, at most 100,000."""
        _check("keep", keep, LIST_KEPT_MAX)
        at, root = self._at()
        await port.append(at.redis, root, name, value, keep=keep)

    async def tail(self, name: str, limit: int = 100) -> list[bytes]:
        """The newest values of a list, oldest first."""
        _check("limit", limit, LIST_KEPT_MAX)
        at, root = self._at()
        return await port.tail(at.redis, root, name, limit)

    # -- journals

    async def write(self, name: str, value: bytes | str, *, keep: int) -> str:
        """Adds an entry to a journal, whose entries cannot be changed; the new one's id.

        About the newest `keep` stay, at most 1,000,000.
        """
        _check("keep", keep, JOURNAL_KEPT_MAX)
        at, root = self._at()
        return await port.write(at.redis, root, name, value, keep=keep)

    async def written(
        self, name: str, limit: int = 100, *, before: str | None = None
    ) -> list[Written]:
        """Entries of a journal, newest first, at most 1,000 a call: the newest ones, or those
        `before` the one of that id. Raises InvalidName for what is no id."""
        _check("limit", limit, READ_MAX)
        if before is not None and not _PLACE.fullmatch(before):
            raise InvalidName("id", before)
        at, root = self._at()
        return await port.written(at.redis, root, name, limit, before=before)

    # -- messages

    async def publish(self, channel: str, message: bytes | str) -> int:
        """How many subscribers heard it. Nothing is kept for those who did not."""
        at, root = self._at()
        return await port.publish(at.redis, root, channel, message)


def _expire_ms(expire: Duration) -> int:
    return max(1, to_ms(expire, "expire"))


def _check(what: str, number: int, high: int) -> None:
    if isinstance(number, bool) or not 1 <= number <= high:
        raise OutOfRange(what, number, 1, high)
