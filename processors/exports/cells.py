"""Values of the database as text: for a spreadsheet in Brazil, and as JSON for other programs."""

import csv
import io
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
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

_MOMENTS_MAX: Final = 10_000
"""Kept as text: rows of one day or one batch share them."""

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
    return _CELLS.get(type(value), _other)(value)


@lru_cache(maxsize=_MOMENTS_MAX)
def _moment(value: object) -> str:
    assert isinstance(value, datetime)
    day = _plain(value)
    if not isinstance(day, datetime):
        return _day(day)
    return f"{value.astimezone(TIME_ZONE):%d/%m/%Y %H:%M:%S}"


def _day(value: object) -> str:
    assert isinstance(value, date)
    return in_numbers(value)


def _number(value: object) -> str:
    text = f"{value:f}" if isinstance(value, Decimal) else str(value)
    return text.replace(".", ",")


def _text(value: object) -> str:
    assert isinstance(value, str)
    if value[:1].isalnum():  # most of it
        return value
    return f"'{value}" if value.lstrip(_SKIPPED).startswith(_FORMULA) else value


def _list(value: object) -> str:
    assert isinstance(value, list)
    return _text(", ".join(map(str, value)))


def _other(value: object) -> str:
    return _text(_json.encode(value).decode())


_CELLS: Final[Mapping[type, Callable[[object], str]]] = MappingProxyType(
    {
        type(None): lambda _: "",
        bool: lambda flag: "sim" if flag else "não",
        int: str,
        float: _number,
        Decimal: _number,
        datetime: _moment,
        date: _day,
        str: _text,
        list: _list,
    }
)


def _plain(value: object) -> object:
    """A day instead of its midnight: so the application writes days into `timestamp` columns."""
    if isinstance(value, datetime) and value.astimezone(UTC).time() == time():
        return value.date()
    return value
