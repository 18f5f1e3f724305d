"""`streamq web --read-only`: it shows everything, and changes nothing."""

import httpx2
import pytest

from admin.access.routes import ACCESS_ROUTES
from admin.app import AdminApp, create_app
from admin.policy import Open, Role, Row
from admin.routes import ROUTES
from admin.settings import Settings
from streamq import App
from tests.admin.conftest import CRON_SECRET, client_of
from tests.admin.office import Office
from tests.admin.rows import name_of, path_of
from tests.admin.tokens import ConfiguredTokens, KeptAudit

CHANGES = [row for row in ROUTES if row.action is not None and row.needs is not Role.VIEWER]


@pytest.fixture
def admin(app: App, office: Office, audit: KeptAudit) -> AdminApp:
    settings = Settings(cron_secret=CRON_SECRET, read_only=True)
    return create_app(app, settings, access=ConfiguredTokens(), audit=audit)


@pytest.mark.parametrize("row", CHANGES, ids=name_of)
async def test_a_change_is_refused_with_a_sentence(admin: AdminApp, row: Row) -> None:
    headers = {"authorization": f"Bearer {CRON_SECRET}"} if row.needs is Open.CRON else {}
    async with client_of(admin, Role.ADMIN) as client:
        refused = await client.request(row.method, path_of(row), json={}, headers=headers)

    assert refused.status_code == 403, refused.text
    assert refused.json()["error"] == "Forbidden: this admin is read-only"
    assert "--read-only" in refused.json()["message"]


async def test_what_only_shows_is_answered(viewer: httpx2.AsyncClient) -> None:
    assert (await viewer.get("/api/admin/jobs/queues")).status_code == 200


def test_those_who_log_in_may_log_out() -> None:
    """No change of theirs is one of the queues'."""
    changing = [row for row in ACCESS_ROUTES if row.action is not None]
    assert {row.needs for row in changing if "log" in row.path} <= {Open.ANYONE, Role.VIEWER}
