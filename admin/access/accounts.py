"""Accounts: who can log in with a password, from the configuration and from the `users` table."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from admin.access.passwords import COST, Cost, Form, UnknownForm, cost_of, form_of
from admin.access.table import Row, UsersTable
from admin.policy import Role
from admin.settings import ORIGIN
from streamq.errors import InvalidSetting

VARIABLE: Final = "ADMIN_USERS"
NAME: Final = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
USERS_MAX: Final = 1_000
LOGIN_CHARS_MAX: Final = 254
"""An e-mail address has no more."""

_HELP: Final = "give NAME:ROLE:HASH, as `streamq hash-password --user NAME --role ROLE` prints it."
_CONFIGURED, _TABLE = "configured", "table"


class Account(msgspec.Struct, frozen=True):
    """Somebody with a password. `key` is what a session has of it, and stays when a name changes.

    `role` None: known, and not admitted.
    """

    key: str
    name: str
    role: Role | None
    password: str

    def __repr__(self) -> str:
        return f"Account({self.key!r})"  # no hash in any log

    @property
    def seal(self) -> str:
        """Changes with the password, and ends the sessions that began with the old one."""
        return hashlib.sha256(b"seal " + self.password.encode()).hexdigest()[:32]


class Accounts:
    """All accounts. One of the configuration wins over one of the table by the same name."""

    def __init__(self, configured: str = "", table: UsersTable | None = None) -> None:
        """`configured` is as ADMIN_USERS has it. Raises InvalidSetting."""
        self._configured: Mapping[str, Account] = {
            account.name.casefold(): account for account in _read(configured)
        }
        self.table = table

    def __bool__(self) -> bool:
        """Whether there is anybody, as far as that can be told without asking."""
        return bool(self._configured) or self.table is not None

    @property
    def forms(self) -> list[Form]:
        """In which forms their passwords may be kept."""
        ours = [Form.SCRYPT] if self._configured else []
        return ours + ([Form.BCRYPT, Form.NODE_SCRYPT] if self.table else [])

    @property
    def cost(self) -> Cost:
        """Of the costliest hash of ours among them."""
        costs = [cost_of(account.password) for account in self._configured.values()]
        return max(costs, key=lambda cost: cost.work, default=COST)

    @property
    def cheap(self) -> list[str]:
        """The names whose hashes cost less than what a new one would."""
        return [
            account.name
            for account in self._configured.values()
            if cost_of(account.password).work < COST.work
        ]

    async def named(self, login: str) -> Account | None:
        """The account that logs in by this name, or this e-mail address; in any case of letters.

        Raises NotNow.
        """
        found = self._configured.get(login.casefold())
        row = None if self.table is None else await self.table.by_email(login)
        return found or (None if row is None else _of_row(row))

    async def of_key(self, key: str) -> Account | None:
        """The account as it is now, or half a minute ago. Raises NotNow."""
        source, _, rest = key.partition(":")
        if source == _CONFIGURED:
            return self._configured.get(rest)
        if source == _TABLE and self.table is not None:
            return await self.of_table(rest)
        return None

    async def of_table(self, user_id: str) -> Account | None:
        """The account of a row of `users`, None without a table. Raises NotNow."""
        row = None if self.table is None else await self.table.by_id(user_id)
        return None if row is None else _of_row(row)


def _of_row(row: Row) -> Account:
    """The application has one role that may come here, and it is called as ours is."""
    role = Role.ADMIN if row.role == Role.ADMIN.value else None
    return Account(f"{_TABLE}:{row.id}", row.email, role, row.password)


def _read(text: str) -> Iterator[Account]:
    names: set[str] = set()
    entries = [entry for entry in re.split(r"[\s,]+", text) if entry]
    if len(entries) > USERS_MAX:
        raise InvalidSetting(VARIABLE, "***", ORIGIN, f"more than {USERS_MAX} users.")
    for number, entry in enumerate(entries, 1):
        # By its number: what stands in the wrong place may be a password.
        account = _account(entry, f"entry {number}")
        if account.name.casefold() in names:
            raise InvalidSetting(VARIABLE, "***", ORIGIN, f"entry {number} has a name once more.")
        names.add(account.name.casefold())
        yield account


def _account(entry: str, which: str) -> Account:
    name, _, rest = entry.partition(":")
    role, _, stored = rest.partition(":")
    if not NAME.fullmatch(name):
        raise InvalidSetting(VARIABLE, "***", ORIGIN, f"{which} has no name: {_HELP}")
    if role not in list(Role):
        why = f"{which} has no role of {', '.join(Role)}: {_HELP}"
        raise InvalidSetting(VARIABLE, "***", ORIGIN, why)
    try:
        form = form_of(stored)
    except UnknownForm as error:
        why = f"the hash of {which} is {error}: {_HELP}"
        raise InvalidSetting(VARIABLE, "***", ORIGIN, why) from None
    if form is not Form.SCRYPT:
        why = f"the hash of {which} is {form}, and here it is to be ours: {_HELP}"
        raise InvalidSetting(VARIABLE, "***", ORIGIN, why)
    return Account(f"{_CONFIGURED}:{name.casefold()}", name, Role(role), stored)
