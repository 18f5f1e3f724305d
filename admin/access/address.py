"""Where a request came from, as far as proxies that we trust tell it."""

import ipaddress
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from admin.settings import Network

HOPS_MAX: Final = 32
"""Of X-Forwarded-For; what stands further to the left was written by anybody."""
IPV6_NETWORK_BITS: Final = 64
"""What one subscriber has at the least: 2^64 addresses are one client."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(request: Request, proxies: Sequence[Network]) -> str:
    """The first address from the right that is no proxy of ours; "" for a socket without any.

    A client may send a X-Forwarded-For of its own: proxies add to its right end, so what it wrote
    is never reached. What is no address ends the walk: the last proxy is all that we know then.
    """
    peer = request.client.host if request.client else ""
    if not proxies or not _trusted(peer, proxies):
        return _shown(peer)
    found = peer
    hops = [hop.strip() for line in request.headers.getlist("x-forwarded-for")
            for hop in line.split(",")]  # fmt: skip
    for hop in reversed(hops[-HOPS_MAX:]):
        if _read(hop) is None:
            break
        found = hop
        if not _trusted(hop, proxies):
            break
    return _shown(found)


def client_network(address: str) -> str:
    """What a throttle counts by: the address, of IPv6 its network."""
    read = _read(address)
    if isinstance(read, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((read, IPV6_NETWORK_BITS), strict=False))
    return address


def _trusted(address: str, proxies: Sequence[Network]) -> bool:
    read = _read(address)
    return read is not None and any(read in proxy for proxy in proxies)


def _shown(address: str) -> str:
    read = _read(address)
    return address if read is None else str(read)


def _read(text: str) -> _Address | None:
    """An address, without the port that some proxies add; ::ffff:10.0.0.1 is 10.0.0.1."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        if found.scope_id is not None:
            return None
        return found.ipv4_mapped or found
    return found
