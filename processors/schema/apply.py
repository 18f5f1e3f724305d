"""Brings a database to the schema of this release.

The files `NNN_what.sql` are applied in order, each once and in a transaction of its own, and
written down with the hash of their text in `streamq_schema`. A file that was applied is never
changed again: what comes after it is a new one.
"""

import hashlib
import re
from pathlib import Path
from typing import Final

import msgspec
import psycopg
from psycopg.rows import TupleRow

from processors.database.pool import conninfo_of
from processors.database.url import DatabaseServer

FOLDER: Final = Path(__file__).parent
LOCK: Final = 7_362_518_904
"""An advisory lock of this number: two releases that start at once apply nothing twice."""
_FILE: Final = re.compile(r"(\d{3})_[a-z0-9_]+\.sql")
_LOCK_LIMIT: Final = "SET lock_timeout = '60s'; SET statement_timeout = '600s'"


class SchemaChanged(Exception):
    """What was applied is not what this release has: it does not go on from there."""


class Step(msgspec.Struct, frozen=True):
    """One file."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def steps(folder: Path = FOLDER) -> tuple[Step, ...]:
    """The files, in order. Numbers begin at 1 and leave none out."""
    found = [
        Step(int(match[1]), path.name, path.read_text("utf-8"))
        for path in sorted(folder.glob("*.sql"))
        if (match := _FILE.fullmatch(path.name))
    ]
    numbers = [step.number for step in found]
    if numbers != list(range(1, len(found) + 1)):
        raise SchemaChanged(f"{folder} holds the numbers {numbers}: they go 1, 2, 3, ...")
    return tuple(found)


def apply_schema(server: DatabaseServer, folder: Path = FOLDER) -> tuple[str, ...]:
    """Applies what is missing; the names of the files that were. Blocking.

    Raises SchemaChanged, psycopg.Error: the files before the one that failed stay applied.
    """
    applied: list[str] = []
    with psycopg.connect(conninfo_of(server), autocommit=True) as connection:
        connection.execute(_LOCK_LIMIT)
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        connection.execute(
            "CREATE TABLE IF NOT EXISTS streamq_schema (number integer PRIMARY KEY,"
            " name text NOT NULL, sha256 text NOT NULL, applied_at timestamptz DEFAULT now())"
        )
        for step in _missing(connection, steps(folder)):
            with connection.transaction():
                connection.execute(step.text.encode())
                connection.execute(
                    "INSERT INTO streamq_schema (number, name, sha256) VALUES (%s, %s, %s)",
                    [step.number, step.name, step.sha256],
                )
            applied.append(step.name)
    return tuple(applied)


def _missing(connection: psycopg.Connection[TupleRow], known: tuple[Step, ...]) -> tuple[Step, ...]:
    rows = connection.execute("SELECT number, name, sha256 FROM streamq_schema ORDER BY number")
    done = rows.fetchall()
    for (number, name, sha256), step in zip(done, known, strict=False):
        if (number, sha256) != (step.number, step.sha256):
            raise SchemaChanged(
                f"{name} was applied with another text than this release's {step.name} has."
                " Put the old text back, and write what is new into a new file"
            )
    if len(done) > len(known):
        raise SchemaChanged(
            f"{done[-1][1]} was applied by a newer release; this one knows {len(known)} files"
        )
    return known[len(done) :]
