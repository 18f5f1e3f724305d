"""An application with the nine queues of the contract, its admin, and a client for each role."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from admin.app import AdminApp, create_app
from admin.policy import Role
from admin.settings import Settings
from streamq import App
from streamq.embedded import EmbeddedServer
from streamq.settings import Settings as EngineSettings
from tests.admin.office import Office
from tests.admin.tokens import ConfiguredTokens, KeptAudit, bearer

CRON_SECRET = "cron-secret-of-these-tests"


@pytest.fixture
async def app(server: EmbeddedServer, prefix: str) -> AsyncIterator[App]:
    async with App("office", settings=EngineSettings(), redis=server.url, prefix=prefix) as opened:
        yield opened


@pytest.fixture
def office(app: App) -> Office:
    return Office(app)


@pytest.fixture
def audit() -> KeptAudit:
    return KeptAudit()


@pytest.fixture
def admin(app: App, office: Office, audit: KeptAudit) -> AdminApp:
    return create_app(
        app, Settings(cron_secret=CRON_SECRET), access=ConfiguredTokens(), audit=audit
    )


@pytest.fixture
async def stranger(admin: AdminApp) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(admin) as client:
        yield client


@pytest.fixture
async def viewer(admin: AdminApp) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(admin, Role.VIEWER) as client:
        yield client


@pytest.fixture
async def operator(admin: AdminApp) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(admin, Role.OPERATOR) as client:
        yield client


@pytest.fixture
async def boss(admin: AdminApp) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody with the role admin."""
    async with client_of(admin, Role.ADMIN) as client:
        yield client


def client_of(admin: AdminApp, role: Role | None = None) -> httpx2.AsyncClient:
    """A client of that role; errors that nobody foresaw come as answers, as a server gives them."""
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=admin, raise_app_exceptions=False),
        base_url="http://127.0.0.1:5000",
        headers=bearer(role) if role else {},
    )
