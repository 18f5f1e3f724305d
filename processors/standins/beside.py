"""What `make dev` brings up beside Redis: PostgreSQL with schema and seed data, and an S3.

    with stand_ins(Path(".streamq")) as stood:
        os.environ.update(stood.variables)   # before the workers and the admin are started

A server that the environment names is used and not started. All end with the block, or with the
thread that entered it, however that ends.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import psycopg

from processors.database.url import DatabaseServer, parse_database_url
from processors.schema import SchemaChanged, apply_schema
from processors.seeding import AlreadySeeded, Size, seed
from processors.settings import database_server, load_settings
from processors.standins.postgres import SUPERUSER, PostgresServer
from processors.standins.s3 import S3Server
from streamq.brought import Beside
from streamq.errors import ConfigError

DATABASE: Final = "imobibase"
OURS: Final = "[no DATABASE_URL set]"


@contextmanager
def stand_ins(
    folder: Path, *, size: Size = Size.SMALL, environ: Mapping[str, str] = os.environ
) -> Iterator[Beside]:
    """Blocking: some 2 s, on the first start 3 s.

    `folder` keeps the database (a root's is elsewhere, see `PostgresServer`) and S3's objects. A
    database of our own gets the schema and, once, the data; one that DATABASE_URL names is left as
    it is. Raises ConfigError.
    """
    with ExitStack() as stack:
        variables: dict[str, str] = {}
        if environ.get("DATABASE_URL") or environ.get("DATABASE_URL_FILE"):
            about = f"{database_server(environ)}   (from DATABASE_URL)"
        else:
            server = stack.enter_context(PostgresServer(folder / "postgres"))
            variables["DATABASE_URL"] = server.url_of(DATABASE)
            about = _filled(server, size)
        facts = [("database", about)]
        if environ.get("S3_ENDPOINT_URL") or environ.get("EXPORT_BUCKET"):
            facts.append(("s3", "as the environment says"))
        else:
            s3 = stack.enter_context(S3Server(folder / "s3"))
            variables |= s3.variables
            facts.append(("s3", f"started moto at {s3.url}, files in {folder / 's3'}"))
        facts.append(("mail", _mailed(environ)))
        yield Beside(variables, tuple(facts))


def _mailed(environ: Mapping[str, str]) -> str:
    settings = load_settings(production=False, environ=environ)
    if settings.sendgrid is not None or settings.smtp is not None:
        return "as the environment says"
    return f"in a browser:  {settings.outbox / 'index.html'}"


def _filled(postgres: PostgresServer, size: Size) -> str:
    """Makes the database if it is new; what the banner says of it."""
    with psycopg.connect(postgres.url_of(SUPERUSER), autocommit=True) as connection:
        version = connection.info.parameter_status("server_version")
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if known.fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}".encode())
    server = parse_database_url(postgres.url_of(DATABASE))
    try:
        apply_schema(server)
    except SchemaChanged as error:
        raise ConfigError(f"{error}. Or begin anew: remove {postgres.data}") from error
    return f"started postgres {version}, {_seeded(server, size)}"


def _seeded(server: DatabaseServer, size: Size) -> str:
    try:
        done = seed(server, size)
    except AlreadySeeded:
        return "with the data of before"
    return (
        f"schema + {size} seed data ({done.rows['tenants']} agencies,"
        f" {done.rows['properties']} properties), admin@sol.com logs in with {done.password}"
    )
