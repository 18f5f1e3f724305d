"""Who may look while Redis, where sessions and tokens are, is away."""

import time
from collections.abc import AsyncIterator

import pytest

from admin.access import identity
from admin.access.guarded import guarded
from admin.access.passwords import Costs
from admin.access.reach import PATIENCE_S, Reach
from admin.access.tokens import Made, Tokens, made
from admin.app import AdminApp
from admin.policy import Role
from streamq import App
from streamq.embedded import EmbeddedServer
from streamq.errors import OutcomeUnknown, RedisUnavailable
from streamq.settings import Settings as EngineSettings
from tests.admin.access.people import COST, TOKENS, browser, client, log_in, settings_of
from tests.admin.office import Office
from tests.support.proxy import Proxy
from tests.support.waiting import soon

API = "/api/admin/jobs"
WORDS = (f"{API}/stats", f"{API}/health", f"{API}/redis")


@pytest.fixture
async def proxy(server: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.address) as started:
        yield started


@pytest.fixture
async def far(proxy: Proxy, prefix: str) -> AsyncIterator[App]:
    """The application behind a connection that can be cut."""
    async with App("office", settings=EngineSettings(), redis=proxy.url, prefix=prefix) as app:
        Office(app)
        yield app


@pytest.fixture
def admin(far: App) -> AdminApp:
    return guarded(far, settings_of(), costs=Costs(COST))


@pytest.fixture
async def kept(app: App) -> Made:
    """A token in Redis."""
    new = made("monitor", Role.ADMIN)
    await Tokens(app.redis.admin).keep(new)
    return new


async def test_who_was_known_may_look_and_change_nothing(
    admin: AdminApp, proxy: Proxy, kept: Made
) -> None:
    async with browser(admin) as ana, client(admin, token=kept.token) as monitor:
        await log_in(ana)
        assert [(await each.get(WORDS[0])).status_code for each in (ana, monitor)] == [200, 200]
        proxy.down()

        for somebody in (ana, monitor):
            answers = [await somebody.get(path) for path in WORDS]
            changed = await somebody.post(f"{API}/pause/email")

            assert [answer.status_code for answer in answers] == [200, 200, 200]
            assert answers[0].json()["redisStatus"]["connected"] is False
            assert changed.status_code == 503
            assert int(changed.headers["retry-after"]) > 0


async def test_nobody_changes_anything_with_what_could_not_be_asked_for(
    admin: AdminApp, proxy: Proxy, kept: Made
) -> None:
    """Redis is back before the handler asks: the credential may have been taken back meanwhile."""
    async with client(admin, token=kept.token) as monitor:
        await monitor.get(WORDS[0])
        struck = proxy.reset(match=b":admin:token:")
        changed = await monitor.post(f"{API}/pause/email")
        await struck.struck()
        again = await monitor.post(f"{API}/pause/email")

    assert (changed.status_code, again.status_code) == (503, 200)


async def test_a_stranger_is_not_let_in_by_an_outage(
    admin: AdminApp, proxy: Proxy, kept: Made
) -> None:
    async with (
        client(admin, token=kept.token) as never_seen,
        client(admin, token=made("x", Role.ADMIN).token) as forger,
        client(admin) as nobody,
        browser(admin) as ana,
    ):
        proxy.down()

        assert (await never_seen.get(WORDS[0])).status_code == 503
        assert (await forger.get(WORDS[0])).status_code == 503
        assert (await nobody.get(WORDS[0])).status_code == 401
        assert (await log_in(ana)).status_code == 503


async def test_a_configured_token_needs_no_redis(admin: AdminApp, proxy: Proxy) -> None:
    proxy.down()
    async with client(admin, token=TOKENS[Role.VIEWER].token) as script:
        assert (await script.get(WORDS[1])).status_code == 200


async def test_what_was_known_too_long_ago_is_forgotten(
    admin: AdminApp, proxy: Proxy, kept: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client(admin, token=kept.token) as monitor:
        await monitor.get(WORDS[0])
        proxy.down()
        monkeypatch.setattr(identity, "REMEMBERED_S", 0.0)

        assert (await monitor.get(WORDS[0])).status_code == 503


async def test_a_token_that_was_taken_back_is_not_remembered(
    app: App, admin: AdminApp, proxy: Proxy, kept: Made
) -> None:
    async with client(admin, token=kept.token) as monitor:
        await monitor.get(WORDS[0])
        await Tokens(app.redis.admin).revoke(kept.kept.id)
        refused = await monitor.get(WORDS[0])
        proxy.down()

        assert refused.status_code == 401
        assert (await monitor.get(WORDS[0])).status_code == 503


async def test_all_comes_back_by_itself(admin: AdminApp, proxy: Proxy, kept: Made) -> None:
    async with browser(admin) as ana, client(admin, token=kept.token) as monitor:
        await log_in(ana)
        proxy.down()
        await ana.get(WORDS[0])
        proxy.heal()

        async def back() -> bool:
            changed = [await each.post(f"{API}/pause/email") for each in (ana, monitor)]
            return [answer.status_code for answer in changed] == [200, 200]

        await soon(back, "both may change things again")


async def test_a_redis_that_hangs_holds_nobody_up_who_was_known(
    admin: AdminApp, proxy: Proxy, kept: Made
) -> None:
    """The metrics of a Redis that hangs are to be there within a second."""
    async with client(admin, token=kept.token) as monitor:
        await monitor.get(WORDS[0])
        proxy.blackhole()
        began = time.monotonic()

        me = await monitor.get("/api/admin/me")

        took = time.monotonic() - began
    assert me.status_code == 200
    assert took < 2 * PATIENCE_S + 0.2


# ---- the patience itself


async def test_a_call_that_is_given_up_runs_to_its_end_and_the_next_does_not_wait() -> None:
    import asyncio

    reach = Reach(0.05)
    free = asyncio.Event()
    ended: list[str] = []

    async def call(name: str, *, wait: bool) -> str:
        if wait:
            await free.wait()
        ended.append(name)
        return name

    assert await reach(call("first", wait=False)) == "first"
    with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.05 s"):
        await reach(call("slow", wait=True))
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="a moment ago"):
        await reach(call("next", wait=True))
    waited = time.monotonic() - began
    free.set()
    await soon(lambda: "slow" in ended, "it was not cancelled")

    assert waited < 0.05
    assert ended == ["first", "slow"]


async def test_an_error_of_a_call_is_that_calls_and_says_nothing_of_the_next() -> None:
    reach = Reach(1.0)

    async def refused() -> None:
        raise RedisUnavailable("here", "test", "connection refused")

    async def fine() -> str:
        return "fine"

    with pytest.raises(RedisUnavailable):
        await reach(refused())
    assert await reach(fine()) == "fine"
