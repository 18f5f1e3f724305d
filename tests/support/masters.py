"""Redis behind a sentinel, and a cluster: real ones, each of a few small processes."""

import subprocess
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import redis
from redis.crc import key_slot

from streamq.embedded import EmbeddedServer, EmbeddedServerError, ServerBinary
from tests.support.waiting import until

MASTER: Final = "mymaster"
SLOTS: Final = 16_384
STARTS_MAX: Final = 20  # a cluster's second port is 10,000 above the first one, which is chance
START_LIMIT_S: Final = 20.0


class Guarded:
    """A master and its replica, watched by one sentinel."""

    def __init__(self, url: str, servers: list[EmbeddedServer], sentinel: redis.Redis) -> None:
        self.url = url
        self.servers = servers
        self._sentinel = sentinel

    @property
    def master(self) -> tuple[str, int]:
        """As the sentinel says it."""
        host, port = self._sentinel.execute_command(  # type: ignore[no-untyped-call]
            "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER
        )
        return host.decode(), int(port)

    def fail_over(self) -> None:
        """The replica becomes the master; returns when the old one takes no writes any more.

        What is written to it until then is lost: that is no fault of ours.
        """
        before = self.master
        until(self._fails_over, "the sentinel trusts the replica", limit_s=START_LIMIT_S)
        until(lambda: self.master != before, "another master", limit_s=START_LIMIT_S)
        with redis.Redis(port=before[1]) as old:
            until(
                lambda: old.info("replication")["role"] == "slave",
                "the old one is a replica", limit_s=START_LIMIT_S,
            )  # fmt: skip

    def _fails_over(self) -> bool:
        try:
            self._sentinel.execute_command("SENTINEL", "FAILOVER", MASTER)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            assert "NOGOODSLAVE" in str(error), error  # it has just met it
            return False
        return True


@contextmanager
def guarded(binary: ServerBinary, folder: Path) -> Iterator[Guarded]:
    """Until the sentinel knows the replica as well."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(EmbeddedServer(folder / name, binary=binary, tcp=True))
            for name in ("a", "b")
        ]
        (host, port), (_, replica_port) = (_tcp(server) for server in servers)
        with redis.Redis(port=replica_port) as replica:
            replica.replicaof(host, port)
            until(
                lambda: replica.info("replication")["master_link_status"] == "up",
                "the replica follows", limit_s=START_LIMIT_S,
            )  # fmt: skip
        sentinel_port = stack.enter_context(_sentinel(binary, folder, host, port))
        sentinel = stack.enter_context(redis.Redis(port=sentinel_port, protocol=2))
        until(
            lambda: sentinel.info("sentinel")["master0"]["slaves"] == 1,
            "the sentinel knows the replica", limit_s=START_LIMIT_S,
        )  # fmt: skip
        # A host that nobody answers at comes first: the next one is asked.
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel_port}/{MASTER}/0"
        yield Guarded(url, servers, sentinel)


@contextmanager
def _sentinel(binary: ServerBinary, folder: Path, host: str, port: int) -> Iterator[int]:
    # It has no option for its port but the file, and writes the file anew.
    with EmbeddedServer(folder / "port", binary=binary, tcp=True) as free:
        _, own_port = _tcp(free)
    file = folder / "sentinel.conf"
    file.write_text(
        f"port {own_port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {MASTER} {host} {port} 1\n"
        f"sentinel down-after-milliseconds {MASTER} 1000\n"
    )
    with (folder / "sentinel.log").open("wb") as log:
        process = subprocess.Popen(
            [binary.path, file, "--sentinel"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        with redis.Redis(port=own_port) as asked:
            until(lambda: _answers(asked), "the sentinel answers", limit_s=START_LIMIT_S)
        yield own_port
    finally:
        process.terminate()
        process.wait(START_LIMIT_S)


@contextmanager
def clustered(
    binary: ServerBinary, folder: Path, *, size: int = 2, first: Collection[str] = ()
) -> Iterator[list[EmbeddedServer]]:
    """So many masters, each with its part of the slots; the first has the queues named `first`."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(_node(binary, folder / str(i))) for i in range(size)]
        clients = [
            stack.enter_context(redis.Redis(port=_tcp(node)[1], protocol=2)) for node in nodes
        ]
        of_first = {key_slot(name.encode()) for name in first}
        owner = [0 if slot in of_first else slot * size // SLOTS for slot in range(SLOTS)]
        for i, client in enumerate(clients):
            own = [slot for slot in range(SLOTS) if owner[slot] == i]
            client.execute_command("CLUSTER", "ADDSLOTS", *own)
            clients[0].execute_command("CLUSTER", "MEET", *_tcp(nodes[i]))
        until(
            lambda: all(_sees_all(client, size) for client in clients),
            "the cluster is whole", limit_s=START_LIMIT_S,
        )  # fmt: skip
        yield nodes


def _sees_all(client: redis.Redis, size: int) -> bool:
    info = client.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
    return (info["cluster_state"], info["cluster_size"]) == ("ok", str(size))


@contextmanager
def _node(binary: ServerBinary, folder: Path) -> Iterator[EmbeddedServer]:
    options = {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}
    for _ in range(STARTS_MAX):
        node = EmbeddedServer(folder, binary=binary, tcp=True, options=options)
        try:
            node.start()
        except EmbeddedServerError:
            continue
        with node:
            yield node
            return
    raise AssertionError(f"no cluster node started in {STARTS_MAX} tries")


def port_of(server: EmbeddedServer) -> int:
    return _tcp(server)[1]


def _tcp(server: EmbeddedServer) -> tuple[str, int]:
    assert isinstance(server.address, tuple)
    return server.address


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
