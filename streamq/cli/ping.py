"""Asks a Redis whether it is there, over a bare socket: for `health`, and before a verb connects.

The client library takes 0.1 s to import and seconds to say that nobody listens; this takes a
millisecond, or at most its limit, and tells a wrong password and TLS from a dead server.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from streamq.errors import RedisRefusedPassword, RedisSpeaksTls, RedisUnavailable
from streamq.lookup import RedisPlace

LIMIT_S: Final = 2.0
"""For all of it: finding the host, connecting, the answer."""
REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379

_LINE_BYTES_MAX: Final = 4_096
_ADDRESSES_MAX: Final = 8
_TLS_ALERT: Final = b"\x15\x03"
"""How a server begins that was not spoken to in TLS and speaks it."""
_LEFT_MIN_S: Final = 0.01


def ping(place: RedisPlace, limit_s: float = LIMIT_S) -> float:
    """How many milliseconds the PING took.

    Of several hosts (sentinels, nodes) the first that answers counts. Raises `RedisUnavailable`,
    `RedisRefusedPassword`, `RedisSpeaksTls`.
    """
    return _Asking(place, time.monotonic() + limit_s).ping()


def shown(place: RedisPlace) -> str:
    """The place without user and password."""
    parts = urlsplit(place.url)
    if parts.scheme == "unix":
        return unquote(parts.path)
    hosts = parts.netloc.rpartition("@")[2] or "localhost"
    return hosts if ":" in hosts or parts.scheme.startswith("redis+") else f"{hosts}:{REDIS_PORT}"


class _Asking:
    """One question to one place, until its deadline."""

    def __init__(self, place: RedisPlace, deadline: float) -> None:
        self._place, self._deadline = place, deadline
        self._parts: SplitResult = urlsplit(place.url)
        self._options = {key: values[-1] for key, values in parse_qs(self._parts.query).items()}

    def ping(self) -> float:
        match self._parts.scheme:
            case "unix":
                return self._ask(None)
            case "redis+sentinel":
                return self._ask(self._first_of(self._hosts(SENTINEL_PORT)))
            case "redis+cluster":
                return self._any(self._hosts(REDIS_PORT))
            case _:
                return self._ask(
                    (self._parts.hostname or "localhost", self._parts.port or REDIS_PORT)
                )

    def _hosts(self, port: int) -> list[tuple[str, int]]:
        listed = self._parts.netloc.rpartition("@")[2].split(",")
        pairs = (host.partition(":") for host in listed[:_ADDRESSES_MAX] if host)
        return [(host, int(given) if given.isdigit() else port) for host, _, given in pairs]

    def _any(self, hosts: list[tuple[str, int]]) -> float:
        why = "no host is named"
        for host in hosts:
            try:
                return self._ask(host)
            except RedisUnavailable as error:
                why = error.why
        raise self._away(why)

    def _first_of(self, sentinels: list[tuple[str, int]]) -> tuple[str, int]:
        """Where the sentinels say that the master is."""
        service = self._parts.path.strip("/").partition("/")[0] or "master"
        why = "no sentinel is named"
        for sentinel in sentinels:
            try:
                with self._connected(sentinel) as link, link.makefile("rb") as answers:
                    link.sendall(_packed("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service))
                    found = _read_pair(answers)
            except RedisUnavailable as error:
                why = error.why
                continue
            except OSError as error:
                why = _reason(error)
                continue
            if found is not None:
                return found
            why = f"the sentinel does not know {service}"
        raise self._away(why)

    def _ask(self, host: tuple[str, int] | None) -> float:
        began = time.monotonic()
        try:
            with self._connected(host) as link, link.makefile("rb") as answers:
                self._log_in(link, answers)
                link.sendall(_packed("PING"))
                said = answers.readline(_LINE_BYTES_MAX)
        except OSError as error:
            if isinstance(error, ConnectionResetError) and self._speaks_tls(host):
                raise RedisSpeaksTls(shown(self._place), self._place.origin) from error
            raise self._away(_reason(error)) from error
        if not said and self._speaks_tls(host):
            raise RedisSpeaksTls(shown(self._place), self._place.origin)
        self._check(said)
        return (time.monotonic() - began) * 1_000

    def _speaks_tls(self, host: tuple[str, int] | None) -> bool:
        """Whether who hung up on us without a word would have heard TLS."""
        if self._parts.scheme == "rediss":
            return False
        import ssl

        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with contextlib.suppress(OSError), self._opened(host) as link:
            link.settimeout(self._left_s())
            context.wrap_socket(link).close()
            return True
        return False

    def _log_in(self, link: socket.socket, answers: BinaryIO) -> None:
        user = self._options.get("username") or unquote(self._parts.username or "")
        password = self._options.get("password") or unquote(self._parts.password or "")
        if password:
            link.sendall(_packed("AUTH", *([user] if user else []), password))
            said = answers.readline(_LINE_BYTES_MAX)
            # A server without a password says so to AUTH, and is there all the same.
            if not said.startswith((b"+OK", b"-ERR AUTH", b"-ERR Client sent AUTH")):
                self._check(said, login=True)

    def _check(self, said: bytes, *, login: bool = False) -> None:
        """Raises what any answer but PONG means."""
        if said.startswith(b"+PONG"):
            return
        if said.startswith(_TLS_ALERT):
            raise RedisSpeaksTls(shown(self._place), self._place.origin)
        if said.startswith((b"-NOAUTH", b"-WRONGPASS")) or (login and said.startswith(b"-ERR")):
            user = unquote(self._parts.username or "") or "default"
            raise RedisRefusedPassword(self._place.origin, user)
        if not said:
            raise self._away("it closed the connection")
        text = said.decode(errors="replace").strip().removeprefix("-")
        raise self._away(
            "it is loading its data" if text.startswith("LOADING") else f"it answers {text[:80]!r}"
        )

    @contextlib.contextmanager
    def _connected(self, host: tuple[str, int] | None) -> Iterator[socket.socket]:
        link = self._opened(host)
        try:
            link.settimeout(self._left_s())
            if self._parts.scheme == "rediss" or self._options.get("tls") == "1":
                link = self._in_tls(link, host[0] if host else "")
            yield link
        finally:
            link.close()

    def _opened(self, host: tuple[str, int] | None) -> socket.socket:
        if host is None:
            return self._connect(socket.AF_UNIX, unquote(self._parts.path))
        failure: OSError = OSError("unknown host")
        for family, address in self._addresses(*host):
            try:
                return self._connect(family, address)
            except OSError as error:
                failure = error
        raise failure

    def _connect(self, family: int, address: "str | tuple[str, int]") -> socket.socket:
        link = socket.socket(family, socket.SOCK_STREAM)
        try:
            link.settimeout(self._left_s())
            link.connect(address)
        except OSError:
            link.close()
            raise
        return link

    def _addresses(self, host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
        """What the name stands for. A resolver takes no time-out from us, so it gets a thread."""
        found: list[tuple[int, tuple[str, int]]] = []

        def resolve() -> None:
            with contextlib.suppress(OSError):
                for family, _, _, _, address in socket.getaddrinfo(
                    host, port, type=socket.SOCK_STREAM
                ):
                    found.append((family, (str(address[0]), int(address[1]))))

        resolving = threading.Thread(target=resolve, daemon=True)
        resolving.start()
        resolving.join(self._left_s())
        if resolving.is_alive():
            raise TimeoutError
        return found[:_ADDRESSES_MAX]

    def _in_tls(self, link: socket.socket, host: str) -> socket.socket:
        """With the options that redis-py takes from a URL."""
        import ssl

        options = self._options
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        wanted = options.get("ssl_cert_reqs", "required").lower()
        if wanted == "none" or options.get("ssl_check_hostname", "").lower() in ("false", "0"):
            context.check_hostname = False
        if wanted == "none":
            context.verify_mode = ssl.CERT_NONE
        if certificate := options.get("ssl_certfile"):
            context.load_cert_chain(certificate, options.get("ssl_keyfile"))
        try:
            return context.wrap_socket(link, server_hostname=host)
        except TimeoutError:
            # A Redis without TLS takes our greeting for the beginning of a command, and waits.
            raise OSError("it does not answer TLS: if it speaks none, use redis://") from None

    def _left_s(self) -> float:
        return max(_LEFT_MIN_S, self._deadline - time.monotonic())

    def _away(self, why: str) -> RedisUnavailable:
        return RedisUnavailable(shown(self._place), self._place.origin, why)


def _packed(*words: str) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)


def _read_pair(answers: BinaryIO) -> tuple[str, int] | None:
    """An array of a host and a port; None for anything else."""
    if answers.readline(_LINE_BYTES_MAX).strip() != b"*2":
        return None
    pair = []
    for _ in range(2):
        answers.readline(_LINE_BYTES_MAX)
        pair.append(answers.readline(_LINE_BYTES_MAX).strip().decode())
    return pair[0], int(pair[1])


def _reason(error: OSError) -> str:
    """Why there is no connection, as people say it."""
    said = str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if "WRONG_VERSION_NUMBER" in said or "RECORD_LAYER_FAILURE" in said:
        return "it does not speak TLS: use redis://"
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f"its certificate is not trusted ({getattr(error, 'verify_message', said)})"
    if error.errno is None:
        return said
    return os.strerror(error.errno).lower()
