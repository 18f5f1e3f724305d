"""The health port answers probes, and nothing else."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from streamq.errors import PortInUse
from streamq.run.health import Answers, Health, HealthPort, QueueHealth, RedisHealth, WorkerHealth

WELL = Health(
    "healthy",
    "0.1.0",
    RedisHealth(ok=True, latency_ms=0.4),
    (WorkerHealth(7, "running", 10, 3, 0, 42, 1 << 20, 120),),
    (QueueHealth("email", "healthy"),),
)


class Daemon:
    """What a daemon would say; tests change it."""

    def __init__(self) -> None:
        self.answers = Answers("", "", WELL)


@pytest.fixture
async def asked() -> AsyncIterator[tuple[Daemon, HealthPort]]:
    daemon = Daemon()
    port = HealthPort(0, lambda: daemon.answers)
    await port.open()
    yield daemon, port
    await port.close()


async def _ask(port: HealthPort, request: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.partition(b"\r\n")[0], body


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def test_a_well_daemon_answers_yes(asked: tuple[Daemon, HealthPort]) -> None:
    _, port = asked

    for path in ("/livez", "/readyz", "/readyz?verbose"):
        assert await _ask(port, _get(path)) == (b"HTTP/1.1 200 OK", b"ok\n")


async def test_a_reason_is_a_no_and_is_said(asked: tuple[Daemon, HealthPort]) -> None:
    daemon, port = asked
    daemon.answers = Answers("process 7 has not turned for 95 s", "draining", WELL)

    status, body = await _ask(port, _get("/livez"))
    assert (status[9:12], body) == (b"503", b"process 7 has not turned for 95 s\n")
    status, body = await _ask(port, _get("/readyz"))
    assert (status[9:12], body) == (b"503", b"draining\n")


async def test_healthz_says_all_of_it(asked: tuple[Daemon, HealthPort]) -> None:
    _, port = asked

    status, body = await _ask(port, _get("/healthz"))

    assert status == b"HTTP/1.1 200 OK"
    assert list(msgspec.json.decode(body)) == ["status", "version", "redis", "workers", "queues"]
    assert msgspec.json.decode(body, type=Health) == WELL


async def test_head_has_no_body(asked: tuple[Daemon, HealthPort]) -> None:
    _, port = asked

    assert await _ask(port, b"HEAD /livez HTTP/1.1\r\n\r\n") == (b"HTTP/1.1 200 OK", b"")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (_get("/metrics"), b"404"),
        (b"POST /livez HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /livez SPDY/9\r\n\r\n", b"400"),
        (b"GET /" + b"\xff" * 100 + b" HTTP/1.1\r\n\r\n", b"404"),
    ],
)
async def test_what_is_no_probe_is_refused(
    asked: tuple[Daemon, HealthPort], request_: bytes, status: bytes
) -> None:
    _, port = asked

    assert (await _ask(port, request_))[0][9:12] == status


async def test_an_endless_request_is_not_read(asked: tuple[Daemon, HealthPort]) -> None:
    _, port = asked

    try:
        answer = await _ask(port, b"GET /" + b"x" * 100_000)
    except ConnectionResetError:
        answer = (b"", b"")  # closed with bytes unread: the kernel says it by a reset

    assert answer == (b"", b"")
    assert await _ask(port, _get("/livez")) == (b"HTTP/1.1 200 OK", b"ok\n")


async def test_a_port_that_is_taken_is_named(asked: tuple[Daemon, HealthPort]) -> None:
    _, port = asked

    with pytest.raises(PortInUse, match=f"SQ602 Port {port.port} is in use"):
        await HealthPort(port.port, lambda: Answers("", "", WELL)).open()
