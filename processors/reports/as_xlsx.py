"""A report as a workbook: figures with charts of Excel's own, and the whole list of payments.

Rows go to disk as they come (`constant_memory`): each sheet is written from its top to its bottom.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from processors.paper.text import brand_color, clean
from processors.reports.figures import Report
from processors.reports.payments import HEADINGS, Payment
from processors.reports.shown import ACTIVITY, Title, cards, source_counts

SHEET_ROWS_MAX: Final = 1_000_000
"""Of the list on one sheet, of Excel's 1,048,576."""
SHEETS_MAX: Final = 20
SOURCES_MAX: Final = 8
_MONEY: Final = '"R$" #,##0.00;[Red]-"R$" #,##0.00'
_CELL_CHARS_MAX: Final = 2_000
_WIDTHS: Final = (12, 12, 42, 34, 15, 16, 16, 12)


# Excel's day 1 is the 1st of January 1900, and it believes in a 29th of February of that year.
_DAY_ZERO: Final = date(1899, 12, 30)


def serial(day: date) -> int:
    """As Excel counts days."""
    return (day - _DAY_ZERO).days


class XlsxWriter:
    """The workbook at `path`; its temporary files lie beside it."""

    rows_max: int | None = None

    def __init__(self, path: Path, title: Title, report: Report) -> None:
        self._book = xlsxwriter.Workbook(
            str(path),
            {
                "constant_memory": True,
                "tmpdir": str(path.parent),
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
            },
        )
        # Without these it would hold the moment of its making, and no two runs were equal.
        self._book.set_properties(
            {
                "title": clean(f"{title.heading} {title.period}"),
                "author": clean(report.agency),
                "created": title.made_at.replace(tzinfo=None, microsecond=0),
            }
        )
        color = brand_color(report.color)
        self._head = self._book.add_format({"bold": True, "bottom": 2, "bottom_color": color})
        self._right = self._book.add_format(
            {"bold": True, "bottom": 2, "bottom_color": color, "align": "right"}
        )
        self._big = self._book.add_format({"bold": True, "font_size": 16})
        self._grey = self._book.add_format({"font_color": "#6b7280"})
        self._money = self._book.add_format({"num_format": _MONEY})
        self._count = self._book.add_format({"num_format": "#,##0"})
        self._share = self._book.add_format({"num_format": "0.0%"})
        self._day = self._book.add_format(
            {"num_format": "dd/mm/yyyy", "align": "left", "indent": 1}
        )
        self._summary(title, report, color)
        self._details(report)
        self._list: Worksheet | None = None
        self._rows = 0
        self._sheets = 0

    def add(self, batch: list[Payment]) -> None:
        for payment in batch:
            if self._list is None or self._rows > SHEET_ROWS_MAX:
                self._list = self._next_list()
            self._payment(self._list, self._rows, payment)
            self._rows += 1

    def close(self) -> None:
        if self._list is None:
            self._list = self._next_list()
        self._end_list(self._list)
        self._book.close()

    # ---- the sheet of figures

    def _summary(self, title: Title, report: Report, color: str) -> None:
        sheet = self._sheet("Resumo", (26, 18, 18), landscape=False)
        sheet.hide_gridlines(2)
        sheet.write_string(0, 0, clean(report.agency), self._big)
        sheet.write_string(1, 0, clean(f"{title.heading}: {title.period}"))
        sheet.write_string(2, 0, title.made, self._grey)
        self._headings(sheet, 4, ("Indicador", "Valor"))
        row = 5
        formats = {"money": self._money, "count": self._count, "share": self._share}
        for card in cards(report):
            sheet.write_string(row, 0, card.name)
            sheet.write_number(row, 1, float(card.value), formats[card.kind])
            row += 1
        row += 1
        bars = row + 1
        self._headings(sheet, row, ("Período", "Recebido", "Despesas"))
        for bar in report.bars:
            row += 1
            sheet.write_string(row, 0, bar.label)
            self._amount(sheet, row, 1, bar.revenue)
            self._amount(sheet, row, 2, bar.expenses)
        self._bar_chart(sheet, bars, row, color)
        row += 2
        sources = row + 1
        self._headings(sheet, row, ("Origem dos leads", "Quantidade"))
        counted = source_counts(report, SOURCES_MAX)
        for name, count in counted:
            row += 1
            sheet.write_string(row, 0, clean(name))
            sheet.write_number(row, 1, count, self._count)
        if counted:
            self._source_chart(sheet, sources, row)

    def _bar_chart(self, sheet: Worksheet, first: int, last: int, color: str) -> None:
        chart = self._book.add_chart({"type": "column"})
        assert chart is not None
        for column, fill in ((1, color), (2, "#9ca3af")):
            chart.add_series(
                {
                    "name": ["Resumo", first - 1, column],
                    "categories": ["Resumo", first, 0, last, 0],
                    "values": ["Resumo", first, column, last, column],
                    "fill": {"color": fill},
                    "gap": 60,
                }
            )
        chart.set_title({"name": "Recebido e despesas", "name_font": {"size": 12}})
        chart.set_x_axis({"num_font": {"rotation": -45}})
        chart.set_y_axis({"num_format": "#,##0", "major_gridlines": {"visible": True}})
        chart.set_legend({"position": "bottom"})
        chart.set_size({"width": 720, "height": 320})
        sheet.insert_chart(4, 4, chart, {"description": "Recebido e despesas por período"})

    def _source_chart(self, sheet: Worksheet, first: int, last: int) -> None:
        chart = self._book.add_chart({"type": "doughnut"})
        assert chart is not None
        chart.add_series(
            {
                "name": "Origem dos leads",
                "categories": ["Resumo", first, 0, last, 0],
                "values": ["Resumo", first, 1, last, 1],
                "data_labels": {"percentage": True},
            }
        )
        chart.set_title({"name": "Origem dos leads", "name_font": {"size": 12}})
        chart.set_size({"width": 480, "height": 320})
        sheet.insert_chart(22, 4, chart, {"description": "Origem dos leads"})

    # ---- the sheets of lists

    def _details(self, report: Report) -> None:
        sheet = self._sheet("Imóveis", (48, 24, 18))
        self._headings(sheet, 0, ("Imóvel", "Cidade", "Recebido"))
        for row, top in enumerate(report.properties, 1):
            self._text(sheet, row, 0, top.title)
            self._text(sheet, row, 1, top.city)
            self._amount(sheet, row, 2, top.revenue)
        sheet = self._sheet("Corretores", (40, 10, 18, 18))
        self._headings(sheet, 0, ("Corretor", "Vendas", "Valor", "Comissão"))
        for row, seller in enumerate(report.sellers, 1):
            self._text(sheet, row, 0, seller.name)
            sheet.write_number(row, 1, seller.count, self._count)
            self._amount(sheet, row, 2, seller.sales)
            self._amount(sheet, row, 3, seller.commissions)
        sheet = self._sheet("Atividade", (14, 14, 60, 18))
        self._headings(sheet, 0, ("Data", "Tipo", "O quê", "Valor"))
        for row, one in enumerate(report.activity, 1):
            sheet.write_number(row, 0, serial(one.day), self._day)
            sheet.write_string(row, 1, ACTIVITY[one.kind])
            self._text(sheet, row, 2, one.what)
            self._amount(sheet, row, 3, one.amount)

    def _next_list(self) -> Worksheet:
        if self._list is not None:
            self._end_list(self._list)
        self._sheets += 1
        assert self._sheets <= SHEETS_MAX
        number = "" if self._sheets == 1 else f" {self._sheets}"
        sheet = self._sheet(f"Pagamentos{number}", _WIDTHS)
        self._headings(sheet, 0, HEADINGS)
        sheet.freeze_panes(1, 0)
        self._rows = 1
        return sheet

    def _end_list(self, sheet: Worksheet) -> None:
        sheet.autofilter(0, 0, max(self._rows - 1, 1), len(HEADINGS) - 1)

    def _payment(self, sheet: Worksheet, row: int, payment: Payment) -> None:
        sheet.write_number(row, 0, serial(payment.due_on), self._day)
        sheet.write_string(row, 1, payment.reference)
        self._text(sheet, row, 2, payment.place)
        self._text(sheet, row, 3, payment.renter)
        sheet.write_string(row, 4, payment.state)
        self._amount(sheet, row, 5, payment.total)
        self._amount(sheet, row, 6, payment.paid)
        if payment.paid_on is not None:
            sheet.write_number(row, 7, serial(payment.paid_on), self._day)

    # ---- cells

    def _sheet(self, name: str, widths: Sequence[int], *, landscape: bool = True) -> Worksheet:
        sheet = self._book.add_worksheet(name)
        for column, width in enumerate(widths):
            sheet.set_column(column, column, width)
        if landscape:
            sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        return sheet

    def _headings(self, sheet: Worksheet, row: int, names: Sequence[str]) -> None:
        right = {"Valor", "Pago", "Recebido", "Despesas", "Quantidade", "Vendas", "Comissão"}
        for column, name in enumerate(names):
            how: Format = self._right if name in right else self._head
            sheet.write_string(row, column, name, how)

    def _text(self, sheet: Worksheet, row: int, column: int, text: str) -> None:
        """As text whatever it is: `=1+1` is what somebody is called, and no formula."""
        sheet.write_string(row, column, clean(text)[:_CELL_CHARS_MAX])

    def _amount(self, sheet: Worksheet, row: int, column: int, amount: Decimal | None) -> None:
        # Excel knows no decimals: of twelve digits a double keeps each.
        if amount is not None:
            sheet.write_number(row, column, float(amount), self._money)
