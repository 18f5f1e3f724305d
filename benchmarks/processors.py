"""What processors take, on a real PostgreSQL and with S3's stand-in on this machine.

Each run is a process of its own, so that its peak of memory is its own.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import msgspec
import psycopg

from benchmarks.figures import BenchmarkFault, Better, Figure, Sheet, Side
from benchmarks.harness import Ground
from benchmarks.machine import ROOT
from benchmarks.processors_child import FIRST_DAY, TENANT, USER, Run
from processors.exports.tables import ExportType
from processors.reports.kinds import ReportFormat
from processors.standins.postgres import PostgresServer
from processors.standins.s3 import S3Server

PAYMENTS: Final = 100_000
INVOICES: Final = 300
MONTHS: Final = 24
START_LIMIT_S: Final = 60.0
RUN_LIMIT_S: Final = 900.0


@contextmanager
def stand_ins() -> Iterator[Mapping[str, str]]:
    """A database with the schema, and two buckets: the variables that name them."""
    with PostgresServer() as postgres, S3Server() as s3:
        variables = {**s3.variables, "DATABASE_URL": postgres.url}
        for module in ("processors.schema", "processors.standins.buckets"):
            subprocess.run(
                [sys.executable, "-m", module],
                check=True,
                cwd=ROOT,
                env={**os.environ, **variables},
                stdout=subprocess.DEVNULL,
                timeout=START_LIMIT_S,
            )
        yield variables


def fill(url: str, payments: int, invoices: int = 0) -> None:
    """One agency: contracts of 24 months from January 2020, each month paid or open; and invoices,
    each of a payment of its own.
    """
    with psycopg.connect(url) as connection:
        values = {
            "tenant": TENANT,
            "user": USER,
            "contracts": -(-payments // MONTHS),
            "payments": payments,
            "months": MONTHS,
            "first": FIRST_DAY,
            "invoices": invoices,
        }
        for statement in _FILL:
            connection.execute(statement.encode(), values)
        connection.execute("ANALYZE")


def fall_due(url: str, payments: int) -> None:
    """So many rents more, of contracts that are there, each due yesterday."""
    with psycopg.connect(url) as connection:
        done = connection.execute(_FALL_DUE.encode(), {"tenant": TENANT, "payments": payments})
        if done.rowcount != payments:
            raise BenchmarkFault(f"{done.rowcount} contracts, fewer than {payments} payments due")
        connection.execute("ANALYZE")


async def run(variables: Mapping[str, str], *words: str) -> Run:
    """Raises BenchmarkFault if it did not do its work."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.processors_child", *words,
        stdout=asyncio.subprocess.PIPE, cwd=ROOT, env={**os.environ, **variables},
    )  # fmt: skip
    try:
        async with asyncio.timeout(RUN_LIMIT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise BenchmarkFault(f"{' '.join(words)} took over {RUN_LIMIT_S:g} s") from None
    if process.returncode:
        raise BenchmarkFault(f"{' '.join(words)} ended with {process.returncode}")
    return msgspec.json.decode(said, type=Run)


async def measure(ground: Ground) -> list[Figure]:
    sheet = Sheet()
    with stand_ins() as standing:
        variables = {**standing, "STREAMQ_REDIS": ground.server.url}
        await asyncio.to_thread(fill, variables["DATABASE_URL"], PAYMENTS, INVOICES)
        for _ in range(ground.pace.rounds):
            ground.probe.flush()
            made = await run(variables, "invoices", str(INVOICES))
            if made.made != INVOICES:
                raise BenchmarkFault(f"{made.made} invoices, not {INVOICES}")
            rate = made.made / made.seconds
            sheet.note(
                "invoices, 1 process", "rate", "/s", Side.STREAMQ, rate, better=Better.HIGHER
            )
            for form in ReportFormat:
                await _reported(sheet, variables, form)
    with stand_ins() as standing:
        variables = {**standing, "STREAMQ_REDIS": ground.server.url}
        await asyncio.to_thread(fill, variables["DATABASE_URL"], ground.pace.exported)
        await asyncio.to_thread(fall_due, variables["DATABASE_URL"], ground.pace.reminded)
        for _ in range(ground.pace.rounds):
            ground.probe.flush()
            await _exported(sheet, variables, ground.pace.exported)
            ground.probe.flush()
            await _reminded(sheet, variables, ground.pace.reminded)
    ground.probe.flush()
    return sheet.figures()


async def _exported(sheet: Sheet, variables: Mapping[str, str], rows: int) -> None:
    whole = await run(variables, "export", ExportType.CONTRACTS)
    few = await run(variables, "export", ExportType.USER_DATA)
    for quantity, unit, value in (
        ("time", "s", whole.seconds),
        ("peak memory", "MiB", whole.peak_mib),
        ("above an export of one user", "MiB", whole.peak_mib - few.peak_mib),
    ):
        name = f"ZIP export, {rows:,} rows as JSON and CSV"
        sheet.note(name, quantity, unit, Side.STREAMQ, value, better=Better.LOWER)


async def _reminded(sheet: Sheet, variables: Mapping[str, str], payments: int) -> None:
    planned = await run(variables, "reminders")
    if planned.made != payments:
        raise BenchmarkFault(f"{planned.made} reminders, not {payments}")
    rate = planned.made / planned.seconds
    sheet.note("reminders planned", "rate", "/s", Side.STREAMQ, rate, better=Better.HIGHER)


async def _reported(sheet: Sheet, variables: Mapping[str, str], form: ReportFormat) -> None:
    whole = await run(variables, "report", form, str(MONTHS * 31))
    day = await run(variables, "report", form, "1")
    for quantity, unit, value in (
        ("time", "s", whole.seconds),
        ("peak memory", "MiB", whole.peak_mib),
        ("above a report of one day", "MiB", whole.peak_mib - day.peak_mib),
    ):
        name = f"{form} report, {PAYMENTS:,} payments"
        sheet.note(name, quantity, unit, Side.STREAMQ, value, better=Better.LOWER)


# As many as are wanted of each contract, in months that `fill` does not use.
_FALL_DUE: Final = (
    "INSERT INTO rental_payments (id, tenant_id, rental_contract_id, reference_month, due_date,"
    " rent_value, total_value, status)"
    " SELECT id || '-due-' || m, %(tenant)s, id, (2022 + m) || '-01',"
    " (now() AT TIME ZONE 'America/Sao_Paulo')::date - 1, 1550, 1550, 'pending'"
    " FROM rental_contracts, generate_series(0, 9) m ORDER BY m, id LIMIT %(payments)s"
)
_FILL: Final = (
    "INSERT INTO tenants (id, name, slug, address) VALUES (%(tenant)s, 'Imobiliária Sol',"
    " 'measured', 'Av. Paulista, 1000 - São Paulo/SP')",
    "INSERT INTO tenant_settings (tenant_id, pix_key) VALUES (%(tenant)s, '529.982.247-25')",
    "INSERT INTO users (id, tenant_id, name, email, password, role)"
    " VALUES (%(user)s, %(tenant)s, 'Ana', 'ana@example.com', 'x', 'admin')",
    "INSERT INTO owners (id, tenant_id, name, phone) VALUES ('measured', %(tenant)s, 'Caio', '1')",
    "INSERT INTO renters (id, tenant_id, name, phone, email)"
    " SELECT 'r' || n, %(tenant)s, 'Ayşe Şahin ' || n, '1', 'r' || n || '@example.com'"
    " FROM generate_series(1, %(contracts)s) n",
    "INSERT INTO properties"
    " (id, tenant_id, title, type, category, price, address, city, state, status)"
    " SELECT 'p' || n, %(tenant)s, 'Apartamento ' || n, 'apartamento', 'aluguel', 1550,"
    " 'Rua Vergueiro, ' || n, 'São Paulo', 'SP', 'rented' FROM generate_series(1, %(contracts)s) n",
    "INSERT INTO rental_contracts (id, tenant_id, property_id, owner_id, renter_id, rent_value,"
    " start_date, end_date) SELECT 'c' || n, %(tenant)s, 'p' || n, 'measured', 'r' || n, 1550,"
    " '2020-01-01', '2030-01-01' FROM generate_series(1, %(contracts)s) n",
    "INSERT INTO rental_payments (id, tenant_id, rental_contract_id, reference_month, due_date,"
    " rent_value, total_value, paid_value, paid_date, status)"
    " SELECT n || '-' || m, %(tenant)s, 'c' || n, to_char(due, 'YYYY-MM'), due, 1550, 1550,"
    " CASE WHEN paid THEN 1550 END, CASE WHEN paid THEN due + interval '1 day' END,"
    " CASE WHEN paid THEN 'paid' ELSE 'overdue' END"
    " FROM generate_series(1, %(contracts)s) n, generate_series(0, %(months)s - 1) m,"
    " LATERAL (SELECT %(first)s::date + make_interval(months => m, days => n %% 28) AS due,"
    " (n + m) %% 10 > 0 AS paid) d LIMIT %(payments)s",
    "INSERT INTO invoices (id, tenant_id, number, user_id, renter_id, due_date, subtotal, total)"
    " SELECT 'measured-' || n, %(tenant)s, 'INV-' || lpad(n::text, 6, '0'), %(user)s, 'r1',"
    " '2020-01-10', 2300, 2300 FROM generate_series(0, %(invoices)s - 1) n",
    "INSERT INTO invoice_items (invoice_id, position, description, unit_price, total)"
    " SELECT 'measured-' || n, i, what, amount, amount FROM generate_series(0, %(invoices)s - 1) n,"
    " (VALUES (1, 'Aluguel', 1550), (2, 'Condomínio', 600), (3, 'IPTU', 150))"
    " AS items (i, what, amount)",
)
