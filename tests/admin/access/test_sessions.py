"""Logins that last: a session's id, its cookie, its ends. Controls 9 and 10 of security.md."""

import re

import httpx2
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from admin.access.sessions import (
    ABSOLUTE_MS,
    IDLE_MS,
    SessionMiddleware,
    create_redis_session_store,
    get_session_config,
    visit_of,
)
from admin.app import AdminApp
from admin.policy import Role
from admin.settings import UnsetSessionSecret
from streamq import App
from tests.admin.access.people import (
    NAMES,
    PASSWORD,
    browser,
    guarded_admin,
    log_in,
    settings_of,
    who_is,
)

SID = "imobibase.sid"
COOKIE_SHAPE = re.compile(
    r"imobibase\.sid=[A-Za-z0-9_-]{43}; Max-Age=43200; Path=/; HttpOnly(; Secure)?; SameSite=Lax"
)


async def _keys(raw: Redis) -> list[bytes]:
    return [bytes_of(key) async for key in raw.scan_iter("sess:*", count=1_000)]


async def _record(raw: Redis, key: bytes) -> bytes:
    return bytes_of(await raw.get(key))


def bytes_of(reply: object) -> bytes:
    assert isinstance(reply, bytes)
    return reply


async def test_a_login_lasts_until_its_logout(admin: AdminApp) -> None:
    async with browser(admin) as ana:
        before = await who_is(ana)
        await log_in(ana)
        inside = (await ana.get("/api/admin/me")).json()
        old = ana.cookies[SID]
        out = await ana.post("/api/admin/logout")

        assert before == 401
        assert inside == {"user": NAMES[Role.ADMIN], "role": "admin", "via": "session"}
        assert out.json() == {"success": True, "message": "Logged out"}
        assert SID not in ana.cookies
        ana.cookies.set(SID, old, domain="127.0.0.1")
        assert await who_is(ana) == 401, "the cookie from before the logout opens nothing"


async def test_the_cookie_is_for_browsers_alone(app: App, admin: AdminApp) -> None:
    secure = guarded_admin(app, settings_of(secure_cookies=True))
    async with browser(admin) as ana, browser(secure) as bea:
        plain = (await log_in(ana)).headers.get_list("set-cookie")
        over_tls = (await log_in(bea)).headers.get_list("set-cookie")

    (sid,) = (each for each in plain if each.startswith(SID))
    (sid_tls,) = (each for each in over_tls if each.startswith(SID))
    assert COOKIE_SHAPE.fullmatch(sid) and "Secure" not in sid
    assert COOKIE_SHAPE.fullmatch(sid_tls) and "Secure" in sid_tls
    assert all("HttpOnly" in each and "SameSite=Lax" in each for each in (*plain, *over_tls))
    assert all("Secure" in each for each in over_tls)


async def test_a_login_gives_a_new_id_and_ends_the_old_session(admin: AdminApp) -> None:
    async with browser(admin) as ana:
        await log_in(ana)
        first = ana.cookies[SID]
        await log_in(ana)
        second = ana.cookies[SID]
        ana.cookies.clear()
        ana.cookies.set(SID, first, domain="127.0.0.1")

        assert first != second
        assert await who_is(ana) == 401


async def test_an_id_that_was_set_before_the_login_is_never_valid(
    admin: AdminApp, raw: Redis
) -> None:
    planted = "A" * 43
    async with browser(admin) as ana, browser(admin) as mallory:
        ana.cookies.set(SID, planted, domain="127.0.0.1")
        await log_in(ana)
        mallory.cookies.set(SID, planted, domain="127.0.0.1")

        assert ana.cookies.get(SID, domain="127.0.0.1") != planted
        assert await who_is(mallory) == 401


async def test_a_dump_of_redis_holds_no_id_that_opens_anything(admin: AdminApp, raw: Redis) -> None:
    async with browser(admin) as ana, browser(admin) as mallory:
        await log_in(ana)
        cookie = ana.cookies[SID]
        found = []
        for key in await _keys(raw):
            found += [key, await _record(raw, key)]

        assert len(found) == 2
        assert all(cookie.encode() not in each for each in found)
        for name in (found[0].decode().removeprefix("sess:"), found[0].decode()):
            mallory.cookies.clear()
            mallory.cookies.set(SID, name, domain="127.0.0.1")
            assert await who_is(mallory) == 401


async def test_whoever_writes_to_redis_cannot_make_a_session_without_the_secret(
    app: App, admin: AdminApp, raw: Redis
) -> None:
    """With another secret the record of a known id lies under another name."""
    other = guarded_admin(app, settings_of(session_secret="another one"))
    async with browser(other) as mallory, browser(admin) as same:
        await log_in(mallory)
        same.cookies.set(SID, mallory.cookies[SID], domain="127.0.0.1")

        assert await who_is(mallory) == 200
        assert await who_is(same) == 401


async def test_a_session_ends_when_it_is_idle_and_lives_on_when_used(
    admin: AdminApp, raw: Redis
) -> None:
    async with browser(admin) as ana:
        await log_in(ana)
        (key,) = await _keys(raw)
        at_first = await raw.pttl(key)
        await raw.pexpire(key, 60_000)
        assert await who_is(ana) == 200
        renewed = await raw.pttl(key)
        await raw.pexpire(key, 1)
        await raw.wait(0, 0)

        assert IDLE_MS - 60_000 < at_first <= IDLE_MS == 30 * 60_000
        assert renewed > 60_000
        assert await _until_gone(raw, key)
        assert await who_is(ana) == 401


