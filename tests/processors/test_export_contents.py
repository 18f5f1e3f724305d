"""What is in an export: whose rows, in which form, and nothing that a spreadsheet would run."""

import csv
import io
import json
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from msgspec import structs
from psycopg import sql

from processors.database import Database
from processors.exports import read
from processors.exports.cells import cell, csv_of, json_of
from processors.exports.read import Owner, Page, find_owner, pages
from processors.exports.tables import TABLES, ExportType
from processors.exports.write import Export, ExportFormat, write_export

AT = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)
HASH = "$2b$10$never-in-an-export"

Data = Mapping[str, list[dict[str, object]]]


@pytest.fixture
async def agencies(database: Database) -> AsyncIterator[Database]:
    """Two agencies alike, `sol` and `nova`: a row of every kind, its id begins with the agency."""
    async with database.transaction() as work:
        for tenant in ("sol", "nova"):
            for statement in ROWS:
                values = {"t": sql.Literal(tenant), "hash": sql.Literal(HASH)}
                await work.connection.execute(sql.SQL(statement).format(**values))
    yield database


ROWS = (
    "INSERT INTO tenants (id, name, slug, email) VALUES ({t}, {t}, {t}, {t} || '@a.com')",
    "INSERT INTO users (id, tenant_id, name, email, password, role, email_verified)"
    " SELECT {t} || '-' || role, {t}, role, role || '@' || {t} || '.com', {hash}, role,"
    " role <> 'viewer' FROM unnest(ARRAY['admin', 'broker', 'user', 'viewer', 'owner']) AS role",
    "INSERT INTO leads (id, tenant_id, name, email, phone, source, assigned_to)"
    " VALUES ({t} || '-lead', {t}, 'Lia', 'lia@x.com', '1', 'olx', {t} || '-user')",
    "INSERT INTO interactions (id, lead_id, user_id, type, content)"
    " VALUES ({t} || '-call', {t} || '-lead', {t} || '-user', 'call', 'Olá')",
    # One who logs in with the same address, and one whose address was never verified.
    "INSERT INTO owners (id, tenant_id, name, phone, email)"
    " VALUES ({t} || '-o1', {t}, 'Bo', '1', 'OWNER@' || {t} || '.com')",
    "INSERT INTO renters (id, tenant_id, name, phone, email)"
    " VALUES ({t} || '-r1', {t}, 'Caio', '1', 'viewer@' || {t} || '.com')",
    "INSERT INTO properties (id, tenant_id, title, type, category, price, address, city, state)"
    " SELECT {t} || n, {t}, 'Casa', 'casa', 'aluguel', 1550.5, 'Rua 1', 'São Paulo', 'SP'"
    " FROM unnest(ARRAY['-p1', '-p2']) AS n",
    "INSERT INTO contracts (id, tenant_id, property_id, lead_id, type, value)"
    " VALUES ({t} || '-c1', {t}, {t} || '-p2', {t} || '-lead', 'sale', 9)",
    "INSERT INTO rental_contracts (id, tenant_id, property_id, owner_id, renter_id, rent_value,"
    " start_date, end_date) VALUES ({t} || '-k1', {t}, {t} || '-p1', {t} || '-o1',"
    " {t} || '-r1', 1550.5, '2025-01-10', '2027-01-10')",
    "INSERT INTO rental_payments (id, tenant_id, rental_contract_id, reference_month, due_date,"
    " rent_value, total_value) VALUES ({t} || '-m1', {t}, {t} || '-k1', '2025-02',"
    " '2025-02-10', 1550.5, 1550.5)",
    "INSERT INTO files (id, tenant_id, user_id, filename, original_name, mime_type, size, path)"
    " VALUES ({t} || '-f1', {t}, {t} || '-user', 'a', 'a', 'text/plain', 1, 'a')",
    "INSERT INTO user_consents (id, user_id, consent_type)"
    " VALUES ({t} || '-y1', {t} || '-user', 'terms')",
)


async def owner_of(database: Database, user_id: str) -> Owner:
    owner = await find_owner(database, user_id)
    assert owner is not None
    return owner


async def written(
    database: Database,
    user_id: str,
    format: ExportFormat,
    type: ExportType = ExportType.ALL,
) -> bytes:
    content = bytearray()

    async def write(chunk: bytes) -> None:
        content.extend(chunk)

    owner = await owner_of(database, user_id)
    export = Export(owner=owner, type=type, format=format, at=AT)
    await write_export(database, export, write, lambda done, tables: None)
    return bytes(content)


