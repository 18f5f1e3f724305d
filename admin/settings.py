"""What the admin must know of where it runs: from the environment, checked at the start.

What several of its parts need stands here; users and tokens read the texts named for them.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec

from streamq.errors import ConfigError, InvalidSetting
from streamq.settings import read_secret

ORIGIN: Final = "environment"

BODY_BYTES_MAX: Final = 1 << 20
"""Of a request: four times the payload that a queue takes by default."""
REQUESTS_A_MINUTE: Final = 100
REQUESTS_A_MINUTE_MAX: Final = 1_000_000
STREAMS_EACH: Final = 8
"""Open event streams of one person: a few tabs, and not a thousand."""
STREAMS_MAX: Final = 64

_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,252})|\[[0-9a-f:.]+\]")
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9_.-]+)*")
_YES: Final = ("1", "true", "yes", "on")
_NO: Final = ("0", "false", "no", "off", "")
_EXAMPLE: Final = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
T = TypeVar("T")


class UnsetSessionSecret(ConfigError):
    """Without it anybody could sign a session."""

    code = "SQ501"

    def __init__(self) -> None:
        super().__init__(
            "SESSION_SECRET is not set and STREAMQ_ENV=production: refusing to start."
            f" Make one:  {_EXAMPLE}"
        )


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one admin process."""

    production: bool = False
    prefix: str = ""
    """What all paths begin with, where a proxy hands on a part of a site: `/ops`."""
    session_secret: str | None = None
    cron_secret: str | None = None
    """What outside schedulers send; None: nobody may."""
    database_url: str | None = None
    """Where the `users` table is; may hold a password."""
    users: str = ""
    """Users by configuration, as ADMIN_USERS has them."""
    tokens: str = ""
    """Tokens by configuration, as ADMIN_TOKENS has them."""
    hosts: frozenset[str] = frozenset()
    """Names by which it may be asked for, beside those of this machine's loopback."""
    proxies: tuple[Network, ...] = ()
    """Whose X-Forwarded-For is believed."""
    read_only: bool = False
    """It shows, and changes nothing; who logs in may still log out."""
    secure_cookies: bool = False
    """Cookies go over TLS only."""
    requests_a_minute: int = REQUESTS_A_MINUTE
    body_bytes_max: int = BODY_BYTES_MAX
    streams_each: int = STREAMS_EACH
    streams_max: int = STREAMS_MAX

    def __repr__(self) -> str:
        return f"Settings(production={self.production}, prefix={self.prefix!r})"  # no secret


def load_settings(
    *, production: bool, prefix: str = "", environ: Mapping[str, str] = os.environ
) -> Settings:
    """The settings that the variables give; an empty one counts as not set.

    `production` is the engine's word (`app.settings.env`). SESSION_SECRET, CRON_SECRET,
    DATABASE_URL, ADMIN_USERS and ADMIN_TOKENS, each of them or its `..._FILE`; ADMIN_HOSTS and
    ADMIN_TRUSTED_PROXIES (after commas), ADMIN_REQUESTS_PER_MINUTE, ADMIN_SECURE_COOKIES. Raises
    UnsetSessionSecret, InvalidSetting, UnreadableSettings.
    """
    session_secret = read_secret(environ, "SESSION_SECRET")
    if production and session_secret is None:
        raise UnsetSessionSecret()
    return Settings(
        production=production,
        prefix=_read({"--prefix": prefix}, "--prefix", _checked_prefix, ""),
        session_secret=session_secret,
        cron_secret=read_secret(environ, "CRON_SECRET"),
        database_url=read_secret(environ, "DATABASE_URL"),
        users=read_secret(environ, "ADMIN_USERS") or "",
        tokens=read_secret(environ, "ADMIN_TOKENS") or "",
        hosts=_read(environ, "ADMIN_HOSTS", _hosts, frozenset()),
        proxies=_read(environ, "ADMIN_TRUSTED_PROXIES", _networks, ()),
        secure_cookies=_read(environ, "ADMIN_SECURE_COOKIES", _flag, production),
        requests_a_minute=_read(
            environ, "ADMIN_REQUESTS_PER_MINUTE", _requests_a_minute, REQUESTS_A_MINUTE
        ),
    )


def _read(environ: Mapping[str, str], name: str, read: Callable[[str], T], default: T) -> T:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        return read(text)
    except ValueError as error:
        origin = "command line" if name.startswith("--") else ORIGIN
        raise InvalidSetting(name, text, origin, str(error)) from None


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _checked_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError("give a path such as /ops, without a slash at its end.")
    return text


def _hosts(text: str) -> frozenset[str]:
    hosts = frozenset(host.lower() for host in _parts(text))
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(f"{host!r} is no name of a host; give names without ports.")
    return hosts


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part) for part in _parts(text))
    except ValueError as error:
        raise ValueError(f"{error}; give addresses or networks: 10.0.0.0/8,::1") from None


def _flag(text: str) -> bool:
    if text.lower() not in _YES + _NO:
        raise ValueError("give true or false.")
    return text.lower() in _YES


def _requests_a_minute(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0
    if not 1 <= number <= REQUESTS_A_MINUTE_MAX:
        raise ValueError(f"give a number from 1 to {REQUESTS_A_MINUTE_MAX:,}.")
    return number
