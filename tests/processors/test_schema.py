"""The schema's files: applied once each, in order, and never with another text."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from processors.database import DatabaseServer
from processors.schema import SchemaChanged, apply_schema
from processors.schema.apply import steps
from tests.support.postgres import Databases, Postgres

LIMIT_S = 30


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[DatabaseServer]:
    """A database without anything in it."""
    with Databases(postgres, {}).fresh() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "001_one.sql").write_text("CREATE TABLE one (id int)")
    (tmp_path / "002_two.sql").write_text("CREATE TABLE two (id int); INSERT INTO one VALUES (1)")
    return tmp_path


def _count(server: DatabaseServer, table: str) -> int:
    with psycopg.connect(server.conninfo()) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_each_file_is_applied_once(empty: DatabaseServer, folder: Path) -> None:
    assert apply_schema(empty, folder) == ("001_one.sql", "002_two.sql")
    assert apply_schema(empty, folder) == ()

    (folder / "003_three.sql").write_text("INSERT INTO one VALUES (2)")
    assert apply_schema(empty, folder) == ("003_three.sql",)
    assert _count(empty, "one") == 2


def test_a_file_that_was_applied_may_not_change(empty: DatabaseServer, folder: Path) -> None:
    apply_schema(empty, folder)
    (folder / "001_one.sql").write_text("CREATE TABLE one (id bigint)")
    (folder / "003_three.sql").write_text("INSERT INTO one VALUES (2)")

    with pytest.raises(SchemaChanged, match=r"001_one\.sql was applied with another text"):
        apply_schema(empty, folder)

    assert _count(empty, "one") == 1


def test_an_older_release_does_not_go_on(empty: DatabaseServer, folder: Path) -> None:
    apply_schema(empty, folder)
    (folder / "002_two.sql").unlink()

    with pytest.raises(SchemaChanged, match="applied by a newer release"):
        apply_schema(empty, folder)


def test_a_file_that_fails_leaves_nothing_of_itself(empty: DatabaseServer, folder: Path) -> None:
    (folder / "003_three.sql").write_text("INSERT INTO one VALUES (2); SELECT 1/0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        apply_schema(empty, folder)
    assert _count(empty, "one") == 1

    (folder / "003_three.sql").write_text("INSERT INTO one VALUES (2)")
    assert apply_schema(empty, folder) == ("003_three.sql",)


def test_two_that_start_at_once_apply_each_file_once(empty: DatabaseServer, folder: Path) -> None:
    said: list[tuple[str, ...]] = []
    both = [
        threading.Thread(target=lambda: said.append(apply_schema(empty, folder))) for _ in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join(LIMIT_S)

    assert sorted(said) == [(), ("001_one.sql", "002_two.sql")]


def test_numbers_leave_none_out(folder: Path) -> None:
    (folder / "004_four.sql").write_text("SELECT 1")

    with pytest.raises(SchemaChanged, match="1, 2, 3"):
        steps(folder)


def test_the_tables_of_the_application_may_be_there_already(empty: DatabaseServer) -> None:
    with psycopg.connect(empty.conninfo()) as connection:
        connection.execute(steps()[0].text.encode())

    assert apply_schema(empty) == tuple(step.name for step in steps())


def test_the_command_applies_and_says_what(postgres: Postgres) -> None:
    with Databases(postgres, {}).fresh() as server:
        ended = subprocess.run(
            [sys.executable, "-m", "processors.schema"],
            env={"DATABASE_URL": postgres.url_of(server.name)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "001_application.sql, 002_jobs.sql" in ended.stdout


def test_the_command_names_the_variable_that_is_missing() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "processors.schema"],
        env={},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("DATABASE_URL is not set. For example:")
