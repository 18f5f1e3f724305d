"""The desk: lets somebody in by a password, and sees to it that guessing does not pay."""

from http import HTTPStatus

import msgspec
from starlette.requests import Request

from admin.access.accounts import Account, Accounts
from admin.access.devices import Devices
from admin.access.passwords import Checker
from admin.access.sessions import Session, visit_of
from admin.access.throttle import LoginThrottle
from admin.errors import Forbidden, Refused, Unauthorized
from admin.policy import Role


class Admitted(msgspec.Struct, frozen=True):
    """Somebody who just logged in."""

    account: Account
    role: Role
    session: Session


class NotAdmitted(Exception):
    """`account` is whose password was tried, None for nobody's; `refused` is what they are told."""

    def __init__(self, account: Account | None, refused: Refused) -> None:
        super().__init__(str(refused))
        self.account = account
        self.refused = refused


class Desk:
    """What it takes to log in; nothing of it is asked of a request that has logged in."""

    def __init__(
        self, accounts: Accounts, checker: Checker, throttle: LoginThrottle, devices: Devices
    ) -> None:
        self._accounts = accounts
        self._checker = checker
        self._throttle = throttle
        self._devices = devices

    async def admit(self, request: Request, login: str, password: str, address: str) -> Admitted:
        """Begins a session. Raises NotAdmitted, a Refused (too often, not now) and StoreError.

        In this order: a try is counted before anything is looked at, and whether there is such an
        account shows neither in what is said nor in how long it takes.
        """
        if not self._accounts:
            raise Refused(
                HTTPStatus.UNAUTHORIZED, "Unauthorized", "There are no users here: use a token."
            )
        who = login.casefold()
        device = await self._devices.known(request, who)
        await self._throttle.count(who, address, device)
        account = await self._accounts.named(login)
        stored = None if account is None else account.password
        if not await self._checker.check(stored, password) or account is None:
            raise NotAdmitted(account, Unauthorized("Wrong user or password."))
        await self._throttle.succeeded(who, address, device)
        if account.role is None:
            why = f"{account.name} is not an admin of the application."
            raise NotAdmitted(account, Forbidden(Role.ADMIN, why))
        visit = visit_of(request)
        session = await visit.begin(
            account.key, seal=account.seal, role=account.role, address=address
        )
        if device is None:
            visit.set_cookies.append(await self._devices.remember(who))
        return Admitted(account, account.role, session)

    def close(self) -> None:
        self._checker.close()
