"""The server keeps its patience within limits, and ends in order."""

import asyncio
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Final

import httpx2
import pytest

from admin import serving, wire
from admin.app import HEAD_BYTES_MAX, create_app
from admin.call import Call
from admin.policy import Method, Role, Row
from admin.serving import CannotListen, address_of, is_loopback, listen
from admin.settings import Settings
from streamq import App
from streamq.embedded import EmbeddedServer
from streamq.errors import PortInUse
from streamq.settings import Settings as EngineSettings
from tests.admin.office import Office
from tests.admin.running import Running, running
from tests.admin.tokens import ConfiguredTokens, bearer
from tests.support.waiting import until

API: Final = "/api/admin/jobs"
LIMIT_S: Final = 10.0
AUTHORIZATION: Final = bearer(Role.ADMIN)["Authorization"]


@pytest.fixture
def served(server: EmbeddedServer, prefix: str) -> Iterator[Running]:
    app = App("office", settings=EngineSettings(), redis=server.url, prefix=prefix)
    Office(app)
    with running(create_app(app, Settings(), access=ConfiguredTokens())) as started:
        yield started


def _link(served: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), LIMIT_S)


def _answer(link: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    while part := link.recv(65_536):
        found += part
    return found


def _request(method: str, path: str, *more: str) -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: {AUTHORIZATION}", *more]
    return "\r\n".join([*head, "", ""]).encode()


def test_it_answers_over_a_socket(served: Running) -> None:
    answer = httpx2.get(f"{served.url}{API}/stats", headers=bearer(Role.VIEWER))

    assert answer.status_code == 200
    assert "server" not in answer.headers
    assert answer.json()["totalQueues"] == 9


@pytest.mark.parametrize("begun", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_who_never_ends_a_head_is_left(
    served: Running, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(serving, "HEAD_LIMIT_S", 0.3)
    with _link(served) as link:
        link.sendall(begun)

        assert _answer(link) == b""


def test_a_head_that_trickles_in_does_not_wind_the_clock_up_again(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HEAD_LIMIT_S", 0.5)
    began = time.monotonic()
    with _link(served) as link:
        link.sendall(b"GET / HTTP/1.1\r\nX: ")
        while not select.select([link], [], [], 0.05)[0]:
            assert time.monotonic() - began < LIMIT_S
            link.sendall(b"x")

    assert 0.4 < time.monotonic() - began < 5


def test_a_second_request_on_a_connection_has_its_own_clock(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HEAD_LIMIT_S", 0.5)
    with _link(served) as link:
        for _ in range(2):
            link.sendall(_request("GET", "/livez"))
            answer = b""
            while not answer.endswith(b"ok\n"):
                answer += link.recv(65_536)
        link.sendall(b"GET /livez HTT")

        assert _answer(link) == b""


def test_many_who_never_end_a_head_keep_nobody_out(served: Running) -> None:
    links = [_link(served) for _ in range(300)]
    try:
        for link in links:
            link.sendall(b"GET / HTTP/1.1\r\nX: ")
        answer = httpx2.get(f"{served.url}/livez", timeout=LIMIT_S)
    finally:
        for link in links:
            link.close()

    assert answer.status_code == 200


def test_a_head_over_its_limit_is_refused(served: Running) -> None:
    with _link(served) as link:
        large = _request("GET", "/livez", "Connection: close", "X: " + "x" * HEAD_BYTES_MAX)
        link.sendall(large)

        assert _answer(link).startswith(b"HTTP/1.1 431")


def test_a_body_that_does_not_come_is_given_up(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "BODY_LIMIT_S", 0.3)
    with _link(served) as link:
        path = f"{API}/retry-all/email"
        link.sendall(
            _request("POST", path, "Content-Type: application/json", "Content-Length: 50") + b"{"
        )

        answer = _answer(link)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"Request timeout" in answer


def test_a_body_that_nobody_reads_holds_no_connection(served: Running) -> None:
    with _link(served) as link:
        link.sendall(_request("POST", f"{API}/pause/email", "Content-Length: 1000000") + b"x")

        assert _answer(link).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_line",
    [
        "GET http://evil.example/api/admin/jobs/stats HTTP/1.1",
        "GET /api/admin/jobs/../jobs/stats HTTP/1.1",
        "GET //api/admin/jobs/stats HTTP/1.1",
        "GET /api/admin/jobs/%2e%2e/stats HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT x:1 HTTP/1.1",
        "GET /api/admin/jobs/stats%00 HTTP/1.1",
    ],
)
def test_an_odd_target_opens_nothing_to_a_stranger(served: Running, request_line: str) -> None:
    with _link(served) as link:
        link.sendall(f"{request_line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

        answer = _answer(link)

    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501")), answer
    assert b"totalQueues" not in answer


def test_a_request_on_its_way_is_answered_before_the_server_ends(
    server: EmbeddedServer, prefix: str
) -> None:
    leaving = threading.Event()

    async def slow(call: Call) -> dict[str, bool]:
        return {"ended": await asyncio.to_thread(leaving.wait, LIMIT_S)}

    row = Row(method=Method.GET, path="/slow", handler=slow, needs=Role.VIEWER, does="wait")
    app = App("office", settings=EngineSettings(), redis=server.url, prefix=prefix)
    answers: list[httpx2.Response] = []
    admin = create_app(app, Settings(), access=ConfiguredTokens(), rows=[row])
    with running(admin) as served:

        def ask() -> None:
            header = bearer(Role.ADMIN)
            answers.append(httpx2.get(f"{served.url}/slow", headers=header, timeout=LIMIT_S))

        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: bool(served.server.server_state.tasks), "it is on its way")
        served.server.should_exit = True
        leaving.set()
        asking.join(LIMIT_S)

    assert [answer.json() for answer in answers] == [{"ended": True}]


def test_a_port_that_is_taken_is_said() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as error:
            listen("127.0.0.1", port)

    assert str(error.value) == f"SQ602 Port {port} is in use. --port 0 picks a free one."


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_ours_is_said(host: str) -> None:
    with pytest.raises(CannotListen) as error:
        listen(host, 0)

    assert f"Cannot listen on {host}, port 0:" in str(error.value)


def test_an_address_is_one_that_can_be_opened() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert address_of(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("example.com", False),
        ("127.0.0.1.example.com", False), ("", False),
    ],
)  # fmt: skip
def test_only_loopback_is_ours_alone(host: str, is_ours: bool) -> None:
    assert is_loopback(host) is is_ours
