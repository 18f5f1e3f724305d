"""The charts of a report in PDF: vectors, in the agency's colour."""

from collections.abc import Sequence
from typing import Final

from reportlab.graphics.charts.axes import XCategoryAxis, XValueAxis, YCategoryAxis, YValueAxis
from reportlab.graphics.charts.barcharts import HorizontalBarChart, VerticalBarChart
from reportlab.graphics.shapes import Drawing, Rect, String
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.units import mm

from processors.paper.ink import GREY, INK, LINE, PALE, PLAIN, Brand
from processors.paper.sheet import WIDTH, cut
from processors.reports.figures import Report
from processors.reports.shown import source_counts, thousands

SOURCES_MAX: Final = 8
LABELS_MAX: Final = 16
EXPENSES: Final = HexColor("#9ca3af")
_SIZE: Final = 7.5
_BAR_POINTS: Final = 17
_LEFT: Final = 46
_NAMES: Final = 92


def bar_chart(report: Report, brand: Brand) -> Drawing:
    """What came in and what went out, by day, week or month."""
    height = int(62 * mm)
    drawing = Drawing(WIDTH, height)
    chart = VerticalBarChart()
    chart.x, chart.y = _LEFT, 34
    chart.width, chart.height = int(WIDTH) - _LEFT - 6, height - 50
    chart.data = [
        [float(bar.revenue) for bar in report.bars],
        [float(bar.expenses) for bar in report.bars],
    ]
    # Of many labels every n-th is written: the others would lie over each other.
    every = -(-len(report.bars) // LABELS_MAX)
    chart.categoryAxis.categoryNames = [
        bar.label if number % every == 0 else "" for number, bar in enumerate(report.bars)
    ]
    _axes(chart.categoryAxis, chart.valueAxis)
    chart.bars[0].fillColor, chart.bars[1].fillColor = brand.ground, EXPENSES
    chart.bars.strokeColor = None
    chart.groupSpacing, chart.barSpacing = 4, 0
    drawing.add(chart)
    _legend(drawing, (("Recebido", brand.ground), ("Despesas", EXPENSES)))
    return drawing


def source_chart(report: Report, brand: Brand) -> Drawing:
    """New leads by where they came from, the most on top."""
    counted = source_counts(report, SOURCES_MAX)[::-1]
    height = 26 + len(counted) * _BAR_POINTS
    drawing = Drawing(WIDTH, height)
    chart = HorizontalBarChart()
    chart.x, chart.y = _NAMES, 18
    chart.width, chart.height = int(WIDTH) - _NAMES - 40, height - 22
    chart.data = [[float(count) for _, count in counted]]
    chart.categoryAxis.categoryNames = [cut(name, _SIZE, _NAMES - 8) for name, _ in counted]
    _axes(chart.categoryAxis, chart.valueAxis)
    chart.valueAxis.valueStep = max(1, -(-max(count for _, count in counted) // 6))
    chart.bars[0].fillColor = brand.ground
    chart.bars.strokeColor = None
    chart.barLabelFormat = _whole
    chart.barLabels.fontName, chart.barLabels.fontSize = PLAIN, _SIZE
    chart.barLabels.nudge = 12
    drawing.add(chart)
    return drawing


def _axes(names: XCategoryAxis | YCategoryAxis, values: XValueAxis | YValueAxis) -> None:
    for axis in (names, values):
        labels = axis.labels  # type: ignore[union-attr] # there; only their stubs leave it out
        labels.fontName, labels.fontSize, labels.fillColor = PLAIN, _SIZE, GREY
        axis.strokeColor = LINE
        axis.visibleTicks = False
    values.valueMin = 0
    values.rangeRound = "ceiling"
    values.visibleGrid = True
    values.gridStrokeColor = PALE
    values.labelTextFormat = _whole


def _whole(value: float) -> str:
    return thousands(int(value))


def _legend(drawing: Drawing, named: Sequence[tuple[str, Color]]) -> None:
    x = float(_LEFT)
    for name, color in named:
        square = Rect(x, 4, 8, 8)
        square.fillColor, square.strokeColor = color, None
        text = String(x + 12, 5, name)
        text.fontName, text.fontSize, text.fillColor = PLAIN, 8, INK
        drawing.add(square)
        drawing.add(text)
        x += 80
