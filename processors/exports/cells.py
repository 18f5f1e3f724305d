"""Values of the database as text: for a spreadsheet in Brazil, and as JSON for other programs."""

import csv
import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final

import msgspec

from processors.days import TIME_ZONE, in_numbers
from processors.exports.read import Page

BOM: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""Without it Excel takes UTF-8 for Latin-1."""
_FORMULA: Final = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
"""The last four are full-width: spreadsheets take them for the narrow ones."""
# Spreadsheets skip these before they look for a formula.
_SKIPPED: Final = " \n\v\f\0\u00a0\u200b\u2060\u3000\ufeff"

_json: Final = msgspec.json.Encoder(decimal_format="number")


def csv_of(page: Page, *, first: bool) -> bytes:
    """The page as CSV that Excel in Brazil opens right: `;`, decimal comma, all quoted."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    if first:
        text.write(BOM)
        writer.writerow(page.columns)
    writer.writerows([cell(value) for value in row] for row in page.rows)
    return text.getvalue().encode()


def json_of(page: Page, *, first: bool) -> bytes:
    """The page's rows as members of a list, one on a line; a comma stands before all but the first.

    Points in time are ISO 8601 in UTC, days are `2025-01-31`, amounts are numbers.
    """
    lines = [
        _json.encode(dict(zip(page.columns, map(_plain, row), strict=True))) for row in page.rows
    ]
    if not lines:
        return b""
    return (b"\n" if first else b",\n") + b",\n".join(lines)


def cell(value: object) -> str:
    """One cell. Text that a spreadsheet would take for a formula gets a `'` before it."""
    match _plain(value):
        case None:
            return ""
        case bool(flag):
            return "sim" if flag else "não"
        case int() | float() | Decimal() as number:
            return f"{number}".replace(".", ",")
        case datetime() as moment:
            return f"{moment.astimezone(TIME_ZONE):%d/%m/%Y %H:%M:%S}"
        case date() as day:
            return in_numbers(day)
        case str(text):
            return _harmless(text)
        case list(several):
            return _harmless(", ".join(map(str, several)))
        case other:
            return _harmless(_json.encode(other).decode())


def _plain(value: object) -> object:
    """A day instead of its midnight: so the application writes days into `timestamp` columns."""
    if isinstance(value, datetime) and value.astimezone(UTC).time() == time():
        return value.date()
    return value


def _harmless(text: str) -> str:
    return f"'{text}" if text.lstrip(_SKIPPED).startswith(_FORMULA) else text
