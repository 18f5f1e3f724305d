"""Who may call what: every route against every role, and no route without a row that says so."""

import ipaddress
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

import httpx2
import msgspec
import pytest
from starlette.requests import Request
from starlette.routing import Route

from admin.app import AdminApp, create_app
from admin.binding import bind
from admin.call import Call
from admin.errors import Refused
from admin.gate import Gate
from admin.policy import Guard, Handler, Method, Open, Role, Row, Who
from admin.routes import ROUTES
from admin.settings import Settings
from streamq import App
from tests.admin.conftest import CRON_SECRET, client_of
from tests.admin.office import Office
from tests.admin.rows import name_of, path_of
from tests.admin.tokens import ConfiguredTokens, KeptAudit, bearer

STREAM = "/events"
CALLED = [row for row in ROUTES if not row.path.endswith(STREAM)]


# ---- every route against every role


@pytest.mark.parametrize("row", CALLED, ids=name_of)
async def test_a_stranger_gets_nowhere_but_where_anyone_may_go(
    stranger: httpx2.AsyncClient, row: Row
) -> None:
    answer = await stranger.request(row.method, path_of(row))

    if row.needs is Open.ANYONE:
        assert answer.status_code in (200, 503)
    else:
        assert answer.status_code == 401
        assert answer.json()["error"] == "Unauthorized"
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("row", [row for row in CALLED if isinstance(row.needs, Role)], ids=name_of)
async def test_a_role_may_do_what_its_row_says_and_no_more(
    admin: AdminApp, audit: KeptAudit, row: Row, role: Role
) -> None:
    async with client_of(admin, role) as client:
        answer = await client.request(row.method, path_of(row))

    if role >= Role(row.needs):
        assert answer.status_code not in (401, 403)
    else:
        assert answer.status_code == 403
        assert answer.json()["error"] == f"Forbidden: {row.needs} access required"
        assert audit.entries == []


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer x", "Basic dXNlcjpw", "bearer admin", "Bearer " + "é" * 9],
)
async def test_what_is_no_credential_is_none(stranger: httpx2.AsyncClient, header: str) -> None:
    answer = await stranger.get(
        "/api/admin/jobs/stats", headers={b"Authorization": header.encode()}
    )

    assert answer.status_code == 401


async def test_roles_are_ordered() -> None:
    assert Role.VIEWER < Role.OPERATOR < Role.ADMIN
    assert sorted([Role.ADMIN, Role.VIEWER, Role.OPERATOR]) == list(Role)
    assert Role.ADMIN >= Role.ADMIN > Role.OPERATOR
    assert Role.VIEWER <= Role.VIEWER


async def test_a_path_that_is_none_is_not_found_and_a_method_that_is_none_not_allowed(
    boss: httpx2.AsyncClient,
) -> None:
    nowhere = await boss.get("/api/admin/jobs/nothing")
    slashed = await boss.get("/api/admin/jobs/stats/")
    wrong = await boss.post("/api/admin/jobs/stats")
    both = await boss.get("/api/admin/jobs/pause/email")

    assert (nowhere.status_code, nowhere.json()["error"]) == (404, "Not Found")
    assert (slashed.status_code, slashed.headers.get("location")) == (404, None)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
    assert (both.status_code, both.headers["allow"]) == (405, "DELETE, POST")


async def test_head_is_get_without_its_body(boss: httpx2.AsyncClient) -> None:
    answer = await boss.head("/api/admin/jobs/stats")

    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0


# ---- no route without a row


def test_every_route_of_the_application_is_a_gate_made_of_rows(admin: AdminApp) -> None:
    paths = {row.path for row in ROUTES}
    for route in admin.routes:
        assert isinstance(route, Route)
        assert isinstance(route.endpoint, Gate), f"{route.path} is guarded by nobody"
        assert route.path in paths
    assert len(admin.routes) == len(paths)


def test_the_paths_of_the_seed_are_there() -> None:
    api = "/api/admin/jobs"
    seed = {
        "GET /stats", "GET /queues", "GET /queue/{name}", "GET /queue/{name}/performance",
        "GET /queue/{name}/logs", "GET /failed", "POST /retry/{queueName}/{jobId}",
        "POST /retry-all/{queueName}", "GET /job/{queueName}/{jobId}",
        "DELETE /{queueName}/{jobId}", "POST /pause/{queueName}", "POST /resume/{queueName}",
        "POST /clean/completed/{queueName}", "POST /clean/failed/{queueName}", "GET /health",
        "GET /redis",
    }  # fmt: skip

    ours = {f"{row.method} {row.path.removeprefix(api)}" for row in ROUTES}

    assert seed <= ours


def test_only_what_a_stranger_may_know_is_open_to_anyone() -> None:
    assert {row.path for row in ROUTES if row.needs is Open.ANYONE} == {
        "/livez", "/readyz", "/healthz",
    }  # fmt: skip


def test_what_destroys_many_jobs_or_cannot_be_taken_back_needs_admin() -> None:
    admins = {row.action for row in ROUTES if row.needs is Role.ADMIN}

    assert "queue.drain" in admins


async def _fine(call: Call) -> list[int]:
    return []


