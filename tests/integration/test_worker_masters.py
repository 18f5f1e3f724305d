"""Workers whose Redis has to be found first: behind a sentinel, or in a cluster."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot

from streamq import App, JobState
from streamq.embedded import EmbeddedServer
from streamq.errors import NotApplied, RedisUnavailable
from streamq.run.worker import Worker
from streamq.store.address import Address, resolve
from streamq.store.client import WIRES_OPEN_MAX, Redis, Wire
from tests.support import invariants
from tests.support.masters import Guarded, clustered, guarded, port_of
from tests.support.workers import QUEUE, Floor


@pytest.fixture
def behind_sentinel(server: EmbeddedServer, tmp_path: Path) -> Iterator[Guarded]:
    with guarded(server.binary, tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def cluster(
    server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[EmbeddedServer]]:
    with clustered(server.binary, tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


def _address(nodes: list[EmbeddedServer]) -> Address:
    """A host that nobody answers at comes first: the next one is asked."""
    return Address(f"redis+cluster://127.0.0.1:1,127.0.0.1:{port_of(nodes[0])}", "the test")


@pytest.mark.slow
async def test_a_worker_follows_its_master_through_a_failover(
    behind_sentinel: Guarded, prefix: str
) -> None:
    async with Floor(behind_sentinel.servers[0], prefix) as floor:

        @floor.job()
        async def works(data: object) -> None: ...

        hired = await floor.hire(url=behind_sentinel.url)
        producer = floor.another_app(behind_sentinel.url)
        queue = producer.declare_queue(QUEUE)
        await floor.reaches((await queue.add("works", None)).id, JobState.COMPLETED)

        behind_sentinel.fail_over()

        after = [await queue.add("works", None) for _ in range(5)]
        for added in after:
            await added.result(20)
        await hired.leaves()
        await producer.close()
        with redis.Redis(port=behind_sentinel.master[1], protocol=2) as raw:
            completed = invariants.read(raw, prefix, QUEUE).zsets["completed"]
        assert {added.id.encode() for added in after} < completed.keys()


@pytest.mark.slow
async def test_workers_find_the_nodes_of_their_queues(
    cluster: list[EmbeddedServer], prefix: str
) -> None:
    app = App("tests", redis=_address(cluster).url, prefix=prefix)
    for name in ("q1", "q2", "q3", "q4"):

        @app.job(name, name="works")
        async def works(data: object) -> str:
            return "worked"

    shared = Redis(_address(cluster))
    workers = [Worker(app, name, shared, concurrency=2) for name in app.queue_names()]
    runs = [asyncio.create_task(worker.run()) for worker in workers]

    for name in app.queue_names():
        added = await app.queue(name).add("works", None)
        assert await added.result(20) == "worked"

    for worker in workers:
        worker.stop()
    await asyncio.gather(*runs)
    here, there = (_queues_at(node, prefix) for node in cluster)
    assert here and there and not here & there
    assert len(here | there) == 4
    await shared.close()
    await app.close()


def _queues_at(node: EmbeddedServer, prefix: str) -> set[bytes]:
    with redis.Redis(port=port_of(node)) as client:
        return {key.split(b"{")[1].split(b"}")[0] for key in client.scan_iter(f"{prefix}:{{*")}


@pytest.mark.slow
async def test_a_slot_that_moved_is_found_at_its_new_node(cluster: list[EmbeddedServer]) -> None:
    key = b"moves"
    slot = key_slot(key)
    clients = [redis.Redis(port=port_of(node), protocol=2) for node in cluster]
    ids = [client.execute_command("CLUSTER", "MYID").decode() for client in clients]  # type: ignore[no-untyped-call]
    owner = 0 if slot < 8_192 else 1
    wire = Wire(_address(cluster), key, name="moving")
    await wire.call("set", ("SET", key, "before"))

    clients[owner].delete(key)
    for client in reversed(clients) if owner == 0 else clients:
        client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1 - owner])  # type: ignore[no-untyped-call]

    with pytest.raises(NotApplied, match="MOVED"):
        await wire.call("get", ("GET", key))
    assert await wire.call("get", ("GET", key)) is None
    assert await wire.call("set", ("SET", key, "after")) == b"OK"
    assert clients[1 - owner].get(key) == b"after"
    await wire.close()
    for client in clients:
        client.close()


@pytest.mark.slow
async def test_keys_in_any_number_of_slots_take_a_bounded_number_of_connections(
    cluster: list[EmbeddedServer],
) -> None:
    shared = Redis(_address(cluster), name="many")

    for i in range(WIRES_OPEN_MAX * 2):
        key = f"value:{i}".encode()
        await shared.wire("scripts", key).call("set", ("SET", key, i))

    open_ones = 0
    for node in cluster:
        with redis.Redis(port=port_of(node), protocol=2) as client:
            open_ones += sum(each["name"] == "many-scripts" for each in client.client_list())
    assert WIRES_OPEN_MAX // 2 < open_ones <= WIRES_OPEN_MAX
    await shared.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://[::1]:1,[::1]/mymaster", "[::1]:26379"),
        ("redis+cluster://127.0.0.1:1", "127.0.0.1:1"),
        ("redis+cluster://", "no host is named"),
        ("redis://localhost:1?max_connections=5", "max_connections"),
        ("redis://localhost:1?socket_timeout=soon", "socket_timeout"),
    ],
)
async def test_a_place_that_cannot_be_found_is_named(url: str, said: str) -> None:
    with pytest.raises(RedisUnavailable) as raised:
        await resolve(Address(url, "the test"), b"key")

    assert said in str(raised.value)
