"""A report as CSV that Excel in Brazil opens by a double click: `;`, decimal comma, UTF-8 with BOM.

No cell of it is a formula, whatever a renter is called.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

from processors.days import in_numbers
from processors.money import decimal_comma
from processors.paper.text import clean
from processors.reports.figures import Report
from processors.reports.payments import HEADINGS, Payment
from processors.reports.shown import Card, Title, cards

BOM: Final = "\ufeff"
# What a spreadsheet takes for the beginning of a formula, behind blanks too; some turn the signs of
# full width into plain ones. A quote before it makes it text.
_FORMULA: Final = re.compile(r"[\s\u00a0]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]|\s*[\t\r]")


class CsvWriter:
    """The figures, a blank line, and the whole list of payments."""

    rows_max: int | None = None

    def __init__(self, path: Path, title: Title, report: Report) -> None:
        self._path = path
        path.write_text(BOM, encoding="utf-8")
        self._write(
            [
                [cell(report.agency)],
                [cell(title.heading), cell(title.period)],
                [cell(title.made)],
                [],
                ["Indicador", "Valor"],
                *([card.name, _plain(card)] for card in cards(report)),
                [],
                HEADINGS,
            ]
        )

    def add(self, batch: list[Payment]) -> None:
        self._write(
            [
                in_numbers(row.due_on),
                row.reference,
                cell(row.place),
                cell(row.renter),
                cell(row.state),
                decimal_comma(row.total),
                _amount(row.paid),
                _day(row.paid_on),
            ]
            for row in batch
        )

    def close(self) -> None:
        """Each batch was written to its end."""

    def _write(self, rows: Iterable[Sequence[str]]) -> None:
        # Opened for each batch: an attempt that ends in the middle leaves no file open.
        with self._path.open("a", encoding="utf-8", newline="") as file:
            # All quoted: a number in quotes is one to Excel too, a text with `;` stays one cell.
            csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL).writerows(rows)


def cell(text: str) -> str:
    """Somebody's text as one that no spreadsheet computes."""
    return f"'{clean(text)}" if _FORMULA.match(text) else clean(text)


def _plain(card: Card) -> str:
    if isinstance(card.value, int):
        return str(card.value)
    return decimal_comma(card.value) if card.kind == "money" else card.text


def _amount(amount: Decimal | None) -> str:
    return "" if amount is None else decimal_comma(amount)


def _day(day: date | None) -> str:
    return "" if day is None else in_numbers(day)
