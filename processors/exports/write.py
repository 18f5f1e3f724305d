"""Writing an export: one JSON, a ZIP of CSVs, or a ZIP of both, with a README in Portuguese."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from processors.database import Database
from processors.exports.cells import csv_of, json_of
from processors.exports.read import Owner, Page, pages
from processors.exports.readme import readme
from processors.exports.tables import ExportType, Table, tables_of
from processors.exports.zipped import Write, zipped

JSON_NAME: Final = "my-data.json"
README_NAME: Final = "README.txt"


class ExportFormat(StrEnum):
    JSON = "json"
    CSV = "csv"
    ZIP = "zip"


class FileKind(msgspec.Struct, frozen=True):
    """The one file that comes of it."""

    suffix: str
    mime_type: str


_ZIP: Final = FileKind("zip", "application/zip")
FILE_KINDS: Final[Mapping[ExportFormat, FileKind]] = MappingProxyType(
    {
        ExportFormat.JSON: FileKind("json", "application/json"),
        ExportFormat.CSV: _ZIP,  # several tables, so several files
        ExportFormat.ZIP: _ZIP,
    }
)


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, and whose."""

    owner: Owner
    type: ExportType
    format: ExportFormat
    at: datetime


Written = Callable[[int, int], None]
"""Called as tables are done: how many of how many."""


async def write_export(
    database: Database, export: Export, write: Write, written: Written
) -> Mapping[str, int]:
    """Gives the whole file to `write`, a few thousand rows at a time; rows by table."""
    tables = tables_of(export.type)
    if export.format is ExportFormat.JSON:
        return await _json(database, export, write, lambda done: written(done, len(tables)))
    with_json = export.format is ExportFormat.ZIP
    before = len(tables) if with_json else 0
    total = before + len(tables)
    rows: dict[str, int] = {}
    async with zipped(write, export.at) as packed:
        if with_json:
            async with packed.entry(JSON_NAME) as into:
                await _json(database, export, into, lambda done: written(done, total))
        for done, table in enumerate(tables, before + 1):
            async with packed.entry(f"{table.name}.csv") as into:
                rows[table.name] = await _rows(database, table, export.owner, csv_of, into)
            written(done, total)
        async with packed.entry(README_NAME) as into:
            await into(readme(export.owner, tables, rows, at=export.at, with_json=with_json))
    return rows


async def _json(
    database: Database, export: Export, write: Write, written: Callable[[int], None]
) -> Mapping[str, int]:
    owner, tables = export.owner, tables_of(export.type)
    head = {
        "generatedAt": export.at.astimezone(UTC),
        "type": export.type,
        "agency": {"id": owner.tenant_id, "name": owner.tenant},
        "user": {"id": owner.id, "name": owner.name, "email": owner.email, "role": owner.role},
    }
    await write(msgspec.json.encode(head)[:-1] + b',\n"data": {')
    rows: dict[str, int] = {}
    for done, table in enumerate(tables, 1):
        await write(b"%s\n%s: [" % (b"," if rows else b"", msgspec.json.encode(table.name)))
        rows[table.name] = await _rows(database, table, owner, json_of, write)
        await write(b"]")
        written(done)
    await write(b"\n}}\n")
    return rows


class _Rendered(Protocol):
    def __call__(self, page: Page, *, first: bool) -> bytes: ...


async def _rows(
    database: Database,
    table: Table,
    owner: Owner,
    rendered: _Rendered,
    write: Write,
) -> int:
    rows = 0
    async for page in pages(database, table, owner):
        await write(await asyncio.to_thread(rendered, page, first=not rows))
        rows += len(page.rows)
    return rows
