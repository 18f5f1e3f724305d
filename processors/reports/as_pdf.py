"""A report as PDF: its figures as cards, its series as charts, its lists as tables."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from reportlab.lib.colors import HexColor
from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, KeepTogether, Spacer, Table, TableStyle

from processors.days import in_numbers
from processors.money import reais, share
from processors.paper.ink import (
    GREY,
    LEFT,
    LINE,
    PALE,
    RIGHT,
    Brand,
    brand_of,
    load_fonts,
    style,
    words,
)
from processors.paper.sheet import WIDTH, Head, sheets
from processors.reports.charts import bar_chart, source_chart
from processors.reports.figures import Report
from processors.reports.payments import HEADINGS, STATUS, Payment
from processors.reports.shown import ACTIVITY, Card, Title, cards, thousands

LISTED_MAX: Final = 200
"""Payments in a PDF: who wants all of them takes XLSX or CSV."""
_CARDS: Final = 4


class PdfWriter:
    """Drawn when it is closed, for then all that stands in it is known."""

    rows_max: int | None = LISTED_MAX

    def __init__(self, path: Path, title: Title, report: Report) -> None:
        self._path = path
        self._title = title
        self._report = report
        self._listed: list[Payment] = []

    def add(self, batch: list[Payment]) -> None:
        self._listed += batch

    def close(self) -> None:
        self._path.write_bytes(draw_report(self._title, self._report, self._listed))


def draw_report(title: Title, report: Report, listed: Sequence[Payment]) -> bytes:
    """Blocking. Raises Fail."""
    load_fonts()
    brand = brand_of(report.color)
    story: list[Flowable] = [
        _cards(list(cards(report)), brand),
        Spacer(1, 6 * mm),
        _section("Recebido e despesas", brand, [bar_chart(report, brand)]),
    ]
    if report.standing:
        story.append(_section("Aluguéis com vencimento no período", brand, [_standing(report)]))
    if report.sources:
        story.append(_section("Novos leads por origem", brand, [source_chart(report, brand)]))
    if report.properties:
        story.append(_section("Imóveis com maior receita", brand, [_properties(report)]))
    if report.sellers:
        story.append(_section("Vendas por corretor", brand, [_sellers(report)]))
    if report.activity:
        story.append(_section("Atividade recente", brand, [_activity(report)]))
    story += _list(report, listed, brand)
    head = Head(brand, report.agency, (title.made,), title.heading, title.period)
    return sheets(
        head,
        story,
        subject=f"{title.heading} de {report.agency}: {title.period}",
        foot=f"{report.agency} · {title.heading} · {title.period}",
    )


def _section(heading: str, brand: Brand, body: Iterable[Flowable]) -> KeepTogether:
    return KeepTogether([_heading(heading, brand), *body, Spacer(1, 6 * mm)])


def _heading(text: str, brand: Brand) -> Flowable:
    return words(text, style(11, bold=True, color=brand.accent, after=4))


def _cards(shown: Sequence[Card], brand: Brand) -> Table:
    cells = [
        [
            words(card.name, style(7.5, color=GREY)),
            words(card.text, style(12, bold=True, leading=17)),
        ]
        for card in shown
    ]
    rows = [cells[first : first + _CARDS] for first in range(0, len(cells), _CARDS)]
    rows[-1] += [[]] * (_CARDS - len(rows[-1]))
    table = Table(rows, colWidths=[WIDTH / _CARDS] * _CARDS)
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), PALE),
                ("INNERGRID", (0, 0), (-1, -1), 3, HexColor("#ffffff")),
                ("LINEABOVE", (0, 0), (-1, 0), 2, brand.ground),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 6),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 7),
                ("LEFTPADDING", (0, 0), (-1, -1), 8),
                ("RIGHTPADDING", (0, 0), (-1, -1), 4),
            ]
        )
    )
    return table


def _standing(report: Report) -> Table:
    whole = sum((row.total for row in report.standing), start=report.figures.revenue * 0)
    return _table(
        ("Situação", "Quantidade", "Valor", "Recebido", "Do total"),
        [
            (
                STATUS.get(row.status, row.status),
                thousands(row.count),
                reais(row.total),
                reais(row.paid),
                share(row.total, whole),
            )
            for row in report.standing
        ],
        (WIDTH - 136 * mm, 28 * mm, 40 * mm, 40 * mm, 28 * mm),
        left=1,
    )


def _properties(report: Report) -> Table:
    return _table(
        ("Imóvel", "Cidade", "Recebido"),
        [(row.title, row.city, reais(row.revenue)) for row in report.properties],
        (WIDTH - 86 * mm, 46 * mm, 40 * mm),
        left=2,
    )


def _sellers(report: Report) -> Table:
    return _table(
        ("Corretor", "Vendas", "Valor", "Comissão"),
        [
            (row.name, thousands(row.count), reais(row.sales), reais(row.commissions))
            for row in report.sellers
        ],
        (WIDTH - 110 * mm, 22 * mm, 48 * mm, 40 * mm),
        left=1,
    )


def _activity(report: Report) -> Table:
    return _table(
        ("Data", "Tipo", "O quê", "Valor"),
        [
            (
                in_numbers(row.day),
                ACTIVITY[row.kind],
                row.what,
                "" if row.amount is None else reais(row.amount),
            )
            for row in report.activity
        ],
        (22 * mm, 24 * mm, WIDTH - 82 * mm, 36 * mm),
        left=3,
    )


def _list(report: Report, listed: Sequence[Payment], brand: Brand) -> list[Flowable]:
    if not listed:
        return [words("Nenhum pagamento no período.", style(9, color=GREY))]
    rows = [
        (
            in_numbers(row.due_on),
            row.reference,
            row.place,
            row.renter,
            row.state,
            reais(row.total),
            "" if row.paid is None else reais(row.paid),
            "" if row.paid_on is None else in_numbers(row.paid_on),
        )
        for row in listed
    ]
    widths = (20 * mm, 19 * mm, 0, 34 * mm, 20 * mm, 23 * mm, 23 * mm)
    found: list[Flowable] = [
        CondPageBreak(40 * mm),
        _heading("Pagamentos", brand),
        _table(HEADINGS[:7], [row[:7] for row in rows], _filled(widths), left=5, size=7.5),
    ]
    more = report.figures.payments - len(listed)
    if more > 0:
        text = f"E mais {thousands(more)}: a lista inteira está nos formatos Excel e CSV."
        found += [Spacer(1, 2 * mm), words(text, style(8, color=GREY))]
    return found


def _filled(widths: Sequence[float]) -> list[float]:
    """The one of nothing takes what the others leave."""
    return [width or WIDTH - sum(widths) for width in widths]


def _table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[float],
    *,
    left: int,
    size: float = 8.5,
) -> Table:
    """`left` columns are text; the others are numbers, at the right."""
    aligns = [LEFT if column < left else RIGHT for column in range(len(headings))]
    head = [
        words(name, style(7.5, bold=True, color=GREY, align=align))
        for name, align in zip(headings, aligns, strict=True)
    ]
    body = [
        [words(text, style(size, align=align)) for text, align in zip(row, aligns, strict=True)]
        for row in rows
    ]
    table = Table([head, *body], colWidths=list(widths), repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, LINE),
                ("LINEBELOW", (0, 1), (-1, -1), 0.4, PALE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 2.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
                ("LEFTPADDING", (0, 0), (-1, -1), 3),
                ("RIGHTPADDING", (0, 0), (-1, -1), 3),
            ]
        )
    )
    return table
