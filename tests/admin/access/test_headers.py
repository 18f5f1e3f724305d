"""What every answer tells a browser, and to which names we answer. Controls 14 and 20."""

import asyncio

import pytest

from admin.app import AdminApp, create_app, routed
from admin.call import Call
from admin.policy import Method, Open, Role, Row
from streamq import App
from tests.admin.access.people import SECRET, TOKENS, client, guarded_admin, settings_of
from tests.admin.rows import path_of
from tests.admin.running import running
from tests.admin.tokens import ConfiguredTokens

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
SAFE = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


async def test_every_route_and_every_error_has_them(admin: AdminApp) -> None:
    rows = [bound.row for bound in routed(admin) if not bound.row.path.endswith("/events")]
    async with client(admin, token=TOKENS[Role.ADMIN].token) as boss, client(admin) as stranger:
        for who in (boss, stranger):
            answers = [await who.request(row.method, path_of(row)) for row in rows]
            answers.append(await who.get("/nowhere"))
            answers.append(await who.request("PURGE", "/api/admin/jobs/stats"))
            answers.append(await who.get("/livez", headers={"Host": "evil.example"}))
            for answer in answers:
                assert SAFE.items() <= dict(answer.headers).items(), answer.url
                assert "strict-transport-security" not in answer.headers
    assert len(rows) > 30


async def test_an_error_that_nobody_foresaw_has_them_and_tells_nothing(app: App) -> None:
    """Control 24: no stack, no text of the error; an id by which the log has it."""

    async def broken(call: Call) -> None:
        raise RuntimeError("the database password is hunter2")

    row = Row(method=Method.GET, path="/broken", handler=broken, needs=Open.ANYONE, does="break")
    settings = settings_of()
    whole = guarded_admin(app, settings)
    site = create_app(
        app, settings, access=ConfiguredTokens(), rows=[row], outside=whole._outside, guards=[]
    )
    async with client(site) as somebody:
        answer = await somebody.get("/broken")

    assert answer.status_code == 500
    assert SAFE.items() <= dict(answer.headers).items()
    assert "hunter2" not in answer.text and "Traceback" not in answer.text
    assert answer.json()["requestId"] == answer.headers["x-request-id"]


async def test_over_tls_a_browser_is_told_to_come_by_no_other_way(app: App) -> None:
    async with client(guarded_admin(app, settings_of(secure_cookies=True))) as somebody:
        answer = await somebody.get("/livez")

    assert answer.headers["strict-transport-security"] == "max-age=31536000"


# ---- hosts

GOOD = [
    "127.0.0.1", "127.0.0.1:5000", "localhost", "LOCALHOST:80", "[::1]:5000", "jobs.example.com",
    "Jobs.Example.Com:8443", "jobs.example.com.",
]  # fmt: skip
BAD = [
    "evil.example", "jobs.example.com.evil.example", "evil.example:5000",
    "jobs.example.com@evil.example",
    "evil.example@jobs.example.com", "jobs.example.com:80@evil.example", "jobs.example.com/", "",
    " ",
    "jobs.example.com:", "jobs.example.com:port", "jobs.example.com:123456",
    "jobs.example.com, evil",
    "127.0.0.1.evil.example", "127.0.0.2", "2130706433", "0x7f000001", "127.1", "[::1", "::1",
    "[::1]evil.example", "[::ffff:127.0.0.1]", "localhost.evil.example", "local\thost",
    "jobs.example.com#@evil", "jobs.example.com?x", "jobs.example.com\\evil", "jobs..example.com",
    "-", "*", "%6cocalhost", "10.0.0.5", "x" * 300, "jobs_example.com", "xn--", "é.example",
]  # fmt: skip


@pytest.mark.parametrize("host", GOOD)
async def test_our_names_are_answered_to(app: App, host: str) -> None:
    admin = guarded_admin(app, settings_of(hosts=frozenset({"jobs.example.com"})))
    async with client(admin) as somebody:
        assert (await somebody.get("/livez", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", BAD, ids=ascii)
async def test_any_other_name_gets_a_sentence_and_nothing_else(app: App, host: str) -> None:
    admin = guarded_admin(app, settings_of(hosts=frozenset({"jobs.example.com"})))
    async with client(admin, token=TOKENS[Role.ADMIN].token) as boss:
        answer = await boss.get("/api/admin/jobs/stats", headers=[(b"Host", host.encode())])

    assert answer.status_code == 421
    assert answer.json()["error"] == "Invalid host"
    assert not host.strip() or host not in answer.text or len(host) < 3


async def test_a_probe_may_use_the_very_address_it_connects_to(app: App) -> None:
    """As an orchestrator does, which knows a container by its address alone."""
    async with client(guarded_admin(app), url="http://10.1.2.3:5000") as probe:
        own = await probe.get("/livez")
        other = await probe.get("/livez", headers={"Host": "10.1.2.4:5000"})

    assert (own.status_code, other.status_code) == (200, 421)


async def test_on_the_wire_no_odd_request_line_or_host_reaches_a_route(app: App) -> None:
    """What a client cannot be made to say: a whole URL, two hosts, none."""
    with running(guarded_admin(app)) as served:
        port = served.port
        lines = {
            f"GET http://evil.example/livez HTTP/1.1\r\nHost: 127.0.0.1:{port}": (404, 421),
            f"GET //evil.example/livez HTTP/1.1\r\nHost: 127.0.0.1:{port}": (404,),
            f"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example": (400, 421),
            "GET /livez HTTP/1.1\r\nHost: evil.example": (421,),
            "GET /livez HTTP/1.1\r\nHost: evil.example@127.0.0.1": (421,),
            f"GET @evil.example/livez HTTP/1.1\r\nHost: 127.0.0.1:{port}": (400, 404),
            "GET /livez HTTP/1.1": (400,),
            "GET /livez HTTP/1.0": (200,),
            f"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{port}": (200,),
        }
        for head, statuses in lines.items():
            reply = await asyncio.to_thread(_said, port, head)
            assert int(reply.split(" ")[1]) in statuses, (head, reply)
            assert "evil.example" not in reply, head


def _said(port: int, head: str) -> str:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
        parts = []
        while part := wire.recv(65_536):
            parts.append(part)
    return b"".join(parts).decode()


def test_no_secret_is_shown_by_what_holds_it() -> None:
    assert SECRET not in repr(settings_of())
