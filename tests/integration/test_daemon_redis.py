"""A daemon and its Redis: away at the start, gone and back, unfit; and what comes through it."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from redis.asyncio import Redis as RawRedis

from streamq import JobState
from streamq.control import Order, Word, give_order
from streamq.embedded import EmbeddedServer
from streamq.store.scripts import script
from tests.support import handlers, servers
from tests.support.daemons import Fleet
from tests.support.proxy import Proxy
from tests.support.waiting import soon

pytestmark = pytest.mark.slow

LEASE_S = 1.5  # daemons.QUICK_LEASE


@pytest.fixture
async def fleet(server: EmbeddedServer, prefix: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(server.url, prefix, tmp_path) as fleet:
        yield fleet


# ---- it cannot start


async def test_without_redis_it_ends_with_3_and_says_where_it_looked(fleet: Fleet) -> None:
    nowhere = fleet.folder / "no.sock"

    daemon = await fleet.start({"REDIS_URL": f"unix://{nowhere}"}, ready=False)

    assert await daemon.ends() == 3
    assert f"SQ101 Cannot reach Redis at {nowhere} (from REDIS_URL)" in daemon.log


async def test_a_wrong_password_ends_it_with_3(fleet: Fleet, raw: RawRedis) -> None:
    user = f"u{secrets.token_hex(4)}"
    await raw.acl_setuser(
        user, enabled=True, passwords=["+right"], keys=["*"], categories=["+@all"]
    )
    where = fleet.url.replace("://", f"://{user}:{quote('wrong')}@")

    daemon = await fleet.start({"REDIS_URL": where}, ready=False)

    assert await daemon.ends() == 3
    assert f"SQ102 Redis refused the password of REDIS_URL (user {user})." in daemon.log
    assert "wrong" not in daemon.log
    await raw.acl_deluser(user)


async def test_a_newer_layout_ends_it_with_3_and_is_left_alone(
    fleet: Fleet, raw: RawRedis, prefix: str
) -> None:
    meta = f"{prefix}:{{{handlers.QUEUE}}}:meta"
    await raw.hset(meta, "layout", "3")

    daemon = await fleet.start(ready=False)

    assert await daemon.ends() == 3
    assert f"SQ112 Queue {handlers.QUEUE} has layout 3" in daemon.log
    assert await raw.hgetall(meta) == {b"layout": b"3"}
    await raw.delete(meta)


async def test_a_policy_that_evicts_is_warned_of(
    prefix: str, tmp_path: Path, server: EmbeddedServer
) -> None:
    with servers.running(server.binary) as own:
        async with RawRedis.from_url(own.url) as raw:
            await raw.config_set("maxmemory-policy", "allkeys-lru")
        async with Fleet(own.url, prefix, tmp_path) as fleet:
            daemon = await fleet.start()

            await daemon.says("SQ110 Redis may delete jobs: maxmemory-policy is allkeys-lru")
            assert await daemon.stops() == 0


@pytest.mark.parametrize(
    ("config", "code", "says"),
    [
        ({"app": "nowhere.app:app"}, 4, "SQ301 Cannot import nowhere.app:app: ModuleNotFoundError"),
        (
            {"app": "tests.support.handlers:wrong"},
            4,
            "App objects found there: tests.support.handlers:app",
        ),
        ({"queues": {"qq": None}}, 2, 'SQ201 No queue "qq" in app "tests". Did you mean "q"?'),
        ({"overrides": {"grace": "soon"}}, 2, "SQ311 Setting grace"),
        ({"overrides": {"queues.qq.attempts": 2}}, 2, "SQ310 No setting"),
    ],
)
async def test_what_it_cannot_run_ends_it_with_a_sentence(
    fleet: Fleet, config: Mapping[str, object], code: int, says: str
) -> None:
    daemon = await fleet.start(ready=False, config=config)

    assert await daemon.ends() == code
    assert says in daemon.log


async def test_a_port_that_is_taken_ends_it_with_2(fleet: Fleet) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]

    daemon = await fleet.start(ready=False, health_port=str(port))

    assert await daemon.ends() == 2
    assert f"SQ602 Port {port} is in use" in daemon.log
    taken.close()


# ---- gone and back


async def test_redis_gone_for_two_leases_loses_no_job_and_is_said_once(
    fleet: Fleet, server: EmbeddedServer
) -> None:
    async with Proxy(server.address) as proxy:
        daemon = await fleet.start({"REDIS_URL": proxy.url})
        running = await fleet.add("held")
        await fleet.began(running)
        waiting = [await fleet.add("lasting", 0.1) for _ in range(30)]

        proxy.down()
        await daemon.says("redis.lost")
        await asyncio.sleep(2 * LEASE_S)  # the fault lasts that long
        proxy.heal()

        await daemon.says("redis.back after")
        fleet.let_go(running)
        for job in (running, *waiting):
            found = await fleet.reaches(job, JobState.COMPLETED)
            assert found.run.attempts == 1
        assert len(fleet.ran(running)) == 1
        assert daemon.log.count("redis.lost") == 1
        assert daemon.log.count("redis.back") == 1
        assert "declared dead" not in daemon.log
        assert await daemon.stops() == 0


async def test_term_while_redis_is_away_ends_it_and_says_that_jobs_were_abandoned(
    fleet: Fleet, server: EmbeddedServer
) -> None:
    async with Proxy(server.address) as proxy:
        daemon = await fleet.start({"REDIS_URL": proxy.url}, grace="200ms")
        job = await fleet.add("lasting", 60.0)
        await fleet.began(job)

        proxy.down()
        await daemon.says("redis.lost")

        assert await daemon.stops(limit_s=60) == 6
        assert (await fleet.job(job)).state is JobState.ACTIVE
        proxy.heal()
    # Its lease runs out, and whoever comes next gives it back.
    other = await fleet.start()
    await fleet.began(job, 2)
    assert await other.stops() == 0


async def test_a_silent_connection_is_given_up_before_the_lease_ends(
    fleet: Fleet, server: EmbeddedServer
) -> None:
    async with Proxy(server.address) as proxy:
        daemon = await fleet.start({"REDIS_URL": proxy.url})
        job = await fleet.add("lasting", 3 * LEASE_S)
        await fleet.began(job)
        other = await fleet.start()

        # The connection of the beats, and nothing else, hears no answer any more.
        proxy.blackhole(script("beat").sha)

        await fleet.reaches(job, JobState.COMPLETED)
        assert len(fleet.ran(job)) == 1
        assert [await each.stops() for each in (daemon, other)] == [0, 0]


# ---- through Redis


async def test_a_running_job_is_cancelled_by_a_word_to_its_queue(fleet: Fleet) -> None:
    daemon = await fleet.start(lease="10m")  # the next beat, the net below, is far away
    job = await fleet.add("lasting", 60.0)
    await fleet.began(job)

    await handlers.app.queue(handlers.QUEUE).cancel(job)

    found = await fleet.reaches(job, JobState.FAILED)
    assert found.run.reason == "cancelled"
    assert await daemon.stops() == 0


@pytest.mark.parametrize("by", ["lane", "process", "daemon"])
async def test_an_operator_quiets_wakes_dumps_and_stops_one_worker(fleet: Fleet, by: str) -> None:
    daemon = await fleet.start()
    await soon(_a_worker_of(fleet), "its worker")
    (worker, *_) = await fleet.workers()
    named = {"lane": worker.id, "process": worker.row.process, "daemon": worker.row.daemon}[by]

    async def order(word: Word) -> None:
        async def heard() -> bool:
            # Published, not kept: a daemon that only starts does not hear it, or not for whom.
            await give_order(fleet.redis, fleet.prefix, Order(word, named))
            return daemon.said(f"[Daemon] {word}, as an operator said")

        await soon(heard, f"{word} is heard")

    await order(Word.QUIET)
    later = await fleet.add("quick")
    await fleet.beats(2)
    assert (await fleet.job(later)).state is JobState.WAITING
    await order(Word.RESUME)
    await fleet.reaches(later, JobState.COMPLETED)
    await order(Word.DUMP)
    await daemon.says("slots busy")
    await order(Word.STOP)
    # It was the only one: with nobody left to keep, the daemon ends too.
    assert await daemon.ends() == 0


async def test_an_order_for_one_of_two_processes_is_for_that_one_alone(fleet: Fleet) -> None:
    daemon = await fleet.start(processes="2")
    await soon(lambda: _count(fleet, 2), "both work", limit_s=20)
    first, other = (worker.row for worker in await fleet.workers())

    async def ended() -> bool:
        await give_order(fleet.redis, fleet.prefix, Order(Word.STOP, first.process))
        return first.pid not in daemon.children

    await soon(ended, "the one ends, and nothing takes its place", limit_s=20)
    assert daemon.children == [other.pid]
    assert await daemon.stops() == 0


async def _count(fleet: Fleet, wanted: int) -> bool:
    return len(await fleet.workers()) == wanted


def _a_worker_of(fleet: Fleet) -> Callable[[], Awaitable[bool]]:
    async def there() -> bool:
        return bool(await fleet.workers())

    return there


# ---- health


async def test_the_health_port_says_how_it_stands(fleet: Fleet) -> None:
    daemon = await fleet.start(health_port="0")
    await daemon.says("[Health] http://127.0.0.1:")
    port = int(daemon.log.partition("[Health] http://127.0.0.1:")[2].partition("/")[0])

    async def ready() -> bool:
        return (await _get(port, "/readyz"))[0] == 200

    await soon(ready, "ready")
    assert await _get(port, "/livez") == (200, "ok\n")
    status, text = await _get(port, "/healthz")
    assert status == 200
    assert '"status":"healthy"' in text
    assert f'"name":"{handlers.QUEUE}","status":"healthy"' in text
    assert (await _get(port, "/other"))[0] == 404

    job = await fleet.add("held")
    await fleet.began(job)
    daemon.send(signal.SIGTERM)
    await daemon.says("no more jobs are taken")
    assert await _get(port, "/readyz") == (503, "draining\n")
    assert (await _get(port, "/livez"))[0] == 200
    fleet.let_go(job)
    assert await daemon.ends() == 0


async def _get(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split(" ")[1]), body