async def _until_gone(raw: Redis, key: bytes) -> bool:
    from tests.support.waiting import soon

    async def gone() -> bool:
        return not await raw.exists(key)

    await soon(gone, "it ended")
    return True


async def test_a_session_ends_after_twelve_hours_however_busy_it_is(
    admin: AdminApp, raw: Redis
) -> None:
    async with browser(admin) as ana:
        await log_in(ana)
        (key,) = await _keys(raw)
        record = await _record(raw, key)
        (ends,) = re.findall(rb'"ends_at_ms":(\d+)', record)
        (started,) = re.findall(rb'"started_at_ms":(\d+)', record)
        past = str(int(ends) - ABSOLUTE_MS - 1).encode()
        await raw.set(key, record.replace(ends, past), keepttl=True)

        assert int(ends) - int(started) == ABSOLUTE_MS == 12 * 3_600_000
        assert await who_is(ana) == 401
        assert not await raw.exists(key), "it is deleted, not only refused"


async def test_logging_out_everywhere_ends_every_session_of_that_user_and_no_other(
    admin: AdminApp,
) -> None:
    async with browser(admin) as here, browser(admin) as there, browser(admin) as other:
        await log_in(here)
        await log_in(there)
        await log_in(other, "vera")
        done = await here.post("/api/admin/logout-everywhere")
        after = [await who_is(each) for each in (here, there, other)]
        await log_in(there)

        assert done.status_code == 200
        assert after == [401, 401, 200]
        assert await who_is(there) == 200, "a login afterwards is a new one"


async def test_a_changed_password_or_role_or_a_user_who_left_ends_the_sessions(app: App) -> None:
    from admin.access.passwords import hashed
    from tests.admin.access.people import COST, USERS

    name = NAMES[Role.ADMIN]
    same = settings_of()
    line = next(each for each in USERS.splitlines() if each.startswith(name))
    stored = line.split(":")[2]
    changes = {
        "nothing": USERS,
        "password": USERS.replace(stored, hashed(PASSWORD, COST)),
        "role": USERS.replace(f"{name}:admin", f"{name}:operator"),
        "gone": USERS.replace(line, ""),
    }
    found = {}
    for what, users in changes.items():
        async with browser(guarded_admin(app, same)) as before:
            await log_in(before)
            async with browser(guarded_admin(app, settings_of(users=users))) as after:
                after.cookies.set(SID, before.cookies[SID], domain="127.0.0.1")
                found[what] = await who_is(after)

    assert found == {"nothing": 200, "password": 401, "role": 401, "gone": 401}


@pytest.mark.parametrize(
    "record",
    [
        b"", b"x", b"[]", b"{}", b'{"type":"streamq-session-1"}', b"\xff" * 100,
        b'{"account":"configured:ana@example.com","role":"admin"}',
    ],
)  # fmt: skip
async def test_a_record_that_is_not_ours_is_nobodys_session(
    admin: AdminApp, raw: Redis, record: bytes
) -> None:
    async with browser(admin) as ana:
        await log_in(ana)
        (key,) = await _keys(raw)
        await raw.set(key, record, ex=60)

        assert await who_is(ana) == 401


@pytest.mark.parametrize("value", ["", "x", "A" * 44, "A" * 42 + "é", "../" * 14 + "A", "A" * 600])
async def test_a_cookie_that_is_none_of_ours_is_nobodys(admin: AdminApp, value: str) -> None:
    async with browser(admin) as ana:
        answer = await ana.get("/api/admin/me", headers=[(b"Cookie", f"{SID}={value}".encode())])

    assert answer.status_code == 401


async def test_of_two_cookies_of_that_name_the_one_that_holds_counts(admin: AdminApp) -> None:
    async with browser(admin) as ana:
        await log_in(ana)
        good = ana.cookies[SID]
        ana.cookies.clear()
        both = f"{SID}={'B' * 43}; {SID}={good}"

        assert (await ana.get("/api/admin/me", headers={"Cookie": both})).status_code == 200


# ---- in an application of somebody else


async def test_the_middleware_serves_any_starlette_application(app: App) -> None:
    async def begin(request: Request) -> JSONResponse:
        await visit_of(request).begin("ana", seal="s", role=Role.VIEWER, address="")
        return JSONResponse({})

    async def show(request: Request) -> JSONResponse:
        found = await visit_of(request).find()
        return JSONResponse({"there": found is not None})

    store = create_redis_session_store(app)
    config = get_session_config(store, settings_of())
    site = Starlette(
        routes=[Route("/", show), Route("/begin", begin, methods=["POST"])],
        middleware=[Middleware(SessionMiddleware, config=config)],
    )
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=site), base_url="http://127.0.0.1"
    ) as someone:
        before = (await someone.get("/")).json()
        await someone.post("/begin")
        after = (await someone.get("/")).json()

    assert (before, after) == ({"there": False}, {"there": True})


def test_production_without_a_secret_does_not_set_out(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    monkeypatch.setenv("STREAMQ_ENV", "production")

    with pytest.raises(UnsetSessionSecret, match=r"^SQ501 SESSION_SECRET is not set"):
        get_session_config(create_redis_session_store(app))


def test_the_settings_of_sessions_come_from_the_environment(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_SECRET", "from the environment")
    monkeypatch.setenv("STREAMQ_ENV", "production")

    config = get_session_config(create_redis_session_store(app))

    assert (config.secret, config.cookie.secure) == ("from the environment", True)
    assert "from the environment" not in repr(config)
