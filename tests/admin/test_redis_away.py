"""With Redis away the admin says so, in words or by a 503, and comes back by itself."""

import time
from collections.abc import AsyncIterator
from typing import Final

import httpx2
import pytest

from admin.app import create_app
from admin.policy import Open, Role, Row
from admin.routes import ROUTES
from admin.settings import Settings
from streamq import App
from streamq.embedded import EmbeddedServer
from streamq.settings import Settings as EngineSettings
from tests.admin.conftest import client_of
from tests.admin.office import Office
from tests.admin.rows import name_of, path_of
from tests.admin.tokens import ConfiguredTokens
from tests.support.proxy import Proxy
from tests.support.waiting import soon

API: Final = "/api/admin/jobs"
WORDS: Final = (f"{API}/stats", f"{API}/health", f"{API}/redis")
NEED_NOTHING: Final = (f"{API}/openapi.json", "/metrics")
BODIES: Final = {
    f"{API}/drain/email": {"confirm": "email"},
    f"{API}/limits/email": {"reset": True},
    f"{API}/queue/email/jobs": {"name": "send-email", "data": {"to": "x"}},
    f"{API}/job/email/nobody": {"priority": 1},
}


@pytest.fixture
async def proxy(server: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.address) as started:
        yield started


@pytest.fixture
async def boss(proxy: Proxy, prefix: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with App("office", settings=EngineSettings(), redis=proxy.url, prefix=prefix) as app:
        Office(app)
        admin = create_app(app, Settings(), access=ConfiguredTokens())
        async with client_of(admin, Role.ADMIN) as client:
            yield client


async def test_health_redis_and_stats_say_that_it_is_away_and_then_that_it_is_back(
    boss: httpx2.AsyncClient, proxy: Proxy
) -> None:
    assert (await boss.get(f"{API}/stats")).json()["redisStatus"]["connected"] is True
    proxy.down()

    stats, health, redis = [(await boss.get(path)) for path in WORDS]

    assert [answer.status_code for answer in (stats, health, redis)] == [200, 200, 200]
    assert stats.json() == {
        "totalQueues": 9, "totalWaiting": 0, "totalActive": 0, "totalCompleted": 0,
        "totalFailed": 0, "totalDelayed": 0,
        "redisStatus": {"connected": False, "mode": "unknown", "version": "unknown"},
        "totalParked": 0, "pausedQueues": 0,
    }  # fmt: skip
    assert (health.json()["healthy"], health.json()["queues"]) == (False, [])
    assert health.json()["redis"]["status"] == "unhealthy"
    assert "Cannot reach Redis" in redis.json()["health"]["error"]
    assert redis.json()["info"]["connected"] is False

    proxy.heal()
    await soon(lambda: _well(boss), "it is back by itself")


async def _well(boss: httpx2.AsyncClient) -> bool:
    answer = await boss.get(f"{API}/health")
    return bool(answer.json()["healthy"])


@pytest.mark.slow
async def test_it_is_said_soon_of_a_redis_that_hangs(
    boss: httpx2.AsyncClient, proxy: Proxy
) -> None:
    proxy.blackhole()

    began = time.monotonic()
    answer = await boss.get(f"{API}/health")

    assert time.monotonic() - began < 5
    assert answer.json()["redis"]["error"] == "Redis does not answer within 2 s."


@pytest.mark.parametrize(
    "row",
    [
        row
        for row in ROUTES
        if row.path not in (*WORDS, *NEED_NOTHING) and not isinstance(row.needs, Open)
    ],
    ids=name_of,
)
async def test_every_other_route_answers_503_with_a_sentence(
    boss: httpx2.AsyncClient, proxy: Proxy, row: Row
) -> None:
    proxy.down()

    path = path_of(row)
    answer = await boss.request(row.method, path, json=BODIES.get(path))

    assert answer.status_code == 503, answer.text
    problem = answer.json()
    assert problem["error"] == f"Failed to {row.does}"
    assert problem["message"].startswith("Cannot reach Redis at 127.0.0.1:")
    assert problem["code"] == "SQ101"
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert answer.headers["retry-after"] == "2"


@pytest.mark.slow
async def test_metrics_say_that_it_is_away(boss: httpx2.AsyncClient, proxy: Proxy) -> None:
    well = await boss.get("/metrics")
    proxy.down()
    await soon(lambda: _metrics_say(boss, "streamq_redis_up 0.0"), "it is seen", limit_s=5)

    assert "streamq_redis_up 1.0" in well.text
    assert well.headers["content-type"].startswith("text/plain")


async def _metrics_say(boss: httpx2.AsyncClient, line: str) -> bool:
    answer = await boss.get("/metrics")
    return answer.status_code == 200 and line in answer.text


async def test_probes_tell_up_from_down(boss: httpx2.AsyncClient, proxy: Proxy) -> None:
    well = [(await boss.get(path)).status_code for path in ("/livez", "/readyz", "/healthz")]
    proxy.down()

    unwell = [(await boss.get(path)).status_code for path in ("/livez", "/readyz", "/healthz")]

    assert well == [200, 200, 200]
    assert unwell == [200, 503, 503], "an outage of Redis must not restart us"
