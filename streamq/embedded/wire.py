"""Two questions to a server over a bare socket, so that starting one needs no client library."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

Address = Path | tuple[str, int]
"""The path of a unix socket, or (host, port)."""

_ASK_LIMIT_S: Final = 1.0
_ANSWER_BYTES_MAX: Final = 64 * 1024


class About(msgspec.Struct, frozen=True):
    """What a server says of itself."""

    version: str
    pid: int


def ask(address: Address, *, limit_s: float) -> About | None:
    """What answers PING at that address; None while nothing does, or it is still loading."""
    try:
        with _connect(address, min(limit_s, _ASK_LIMIT_S)) as link, link.makefile("rb") as answers:
            link.sendall(b"PING\r\n")
            if answers.readline(_ANSWER_BYTES_MAX) != b"+PONG\r\n":
                return None
            link.sendall(b"INFO server\r\n")
            facts = dict(_facts(_bulk(answers)))
    except OSError:
        return None
    return About(
        version=facts.get("valkey_version", facts.get("redis_version", "")),
        pid=int(facts.get("process_id", 0)),
    )


def _connect(address: Address, limit_s: float) -> socket.socket:
    kind = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    link = socket.socket(kind)
    try:
        link.settimeout(limit_s)
        link.connect(str(address) if isinstance(address, Path) else address)
    except OSError:
        link.close()
        raise
    return link


def _bulk(answers: BinaryIO) -> str:
    head = answers.readline(_ANSWER_BYTES_MAX)
    if not head.startswith(b"$"):
        return ""
    return answers.read(min(int(head[1:]), _ANSWER_BYTES_MAX)).decode(errors="replace")


def _facts(info: str) -> Iterator[tuple[str, str]]:
    for line in info.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name, value
