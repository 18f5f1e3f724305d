"""Cookies as they come in, several of one name included, and as they go out."""

from collections.abc import Iterator
from typing import Final

import msgspec
from starlette.requests import HTTPConnection

HEADER_CHARS_MAX: Final = 16 << 10
CANDIDATES_MAX: Final = 4
"""Of one name: another path, or another host above ours, may have set one too."""
VALUE_CHARS_MAX: Final = 512


class Cookie(msgspec.Struct, frozen=True):
    """How a cookie of ours is set. Scripts never see it; other sites' requests do not carry it,
    but for a link that somebody follows."""

    name: str
    secure: bool
    path: str = "/"

    def header(self, value: str, max_age_s: int) -> str:
        """The value of Set-Cookie; an age of 0 takes it back."""
        parts = [f"{self.name}={value}", f"Max-Age={max_age_s}", f"Path={self.path}", "HttpOnly"]
        if self.secure:
            parts.append("Secure")
        return "; ".join([*parts, "SameSite=Lax"])


def cookies_of(connection: HTTPConnection, name: str) -> Iterator[str]:
    """The values of a name, as they stand there, in their order."""
    found = 0
    for line in connection.headers.getlist("cookie"):
        for part in line[:HEADER_CHARS_MAX].split(";"):
            key, _, value = part.partition("=")
            if key.strip() != name:
                continue
            found += 1
            if found > CANDIDATES_MAX:
                return
            value = value.strip().strip('"')
            if 0 < len(value) <= VALUE_CHARS_MAX:
                yield value
