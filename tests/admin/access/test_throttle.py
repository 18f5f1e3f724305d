"""How often somebody may ask, and try to log in. Controls 7 and 8 of security.md."""

import time

import pytest
from redis.asyncio import Redis

from admin.access.throttle import Counter, Limit
from admin.policy import Role
from admin.settings import load_settings
from streamq import App
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

STATS = "/api/admin/jobs/stats"
ANA = NAMES[Role.ADMIN]


# ---- the login


async def test_the_eleventh_try_is_told_when_to_come_back(app: App) -> None:
    admin = guarded_admin(app, tries=(10, 1_000))
    answers = []
    for i in range(11):
        async with browser(admin, address=f"198.51.100.{i}") as mallory:
            answers.append(await log_in(mallory, ANA, "wrong"))

    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert answers[-1].json()["error"] == "Too many attempts"
    assert 0 < int(answers[-1].headers["retry-after"]) <= 900


async def test_the_right_password_comes_too_late_for_whoever_guessed(app: App) -> None:
    admin = guarded_admin(app, tries=(10, 1_000))
    async with browser(admin) as mallory:
        for _ in range(10):
            await log_in(mallory, ANA, "wrong")
        answer = await log_in(mallory, ANA, PASSWORD)

    assert answer.status_code == 429


async def test_a_stranger_does_not_lock_out_an_owner_who_was_here_before(app: App) -> None:
    admin = guarded_admin(app, tries=(10, 30))
    async with browser(admin) as ana:
        await log_in(ana)
        await ana.post("/api/admin/logout")
        answers = []
        for i in range(40):
            async with browser(admin, address=f"198.51.100.{i % 3}") as mallory:
                answers.append(await log_in(mallory, ANA, "wrong"))
        async with browser(admin) as elsewhere:
            new_device = await log_in(elsewhere)

        assert answers[-1].status_code == 429
        assert new_device.status_code == 429
        assert (await log_in(ana)).status_code == 200


async def test_a_known_browser_may_not_guess_for_ever_either(app: App) -> None:
    admin = guarded_admin(app, tries=(10, 1_000))
    async with browser(admin) as ana:
        await log_in(ana)
        answers = [(await log_in(ana, ANA, "wrong")).status_code for _ in range(12)]

    assert answers == [401] * 10 + [429] * 2


async def test_a_browser_that_knows_one_account_is_a_stranger_to_the_others(app: App) -> None:
    admin = guarded_admin(app, tries=(3, 1_000))
    async with browser(admin) as vera:
        await log_in(vera, "vera")
        answers = [(await log_in(vera, ANA, "wrong")).status_code for _ in range(4)]
    async with browser(admin) as ana:
        owner = await log_in(ana)

    assert answers == [401] * 3 + [429]
    assert owner.status_code == 429, "counted for the account, from wherever it came"


async def test_one_address_may_not_try_many_accounts(app: App) -> None:
    admin = guarded_admin(app, tries=(10, 30))
    async with browser(admin) as mallory:
        answers = [(await log_in(mallory, f"user{i}", "x")).status_code for i in range(31)]

    assert answers == [401] * 30 + [429]


async def test_logins_that_are_right_are_not_held_against_an_address(app: App) -> None:
    admin = guarded_admin(app, tries=(10, 12))
    answers = []
    for _ in range(15):
        async with browser(admin) as colleague:
            answers.append((await log_in(colleague)).status_code)

    assert answers == [200] * 15


async def test_of_the_network_of_an_ipv6_client_all_addresses_are_one(app: App) -> None:
    admin = guarded_admin(app, tries=(1_000, 5))
    answers = []
    for i in range(6):
        async with browser(admin, address=f"2001:db8:1:2::{i + 1}") as mallory:
            answers.append((await log_in(mallory, f"u{i}", "x")).status_code)
    async with browser(admin, address="2001:db8:1:3::1") as neighbour:
        other = await log_in(neighbour, "u", "x")

    assert answers == [401] * 5 + [429]
    assert other.status_code == 401


