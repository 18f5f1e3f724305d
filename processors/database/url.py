"""DATABASE_URL: what it says, and what it may not say."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from streamq.errors import MissingExtra

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ModuleNotFoundError as error:
    raise MissingExtra("jobs on PostgreSQL", "psycopg", "processors") from error

EXAMPLE: Final = "postgresql://user:password@db.example.com:5432/imobibase"
# libpq expands a name that holds `=` into a whole connection string, and would send the password
# wherever that leads; `-` at its front is an option to pg_dump. See security.md, 33.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_VERIFIED: Final = "verify-full"
_SYSTEM: Final = "system"


class InvalidDatabaseUrl(ValueError):
    """The URL names no database that we would connect to. The message never shows the URL."""


class DatabaseServer(msgspec.Struct, frozen=True):
    """One database on one server; its password is in nobody's repr."""

    host: str
    """A name, an address, the folder of a socket (it begins with `/`), or several after commas."""
    port: str
    name: str
    user: str
    password: str | None
    options: Mapping[str, str]
    """The rest, as libpq names it: sslmode, sslrootcert, connect_timeout, ..."""

    def __repr__(self) -> str:
        return f"DatabaseServer({self})"

    def __str__(self) -> str:
        return f"{self.name} at {self.host}:{self.port}"

    @property
    def sslmode(self) -> str:
        return self.options["sslmode"]

    def conninfo(self, **more: str | int) -> str:
        """For psycopg; never for a log or the words of a command."""
        return make_conninfo(
            "",
            host=self.host,
            port=self.port,
            dbname=self.name,
            user=self.user,
            password=self.password,
            **{**self.options, **more},
        )


def parse_database_url(url: str) -> DatabaseServer:
    """What DATABASE_URL says. Raises InvalidDatabaseUrl.

    Off this machine TLS with a verified name is the rule (`sslmode=verify-full`, the system's
    certificates); a URL that wants less says so: `?sslmode=require`.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise InvalidDatabaseUrl(f"it does not begin with postgresql://; for example {EXAMPLE}")
    try:
        said = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError as error:
        raise InvalidDatabaseUrl(f"it is no URL of a database; for example {EXAMPLE}") from error
    name = said.pop("dbname", "")
    if _NAME.fullmatch(name) is None:
        raise InvalidDatabaseUrl(
            "the database's name may have letters, digits, `_`, `.` and `-`, and not begin with"
            f" `.` or `-`; for example {EXAMPLE}"
        )
    if not (user := said.pop("user", "")):
        raise InvalidDatabaseUrl(f"it names no user; for example {EXAMPLE}")
    for word in ("service", "servicefile", "passfile"):
        if word in said:
            raise InvalidDatabaseUrl(f"it may not send us to a file ({word})")
    host = said.pop("host", "localhost")
    port = said.pop("port", "5432")
    password = said.pop("password", None)
    return DatabaseServer(host, port, name, user, password, _with_tls(host, said))


def _with_tls(host: str, said: dict[str, str]) -> dict[str, str]:
    near = all(_is_near(one) for one in host.split(","))
    options = {"sslmode": "prefer" if near else _VERIFIED} | said
    if options["sslmode"] == _VERIFIED:
        options = {"sslrootcert": _SYSTEM} | options
    return options


def _is_near(host: str) -> bool:
    if host.startswith(("/", "@")) or host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
