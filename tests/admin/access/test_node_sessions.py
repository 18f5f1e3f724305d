"""Sessions that the Node application wrote let its admins in, with no second login.

The fixtures were made by its own packages: see make_fixtures.mjs beside them.
"""

import json
from typing import Final
from urllib.parse import unquote

import msgspec
import pytest
from redis.asyncio import Redis

from admin.access import node
from admin.app import AdminApp
from streamq import App
from tests.admin.access.people import browser, guarded_admin, settings_of, who_is
from tests.admin.access.users_table import FIXTURES, UsersInTable
from tests.admin.office import Office

MADE: Final = json.loads((FIXTURES / "sessions.json").read_text())
SECRET: Final = str(MADE["secret"])
SID: Final = "imobibase.sid"


class NodeSession(msgspec.Struct, frozen=True):
    """One session: the cookie as express-session sent it, the record as connect-redis kept it."""

    about: str
    cookie: str
    key: str
    value: str
    ttl_s: int

    async def put(self, raw: Redis) -> None:
        await raw.set(self.key, self.value, ex=self.ttl_s)

    @property
    def header(self) -> dict[str, str]:
        return {"Cookie": self.cookie}

    @property
    def sid(self) -> str:
        return self.key.removeprefix("sess:")


SESSIONS: Final = {each["about"]: NodeSession(**each) for each in MADE["sessions"]}


@pytest.fixture
def admin(app: App, users: UsersInTable) -> AdminApp:
    return guarded_admin(app, settings_of(session_secret=SECRET, database_url=users.url))


async def _status(admin: AdminApp, session: NodeSession, raw: Redis) -> int:
    await session.put(raw)
    async with browser(admin) as ana:
        return (await ana.get("/api/admin/me", headers=session.header)).status_code


@pytest.mark.parametrize(
    ("about", "status"),
    [
        ("admin", 200),
        ("numbered", 200),
        ("until the browser closes", 200),
        ("broker", 403),
        ("visitor", 401),
        ("logged out", 401),
    ],
)
async def test_whoever_is_logged_in_there_is_here_what_the_table_says(
    admin: AdminApp, raw: Redis, about: str, status: int
) -> None:
    assert await _status(admin, SESSIONS[about], raw) == status


async def test_an_admin_of_the_application_may_all_an_admin_may(
    admin: AdminApp, office: Office, raw: Redis
) -> None:
    session = SESSIONS["admin"]
    await session.put(raw)
    async with browser(admin) as ana:
        me = await ana.get("/api/admin/me", headers=session.header)
        done = await ana.post("/api/admin/jobs/pause/email", headers=session.header)

    assert me.json() == {"user": "admin@sol.com", "role": "admin", "via": "session"}
    assert done.json()["success"] is True


async def test_no_admin_is_answered_in_the_words_of_the_contract(
    admin: AdminApp, raw: Redis
) -> None:
    session = SESSIONS["broker"]
    await session.put(raw)
    async with browser(admin) as broker:
        answer = await broker.get("/api/admin/jobs/stats", headers=session.header)
        bare = await broker.get("/healthz", headers=session.header)

    assert answer.status_code == 403
    assert answer.json()["error"] == "Forbidden: admin access required"
    assert bare.status_code == 200, "what is open to anyone is open to them"


async def test_a_session_of_the_application_is_left_as_it_is(admin: AdminApp, raw: Redis) -> None:
    """Its expiry is Node's: that the record's own word on it is long past means nothing."""
    session = SESSIONS["admin"]
    await session.put(raw)
    await raw.expire(session.key, 1_000)
    async with browser(admin) as ana:
        answer = await ana.get("/api/admin/me", headers=session.header)

    assert answer.status_code == 200
    assert await raw.get(session.key) == session.value.encode()
    assert 0 < await raw.ttl(session.key) <= 1_000
    assert "set-cookie" not in answer.headers


async def test_one_that_never_ends_is_refused(admin: AdminApp, raw: Redis) -> None:
    session = SESSIONS["admin"]
    await raw.set(session.key, session.value)
    async with browser(admin) as ana:
        assert (await ana.get("/api/admin/me", headers=session.header)).status_code == 401


async def test_without_the_users_table_it_is_refused_with_a_sentence(app: App, raw: Redis) -> None:
    session = SESSIONS["admin"]
    await session.put(raw)
    async with browser(guarded_admin(app, settings_of(session_secret=SECRET))) as ana:
        answer = await ana.get("/api/admin/jobs/stats", headers=session.header)

    assert answer.status_code == 401
    assert answer.json()["error"] == "Unauthorized"
    assert "set DATABASE_URL" in answer.json()["message"]


