"""Users of the application log in here with the passwords they have; its table is only read."""

import asyncio
import time
from typing import LiteralString

import pytest
from redis.asyncio import Redis

from admin.access import table as table_module
from admin.access.identity import Identity
from admin.access.refusals import NotNow
from admin.access.table import UsersTable
from admin.app import AdminApp
from admin.policy import Role
from admin.settings import Settings
from streamq import App
from streamq.errors import InvalidSetting
from tests.admin.access.people import (
    NAMES,
    TOKENS,
    browser,
    client,
    guarded_admin,
    log_in,
    settings_of,
    who_is,
)
from tests.admin.access.users_table import (
    ADMIN_ID,
    NUMBERED_ID,
    NodeHash,
    UsersInTable,
    node_hash,
    node_hashes,
)

PASSWORD = node_hash("bcryptjs").password
"""Of those in the table."""


@pytest.fixture
def admin(app: App, users: UsersInTable) -> AdminApp:
    return guarded_admin(app, settings_of(users="", database_url=users.url))


@pytest.mark.parametrize("stored", node_hashes(), ids=lambda s: f"{s.form}-{len(s.password)}")
@pytest.mark.slow
async def test_both_forms_that_the_application_wrote_are_verified(
    admin: AdminApp, users: UsersInTable, stored: NodeHash
) -> None:
    users.change(ADMIN_ID, password=stored.hash)
    async with browser(admin) as ana, browser(admin) as mallory:
        good = await log_in(ana, "admin@sol.com", stored.password)
        bad = await log_in(mallory, "admin@sol.com", f"y{stored.password}")

        assert good.status_code == 200
        assert (good.json()["user"], good.json()["role"]) == ("admin@sol.com", "admin")
        assert await who_is(ana) == 200
        assert bad.status_code == 401


async def test_an_address_is_the_same_in_any_case_of_letters(admin: AdminApp) -> None:
    async with browser(admin) as ana:
        answer = await log_in(ana, "Admin@Sol.COM", PASSWORD)

    assert answer.status_code == 200


async def test_a_user_without_the_role_admin_is_told_so_and_gets_nothing(
    admin: AdminApp, raw: Redis
) -> None:
    async with browser(admin) as broker:
        answer = await log_in(broker, "broker@sol.com", PASSWORD)
        wrong = await log_in(broker, "broker@sol.com", "wrong")

        assert answer.status_code == 403
        assert answer.json()["error"] == "Forbidden: admin access required"
        assert wrong.status_code == 401, "who does not know the password learns nothing of roles"
        assert await who_is(broker) == 401
    assert [key async for key in raw.scan_iter("sess:*")] == []


async def test_the_table_is_never_written(admin: AdminApp, users: UsersInTable) -> None:
    before = users.dump()
    async with browser(admin) as ana:
        for name in ("admin@sol.com", "numbered@sol.com", "broker@sol.com", "nobody@sol.com"):
            for stored in ("bcryptjs", "scrypt"):
                await log_in(ana, name, node_hash(stored).password)
        await ana.post("/api/admin/logout")

    assert users.dump() == before


@pytest.mark.parametrize("stored", ["", "plain", "$2b$31$" + "a" * 53, "$1$x$y", "a.b", None])
async def test_what_is_no_hash_of_a_known_form_opens_nothing(
    admin: AdminApp, users: UsersInTable, stored: str | None
) -> None:
    users.add("odd", "odd@sol.com", stored, "admin")
    async with browser(admin) as odd:
        for password in (stored or "x", "x"):
            assert (await log_in(odd, "odd@sol.com", password or "x")).status_code == 401


