"""Where a request came from, whatever it says of itself. Control 8 of security.md."""

import ipaddress

import pytest
from starlette.requests import Request

from admin.access.address import HOPS_MAX, client_address, client_network

PROXIES = tuple(ipaddress.ip_network(each) for each in ("10.0.0.0/8", "::1/128", "fd00::/8"))


def _request(peer: str | None, *lines: str) -> Request:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in lines]
    client = None if peer is None else (peer, 1)
    return Request({"type": "http", "headers": headers, "client": client})


@pytest.mark.parametrize(
    ("peer", "lines", "found"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        # Not from a proxy: what it says is its own word.
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        # One proxy, two, and what a client put in front.
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        # What is no address ends the walk: what is left of it anybody wrote.
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1,,10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        # All of them ours: the first one is as far as is known.
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # As some proxies write it.
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("::1", ["2001:DB8:0:0::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["fe80::1%eth0"], "10.0.0.1"),
        # No peer: a unix socket.
        (None, ["198.51.100.1"], ""),
        ("testclient", ["198.51.100.1"], "testclient"),
        ("10.0.0.1", ["1.2.3.4, " + ", ".join(["10.0.0.2"] * HOPS_MAX)], "10.0.0.2"),
    ],
)
def test_the_first_from_the_right_that_is_no_proxy_of_ours(
    peer: str | None, lines: list[str], found: str
) -> None:
    assert client_address(_request(peer, *lines), PROXIES) == found


def test_without_proxies_no_header_is_believed() -> None:
    assert client_address(_request("10.0.0.1", "198.51.100.1"), ()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.1", "::ffff:198.51.100.1"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_a_client_is_counted_by_what_it_cannot_change(address: str, network: str) -> None:
    assert client_network(address) == network
