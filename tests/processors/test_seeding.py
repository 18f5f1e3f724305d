"""Invented data: equal for equal seeds, known by id where it is documented, and lifelike."""

import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal

import msgspec
import psycopg
import pytest

from admin.access.passwords import fits, form_of
from processors.database import Database
from processors.schema import apply_schema
from processors.seeding import AlreadySeeded, Size, seed
from processors.seeding.agency import Agency
from processors.seeding.examples import (
    DUE_IN_THREE_DAYS,
    FIVE_DAYS_OVERDUE,
    INVOICE_ID,
    THIRTY_DAYS_OVERDUE,
    USER_EMAIL,
    USER_ID,
    WITHOUT_ADDRESS,
    add_examples,
)
from processors.seeding.load import _agencies
from processors.seeding.rows import COLUMNS
from tests.processors.conftest import PASSWORD
from tests.support.postgres import Databases, Postgres

LIMIT_S = 60


class Open(msgspec.Struct, frozen=True):
    status: str
    due_in: int


class Invoice(msgspec.Struct, frozen=True):
    number: str
    total: Decimal
    of_items: Decimal
    status: str


async def first_open(database: Database, contract_id: str) -> Open | None:
    async with database.transaction() as work:
        return await work.one(
            Open,
            "SELECT status, local_day(due_date) - (now() AT TIME ZONE 'America/Sao_Paulo')::date"
            " AS due_in FROM rental_payments WHERE rental_contract_id = %(id)s"
            " AND status <> 'paid' ORDER BY due_date LIMIT 1",
            id=contract_id,
        )


@pytest.mark.parametrize(
    ("contract_id", "status", "due_in"),
    [
        (FIVE_DAYS_OVERDUE, "overdue", -5),
        (DUE_IN_THREE_DAYS, "pending", 3),
        (THIRTY_DAYS_OVERDUE, "overdue", -30),
        (WITHOUT_ADDRESS, "overdue", -5),
    ],
)
async def test_the_contracts_of_the_examples_are_as_late_as_they_say(
    seeded: Database, contract_id: str, status: str, due_in: int
) -> None:
    assert await first_open(seeded, contract_id) == Open(status, due_in)


async def test_the_user_and_the_invoice_of_the_examples_are_there(seeded: Database) -> None:
    async with seeded.transaction() as work:
        email = await work.value(str, "SELECT email FROM users WHERE id = %(id)s", id=USER_ID)
        invoice = await work.one(
            Invoice,
            "SELECT number, total, status,"
            " (SELECT sum(total) FROM invoice_items WHERE invoice_id = invoices.id)"
            " - discount AS of_items FROM invoices WHERE id = %(id)s",
            id=INVOICE_ID,
        )

    assert email == USER_EMAIL
    assert invoice is not None
    assert (invoice.number, invoice.status) == ("INV-012345", "draft")
    assert invoice.total == invoice.of_items


@pytest.mark.slow
def test_the_examples_can_be_made_on_any_day() -> None:
    for days in range(366 * 4):
        agency = Agency(1, 1, date(2024, 1, 1) + timedelta(days=days), "hash")
        agency.found()
        add_examples(agency)

        assert len(agency.rows.of("rental_payments")) == 4 * 24


def test_equal_seeds_make_equal_rows() -> None:
    def made(seed: int) -> list[object]:
        agencies = _agencies(Size.SMALL, seed, date(2026, 1, 31), "hash")
        return [agency.rows.of(table) for agency in agencies for table in COLUMNS]

    assert made(1) == made(1)
    assert made(1) != made(2)


async def test_two_agencies_have_fifty_properties_and_most_rent_came_in(seeded: Database) -> None:
    async with seeded.transaction() as work:
        counted = [
            await work.value(int, f"SELECT count(*) FROM {table}")
            for table in ("tenants", "properties")
        ]
        in_time = await work.value(
            Decimal,
            "SELECT avg((status = 'paid' AND local_day(paid_date) <= local_day(due_date))::int)"
            " FROM rental_payments WHERE status <> 'pending'",
        )
        contracts = await work.value(
            int,
            "SELECT count(*) FROM (SELECT 1 FROM rental_payments GROUP BY rental_contract_id"
            " HAVING count(*) <> 24) odd",
        )

    assert counted == [2, 50]
    assert in_time is not None
    assert 0.78 < in_time < 0.92
    assert contracts == 0


def test_a_database_with_rows_in_it_is_left_alone(databases: Databases) -> None:
    with databases.fresh("seeded") as server, pytest.raises(AlreadySeeded):
        seed(server, Size.SMALL)


def test_the_documented_admin_can_log_in(databases: Databases) -> None:
    with databases.fresh("seeded") as server, psycopg.connect(server.conninfo()) as connection:
        row = connection.execute("SELECT password FROM users WHERE id = '1'").fetchone()

    assert row is not None
    assert fits(form_of(str(row[0])), str(row[0]), PASSWORD)


def test_the_command_fills_an_empty_database(postgres: Postgres) -> None:
    with Databases(postgres, {}).fresh() as server:
        ended = subprocess.run(
            [sys.executable, "-m", "processors.seeding", "--size", "small"],
            env={"DATABASE_URL": postgres.url_of(server.name)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "50 properties" in ended.stdout
    assert "log in as admin@sol.com" in ended.stdout


def test_production_is_not_filled_with_invented_people() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "processors.seeding"],
        env={"DATABASE_URL": "postgresql://app@127.0.0.1:1/x", "STREAMQ_ENV": "production"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert ended.returncode == 2
    assert "invented data" in ended.stderr


@pytest.mark.slow
def test_the_medium_size_is_written_by_copy(postgres: Postgres) -> None:
    with Databases(postgres, {}).fresh() as server:
        apply_schema(server)
        rows = seed(server, Size.MEDIUM).rows

    assert (rows["tenants"], rows["properties"]) == (20, 5_000)
    assert rows["rental_payments"] > 40_000
