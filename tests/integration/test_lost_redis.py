"""A Redis that is killed, stopped, full, emptied, or closed to us, under load.

Workers live, go on when it is there again, and no job that it still has is lost or runs twice.
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from streamq import Context, JobState
from streamq.embedded import EmbeddedServer
from streamq.errors import LayoutNewer, StoreFull
from streamq.job import JobId, WorkerId
from streamq.run import lane as lane_module
from streamq.run import sleep
from streamq.run import worker as worker_module
from streamq.store import reads, transitions
from tests.support import servers
from tests.support.waiting import soon
from tests.support.workers import QUEUE, Floor

JOBS = 300
STOPPED_S = 3.0


@pytest.fixture
def own(server: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """A server of this test alone, with its append-only file on."""
    with servers.running(server.binary, append_only=True) as started:
        yield started


@pytest.fixture
async def own_floor(own: EmbeddedServer, prefix: str) -> AsyncIterator[Floor]:
    async with Floor(own, prefix) as opened:
        yield opened


class Load:
    """Jobs that take a moment, and which of them ran."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.ran: list[JobId] = []

        @floor.job(attempts=1)
        async def works(data: object, job: Context) -> str:
            self.ran.append(job.id)
            await asyncio.sleep(0.01)
            return "worked"

    async def add(self, count: int = JOBS) -> list[JobId]:
        return [await self.floor.add("works") for _ in range(count)]

    async def is_done(self, jobs: list[JobId]) -> None:
        """Each of them has run exactly once."""
        await self.floor.all_reach(JobState.COMPLETED, len(jobs), limit_s=40)
        assert sorted(self.ran) == sorted(jobs)


@asynccontextmanager
async def _again_and_again(act: Callable[[], object], pause_s: float) -> AsyncIterator[None]:
    """Does it in a loop, as long as the block runs."""

    async def loop() -> None:
        while True:
            await asyncio.to_thread(act)
            await asyncio.sleep(pause_s)

    looping = asyncio.create_task(loop())
    try:
        yield
    finally:
        looping.cancel()
        await asyncio.wait([looping])
        if not looping.cancelled():
            looping.result()


# ---- the server ends, or stands still


@pytest.mark.slow
async def test_a_redis_that_is_killed_under_load_loses_no_job(
    own: EmbeddedServer, own_floor: Floor
) -> None:
    load = Load(own_floor)
    for _ in range(2):
        await own_floor.hire(concurrency=5)
    await own_floor.queue.pause()
    jobs = await load.add(1_000)  # enough for all that run between two looks of a busy machine
    await own_floor.queue.resume()
    await soon(lambda: len(load.ran) > 30, "some have run")

    for _ in range(3):
        os.kill(own.pid, signal.SIGKILL)
        await soon(lambda: not own.running, "it has ended")
        await asyncio.to_thread(own.start)
        before = len(load.ran)
        await soon(lambda b=before: len(load.ran) > b + 20, "they go on")  # type: ignore[misc]

    async with own_floor.beating():
        await load.is_done(jobs)
    assert all(len(hired.worker.ids) == 1 for hired in own_floor.hired)


