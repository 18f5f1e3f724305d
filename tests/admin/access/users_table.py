"""The application's `users` table, as its Node part made and filled it."""

import json
from pathlib import Path
from typing import Final

import msgspec
import psycopg

FIXTURES: Final = Path(__file__).parents[1] / "fixtures" / "node"

ADMIN_ID: Final = "1f0c3f0e-5a3d-4a52-9d0b-0d8f6f6f2a11"
BROKER_ID: Final = "2"
NUMBERED_ID: Final = "123"
"""Of the users who are logged in in sessions.json."""


class NodeHash(msgspec.Struct, frozen=True):
    """A password that the Node packages hashed."""

    form: str
    password: str
    hash: str


def node_hashes() -> list[NodeHash]:
    said = json.loads((FIXTURES / "passwords.json").read_text())
    return [NodeHash(**each) for each in said["passwords"]]


def node_hash(form: str) -> NodeHash:
    return next(each for each in node_hashes() if each.form == form)


class UsersInTable:
    """The table, in a database of the test's."""

    def __init__(self, connection: "psycopg.Connection[tuple[object, ...]]", url: str) -> None:
        self._connection = connection
        self.url = url

    def create(self) -> None:
        self._connection.execute(
            "CREATE TABLE users (id varchar PRIMARY KEY DEFAULT gen_random_uuid(),"
            " tenant_id varchar, name text, email text, password text, role text,"
            " created_at timestamp DEFAULT now())"
        )
        self.add(ADMIN_ID, "admin@sol.com", node_hash("bcryptjs").hash, "admin")
        self.add(BROKER_ID, "broker@sol.com", node_hash("bcryptjs").hash, "broker")
        self.add(NUMBERED_ID, "numbered@sol.com", node_hash("scrypt").hash, "admin")

    def drop(self) -> None:
        self._connection.execute("DROP TABLE IF EXISTS users")

    def add(self, user_id: str, email: str, stored: str | None, role: str | None) -> None:
        self._connection.execute(
            "INSERT INTO users (id, tenant_id, name, email, password, role)"
            " VALUES (%s, 't1', 'Somebody', %s, %s, %s)",
            [user_id, email, stored, role],
        )

    def change(self, user_id: str, **columns: str) -> None:
        for column, value in columns.items():
            self._connection.execute(
                psycopg.sql.SQL("UPDATE users SET {} = %s WHERE id = %s").format(
                    psycopg.sql.Identifier(column)
                ),
                [value, user_id],
            )

    def run(self, statement: str) -> None:
        self._connection.execute(statement.encode())

    def dump(self) -> list[tuple[object, ...]]:
        return self._connection.execute("SELECT * FROM users ORDER BY id").fetchall()