async def test_no_header_of_a_client_makes_it_somebody_else(app: App) -> None:
    """Control 8: the header is rotated a hundred times, with and without a proxy of ours."""
    for proxies in ("", "203.0.113.0/24"):
        environ = {"ADMIN_TRUSTED_PROXIES": proxies}
        settings = settings_of(proxies=load_settings(production=False, environ=environ).proxies)
        admin = guarded_admin(app, settings, tries=(1_000, 10))
        async with browser(admin, address="203.0.113.9") as mallory:
            answers = []
            for i in range(100):
                # Through a proxy: it adds to the right whom it was asked by.
                said = f"10.9.{i}.1, 192.0.2.{i}" + (", 198.51.100.77" if proxies else "")
                answer = await mallory.post(
                    "/api/admin/login",
                    json={"username": f"u{i}", "password": "x"},
                    headers={"X-Forwarded-For": said, "Forwarded": f"for=10.8.{i}.1"},
                )
                answers.append(answer.status_code)

        assert answers == [401] * 10 + [429] * 90


# ---- the API


async def test_a_hundred_requests_a_minute_are_one_clients(app: App) -> None:
    settings = settings_of(requests_a_minute=load_settings(production=False, environ={})
                           .requests_a_minute)  # fmt: skip
    admin = guarded_admin(app, settings)
    began = time.monotonic()
    async with client(admin, token=TOKENS[Role.VIEWER].token) as script:
        answers = [await script.get("/api/admin/me") for _ in range(101)]
    async with client(admin, token=TOKENS[Role.ADMIN].token) as other:
        unhurt = await other.get("/api/admin/me")

    assert settings.requests_a_minute == 100
    assert time.monotonic() - began < 60, "one window; else this says nothing"
    assert {answer.status_code for answer in answers[:100]} == {200}
    assert answers[100].status_code == 429
    assert answers[100].json()["error"] == "Too Many Requests"
    assert 0 < int(answers[100].headers["retry-after"]) <= 60
    assert unhurt.status_code == 200


async def test_guesses_of_tokens_are_counted_by_their_address(app: App) -> None:
    admin = guarded_admin(app, settings_of(requests_a_minute=5))
    answers = []
    for i in range(6):
        async with client(admin, token=f"sq_{i:043}") as mallory:
            answers.append((await mallory.get(STATS)).status_code)

    assert answers == [401] * 5 + [429]


async def test_probes_are_never_told_to_come_back_later(app: App) -> None:
    admin = guarded_admin(app, settings_of(requests_a_minute=1))
    async with client(admin) as probe:
        answers = {(await probe.get("/livez")).status_code for _ in range(5)}

    assert answers == {200}


async def test_a_counter_that_lost_its_end_does_not_shut_anybody_out_for_ever(
    app: App, raw: Redis, prefix: str
) -> None:
    counter, limit = Counter(app.redis.admin), Limit(2, 60)
    assert [await counter.over("api", "x", limit) for _ in range(2)] == [0, 0]
    async for key in raw.scan_iter(f"{prefix}:admin:api:*"):
        await raw.persist(key)

    stuck = await counter.over("api", "x", limit)

    assert stuck > 0
    assert await counter.over("api", "x", limit) == 0


async def test_what_is_counted_is_counted_for_all_processes_and_named_by_a_hash(
    app: App, raw: Redis, prefix: str
) -> None:
    first = guarded_admin(app, tries=(3, 1_000))
    second = guarded_admin(app, tries=(3, 1_000))
    answers = []
    for admin in (first, second, first, second):
        async with browser(admin) as mallory:
            answers.append((await log_in(mallory, "carla@example.com", "x")).status_code)

    keys = [key async for key in raw.scan_iter(f"{prefix}:admin:*")]
    assert answers == [401, 401, 401, 429]
    assert not [key for key in keys if b"carla" in key]
    assert all([await raw.pttl(key) > 0 for key in keys if b"login" in key])


@pytest.mark.parametrize("name", ["a" * 254, "é\ud7ff", "{email}:jobs", "a\nb", "\x00"])
async def test_any_name_can_be_tried(app: App, name: str) -> None:
    admin = guarded_admin(app)
    async with browser(admin) as mallory:
        assert (await log_in(mallory, name, "x")).status_code == 401
