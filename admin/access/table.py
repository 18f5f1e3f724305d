"""The application's `users` table: read, never written, and asked as seldom as can be."""

import asyncio
import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from importlib.util import find_spec
from os import environ
from typing import Final, LiteralString

import msgspec

from admin.access.refusals import NotNow
from streamq.errors import InvalidSetting, MissingExtra
from streamq.redact import redact_text

KEPT_S: Final = 30.0
"""A role that is taken away is gone so much later at most; a dashboard asks twice a second."""
KEPT_MAX: Final = 1_000
AT_ONCE_MAX: Final = 4
"""Connections. Each is opened for one question: a login is rare, and nothing has to be kept up."""
LIMIT_S: Final = 5.0
RETRY_AFTER_S: Final = 5

# Whether a row was deleted stands in a column that not every version of the schema has.
_SELECT: Final[LiteralString] = (
    "SELECT u.id::text, coalesce(u.email, ''), coalesce(u.password, ''), coalesce(u.role, '')"
    " FROM users u WHERE (to_jsonb(u) ->> 'deleted_at') IS NULL AND "
)
_BY_EMAIL: Final[LiteralString] = _SELECT + "lower(u.email) = lower(%s) LIMIT 2"
_BY_ID: Final[LiteralString] = _SELECT + "u.id::text = %s LIMIT 2"

log = logging.getLogger("streamq.admin")


class Row(msgspec.Struct, frozen=True):
    """One user; `password` is a hash."""

    id: str
    email: str
    password: str
    role: str

    def __repr__(self) -> str:
        return f"Row(id={self.id!r})"


class _Kept(msgspec.Struct, frozen=True):
    row: Row | None
    at_s: float


class UsersTable:
    """The `users` table behind DATABASE_URL."""

    def __init__(self, url: str, *, kept_s: float = KEPT_S) -> None:
        """Connects to nothing. Raises MissingExtra, InvalidSetting."""
        for package in ("psycopg", "bcrypt"):
            if find_spec(package) is None:
                raise MissingExtra("Users of DATABASE_URL", package, "users")
        self._conninfo = _checked(url)
        self._kept_s = kept_s
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    def __repr__(self) -> str:
        return "UsersTable()"

    async def by_email(self, email: str) -> Row | None:
        """The user as it is now. Raises NotNow."""
        return await self._in_turn(self._asked(_BY_EMAIL, email))

    async def by_id(self, user_id: str) -> Row | None:
        """The user as it was within the last half minute. Raises NotNow."""
        if (kept := self._fresh(user_id)) is not None:
            return kept.row
        return await self._in_turn(self._asked_unless_kept(user_id))

    async def _in_turn(self, asked: Coroutine[object, object, Row | None]) -> Row | None:
        """The time-out is for the wait as well: a table that hangs piles nobody up behind it."""
        import psycopg  # 0.25 s: not for those who have no table

        try:
            async with asyncio.timeout(LIMIT_S), self._room:
                return await asked
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("the users table: %s", redact_text(str(error) or "time-out"))
            raise NotNow(
                "Users unavailable",
                "The users table of DATABASE_URL does not answer; tokens work all the same.",
                retry_after_s=RETRY_AFTER_S,
            ) from None
        finally:
            asked.close()  # its turn may never have come

    async def _asked_unless_kept(self, user_id: str) -> Row | None:
        """A page asks ten things at once: the first of them has the answer for all."""
        if (kept := self._fresh(user_id)) is not None:
            return kept.row
        row = await self._asked(_BY_ID, user_id)
        self._kept[user_id] = _Kept(row, time.monotonic())
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return row

    def _fresh(self, user_id: str) -> _Kept | None:
        kept = self._kept.get(user_id)
        if kept is None or time.monotonic() - kept.at_s < self._kept_s:
            return kept
        del self._kept[user_id]
        return None

    async def _asked(self, query: LiteralString, value: str) -> Row | None:
        import psycopg

        if "\0" in value:
            return None  # PostgreSQL has no such text
        async with await psycopg.AsyncConnection.connect(
            self._conninfo, prepare_threshold=None
        ) as connection:
            await connection.set_read_only(True)
            cursor = await connection.execute(query, [value])
            rows = [Row(*fields) for fields in await cursor.fetchall()]
        if len(rows) > 1:
            # Which of them is meant would be chance.
            log.warning("the users table has several rows for one user: nobody is logged in")
            return None
        return rows[0] if rows else None


def _checked(url: str, environment: Mapping[str, str] = environ) -> str:
    """The URL for psycopg, over TLS that is verified unless the server is on this machine."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    try:
        said = conninfo_to_dict(url)
    except ProgrammingError:
        raise InvalidSetting(
            "DATABASE_URL", "***", "environment", "give postgresql://user:password@host/database"
        ) from None
    own: dict[str, str | int] = {"connect_timeout": int(LIMIT_S)}
    own["application_name"] = str(said.get("application_name") or "streamq-admin")
    hosts = str(said.get("host") or said.get("hostaddr") or "").split(",")
    chosen = "sslmode" in said or "PGSSLMODE" in environment
    if not chosen and not all(_is_here(host) for host in hosts):
        own["sslmode"] = "verify-full"
        if "sslrootcert" not in said and "PGSSLROOTCERT" not in environment:
            own["sslrootcert"] = "system"
    return make_conninfo(url, **own)


def _is_here(host: str) -> bool:
    """A socket's folder, or an address of this machine's loopback."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
