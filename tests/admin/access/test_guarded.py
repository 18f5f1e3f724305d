"""All of it together: every route against strangers, sessions and roles. Controls 1, 2 and 3."""

import pytest

from admin.access.accounts import Accounts
from admin.access.routes import ACCESS_ROUTES
from admin.app import AdminApp, routed
from admin.policy import Open, Role, Row
from admin.routes import ROUTES
from streamq import App
from streamq.errors import InvalidSetting
from tests.admin.access.people import (
    NAMES,
    PASSWORD,
    TOKENS,
    browser,
    client,
    guarded_admin,
    log_in,
    settings_of,
)
from tests.admin.office import Office
from tests.admin.rows import name_of, path_of

ROWS = [row for row in (*ACCESS_ROUTES, *ROUTES) if not row.path.endswith("/events")]
OPEN = {"/livez", "/readyz", "/healthz", "/api/admin/login", "/api/admin/logout"}


def test_open_to_anyone_is_what_was_meant_to_be(admin: AdminApp) -> None:
    rows = [bound.row for bound in routed(admin)]

    assert {row.path for row in rows if row.needs is Open.ANYONE} == OPEN
    assert len(rows) == len(ACCESS_ROUTES) + len(ROUTES)


@pytest.mark.parametrize("row", [row for row in ROWS if row.path not in OPEN], ids=name_of)
async def test_a_stranger_gets_nowhere_from_this_machine_either(admin: AdminApp, row: Row) -> None:
    async with client(admin, address="127.0.0.1") as stranger:
        answer = await stranger.request(row.method, path_of(row))

    assert answer.status_code == 401
    assert answer.json()["error"] == "Unauthorized"


@pytest.mark.parametrize("role", Role)
async def test_a_session_may_what_its_role_may_on_every_route(
    admin: AdminApp, office: Office, role: Role
) -> None:
    async with browser(admin) as somebody:
        for row in ROWS:
            if not isinstance(row.needs, Role) or "logout" in row.path:
                continue
            if "imobibase.sid" not in somebody.cookies:
                await log_in(somebody, NAMES[role])
            answer = await somebody.request(row.method, path_of(row))

            if role >= Role(row.needs):
                assert answer.status_code not in (401, 403), name_of(row)
            else:
                assert answer.status_code == 403, name_of(row)
                assert answer.json()["error"] == f"Forbidden: {row.needs} access required"


async def test_without_any_user_there_is_nobody_to_log_in(app: App) -> None:
    """Control 3: no default password."""
    admin = guarded_admin(app, settings_of(users="", tokens=""))
    async with browser(admin) as mallory:
        for name in ("admin", "root", "streamq", ""):
            for password in ("admin", "password", "streamq", ""):
                answer = await log_in(mallory, name, password)
                assert answer.status_code in (400, 401)

    assert not await admin.site.access.anybody()


@pytest.mark.parametrize("what", ["users", "tokens", "database_url", "in redis"])
async def test_who_could_be_let_in_counts_as_somebody(app: App, what: str) -> None:
    nobody = {"users": "", "tokens": ""}
    said: dict[str, dict[str, object]] = {
        "users": {"tokens": ""},
        "tokens": {"users": ""},
        "database_url": {**nobody, "database_url": "postgresql:///x"},
        "in redis": {**nobody},
    }
    admin = guarded_admin(app, settings_of(**said[what]))
    if what == "in redis":
        from admin.access.tokens import Tokens, made

        assert not await admin.site.access.anybody()
        await Tokens(app.redis.admin).keep(made("a", Role.VIEWER))

    assert await admin.site.access.anybody()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400), ({"username": "ana"}, 400), ({"password": "x"}, 400), ([], 400), ("x", 400),
        ({"username": "", "password": "x"}, 400), ({"username": "ana", "password": ""}, 400),
        ({"username": 1, "password": "x"}, 400), ({"username": "ana", "password": ["x"]}, 400),
        ({"username": "a" * 255, "password": "x"}, 400), ({"user": "ana", "password": "x"}, 400),
        ({"username": "ana", "password": "x" * 1_025}, 400),
        ({"username": "ana", "password": "x", "role": "admin"}, 400),
        ({"username": "ana", "password": "x", "next": "/" + "x" * 3_000}, 400),
        ({"username": "nobody", "password": "x"}, 401),
    ],
)  # fmt: skip
async def test_a_login_that_is_none_gets_a_sentence_and_no_echo(
    admin: AdminApp, body: object, status: int
) -> None:
    async with browser(admin) as mallory:
        answer = await mallory.post("/api/admin/login", json=body)

    assert answer.status_code == status
    assert set(answer.json()) == {"error", "message", "code", "requestId"}
    assert "set-cookie" not in answer.headers