@pytest.mark.slow
async def test_while_redis_stands_still_jobs_run_on_and_none_is_given_to_another(
    own: EmbeddedServer, own_floor: Floor
) -> None:
    load = Load(own_floor)
    hired = [await own_floor.hire(concurrency=5) for _ in range(2)]
    ids = [each.worker.ids for each in hired]
    jobs = await load.add()
    await own_floor.beat(*hired, lease_ms=2_000)

    os.kill(own.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(STOPPED_S)  # longer than the lease
    finally:
        os.kill(own.pid, signal.SIGCONT)

    beaten = await own_floor.beat(lease_ms=2_000)
    assert [chore for chore in beaten.chores if chore.name == "reap"] == []
    await load.is_done(jobs)
    assert [each.worker.ids for each in hired] == ids


async def test_a_redis_that_is_emptied_under_load_gets_new_jobs_done(
    own: EmbeddedServer, own_floor: Floor
) -> None:
    load = Load(own_floor)
    hired = [await own_floor.hire(concurrency=5) for _ in range(2)]
    before = [each.worker.ids for each in hired]
    await load.add(60)
    await soon(lambda: len(load.ran) > 10, "some have run")

    own_floor.raw.flushall()

    async def anew() -> bool:
        return all(each.worker.ids != ids for each, ids in zip(hired, before, strict=True))

    await soon(anew, "they registered anew")
    load.ran.clear()
    await load.is_done(await load.add(60))
    assert await reads.queues(own_floor.app.connection(), own_floor.prefix) == [QUEUE]


async def test_a_redis_that_is_full_lets_workers_drain_it_and_refuses_adds(
    own: EmbeddedServer, own_floor: Floor
) -> None:
    load = Load(own_floor)
    await own_floor.queue.pause()
    jobs = await load.add(100)
    own_floor.raw.config_set("maxmemory", "1")
    with pytest.raises(StoreFull):
        await own_floor.add("works")

    # Registers, claims, settles and beats, all of it in a full Redis.
    hired = await own_floor.hire(concurrency=5)
    await own_floor.queue.resume()

    await load.is_done(jobs)
    await own_floor.beat(hired)
    own_floor.raw.config_set("maxmemory", "0")
    jobs.append(await own_floor.add("works"))
    await load.is_done(jobs)


# ---- it is there, and does odd things


async def test_connections_that_are_killed_all_the_time_cost_no_job(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sleep, "PAUSE_S", 0.05)
    load = Load(floor)
    for _ in range(2):
        await floor.hire(concurrency=5)

    def kill() -> None:
        for client in floor.raw.client_list():
            if client["name"].startswith(("hired", f"streamq-{QUEUE}")):
                floor.raw.client_kill_filter(_id=client["id"])

    async with _again_and_again(kill, 0.02), floor.beating():
        jobs = await load.add()
        await load.is_done(jobs)

    names = [client["name"] for client in floor.raw.client_list()]
    assert sum(name.startswith("hired") for name in names) <= 2
    assert sum(name == f"streamq-{QUEUE}" for name in names) <= 2


async def test_scripts_that_are_flushed_all_the_time_cost_no_job(floor: Floor) -> None:
    load = Load(floor)
    await floor.hire(concurrency=5)

    async with _again_and_again(floor.raw.script_flush, 0.005):
        jobs = await load.add()
        await load.is_done(jobs)


async def test_a_newer_layout_ends_the_worker_and_is_left_as_it_is(floor: Floor) -> None:
    load = Load(floor)
    hired = await floor.hire(concurrency=20)
    await floor.queue.pause()
    await load.add(3)
    floor.raw.hset(floor.keys.names["meta"], "layout", 99)
    before = floor.dump()

    hired.worker.look()
    await asyncio.wait([hired.run], timeout=10)

    with pytest.raises(LayoutNewer, match="layout 99"):
        hired.run.result()
    assert floor.dump() == before
    floor.raw.hset(floor.keys.names["meta"], "layout", 1)
    for row in before.live_workers:
        await transitions.reap(floor.link(), WorkerId(row.decode()), lease_ms=0, seen=True)


async def test_a_worker_whose_password_is_refused_waits_without_haste_until_it_is_not(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "PAUSE_MAX_S", 0.2)
    load = Load(floor)
    user = f"u{floor.prefix}"
    async with floor.proxy() as proxy:
        url = proxy.url.replace("redis://", f"redis://{user}:secret@")
        hiring = asyncio.create_task(floor.hire(url=url))
        await soon(lambda: proxy.seen.count("AUTH") >= 3, "it knocked")
        assert "REGISTER" not in proxy.seen
        try:
            _allow(floor, user)
            await hiring
            jobs = [await floor.add("works")]
            await load.is_done(jobs)
            await floor.hired[0].leaves()
        finally:
            floor.raw.acl_deluser(user)


@pytest.mark.one_server
async def test_a_worker_that_may_not_call_scripts_for_a_while_goes_on_afterwards(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "PAUSE_MAX_S", 0.1)
    load = Load(floor)
    user = f"u{floor.prefix}"
    _allow(floor, user)
    try:
        async with floor.proxy() as proxy:
            hired = await floor.hire(url=proxy.url.replace("redis://", f"redis://{user}:secret@"))
            _allow(floor, user, "-evalsha")
            jobs = [await floor.add("works")]
            before = proxy.seen.count("step")
            await soon(lambda: proxy.seen.count("step") > before + 3, "it tried")
            assert load.ran == []
            assert not hired.run.done()

            _allow(floor, user)
            await load.is_done(jobs)
            await hired.leaves()
    finally:
        floor.raw.acl_deluser(user)


async def test_a_key_of_a_foreign_type_stops_nobody_for_good_and_is_said_once(
    floor: Floor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "PAUSE_MAX_S", 0.1)
    load = Load(floor)
    hired = await floor.hire()
    floor.raw.set(floor.keys.names["cancels"], "not ours")
    jobs = [await floor.add("works")]
    await soon(lambda: bool(load.ran), "it has run")
    tries = hired.worker._lanes[0]._turn + 3
    await soon(lambda: hired.worker._lanes[0]._turn > tries, "it was tried again and again")
    assert not hired.run.done()

    floor.raw.delete(floor.keys.names["cancels"])

    await load.is_done(jobs)
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "SQ106" in told.message and "WRONGTYPE" in told.message


@pytest.mark.parametrize("where", ["step", "resync"])
async def test_an_error_that_nobody_foresaw_ends_no_worker_and_loses_no_job(
    floor: Floor,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    monkeypatch.setattr(worker_module, "FAULT_PAUSE_S", 0.05)
    load = Load(floor)
    await floor.hire()
    real = getattr(transitions, where)
    left = 2

    async def faulty(*args: object, **kwargs: object) -> object:
        nonlocal left
        reply = await real(*args, **kwargs)
        if left:
            left -= 1
            raise ZeroDivisionError("a fault of ours, after Redis had done it")
        return reply

    monkeypatch.setattr(transitions, where, faulty)
    if where == "resync":
        _kill_links(floor)

    jobs = await load.add(20)

    await load.is_done(jobs)
    assert left == 0
    assert len([r for r in caplog.records if "went wrong" in r.message]) == 2


async def test_outcomes_too_large_for_a_turn_hold_no_more_leases_than_there_are_slots(
    floor: Floor,
) -> None:
    leases: list[int] = []

    @floor.job()
    async def produces(data: object) -> bytes:
        return b"x" * 60_000  # seventeen of them fit a turn

    hired = await floor.hire(concurrency=19)
    hired.worker.renew(100)
    hired.at_each_turn(lambda: leases.append(floor.leases()))
    await floor.queue.pause()
    for _ in range(150):
        await floor.add("produces")
    await floor.queue.resume()

    await floor.all_reach(JobState.COMPLETED, 150)
    assert 19 < max(leases) <= 100


def _allow(floor: Floor, user: str, *less: str) -> None:
    floor.raw.acl_setuser(
        user, enabled=True, reset=True, passwords=["+secret"], keys=["*"], channels=["*"],
        commands=["+@all", *less],
    )  # fmt: skip


def _kill_links(floor: Floor) -> None:
    for client in floor.raw.client_list():
        if client["name"].startswith("hired"):
            floor.raw.client_kill_filter(_id=client["id"])