async def test_a_role_that_is_taken_away_ends_the_session_within_the_kept_time(
    app: App, users: UsersInTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = guarded_admin(app, settings_of(database_url=users.url))
    access = admin.site.access
    assert isinstance(access, Identity)
    table = access.accounts.table
    async with browser(admin) as ana:
        await log_in(ana, "admin@sol.com", PASSWORD)
        assert await who_is(ana) == 200
        users.change(ADMIN_ID, role="broker")
        kept = await who_is(ana)
        monkeypatch.setattr(table, "_kept_s", 0.0)

        assert kept == 200, "asked again after half a minute only"
        assert await who_is(ana) == 401


async def test_a_deleted_user_is_nobody(admin: AdminApp, users: UsersInTable) -> None:
    users.run("ALTER TABLE users ADD COLUMN deleted_at timestamp")
    async with browser(admin) as ana:
        there = await log_in(ana, "admin@sol.com", PASSWORD)
        users.run("UPDATE users SET deleted_at = now()")
        gone = await log_in(ana, "admin@sol.com", PASSWORD)

    assert (there.status_code, gone.status_code) == (200, 401)


async def test_two_rows_of_one_address_are_nobody(admin: AdminApp, users: UsersInTable) -> None:
    users.add("twin", "ADMIN@sol.com", node_hash("bcrypt").hash, "admin")
    async with browser(admin) as ana:
        answer = await log_in(ana, "admin@sol.com", PASSWORD)

    assert answer.status_code == 401


@pytest.mark.parametrize(
    "name", ["' OR '1'='1", "admin@sol.com'; DROP TABLE users; --", "%", "admin@sol.com\x00", "\\"]
)
async def test_a_name_is_never_sql(admin: AdminApp, users: UsersInTable, name: str) -> None:
    before = users.dump()
    async with browser(admin) as mallory:
        answer = await log_in(mallory, name, PASSWORD)

    assert answer.status_code == 401
    assert users.dump() == before


async def test_a_configured_user_is_let_in_beside_those_of_the_table(
    app: App, users: UsersInTable
) -> None:
    admin = guarded_admin(app, settings_of(database_url=users.url))
    async with browser(admin) as one, browser(admin) as other:
        configured = await log_in(one, NAMES[Role.VIEWER])
        of_table = await log_in(other, "admin@sol.com", PASSWORD)

    assert (configured.status_code, of_table.status_code) == (200, 200)
    assert (configured.json()["role"], of_table.json()["role"]) == ("viewer", "admin")


async def test_without_the_database_logins_are_put_off_and_tokens_work(app: App) -> None:
    nowhere = "postgresql://x:hunter2@127.0.0.1:1/nothing"
    admin = guarded_admin(app, settings_of(users="", database_url=nowhere))
    async with browser(admin) as ana, client(admin, token=next(iter(TOKENS.values())).token) as ci:
        answer = await log_in(ana, "admin@sol.com", "x")

        assert answer.status_code == 503
        assert answer.json()["error"] == "Users unavailable"
        assert "hunter2" not in answer.text
        assert int(answer.headers["retry-after"]) > 0
        assert (await ci.get("/api/admin/jobs/stats")).status_code == 200


async def test_many_requests_at_once_ask_the_table_once(
    users: UsersInTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = UsersTable(users.url)
    asked = []
    really = table._asked

    async def counted(query: LiteralString, value: str) -> table_module.Row | None:
        asked.append(value)
        return await really(query, value)

    monkeypatch.setattr(table, "_asked", counted)
    rows = await asyncio.gather(*(table.by_id(NUMBERED_ID) for _ in range(50)))

    assert {row.email for row in rows if row} == {"numbered@sol.com"}
    assert len(asked) <= table_module.AT_ONCE_MAX


async def test_a_table_that_hangs_holds_nobody_for_longer_than_its_limit(
    users: UsersInTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who wait for their turn too, behind those who wait for an answer."""
    monkeypatch.setattr(table_module, "LIMIT_S", 0.5)
    table = UsersTable(users.url)
    users.run("BEGIN")
    users.run("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
    began = time.monotonic()
    found = await asyncio.gather(
        *(table.by_id(str(i)) for i in range(12)), table.by_email("a"), return_exceptions=True
    )
    took = time.monotonic() - began
    users.run("ROLLBACK")

    assert [type(each) for each in found] == [NotNow] * 13
    assert took < 5
    assert await table.by_id(NUMBERED_ID) is not None, "and then it answers again"


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://u:p@db.example.com/x", "verify-full"),
        ("postgresql://u:p@10.0.0.5/x", "verify-full"),
        ("postgresql://u:p@db.example.com/x?sslmode=require", "require"),
        ("postgresql://u:p@127.0.0.1/x", None),
        ("postgresql://u:p@localhost/x", None),
        ("postgresql:///x?host=/run/postgresql", None),
        ("postgresql://u:p@127.0.0.1,db.example.com/x", "verify-full"),
    ],
)
def test_another_machine_is_spoken_to_over_verified_tls(url: str, mode: str | None) -> None:
    from psycopg.conninfo import conninfo_to_dict

    found = conninfo_to_dict(table_module._checked(url, {}))

    assert found.get("sslmode") == mode


def test_a_url_that_is_none_is_refused_without_being_repeated() -> None:
    with pytest.raises(InvalidSetting, match="DATABASE_URL") as raised:
        UsersTable("postgresql://u:hunter2@h:port/x y=z")

    assert "hunter2" not in str(raised.value)


def test_nothing_shows_the_url() -> None:
    assert "hunter2" not in repr(UsersTable("postgresql://u:hunter2@127.0.0.1/x"))
    assert "hunter2" not in repr(Settings(database_url="postgresql://u:hunter2@127.0.0.1/x"))