async def data_of(
    database: Database, user_id: str, type: ExportType = ExportType.ALL
) -> dict[str, list[str]]:
    """Ids by table."""
    whole = json.loads(await written(database, user_id, ExportFormat.JSON, type))
    return {table: [row["id"] for row in rows] for table, rows in whole["data"].items()}


async def test_an_admin_and_a_broker_have_all_of_their_agency(agencies: Database) -> None:
    for role in ("admin", "broker"):
        data = await data_of(agencies, f"sol-{role}")
        assert data["users"] == [f"sol-{role}"]
        assert data["properties"] == ["sol-p1", "sol-p2"]
        assert data["contracts"] == ["sol-c1"]
        assert data["rental_contracts"] == ["sol-k1"]
        assert data["rental_payments"] == ["sol-m1"]
        assert data["files"] == ["sol-f1"]
        assert data["leads"] == data["owners"] == data["renters"] == []


async def test_others_have_what_is_theirs(agencies: Database) -> None:
    user = await data_of(agencies, "sol-user")
    owner = await data_of(agencies, "sol-owner")

    nothing = {table.name: list[str]() for table in TABLES}
    assert user == nothing | {
        "users": ["sol-user"],
        "user_consents": ["sol-y1"],
        "interactions": ["sol-call"],
        "leads": ["sol-lead"],
        "contracts": ["sol-c1"],
        "files": ["sol-f1"],
    }
    assert owner == nothing | {
        "users": ["sol-owner"],
        "owners": ["sol-o1"],
        "properties": ["sol-p1"],
        "rental_contracts": ["sol-k1"],
        "rental_payments": ["sol-m1"],
    }


async def test_an_address_that_was_never_verified_makes_nobody_a_renter(
    agencies: Database,
) -> None:
    data = await data_of(agencies, "sol-viewer")

    assert {table: ids for table, ids in data.items() if ids} == {"users": ["sol-viewer"]}


async def test_the_type_says_which_tables(agencies: Database) -> None:
    contracts = await data_of(agencies, "sol-admin", ExportType.CONTRACTS)
    properties = await data_of(agencies, "sol-admin", ExportType.PROPERTIES)
    personal = await data_of(agencies, "sol-admin", ExportType.USER_DATA)
    whole = await data_of(agencies, "sol-admin")

    assert [*contracts] == ["contracts", "rental_contracts", "rental_payments"]
    assert [*properties] == ["properties"]
    assert {*personal, *contracts, *properties, "files"} == whole.keys()


@pytest.mark.parametrize("role", ["admin", "broker", "user", "viewer", "owner"])
async def test_no_row_of_another_agency_and_no_password_is_ever_in_it(
    agencies: Database, role: str
) -> None:
    packed = await written(agencies, f"sol-{role}", ExportFormat.ZIP)

    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        everything = b"".join(file.read(name) for name in file.namelist())
    assert b"sol" in everything
    assert b"nova" not in everything
    assert HASH.encode() not in everything
    assert b"password" not in everything


async def test_the_fence_holds_where_a_condition_forgets_the_agency(agencies: Database) -> None:
    owner = await owner_of(agencies, "sol-admin")
    for table in TABLES:
        forgetful = structs.replace(table, own="true", shared=False)
        async for page in pages(agencies, forgetful, owner):
            assert page.rows or table.name in ("visits", "compliance_audit_log")
            assert "nova" not in repr(page.rows)


async def test_the_conditions_hold_where_the_fence_is_forgotten(agencies: Database) -> None:
    values = {"tenant": "sol", "user": "sol-user", "mine": "owner@sol.com"}
    async with agencies.transaction() as work:
        for table in TABLES:
            for role in ("admin", "user"):
                query = sql.SQL("SELECT * FROM {} WHERE {}").format(
                    sql.Identifier(table.name), sql.SQL(table.rows(role))
                )
                rows = await (await work.connection.execute(query, values)).fetchall()
                assert "nova" not in repr(rows)


async def test_pages_leave_no_row_out_and_give_none_twice(
    agencies: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "PAGE_ROWS", 50)
    async with agencies.transaction() as work:
        await work.run(
            "INSERT INTO user_consents (id, user_id, tenant_id, consent_type)"
            " SELECT n::text, 'sol-broker', CASE WHEN n %% 2 = 0 THEN 'sol' END, 'terms'"
            " FROM generate_series(1, 200) AS n"
        )
    owner = await owner_of(agencies, "sol-broker")
    [consents] = [table for table in TABLES if table.name == "user_consents"]

    found = [page async for page in pages(agencies, consents, owner)]

    assert [len(page.rows) for page in found] == [50, 50, 50, 50, 0]
    ids = [row[page.columns.index("id")] for page in found for row in page.rows]
    assert sorted(map(int, map(str, ids))) == list(range(1, 201))