async def _without_call(request: Request) -> list[int]:
    return []


async def _silent(call: Call):  # type: ignore[no-untyped-def]
    return []


class _Lax(msgspec.Struct):
    dry_run: bool = False


class _Place(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(description="x")]


async def _lax_body(call: Call, body: _Lax) -> list[int]:
    return []


async def _odd_part(call: Call, header: _Lax) -> list[int]:
    return []


async def _with_path(call: Call, path: _Place) -> list[int]:
    return []


def _row(
    handler: Handler = _fine,
    *,
    method: Method = Method.GET,
    path: str = "/x",
    action: str | None = None,
) -> Row:
    return Row(
        method=method, path=path, handler=handler, needs=Role.VIEWER, does="x", action=action
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: _row(path="x"),
        lambda: _row(path="/x/"),
        lambda: _row(action="queue.pause"),
        lambda: _row(method=Method.POST),
        lambda: _row(method=Method.POST, action="Pause it"),
        lambda: bind([_row(_without_call)]),
        lambda: bind([_row(_silent)]),
        lambda: bind([_row(_lax_body, method=Method.POST, action="a.b")]),
        lambda: bind([_row(_lax_body)]),
        lambda: bind([_row(_odd_part)]),
        lambda: bind([_row(_with_path)]),
        lambda: bind([_row(path="/{name}")]),
        lambda: bind([_row(), _row()]),
        lambda: bind([_row(_with_path, path="/{name}"), _row(_with_path, path="/{name}")]),
    ],
)
def test_a_table_that_cannot_be_meant_does_not_start(make: Callable[[], object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        make()


def test_a_row_without_what_it_needs_is_none() -> None:
    with pytest.raises(TypeError, match="needs"):
        Row(method=Method.GET, path="/x", handler=_fine, does="x")  # type: ignore[call-arg]


# ---- guards and cron


async def test_guards_are_asked_in_their_order_before_a_stranger_is_sent_away(
    app: App, office: Office
) -> None:
    asked: list[tuple[str, str, str | None]] = []

    def guard(name: str, *, refuses: bool = False) -> Guard:
        async def ask(request: Request, row: Row, who: Who | None) -> None:
            asked.append((name, row.path, who.name if who else None))
            if refuses:
                raise Refused(HTTPStatus.IM_A_TEAPOT, "Teapot", "short and stout")

        return ask

    admin = create_app(
        app,
        Settings(),
        access=ConfiguredTokens(),
        guards=[guard("first"), guard("second", refuses=True), guard("third")],
    )
    async with client_of(admin) as client:
        stranger = await client.get("/api/admin/jobs/stats")
        viewer = await client.get("/api/admin/jobs/stats", headers=bearer(Role.VIEWER))

    assert stranger.status_code == viewer.status_code == 418
    path = "/api/admin/jobs/stats"
    assert asked == [
        ("first", path, None),
        ("second", path, None),
        ("first", path, "the viewer"),
        ("second", path, "the viewer"),
    ]


async def _cron(call: Call) -> dict[str, str]:
    assert call.who is not None
    return {"who": call.who.name}


CRON_ROWS = (
    Row(
        method=Method.POST, path="/cron", handler=_cron, needs=Open.CRON, does="run",
        action="schedule.run",
    ),
    Row(method=Method.GET, path="/look", handler=_cron, needs=Role.VIEWER, does="look"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("secret", "header", "status"),
    [
        (CRON_SECRET, f"Bearer {CRON_SECRET}", 200),
        (CRON_SECRET, f"Bearer {CRON_SECRET}x", 401),
        (CRON_SECRET, CRON_SECRET, 401),
        (CRON_SECRET, "", 401),
        (CRON_SECRET, bearer(Role.ADMIN)["Authorization"], 401),
        (None, "Bearer ", 401),
        (None, "Bearer None", 401),
    ],
)
async def test_the_cron_route_opens_for_its_secret_alone(
    app: App, office: Office, secret: str | None, header: str, status: int
) -> None:
    admin = create_app(app, Settings(cron_secret=secret), access=ConfiguredTokens(), rows=CRON_ROWS)
    async with client_of(admin) as client:
        ran = await client.post("/cron", headers={"Authorization": header})
        looked = await client.get("/look", headers={"Authorization": f"Bearer {CRON_SECRET}"})

    assert ran.status_code == status
    assert looked.status_code == 401, "and it opens nothing else"


async def test_of_the_cron_route_it_is_known_where_the_request_came_from(
    app: App, office: Office, audit: KeptAudit
) -> None:
    """A proxy that is trusted says so; what a client wrote itself is further to the left."""
    settings = Settings(cron_secret=CRON_SECRET, proxies=(ipaddress.ip_network("127.0.0.1"),))
    admin = create_app(app, settings, access=ConfiguredTokens(), audit=audit, rows=CRON_ROWS)
    said = {"X-Forwarded-For": "10.9.9.9, 198.51.100.9", "Authorization": f"Bearer {CRON_SECRET}"}
    async with client_of(admin) as client:
        await client.post("/cron", headers=said)

    (entry,) = audit.entries
    assert (entry.who, entry.address) == ("cron", "198.51.100.9")