@pytest.mark.parametrize("secret", ["another secret", None])
async def test_a_cookie_signed_with_another_secret_is_nobodys(
    app: App, users: UsersInTable, raw: Redis, secret: str | None
) -> None:
    admin = guarded_admin(app, settings_of(session_secret=secret, database_url=users.url))

    assert await _status(admin, SESSIONS["admin"], raw) == 401


def _forged(cookie: str) -> list[str]:
    name, _, value = cookie.partition("=")
    plain = unquote(value)
    sid, _, signature = plain.removeprefix("s:").rpartition(".")
    return [
        f"{name}={each}"
        for each in (
            f"s%3A{sid}.", f"s%3A{sid}", f"s%3A.{signature}", f"s%3A{sid}.{signature[:-1]}",
            f"s%3A{sid}.{'A' * len(signature)}", f"s%3A{sid[:-1]}x.{signature}",
            f"{sid}.{signature}", sid, f"j%3A{sid}.{signature}", f"s%3A{sid}.{signature.lower()}",
            "s%3A", "s:", "s%3A..",
        )
    ]  # fmt: skip


@pytest.mark.parametrize("cookie", _forged(SESSIONS["admin"].cookie))
async def test_a_cookie_without_its_signature_is_nobodys(
    admin: AdminApp, raw: Redis, cookie: str
) -> None:
    await SESSIONS["admin"].put(raw)
    async with browser(admin) as mallory:
        answer = await mallory.get("/api/admin/me", headers={"Cookie": cookie})

    assert answer.status_code == 401


@pytest.mark.parametrize("signed", MADE["signed"], ids=lambda each: each["sid"][:8])
def test_every_signature_of_the_real_package_is_verified(signed: dict[str, str]) -> None:
    assert node.signed(signed["cookie"])
    assert node.sid_of(signed["cookie"], SECRET) == signed["sid"]
    assert node.sid_of(signed["cookie"], SECRET + "x") is None


async def test_one_of_our_records_is_no_session_of_the_application(
    admin: AdminApp, raw: Redis
) -> None:
    """Whoever could have its secret sign our key would still find no login in it."""
    import hashlib
    import hmac
    from base64 import b64encode

    from tests.admin.access.people import log_in

    async with browser(admin) as ana:
        await log_in(ana)
        (key,) = [each async for each in raw.scan_iter("sess:*")]
        sid = str(key.decode()).removeprefix("sess:")
        mac = b64encode(hmac.digest(SECRET.encode(), sid.encode(), hashlib.sha256)).decode()
        ana.cookies.clear()

        answer = await ana.get(
            "/api/admin/me", headers={"Cookie": f"{SID}=s%3A{sid}.{mac.rstrip('=')}"}
        )

    assert answer.status_code == 401


async def test_logging_out_here_ends_the_session_there_too(admin: AdminApp, raw: Redis) -> None:
    session = SESSIONS["admin"]
    await session.put(raw)
    async with browser(admin) as ana:
        out = await ana.post("/api/admin/logout", headers=session.header)
        again = await ana.get("/api/admin/me", headers=session.header)

    assert out.status_code == 200
    assert again.status_code == 401
    assert not await raw.exists(session.key)


@pytest.mark.parametrize(
    "record",
    [
        b"", b"{", b"[]", b"null", b'{"cookie":1}', b'{"passport":{"user":"1"}}',
        b'{"cookie":{},"passport":{"user":{"id":"1"}}}', b'{"cookie":{},"passport":null}',
        b'{"cookie":{},"passport":{"user":""}}', b'{"cookie":{},"passport":{"user":true}}',
        b'{"cookie":{},"passport":{"user":"' + b"x" * 200 + b'"}}', b"[" * 100_000, b"\xff\x00",
    ],
)  # fmt: skip
def test_a_record_without_a_login_is_nobodys(record: bytes) -> None:
    assert node.user_of(record) is None


async def test_a_session_of_nobody_known_costs_no_login_that_is_there(
    admin: AdminApp, users: UsersInTable, raw: Redis
) -> None:
    session = SESSIONS["admin"]
    users.run("DELETE FROM users")

    assert await _status(admin, session, raw) == 401
    async with browser(admin) as ana:
        assert await who_is(ana) == 401