async def test_a_wrong_password_and_an_unknown_user_are_told_the_same(admin: AdminApp) -> None:
    async with browser(admin) as mallory:
        wrong = await log_in(mallory, NAMES[Role.ADMIN], "wrong")
        unknown = await log_in(mallory, "nobody@example.com", "wrong")

    told = [{**answer.json(), "requestId": ""} for answer in (wrong, unknown)]
    assert told[0] == told[1]
    assert told[0]["message"] == "Wrong user or password."
    assert wrong.status_code == unknown.status_code == 401


async def test_a_name_is_the_same_in_any_case_of_letters(admin: AdminApp) -> None:
    async with browser(admin) as ana:
        answer = await log_in(ana, NAMES[Role.ADMIN].upper())

    body = answer.json()
    assert list(body) == ["success", "message", "user", "role", "expiresOn", "next"]
    assert (body["user"], body["role"], body["next"]) == (NAMES[Role.ADMIN], "admin", "/")


async def test_behind_a_proxys_path_all_of_it_is_below_that_path(app: App) -> None:
    admin = guarded_admin(app, settings_of(prefix="/ops"))
    async with browser(admin) as ana:
        answer = await ana.post(
            "/ops/api/admin/login", json={"username": NAMES[Role.ADMIN], "password": PASSWORD}
        )
        nowhere = await log_in(ana)
        me = await ana.get("/ops/api/admin/me")

    assert (answer.status_code, nowhere.status_code, me.status_code) == (200, 404, 200)
    assert answer.json()["next"] == "/ops/"
    (known,) = [c for c in answer.headers.get_list("set-cookie") if "imobibase.known" in c]
    assert "Path=/ops/api/admin/login;" in known


async def test_a_token_has_no_other_sessions_to_end(admin: AdminApp) -> None:
    async with client(admin, token=TOKENS[Role.ADMIN].token) as script:
        answer = await script.post("/api/admin/logout-everywhere")
        out = await script.post("/api/admin/logout")

    assert answer.status_code == 401
    assert out.json()["message"] == "There was no session"


# ---- users of the configuration


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ana", "entry 1 has no role"),
        (":admin:x", "entry 1 has no name"),
        ("ana:root:x", "entry 1 has no role of viewer, operator, admin"),
        ("ana:admin:", "the hash of entry 1"),
        ("ana:admin:plain", "not the output of `streamq hash-password`"),
        ("ana:admin:$2b$10$" + "a" * 53, "is bcrypt, and here it is to be ours"),
        ("ana:admin:scrypt.40.8.1." + "A" * 22 + "." + "A" * 43, "costs are out of range"),
    ],
)
def test_an_entry_that_cannot_be_read_is_named_by_its_number(text: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        Accounts(text)


def test_two_users_of_one_name_are_a_mistake() -> None:
    entry = settings_of().users.splitlines()[0]

    with pytest.raises(InvalidSetting, match="entry 2 has a name once more"):
        Accounts(f"{entry} {entry.upper().replace('VIEWER', 'viewer').replace('SCRYPT', 'scrypt')}")


async def test_nothing_shows_a_hash() -> None:
    account = await Accounts(settings_of().users).named("vera")

    assert account is not None
    assert account.password not in repr(account)
    assert account.password not in account.seal
