"""Where a request of ours may go: which URLs, and which addresses behind their names.

The decision is made on what the resolver answers, and the connection goes to that very address: a
name that answers otherwise a moment later leads nowhere else. The table is our own: `is_global` of
the standard library takes NAT64, 6to4 and `::127.0.0.1` for public ones.
"""

import asyncio
import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import msgspec

from streamq import Fail

URL_CHARS_MAX: Final = 2_048
RESOLVE_LIMIT_S: Final = 5.0
ADDRESSES_MAX: Final = 32
"""Of one name. All must be public, so a longer answer is refused, not cut."""
PORTS: Final = frozenset({443, 8443})

_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?|[0-9a-f:.]{2,45}")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_CLOSED_V4: Final = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
_OPEN_V6: Final = ip_network("2000::/3")
# Protocol assignments with Teredo, documentation, 6to4.
_CLOSED_V6: Final = tuple(
    ip_network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


class Refused(Fail):
    """A request that is not made, or an answer that is not read: it would be no other next time."""


class Target(msgspec.Struct, frozen=True):
    """A URL that was checked, taken apart."""

    scheme: str
    host: str
    port: int
    path: str
    """With its query."""

    def __str__(self) -> str:
        """Without path and query: those may hold a secret."""
        return f"{self.scheme}://{self.origin}"

    @property
    def origin(self) -> str:
        """`host:port`, as HTTP_PRIVATE_HOSTS names them."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def host_header(self) -> str:
        usual = {"https": 443, "http": 80}[self.scheme]
        return _bracketed(self.host) if self.port == usual else self.origin

    def at(self, address: str) -> str:
        """The URL with the address in place of the name."""
        return f"{self.scheme}://{_bracketed(address)}:{self.port}{self.path}"


def target_of(url: str, private: frozenset[str]) -> Target:
    """The parts of a URL that we would call: https, port 443 or 8443, no user. Raises Refused.

    Those of `private` (`host:port`, the operator's word) may be http, on any port.
    """
    if len(url) > URL_CHARS_MAX or _PRINTABLE.fullmatch(url) is None or "\\" in url:
        raise Refused("a URL is at most 2,048 printable characters of ASCII, without a backslash")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Refused("what should be a URL is none; give one like https://example.com/") from None
    if parts.scheme not in ("https", "http") or _HOST.fullmatch(host) is None:
        raise Refused("what should be a URL is none; give one like https://example.com/")
    if "@" in parts.netloc:
        raise Refused(f"the URL of {host} holds a user: put the secret where it belongs")
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = Target(parts.scheme, host, port, path)
    if target.origin in private:
        return target
    if parts.scheme != "https":
        raise Refused(f"{target}: only https:// is called")
    if port not in PORTS:
        raise Refused(f"{target}: only ports 443 and 8443 are called")
    return target


async def addresses_of(target: Target, private: frozenset[str]) -> tuple[str, ...]:
    """The addresses of its host, each of which may be called.

    Raises Refused if one of them may not, OSError and TimeoutError when none is found now.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(RESOLVE_LIMIT_S):
        found = await loop.getaddrinfo(
            target.host, target.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    addresses = tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    if not 1 <= len(addresses) <= ADDRESSES_MAX:
        raise Refused(f"{target} has {len(addresses)} addresses, at most {ADDRESSES_MAX} are taken")
    if target.origin not in private:
        for address in addresses:
            if not is_public(address):
                raise Refused(
                    f"{target} leads into a private network ({address}); if it should, name it:"
                    f"  HTTP_PRIVATE_HOSTS={target.origin}"
                )
    return addresses


def is_public(address: str) -> bool:
    """Whether strangers may be sent there; an address with a scope (`%eth0`) is never."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    match found:
        case IPv4Address():
            return not any(found in network for network in _CLOSED_V4)
        case IPv6Address():
            inside = found.scope_id is None and found in _OPEN_V6
            return inside and not any(found in network for network in _CLOSED_V6)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
