"""Calls by HTTP: only to public addresses, within a budget, and what an answer means."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from processors.clients.addresses import Refused, is_public, target_of
from processors.clients.http import Answer, Http, HttpUnavailable
from streamq import Fail, Retry
from tests.processors.certificates import Authority
from tests.processors.web_server import WebServer, answer, running

NOBODY: frozenset[str] = frozenset()
PUBLIC = "93.184.216.34"


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    async with running() as server:
        yield server


@pytest.fixture
async def http(web: WebServer) -> AsyncIterator[Http]:
    """A client that may call `web`, and nothing else that is not public."""
    client = Http(frozenset({web.origin}))
    yield client
    await client.aclose()


@pytest.fixture
async def strict() -> AsyncIterator[Http]:
    client = Http()
    yield client
    await client.aclose()


Resolve = Callable[[Sequence[Sequence[str]]], list[str]]


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """A resolver of the test's own: each look-up takes the next list of addresses."""

    def install(answers: Sequence[Sequence[str]]) -> list[str]:
        asked: list[str] = []
        left = list(answers)

        async def getaddrinfo(
            _: object, host: str, port: int, **__: object
        ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
            try:
                socket.inet_pton(socket.AF_INET, host)
                found: Sequence[str] = [host]  # an address needs no look-up
            except OSError:
                asked.append(host)
                found = left.pop(0)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
        return asked

    return install


async def test_a_request_arrives_and_its_answer_comes_back(web: WebServer, http: Http) -> None:
    web.reply = answer(201, b"made", x_id="7")

    got = await http.send("POST", web.url + "?a=1", body=b"{}", headers={"X-Key": "k"})

    assert (got.status, got.body, got.headers["x-id"]) == (201, b"made", "7")
    [asked] = web.asked
    assert asked.line == "POST /hook?a=1 HTTP/1.1"
    assert (asked.body, asked.headers["x-key"]) == (b"{}", "k")
    assert asked.headers["host"] == web.origin
    assert asked.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "0", "localhost"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[0:0:0:0:0:0:0:1]"),
    ],
)
async def test_no_spelling_of_loopback_is_called(
    strict: Http, host: str, authority: Authority
) -> None:
    async with running(tls=authority.server_context()) as canary:
        with pytest.raises((Refused, HttpUnavailable)) as caught:
            await strict.send("GET", f"https://{host}:8443/")

        assert isinstance(caught.value, Refused) or "its name is not found" in str(caught.value)
        assert canary.connections == 0


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1"),
        *("198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
        *("239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "::ffff:8.8.8.8"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:10::1", "2001:db8::1"),
        *("2002:7f00:1::", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0"),
        *("fec0::1", "ff02::1", "2606:4700::1%eth0", "5f00::1", "nonsense", ""),
    ],
)
def test_an_address_that_is_not_public_is_not_called(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "172.32.0.1", "2606:4700:4700::1111"])
def test_an_address_that_is_public_is_called(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], [PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC] * 0]
)
async def test_every_address_of_a_name_must_be_public(
    strict: Http, resolved: Resolve, addresses: list[str]
) -> None:
    resolved([addresses])

    with pytest.raises(Refused):
        await strict.send("GET", "https://crm.example.com/")


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    strict: Http, resolved: Resolve, authority: Authority
) -> None:
    """A name that answers a public address first and loopback a moment later."""
    async with running(tls=authority.server_context()) as canary:
        asked = resolved([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])

        with pytest.raises(HttpUnavailable):
            await strict.send("GET", "https://crm.example.com/", total_limit_s=0.3)

        assert asked == ["crm.example.com"]
        assert canary.connections == 0


