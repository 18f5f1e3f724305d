"""A real PostgreSQL for tests, and databases on it that are made by copying a template.

with running() as postgres:
    psycopg.connect(postgres.url)

databases = Databases(postgres, {"schema": apply_schema})
with databases.fresh("schema") as server:  # made once, copied in some 30 ms
    Database(server)
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import psycopg

from processors.database.url import DatabaseServer, parse_database_url
from processors.standins.postgres import NoPostgres, PostgresServer

__all__ = ["Databases", "NoPostgres", "Postgres", "running"]

Postgres = PostgresServer


@contextmanager
def running() -> Iterator[Postgres]:
    """A server whose data goes away with it. Raises NoPostgres."""
    with PostgresServer(tcp=True) as server:
        yield server


class Databases:
    """Databases of one server, copied from templates that are filled when first asked for."""

    def __init__(
        self, postgres: Postgres, fillers: Mapping[str, Callable[[DatabaseServer], object]]
    ) -> None:
        self.postgres = postgres
        self._fillers = fillers
        self._templates: dict[str, str] = {}

    @contextmanager
    def fresh(self, template: str | None = None) -> Iterator[DatabaseServer]:
        """A database of the test's own, with what that template's filler put in; None: nothing."""
        name = self._create("test", self._filled(template))
        try:
            yield self._server(name)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def _filled(self, template: str | None) -> str:
        if template is None:
            return "template0"
        if template not in self._templates:
            made = self._create(template, "template0")
            self._fillers[template](self._server(made))
            self._templates[template] = made
        return self._templates[template]

    def _create(self, stem: str, template: str) -> str:
        name = f"{stem}_{secrets.token_hex(4)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def _server(self, name: str) -> DatabaseServer:
        return parse_database_url(self.postgres.url_of(name))

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(statement.encode())
