"""The files of a report: what a spreadsheet makes of them, and texts that are meant to do harm."""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import openpyxl
import pypdfium2
import pytest

from processors.days import Period
from processors.reports import as_xlsx
from processors.reports.as_csv import CsvWriter, cell
from processors.reports.as_pdf import LISTED_MAX, PdfWriter, draw_report
from processors.reports.as_xlsx import XlsxWriter
from processors.reports.figures import Report, bars
from processors.reports.payments import Payment
from processors.reports.shown import Title, Writer
from tests.processors.report_samples import TITLE, listed, report

Making = Callable[[Path, Title, Report], Writer]

FORMULAS = [
    f"{before}{sign}{rest}"
    for sign in ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
    for before in ("", " ", "\u00a0")
    for rest in ("1+1", "cmd|' /C calc'!A0")
]


def written(kind: Making, folder: Path, rows: Iterator[Payment], name: str = "Ayşe Şahin") -> bytes:
    path = folder / "file"
    writer = kind(path, TITLE, report(name))
    writer.add(list(rows))
    writer.close()
    return path.read_bytes()


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_a_csv_begins_as_a_formula(text: str) -> None:
    assert cell(text).startswith("'")


@pytest.mark.parametrize("text", ["Ayşe Şahin", "Rua A - 12", "a=b", "(11) 3333-4444", "R$ 10"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert cell(text) == text


def test_a_text_with_semicolon_quote_and_line_end_is_one_cell_of_a_csv(tmp_path: Path) -> None:
    data = written(CsvWriter, tmp_path, listed(1, 'Sol; "Lua"\r\n=1'))

    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert rows[-1][2:4] == ['Sol; "Lua"  =1'] * 2
    assert data.count(b"\r\n") == len(rows)


def test_a_workbook_holds_no_formula_and_no_link(tmp_path: Path) -> None:
    formula = '=HYPERLINK("http://evil.example";"x")'

    data = written(XlsxWriter, tmp_path, listed(3, formula), formula)

    with zipfile.ZipFile(io.BytesIO(data)) as file:
        sheets = [file.read(name) for name in file.namelist() if "worksheets/sheet" in name]
        assert not any("hyperlink" in name.lower() for name in file.namelist())
    assert len(sheets) == 5
    assert not any(b"<f>" in sheet or b"<hyperlink" in sheet for sheet in sheets)


def test_a_list_too_long_for_a_sheet_goes_on_on_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(as_xlsx, "SHEET_ROWS_MAX", 10)

    book = openpyxl.load_workbook(io.BytesIO(written(XlsxWriter, tmp_path, listed(25))))

    assert book.sheetnames[4:] == ["Pagamentos", "Pagamentos 2", "Pagamentos 3"]
    assert [book[name].max_row for name in book.sheetnames[4:]] == [11, 11, 6]
    assert book["Pagamentos 3"]["A1"].value == "Vencimento"


def test_two_runs_make_the_same_workbook_and_the_same_pdf(tmp_path: Path) -> None:
    for kind in (XlsxWriter, PdfWriter):
        first = written(kind, tmp_path, listed(5))
        assert written(kind, tmp_path, listed(5)) == first


def test_a_pdf_lists_the_first_payments_and_says_how_many_more_there_are(tmp_path: Path) -> None:
    pdf = pypdfium2.PdfDocument(written(PdfWriter, tmp_path, listed(LISTED_MAX)))

    text = "".join(page.get_textpage().get_text_range() for page in pdf)
    assert "E mais 99.800" in text
    assert len(pdf) < 15


@pytest.mark.parametrize(
    "name",
    [
        "<img src='file:///etc/passwd'/>", "<b>Sol", "&lt;&#0;", "a" * 3_000, "\x00\x1b[31m",
        "不動産 👍", "<a href='http://x'>x</a>", "", " ", "\u202egnp.exe", "%(id)s {x} </para>",
    ],
)  # fmt: skip
def test_no_text_of_others_is_markup_or_breaks_a_page(name: str) -> None:
    pdf = pypdfium2.PdfDocument(draw_report(TITLE, report(name), list(listed(3, name))))

    text = "".join(page.get_textpage().get_text_range() for page in pdf)
    assert "Receita de aluguéis" in text
    assert "root:" not in text
    if name.startswith(("<img", "<a ")):
        assert name[:8] in text.replace("\r\n", "")


@pytest.mark.parametrize("color", [None, "", "red", "#12", "#ffffff", "#000000"])
def test_any_colour_of_an_agency_can_be_read(color: str | None) -> None:
    assert draw_report(TITLE, report(color=color), []).startswith(b"%PDF")


@pytest.mark.parametrize(
    ("days", "count", "first", "last"),
    [(1, 1, "01/01", "01/01"), (31, 31, "01/01", "31/01"), (32, 5, "01/01", "29/01"),
     (217, 31, "01/01", "30/07"), (218, 8, "01/2025", "08/2025"), (730, 24, "01/2025", "12/2026")],
)  # fmt: skip
def test_bars_are_days_weeks_or_months_and_leave_no_cent_out(
    days: int, count: int, first: str, last: str
) -> None:
    period = Period(date(2025, 1, 1), date(2025, 1, 1) + timedelta(days=days - 1))
    rent = {period.first + timedelta(days=n): Decimal("0.01") for n in range(days)}

    found = list(bars(period, rent, {}))

    assert (len(found), found[0].label, found[-1].label) == (count, first, last)
    assert sum(bar.revenue for bar in found) == Decimal("0.01") * days