async def test_the_certificate_is_the_names_though_the_address_is_called(
    resolved: Resolve, authority: Authority
) -> None:
    tls = ssl.create_default_context(cafile=authority.path)
    for host, fits in (("crm.test", True), ("other.test", False)):
        async with running(tls=authority.server_context(host="crm.test")) as web:
            resolved([["127.0.0.1"]])
            client = Http(frozenset({f"{host}:{web.port}"}), tls=tls)
            url = f"https://{host}:{web.port}/"
            if fits:
                assert (await client.send("GET", url)).ok
                assert web.asked[0].headers["host"] == f"crm.test:{web.port}"
            else:
                with pytest.raises(HttpUnavailable, match="certificate"):
                    await client.send("GET", url)
                assert web.asked == []
            await client.aclose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://example.com/", "only https"),
        ("https://example.com:22/", "only ports"),
        ("https://user:s3cr3t@example.com/", "holds a user"),
        ("https://example.com@127.0.0.1/", "holds a user"),
        ("ftp://example.com/", "is none"),
        ("file:///etc/passwd", "is none"),
        ("//example.com/", "is none"),
        ("https://", "is none"),
        ("https:///x", "is none"),
        ("https://[::1/", "is none"),
        ("https://example.com:https/", "is none"),
        ("https://example.com:99999/", "is none"),
        ("https://exa mple.com/", "printable"),
        ("https://example.com/\r\nHost: x", "printable"),
        ("https://example.com\\@127.0.0.1/", "backslash"),
        ("https://①②⑦.⓪.⓪.①/", "printable"),
        ("https://.example.com/", "is none"),
        ("https://example.com/" + "x" * 2_048, "2,048"),
    ],
)
def test_a_url_that_is_not_called(url: str, says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        target_of(url, NOBODY)

    assert "s3cr3t" not in str(caught.value)


async def test_a_redirect_is_an_answer_and_not_followed(web: WebServer, http: Http) -> None:
    async with running() as canary:
        web.reply = answer(302, location=f"http://{canary.origin}/")

        got = await http.send("GET", web.url)

        assert canary.connections == 0
    with pytest.raises(Fail, match="redirects are not followed"):
        got.check("the webhook")


async def test_an_endless_body_is_left_at_its_limit(web: WebServer, http: Http) -> None:
    web.reply = b"HTTP/1.1 200 OK\r\n\r\n"
    web.more = b"x" * 10_000

    with pytest.raises(Refused, match="more than 65536 bytes"):
        await http.send("GET", web.url)


async def test_a_bomb_is_not_unpacked(web: WebServer, http: Http) -> None:
    web.reply = answer(200, gzip.compress(bytes(10_000_000)), content_encoding="gzip")

    with pytest.raises(Refused, match="in gzip"):
        await http.send("GET", web.url)


@pytest.mark.parametrize("count", [40, 4_000])
async def test_headers_without_end_are_refused(web: WebServer, http: Http, count: int) -> None:
    web.reply = b"HTTP/1.1 200 OK\r\n" + b"x-a: %s\r\n" % (b"x" * 500) * count + b"\r\n"

    with pytest.raises(Refused, match="headers"):
        await http.send("GET", web.url)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome"])
async def test_an_answer_that_breaks_off_may_come_later(
    web: WebServer, http: Http, reply: bytes
) -> None:
    web.reply = reply

    with pytest.raises(HttpUnavailable, match="broke off"):
        await http.send("GET", web.url)


async def test_a_server_that_drips_is_left_at_the_time_limit(web: WebServer, http: Http) -> None:
    web.reply = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(web.reply)
        await reader.read()  # until the client goes
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Http(frozenset({f"127.0.0.1:{port}"}))

    with pytest.raises(HttpUnavailable, match=r"more than 0\.2 s"):
        await client.send("GET", f"http://127.0.0.1:{port}/", total_limit_s=0.2)

    await client.aclose()
    server.close()


async def test_nobody_there_may_be_there_later(web: WebServer) -> None:
    client = Http(frozenset({"127.0.0.1:1"}))
    with pytest.raises(HttpUnavailable, match="was not reached"):
        await client.send("GET", "http://127.0.0.1:1/")
    await client.aclose()


async def test_a_proxy_of_the_environment_is_not_asked(
    web: WebServer, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.origin}")

        assert (await http.send("GET", web.url)).ok
        assert proxy.connections == 0


NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ("30", timedelta(seconds=30)),
        ("-5", timedelta(0)),
        ("1000000000", timedelta(hours=1)),
        ("9" * 400, timedelta(hours=1)),
        ("Sat, 31 Jan 2026 12:00:40 GMT", timedelta(seconds=40)),
        ("Sat, 31 Jan 2026 11:00:00 GMT", timedelta(0)),
        ("Sat, 31 Jan 2099 11:00:00 GMT", timedelta(hours=1)),
        ("--5", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
        ("٣", None),
    ],
)
def test_retry_after_is_from_nothing_to_an_hour(said: str, wait: timedelta | None) -> None:
    target = target_of("https://example.com/", NOBODY)
    got = Answer(target, 429, {"retry-after": said}, b"")

    assert got.retry_after(NOW) == wait


@pytest.mark.parametrize(
    ("status", "retry_after", "kind"),
    [
        (429, "5", Retry),
        (503, "5", Retry),
        (429, "", HttpUnavailable),
        (500, "", HttpUnavailable),
        (400, "", Fail),
        (401, "5", Fail),
        (404, "", Fail),
        (301, "", Fail),
    ],
)
def test_what_an_answer_means_for_the_job(
    status: int, retry_after: str, kind: type[Exception]
) -> None:
    target = target_of("https://example.com/x?token=s3cr3t", NOBODY)
    got = Answer(target, status, {"retry-after": retry_after}, b"no\x1b[31m")

    with pytest.raises(kind, match=f"the webhook .https://example.com:443. answered {status}") as e:
        got.check("the webhook")

    assert "s3cr3t" not in str(e.value)
    assert "\x1b" not in str(e.value)
