"""Letters, colours and text of our PDFs.

Text of others never reaches reportlab's own markup: `<img src=...>` in a name would be fetched.
"""

import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, Literal
from xml.sax.saxutils import escape

import msgspec
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Paragraph

from processors.paper.text import brand_color, clean
from processors.templates.brand import CONTRAST_MIN, contrast

PLAIN: Final = "DejaVuSansCondensed"
BOLD: Final = "DejaVuSansCondensed-Bold"
INK: Final = HexColor("#1f2937")
GREY: Final = HexColor("#6b7280")
LINE: Final = HexColor("#d1d5db")
PALE: Final = HexColor("#f3f4f6")
WHITE: Final = HexColor("#ffffff")
BLACK: Final = HexColor("#000000")

Align = Literal[0, 1, 2]
LEFT: Final = 0
CENTER: Final = 1
RIGHT: Final = 2

CELL_CHARS_MAX: Final = 300
"""Of a text that stays on one sheet. A longer one is cut: no name may fill a page."""

_FOLDER: Final = Path(__file__).parent / "fonts"
_loading: Final = threading.Lock()


class Brand(msgspec.Struct, frozen=True):
    """An agency's colour, and the one that can be read on it."""

    ground: Color
    on_ground: Color
    accent: Color
    """For lines and letters on white."""


def load_fonts() -> None:
    """Registers the letters, once a process; safe for threads."""
    with _loading:
        for name in (PLAIN, BOLD):
            if name not in pdfmetrics.getRegisteredFontNames():
                pdfmetrics.registerFont(TTFont(name, str(_FOLDER / f"{name}.ttf")))


def brand_of(color: str | None) -> Brand:
    """`#rrggbb` as the agency has it; what is no colour is ours."""
    name = brand_color(color)
    ground = HexColor(name)
    dark = contrast(name, "#ffffff") >= CONTRAST_MIN
    return Brand(ground, WHITE if dark else INK, ground if dark else INK)


@cache
def style(
    size: float = 9,
    *,
    bold: bool = False,
    color: Color = INK,
    align: Align = LEFT,
    leading: float | None = None,
    before: float = 0,
    after: float = 0,
) -> ParagraphStyle:
    """Sizes in points."""
    return ParagraphStyle(
        f"{size}{bold}{color}{align}",
        fontName=BOLD if bold else PLAIN,
        fontSize=size,
        leading=leading or size * 1.3,
        textColor=color,
        alignment=align,
        spaceBefore=before,
        spaceAfter=after,
        splitLongWords=True,
        allowWidows=0,
        allowOrphans=0,
    )


def words(text: str, how: ParagraphStyle | None = None) -> Paragraph:
    """Somebody's text, as it is."""
    return Paragraph(_safe(text), how or style())


def lines(texts: Sequence[str | None], how: ParagraphStyle | None = None) -> Paragraph:
    """One line each, those that are blank left out."""
    shown = [_safe(text) for text in texts if text and text.strip()]
    return Paragraph("<br/>".join(shown), how or style())


def two_lines(first: str, second: str | None, how: ParagraphStyle | None = None) -> Paragraph:
    """The second in grey and smaller, if there is one."""
    below = f'<br/><font size="7.5" color="#6b7280">{_safe(second)}</font>' if second else ""
    return Paragraph(_safe(first) + below, how or style())


def long_text(text: str, how: ParagraphStyle | None = None) -> list[Flowable]:
    """A paragraph for each of its lines, which may go on on the next sheet."""
    return [Paragraph(escape(clean(line)), how or style()) for line in text.splitlines()]


def _safe(text: str) -> str:
    return escape(clean(text, CELL_CHARS_MAX))


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """In points."""
    return pdfmetrics.stringWidth(text, BOLD if bold else PLAIN, size)
