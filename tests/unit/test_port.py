"""The small HTTP server: what it lets in, and that nobody holds it up."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from streamq.errors import MissingExtra, PortInUse
from streamq.run.measured import Measured, Pages
from streamq.run.port import CONNECTIONS_MAX, JSON, Answer, Asked, CannotListen, Port

TOKEN = "a-token-of-some-length"


async def _below(asked: Asked) -> Answer:
    return Answer(asked.path.encode(), kind=JSON)


async def _accepted(asked: Asked) -> Answer:
    return Answer(asked.headers.get("accept", "nothing").encode())


async def _fine(asked: Asked) -> Answer:
    return Answer(b"ok\n")


PAGES = {"/livez": _fine, "/accept": _accepted, "/scale/": _below}


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    port = Port(0, PAGES, token=TOKEN, open_pages=("/livez",))
    await port.open()
    yield port
    await port.close()


async def _ask(port: Port, path: str, *headers: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, headers and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
    lines = "".join(f"{header}\r\n" for header in headers)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split(" ")[1]), head, body


SHOWN = f"Authorization: Bearer {TOKEN}"


async def test_a_path_that_ends_with_a_slash_is_asked_for_all_directly_below_it(
    port: Port,
) -> None:
    status, head, body = await _ask(port, "/scale/email?x=1", SHOWN)

    assert (status, body) == (200, "/scale/email")
    assert "Content-Type: application/json; charset=utf-8" in head
    assert (await _ask(port, "/scale/a/b", SHOWN))[0] == 404
    assert (await _ask(port, "/scale", SHOWN))[0] == 404


async def test_a_page_sees_the_headers_whatever_their_case(port: Port) -> None:
    assert (await _ask(port, "/accept", SHOWN, "ACCEPT: text/plain"))[2] == "text/plain"


@pytest.mark.parametrize(
    "header",
    [
        "X: y",
        "Authorization: Bearer ",
        "Authorization: Bearer another-token-of-length",
        f"Authorization: Basic {TOKEN}",
        f"Authorization: Bearer {TOKEN}x",
        "Authorization: Bearer \u00ff\u00fe",
    ],
)
async def test_who_does_not_show_the_token_sees_nothing(port: Port, header: str) -> None:
    status, head, body = await _ask(port, "/accept", header)

    assert status == 401
    assert "WWW-Authenticate: Bearer" in head
    assert TOKEN not in head + body


async def test_open_pages_need_no_token(port: Port) -> None:
    assert (await _ask(port, "/livez"))[0] == 200
    assert (await _ask(port, "/livez", method="HEAD"))[2] == ""


async def test_a_page_that_takes_long_keeps_nobody_else_waiting() -> None:
    begun = asyncio.Event()

    async def slow(asked: Asked) -> Answer:
        begun.set()
        await asyncio.sleep(60)
        return Answer(b"late")

    port = Port(0, {"/slow": slow, "/livez": _fine})
    await port.open()
    waiting = asyncio.create_task(_ask(port, "/slow"))
    await begun.wait()

    assert (await _ask(port, "/livez"))[0] == 200

    await port.close()
    with pytest.raises(IndexError):  # the connection ended without an answer
        await waiting


async def test_no_more_connections_are_served_than_the_limit(port: Port) -> None:
    held = [await asyncio.open_connection("127.0.0.1", port.port) for _ in range(CONNECTIONS_MAX)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port.port)

    async with asyncio.timeout(5):
        assert await reader.read() == b""

    for _, each in [*held, (reader, writer)]:
        each.close()


async def test_a_port_that_is_taken_and_one_that_cannot_be_are_told_apart(port: Port) -> None:
    with pytest.raises(PortInUse):
        await Port(port.port, PAGES).open()
    with pytest.raises(CannotListen, match=r"Cannot listen on 192\.0\.2\.1:0: "):
        await Port(0, PAGES, host="192.0.2.1").open()


# -- the pages of a daemon


async def test_pages_say_what_they_wait_for_and_what_is_missing() -> None:
    pages = Pages()
    asked = Asked("GET", "/metrics", {})
    starting = await pages.by_path["/metrics"](asked)

    def missing() -> Measured:
        raise MissingExtra("Metrics", "prometheus-client", "metrics")

    pages.begin(missing)
    without = await pages.by_path["/scale/"](asked)

    assert (starting.status, starting.body) == (HTTPStatus.SERVICE_UNAVAILABLE, b"starting\n")
    assert without.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert without.body.startswith(b"SQ601 Metrics need prometheus-client")
    await pages.close()
