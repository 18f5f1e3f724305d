"""Somebody for each role, with a password; their browsers, and a program with a token."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx2

from admin.access.guarded import guarded
from admin.access.passwords import Cost, Costs, hashed
from admin.access.reach import Reach
from admin.access.throttle import Counter, LoginThrottle
from admin.access.tokens import made
from admin.app import AdminApp
from admin.policy import Role
from admin.settings import Settings
from streamq import App

COST: Final = Cost(10, 8, 1)
"""3 ms in place of 500: what a hash costs is tested in test_passwords.py."""
PASSWORD: Final = "correct horse battery"
SECRET: Final = "the session secret of these tests"
URL: Final = "http://127.0.0.1:5000"
PATIENT_S: Final = 10.0
"""A machine that is busy with other tests is not Redis being away."""

NAMES: Final[Mapping[Role, str]] = {
    Role.VIEWER: "vera",
    Role.OPERATOR: "olga",
    Role.ADMIN: "ana@example.com",
}
USERS: Final = "\n".join(f"{name}:{role}:{hashed(PASSWORD, COST)}" for role, name in NAMES.items())
TOKENS: Final = {role: made(f"{role}-script", role) for role in Role}
CONFIGURED: Final = ",".join(token.kept.entry for token in TOKENS.values())


def settings_of(**changed: object) -> Settings:
    """Three users, three tokens, a secret; changed as said."""
    said: dict[str, object] = {
        "users": USERS,
        "tokens": CONFIGURED,
        "session_secret": SECRET,
        "requests_a_minute": 1_000_000,
    }
    return Settings(**(said | changed))  # type: ignore[arg-type]


def guarded_admin(
    app: App, settings: Settings | None = None, *, tries: tuple[int, int] = (10_000, 10_000)
) -> AdminApp:
    """`tries`: of one account and of one address, in a quarter of an hour."""
    account, address = tries
    return guarded(
        app,
        settings or settings_of(),
        reach=Reach(PATIENT_S),
        costs=Costs(COST, bcrypt=5),
        login_throttle=LoginThrottle(Counter(app.redis.admin), account=account, address=address),
    )


@asynccontextmanager
async def client(
    admin: AdminApp,
    *,
    token: str = "",
    address: str = "203.0.113.7",
    url: str = URL,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[httpx2.AsyncClient]:
    """A program; with a token, one that has its say."""
    own = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(
            app=admin, raise_app_exceptions=False, client=(address, 40_000)
        ),
        base_url=url,
        headers={**own, **(headers or {})},
    ) as opened:
        yield opened


@asynccontextmanager
async def browser(
    admin: AdminApp, *, address: str = "203.0.113.7", url: str = URL
) -> AsyncIterator[httpx2.AsyncClient]:
    """One that says of each request that a page of ours sent it, and keeps cookies."""
    same = {"Sec-Fetch-Site": "same-origin", "Origin": url}
    async with client(admin, address=address, url=url, headers=same) as opened:
        yield opened


async def log_in(
    browser: httpx2.AsyncClient, name: str = NAMES[Role.ADMIN], password: str = PASSWORD
) -> httpx2.Response:
    return await browser.post("/api/admin/login", json={"username": name, "password": password})


async def who_is(browser: httpx2.AsyncClient) -> int:
    """The status of asking who one is: 200 for somebody."""
    return (await browser.get("/api/admin/me")).status_code
