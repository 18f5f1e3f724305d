"""What the command line prints: for people on a terminal, or one JSON object a line for programs.

Colour only on a terminal, and never with NO_COLOR. What a verb says goes to standard output, what
it remarks on (and every error) to standard error, so that a pipe carries results only.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, NewType, TextIO

from streamq.cli.text import columns_of, cut, harmless, harmless_json

Painted = NewType("Painted", str)
"""Text that is fit to be written to the terminal as it is: harmless, and in its colours."""

STYLES: Final[Mapping[str, str]] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "bad": "1;31",
}
GAP: Final = "  "
CLOSE_GAP: Final = " "

# For a terminal that cannot show them: the few signs beyond ASCII that we print ourselves.
_ASCII_SIGNS: Final = {"…": "...", "·": "-", "→": "->", "█": "#", "─": "-", "✓": "ok", "✗": "x"}


class Cell(NamedTuple):
    """A text with a style of `STYLES`; a plain str is one without."""

    text: str
    style: str = ""


class Column(NamedTuple):
    """`least`: the columns that a cell keeps when cut so that the table fits; 0: never cut."""

    title: str
    right: bool = False
    least: int = 0
    close: bool = False
    """One blank before it is enough: a number under a title that is wider."""


Row = Sequence[str | Cell]


class Console:
    """Where a verb prints. Text of jobs is made harmless here: a verb need not think of it."""

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        as_json: bool = False,
        colour: bool = False,
        colour_err: bool = False,
        width: int | None = None,
    ) -> None:
        self.as_json = as_json
        self.width = width
        """Columns of the terminal; None: not a terminal, nothing is cut."""
        self._out, self._err = out, err
        self._colour, self._colour_err = colour, colour_err
        self._ascii = not (out.encoding or "ascii").lower().startswith("utf")

    def line(self, *parts: str | Cell) -> None:
        """A line for people; nothing with --json."""
        if not self.as_json:
            self.draw([self.painted(*parts)])

    def note(self, text: str) -> None:
        """A remark beside the result, to standard error; nothing with --json."""
        if not self.as_json:
            self._complain(Cell(text, "dim"))

    def warn(self, text: str) -> None:
        """What the reader should know before trusting the result; with --json too."""
        self._complain(Cell(text, "yellow"))

    def record(self, fields: Mapping[str, object]) -> None:
        """One JSON object on a line of its own; nothing without --json."""
        if self.as_json:
            self.encoded(json.dumps(fields, ensure_ascii=False, default=str))

    def encoded(self, text: str) -> None:
        """JSON that is encoded already, on a line of its own."""
        self.draw([Painted(harmless_json(text))])

    def draw(self, lines: Iterable[Painted]) -> None:
        """Lines that are painted already."""
        self._out.write("".join(f"{line}\n" for line in lines))

    def control(self, sequence: str) -> None:
        """What the terminal is to do (clear, move the cursor); its lines come by `draw`."""
        self._out.write(sequence)

    def screen(self, lines: Sequence[Painted]) -> None:
        """The whole terminal: these lines, over what was there."""
        self._out.write("\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J")
        self.flush()

    def flush(self) -> None:
        self._out.flush()

    def failure(self, text: str, fields: Mapping[str, object]) -> None:
        """What went wrong, to standard error: a sentence, or with --json an object."""
        if self.as_json:
            said = json.dumps({"error": fields}, ensure_ascii=False, default=str)
            print(harmless_json(said), file=self._err)
            return
        for number, line in enumerate(text.splitlines()):
            code, gap, rest = line.partition(" ")
            if number == 0 and code.startswith("SQ") and code[2:].isdigit():
                self._complain(Cell(code, "bad"), gap + rest)
            else:
                self._complain(line)

    def painted(self, *parts: str | Cell) -> Painted:
        """The parts as one text for standard output, in their colours."""
        return self._paint(parts, self._colour)

    def table(self, columns: Sequence[Column], rows: Sequence[Row], indent: str = "") -> None:
        """Rows under their titles, in columns that fit the terminal; nothing with --json."""
        if not self.as_json:
            self.draw(self.table_lines(columns, rows, indent))

    def table_lines(
        self, columns: Sequence[Column], rows: Sequence[Row], indent: str = ""
    ) -> list[Painted]:
        """The lines of that table."""
        titles = [Cell(column.title, "dim") for column in columns]
        cells = [titles, *([self._cell(given) for given in row] for row in rows)]
        widths = [max(columns_of(row[i].text) for row in cells) for i in range(len(columns))]
        if self.width is not None:
            _shrink(columns, widths, self.width - len(indent))
        return [Painted(indent + self._joined(columns, widths, row)) for row in cells]

    def _joined(self, columns: Sequence[Column], widths: Sequence[int], row: Sequence[Cell]) -> str:
        parts: list[str | Cell] = []
        for column, width, cell in zip(columns, widths, row, strict=True):
            text = cut(cell.text, width, self._spelled("…"))
            space = " " * (width - columns_of(text))
            painted = Cell(text, cell.style)
            parts.append(_gap(column) if parts else "")
            parts += (space, painted) if column.right else (painted, space)
        while parts and not (parts[-1] if isinstance(parts[-1], str) else parts[-1].text).strip():
            parts.pop()
        return self._paint(parts, self._colour)

    def _cell(self, given: str | Cell) -> Cell:
        cell = Cell(given) if isinstance(given, str) else given
        return Cell(self._spelled(cell.text), cell.style)

    def _paint(self, parts: Iterable[str | Cell], colour: bool) -> Painted:
        painted = []
        for part in parts:
            text, style = (part, "") if isinstance(part, str) else part
            text = self._spelled(text)
            wanted = colour and style and text
            painted.append(f"\x1b[{STYLES[style]}m{text}\x1b[0m" if wanted else text)
        return Painted("".join(painted))

    def _complain(self, *parts: str | Cell) -> None:
        print(self._paint(parts, self._colour_err), file=self._err)

    def _spelled(self, text: str) -> str:
        text = harmless(text)
        if self._ascii and not text.isascii():
            for sign, plain in _ASCII_SIGNS.items():
                text = text.replace(sign, plain)
        return text


def _gap(column: Column) -> str:
    return CLOSE_GAP if column.close else GAP


def _shrink(columns: Sequence[Column], widths: list[int], room: int) -> None:
    """Narrows the widest flexible columns until the table fits or they are at their least."""
    over = sum(widths) + sum(len(_gap(column)) for column in columns[1:]) - room
    for _ in range(max(0, over)):
        may = [i for i, c in enumerate(columns) if c.least and widths[i] > c.least]
        if not may:
            return
        widths[max(may, key=widths.__getitem__)] -= 1
