"""A PDF of A4 sheets: a band in the agency's colour on top, the page's number of how many below."""

import io
import threading
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, NextPageTemplate, PageTemplate
from reportlab.platypus.doctemplate import LayoutError

from processors.paper.ink import BOLD, GREY, PLAIN, Brand, load_fonts, width_of
from processors.paper.text import clean
from streamq import Fail

MARGIN: Final = 18 * mm
WIDTH: Final = A4[0] - 2 * MARGIN
"""Of what stands between the margins."""
_FIRST_BAND: Final = 34 * mm
_NEXT_BAND: Final = 12 * mm
_FOOT: Final = 16 * mm
_GAP: Final = 7 * mm
_PAGES: Final = "pages"
# reportlab reads the glyphs of a font from one place in its file that all documents move: of two
# drawn at once, one had the other's letters or failed. They would share a core anyway.
_drawing: Final = threading.Lock()
_FOOT_SIZE: Final = 7.5
_SHRUNK_MIN: Final = 6.0


class Head(msgspec.Struct, frozen=True):
    """What stands in the band: who sends it at the left, what it is at the right."""

    brand: Brand
    sender: str
    sender_lines: Sequence[str]
    """Smaller, at most four."""
    kind: str
    title: str


class _PageCount(Flowable):
    """The last thing on the last sheet: now it is known how many there are."""

    def draw(self) -> None:
        canvas = self.canv
        canvas.beginForm(_PAGES)
        canvas.setFont(PLAIN, _FOOT_SIZE)
        canvas.setFillColor(GREY)
        canvas.drawString(0, 0, str(canvas.getPageNumber()))
        canvas.endForm()


def sheets(head: Head, story: Sequence[Flowable], *, subject: str, foot: str) -> bytes:
    """The PDF; of the same content always the same bytes. Blocking: one at a time in a process.

    Raises Fail for content that fits no sheet.
    """
    load_fonts()
    out = io.BytesIO()
    document = BaseDocTemplate(
        out,
        pagesize=A4,
        title=clean(f"{head.kind} {head.title}"),
        author=clean(head.sender),
        subject=clean(subject),
        lang="pt-BR",
        invariant=1,  # no time of making, no random id: a second run makes the same file
    )
    document.addPageTemplates(
        [
            _template("first", _FIRST_BAND, lambda canvas: _first(canvas, head), foot),
            _template("next", _NEXT_BAND, lambda canvas: _next(canvas, head), foot),
        ]
    )
    try:
        with _drawing:
            document.build([NextPageTemplate("next"), *story, _PageCount()])
    except LayoutError as error:
        raise Fail(f"{head.kind} {head.title} fits no sheet: {str(error)[:200]}") from error
    return out.getvalue()


def _template(name: str, band: float, draw: Callable[[Canvas], None], foot: str) -> PageTemplate:
    height = A4[1] - band - _GAP - _FOOT
    frame = Frame(
        MARGIN, _FOOT, WIDTH, height,
        leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0,
    )  # fmt: skip

    def drawn(canvas: Canvas, _: object) -> None:
        canvas.saveState()
        draw(canvas)
        _footer(canvas, foot)
        canvas.restoreState()

    return PageTemplate(name, [frame], onPage=drawn)


def _first(canvas: Canvas, head: Head) -> None:
    top, brand = A4[1], head.brand
    canvas.setFillColor(brand.ground)
    canvas.rect(0, top - _FIRST_BAND, A4[0], _FIRST_BAND, stroke=0, fill=1)
    canvas.setFillColor(brand.on_ground)
    right = _fitted(canvas, head.title, 17, A4[0] - MARGIN, top - 20 * mm, WIDTH * 0.4)
    canvas.setFont(PLAIN, 9)
    canvas.drawRightString(A4[0] - MARGIN, top - 12.5 * mm, clean(head.kind))
    room = WIDTH - right - 8 * mm
    _left(canvas, head.sender, BOLD, 15, top - 13.5 * mm, room)
    for number, line in enumerate(head.sender_lines[:4]):
        _left(canvas, line, PLAIN, 7.8, top - 18.5 * mm - number * 3.8 * mm, WIDTH * 0.62)


def _next(canvas: Canvas, head: Head) -> None:
    top = A4[1]
    canvas.setFillColor(head.brand.ground)
    canvas.rect(0, top - _NEXT_BAND, A4[0], _NEXT_BAND, stroke=0, fill=1)
    canvas.setFillColor(head.brand.on_ground)
    _left(canvas, head.sender, BOLD, 9, top - 7.5 * mm, WIDTH * 0.55)
    canvas.setFont(PLAIN, 9)
    canvas.drawRightString(A4[0] - MARGIN, top - 7.5 * mm, clean(f"{head.kind} {head.title}"))


def _footer(canvas: Canvas, foot: str) -> None:
    canvas.setFont(PLAIN, _FOOT_SIZE)
    canvas.setFillColor(GREY)
    canvas.drawString(MARGIN, 9 * mm, cut(clean(foot), _FOOT_SIZE, WIDTH * 0.75))
    # The number of sheets is drawn at the end, so its room is that of two digits.
    of = A4[0] - MARGIN - width_of("00", _FOOT_SIZE)
    canvas.drawRightString(of, 9 * mm, f"Página {canvas.getPageNumber()} de ")
    canvas.translate(of, 9 * mm)
    canvas.doForm(_PAGES)


def _left(canvas: Canvas, text: str, font: str, size: float, y: float, room: float) -> None:
    shown, size = _shrunk(clean(text), size, room, bold=font == BOLD)
    canvas.setFont(font, size)
    canvas.drawString(MARGIN, y, shown)


def _fitted(canvas: Canvas, text: str, size: float, x: float, y: float, room: float) -> float:
    """Draws it up to `x`, in bold; how wide it came out."""
    shown, size = _shrunk(clean(text), size, room, bold=True)
    canvas.setFont(BOLD, size)
    canvas.drawRightString(x, y, shown)
    return width_of(shown, size, bold=True)


def _shrunk(text: str, size: float, room: float, *, bold: bool) -> tuple[str, float]:
    """Smaller to two thirds; what is too long even then is cut."""
    wide = width_of(text, size, bold=bold)
    if wide <= room:
        return text, size
    smaller = max(size * room / wide, size * 2 / 3, _SHRUNK_MIN)
    return cut(text, smaller, room, bold=bold), smaller


def cut(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """As much of it as fits, with an ellipsis if that is not all."""
    if width_of(text, size, bold=bold) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width_of(f"{text[:middle]}…", size, bold=bold) <= room:
            low = middle
        else:
            high = middle - 1
    return f"{text[:low].rstrip()}…"