async def test_the_csv_of_a_brazilian_spreadsheet(agencies: Database) -> None:
    packed = await written(agencies, "sol-admin", ExportFormat.CSV)

    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        assert "my-data.json" not in file.namelist()
        raw = file.read("rental_payments.csv")
        readme = file.read("README.txt").decode("utf-8-sig")
    assert raw.startswith(b'\xef\xbb\xbf"id";')
    [row] = csv.DictReader(io.StringIO(raw.decode("utf-8-sig")), delimiter=";")
    assert (row["id"], row["total_value"], row["due_date"]) == ("sol-m1", "1550,50", "10/02/2025")
    assert "rental_payments.csv                  1  Pagamentos de aluguel" in readme
    assert "my-data.json" not in readme


async def test_the_json_keeps_amounts_days_and_moments_exact(agencies: Database) -> None:
    whole = json.loads(await written(agencies, "sol-admin", ExportFormat.JSON), parse_float=Decimal)

    assert whole["generatedAt"] == "2026-03-01T15:30:00Z"
    assert whole["agency"] == {"id": "sol", "name": "sol"}
    [payment] = whole["data"]["rental_payments"]
    assert payment["total_value"] == Decimal("1550.50")
    assert payment["due_date"] == "2025-02-10"
    assert payment["created_at"].endswith("Z")


SIGNS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
BEFORE = ("", " ", "   ", "\n", "\u00a0", "\u3000", "\ufeff")
FORMULAS = [f"{before}{sign}1+1" for sign in SIGNS for before in BEFORE]


@pytest.mark.parametrize("text", [*FORMULAS, "=cmd|' /C calc'!A0", "@SUM(1)", "-", "+5511999"])
def test_text_that_would_be_a_formula_is_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "sim"),
        (False, "não"),
        (-5, "-5"),
        (Decimal("-1550.50"), "-1550,50"),
        (Decimal("0.125"), "0,125"),
        (Decimal("0E-8"), "0,00000000"),
        (0.5, "0,5"),
        (datetime(2026, 1, 10, tzinfo=UTC), "10/01/2026"),
        (datetime(2026, 1, 10, 2, 59, 59, tzinfo=UTC), "09/01/2026 23:59:59"),
        (date(2026, 1, 10), "10/01/2026"),
        ('Zoë; "São"\nJoão', 'Zoë; "São"\nJoão'),
        (["=1+1", "b"], "'=1+1, b"),
        ({"a": [1]}, '{"a":[1]}'),
        ("1=1", "1=1"),
        ("", ""),
    ],
)
def test_other_values_are_shown_as_they_are(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_a_cell_with_every_odd_sign_is_read_back_as_it_was() -> None:
    odd = 'a;b"c\r\nd\u2028e\0f🏠'
    page = Page(["id", "text"], [["1", odd]])

    [_, row] = csv.reader(
        io.StringIO(csv_of(page, first=True).decode("utf-8-sig"), newline=""), delimiter=";"
    )
    assert row == ["1", odd]
    assert json.loads(json_of(page, first=True)) == {"id": "1", "text": odd}


@pytest.mark.slow
@pytest.mark.parametrize("format", ExportFormat)
async def test_ten_times_the_rows_take_no_more_memory(
    agencies: Database, format: ExportFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "PAGE_ROWS", 200)
    peaks = list[int]()
    for rows in (600, 6_000):
        async with agencies.transaction() as work:
            await work.run(
                "INSERT INTO properties (tenant_id, title, type, category, price, address, city,"
                " state) SELECT 'sol', 'Casa', 'casa', 'venda', 1, 'Rua', 'Rio', 'RJ'"
                " FROM generate_series(1, %(rows)s)",
                rows=rows,
            )
        owner = await owner_of(agencies, "sol-admin")
        export = Export(owner=owner, type=ExportType.PROPERTIES, format=format, at=AT)
        tracemalloc.start()
        try:
            counted = await write_export(agencies, export, forget, lambda done, tables: None)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert counted["properties"] > rows

    assert peaks[1] < peaks[0] * 1.3


async def forget(chunk: bytes) -> None:
    """Where an export goes to that is not kept."""
