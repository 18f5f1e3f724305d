"""The database as processors have it: rows, tenants, time, limits, and what its trouble means."""

import asyncio
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import psycopg
import pytest

from processors.database import Database, DatabaseServer, DatabaseUnavailable, TooManyRows
from processors.database.url import parse_database_url
from streamq import Fail
from tests.support.postgres import Postgres


class Renter(msgspec.Struct, frozen=True):
    name: str
    income: Decimal | None


class Number(msgspec.Struct, frozen=True):
    number: int


SOL, NOVA = "sol", "nova"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools that are made now wait for a connection for a moment only."""
    monkeypatch.setattr("processors.database.pool.WAIT_LIMIT_S", 0.2)


@pytest.fixture
async def agencies(database: Database) -> Database:
    """Two agencies with a renter and a user each."""
    async with database.transaction() as work:
        for tenant in (SOL, NOVA):
            await work.run(
                "INSERT INTO tenants (id, name, slug) VALUES (%(id)s, 'Agency', %(slug)s)",
                id=tenant,
                slug=tenant,
            )
            await work.run(
                "INSERT INTO renters (tenant_id, name, phone, income)"
                " VALUES (%(tenant)s, %(name)s, '1', 1550.50)",
                tenant=tenant,
                name=f"Ana of {tenant}",
            )
            await work.run(
                "INSERT INTO users (tenant_id, name, email, password)"
                " VALUES (%(tenant)s, 'Bo', %(email)s, 'hash')",
                tenant=tenant,
                email=f"bo@{tenant}.com",
            )
    return database


async def test_rows_come_as_the_struct_that_is_asked_for(agencies: Database) -> None:
    async with agencies.transaction() as work:
        row = await work.one(
            Renter, "SELECT name, income FROM renters WHERE tenant_id = %(tenant)s", tenant=SOL
        )
        nobody = await work.one(Renter, "SELECT name, income FROM renters WHERE false")

    assert row == Renter("Ana of sol", Decimal("1550.50"))
    assert nobody is None


async def test_a_second_row_where_one_is_asked_for_is_an_error(agencies: Database) -> None:
    with pytest.raises(TooManyRows):
        async with agencies.transaction() as work:
            await work.one(Renter, "SELECT name, income FROM renters")


async def test_a_list_has_a_limit_and_a_stream_has_none(database: Database) -> None:
    statement = "SELECT number FROM generate_series(1, 25000) AS number"
    async with database.transaction() as work:
        streamed = [row.number async for row in work.stream(Number, statement)]
        with pytest.raises(TooManyRows, match="stream them"):
            await work.every(Number, statement)

    assert streamed == list(range(1, 25_001))


async def test_a_transaction_that_raises_leaves_nothing(agencies: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with agencies.transaction() as work:
            await work.run("DELETE FROM renters")
            raise ZeroDivisionError

    async with agencies.transaction() as work:
        assert await work.value(int, "SELECT count(*) FROM renters") == 2


async def test_copy_writes_rows_of_every_kind(agencies: Database) -> None:
    at = datetime(2026, 1, 31, 22, 30, tzinfo=timezone(timedelta(hours=-3)))
    rows = [(SOL, f"Zoë\t{number}\n", "1", Decimal("0.10"), at) for number in range(2_000)]

    async with agencies.transaction() as work:
        await work.copy_in("renters", ["tenant_id", "name", "phone", "income", "created_at"], rows)

    async with agencies.transaction() as work:
        counted = await work.value(
            int,
            "SELECT count(*) FROM renters WHERE name LIKE 'Zo%%' AND income = 0.1"
            " AND created_at = '2026-02-01 01:30:00'",
        )
    assert counted == 2_000


async def test_times_are_utc_on_both_ways(database: Database) -> None:
    at = datetime(2026, 1, 31, 22, 30, 0, 123_456, tzinfo=timezone(timedelta(hours=-3)))
    async with database.transaction() as work:
        back = await work.value(datetime, "SELECT %(at)s::timestamp", at=at)

        with pytest.raises(ValueError, match="no time zone"):
            await work.value(datetime, "SELECT %(at)s", at=at.replace(tzinfo=None))

    assert back == at
    assert back is not None
    assert back.tzinfo is UTC


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-01-10 00:00:00", date(2026, 1, 10)),  # a day, as the application writes it
        ("2026-01-10 02:59:59", date(2026, 1, 9)),  # a moment: 23:59:59 in São Paulo
        ("2026-01-10 03:00:01", date(2026, 1, 10)),
    ],
)
async def test_the_day_of_a_column_is_a_day_of_sao_paulo(
    database: Database, moment: str, day: date
) -> None:
    async with database.transaction() as work:
        found = await work.value(date, "SELECT local_day(%(moment)s::timestamp)", moment=moment)

    assert found == day


async def test_a_tenant_sees_its_own_rows_only(agencies: Database) -> None:
    async with agencies.transaction(tenant=SOL) as work:
        seen = await work.every(Renter, "SELECT name, income FROM renters")
        changed = await work.run("UPDATE renters SET notes = 'x'")
        others = await work.run("DELETE FROM renters WHERE tenant_id = %(other)s", other=NOVA)

    assert [row.name for row in seen] == ["Ana of sol"]
    assert (changed, others) == (1, 0)


async def test_a_tenant_writes_no_row_of_another(agencies: Database) -> None:
    with pytest.raises(Fail, match="row-level security"):
        async with agencies.transaction(tenant=SOL) as work:
            await work.run(
                "INSERT INTO renters (tenant_id, name, phone) VALUES (%(other)s, 'x', '1')",
                other=NOVA,
            )


@pytest.mark.parametrize(
    "statement", ["SELECT password FROM users", "SELECT * FROM users", "SELECT * FROM backups"]
)
async def test_a_tenant_reads_no_password_and_no_table_of_the_house(
    agencies: Database, statement: str
) -> None:
    with pytest.raises(Fail, match="permission denied"):
        async with agencies.transaction(tenant=SOL) as work:
            await work.connection.execute(statement.encode())


async def test_the_next_transaction_is_nobodys_tenant(agencies: Database) -> None:
    async with agencies.transaction(tenant=SOL) as work:
        await work.run("SELECT 1")

    async with agencies.transaction() as work:
        assert await work.value(int, "SELECT count(*) FROM renters") == 2


async def test_every_table_is_fenced_or_closed_to_tenants(database: Database) -> None:
    """A table that is added must say whose its rows are; this one finds those that do not."""
    async with database.transaction() as work:
        open_tables = await work.value(
            str,
            """
            SELECT string_agg(c.relname, ' ') FROM pg_class c
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
              AND has_table_privilege('imobibase_tenant', c.oid, 'SELECT, INSERT, UPDATE, DELETE')
              AND c.relname <> 'email_suppressions'
              AND NOT EXISTS (
                  SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive
              )
            """,
        )

    assert open_tables is None


async def test_a_read_only_transaction_refuses_to_write(agencies: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        async with agencies.transaction(read_only=True) as work:
            await work.run("DELETE FROM renters")


async def test_a_snapshot_sees_the_rows_of_one_moment_and_writes_none(agencies: Database) -> None:
    count = "SELECT count(*) FROM renters"
    async with agencies.transaction(snapshot=True) as work, agencies.transaction() as plain:
        before = await work.value(int, count)
        assert await plain.value(int, count) == before
        async with agencies.transaction() as other:
            await other.run("DELETE FROM renters")
        assert await work.value(int, count) == before
        assert await plain.value(int, count) == 0
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        async with agencies.transaction(snapshot=True) as work:
            await work.run("DELETE FROM renters")


async def test_a_statement_over_its_limit_ends(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="statement timeout"):
        async with database.transaction(statement_limit_ms=50) as work:
            await work.run("SELECT pg_sleep(30)")


async def test_a_lock_by_name_is_had_by_one_at_a_time(database: Database) -> None:
    async with database.transaction() as mine, database.transaction() as theirs:
        assert await mine.locked("backup")
        assert not await theirs.locked("backup")
        assert await theirs.locked("another")


async def test_a_connection_that_was_killed_is_trouble_that_passes(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="terminating connection"):
        async with database.transaction() as work:
            pid = await work.value(int, "SELECT pg_backend_pid()")
            async with database.transaction() as other:
                await other.run("SELECT pg_terminate_backend(%(pid)s)", pid=pid)
            await work.run("SELECT 1")

    async with database.transaction() as work:
        assert await work.value(int, "SELECT 1") == 1


async def test_a_server_that_is_not_there_is_named_with_its_reason(hasty: None) -> None:
    nobody = parse_database_url("postgresql://app:s3cr3t@127.0.0.1:1/imobibase")
    database = Database(nobody)
    await database.open()

    with pytest.raises(
        DatabaseUnavailable, match=r"imobibase at 127\.0\.0\.1:1: .*refused"
    ) as said:
        async with database.transaction():
            pass

    await database.aclose()
    assert "s3cr3t" not in str(said.value)


async def test_a_pool_that_is_used_up_says_so(database_server: DatabaseServer, hasty: None) -> None:
    database = Database(database_server, connections=1)
    await database.open()

    async with database.transaction():
        with pytest.raises(DatabaseUnavailable, match="all 1 connections"):
            async with database.transaction():
                pass

    await database.aclose()


async def test_without_a_database_a_job_fails_with_what_to_do() -> None:
    with pytest.raises(Fail, match="DATABASE_URL is not set"):
        async with Database(None).transaction():
            pass


async def test_a_database_without_the_schema_fails_with_the_command(postgres: Postgres) -> None:
    database = Database(parse_database_url(postgres.url))
    await database.open()

    with pytest.raises(Fail, match=r"python -m processors\.schema"):
        async with database.transaction() as work:
            await work.run("SELECT 1 FROM invoices")

    await database.aclose()


async def test_a_cancelled_statement_frees_its_connection(
    database_server: DatabaseServer,
) -> None:
    database = Database(database_server, connections=1)
    await database.open()

    async def sleeps() -> None:
        async with database.transaction() as work:
            await work.run("SELECT pg_sleep(30)")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sleeps(), 0.2)
    async with database.transaction() as work:
        assert await work.value(int, "SELECT 1") == 1

    await database.aclose()


async def test_a_password_is_asked_for_by_tcp(postgres: Postgres, hasty: None) -> None:
    right = postgres.tcp_url_of("postgres")
    psycopg.connect(right).close()

    wrong = Database(parse_database_url(right.replace(postgres.password, "wrong")))
    await wrong.open()
    with pytest.raises(DatabaseUnavailable, match="password authentication failed"):
        async with wrong.transaction():
            pass
    await wrong.aclose()
