"""Text of other people on a terminal: made harmless, measured in columns, cut to fit.

A job's data, name or error may hold what a terminal obeys (colours, a moved cursor, a new title) or
what reorders a line. Nothing of it reaches one: each such character is shown by its escape.
"""

import re
from collections.abc import Iterator
from unicodedata import category, combining, east_asian_width

from streamq.harmless import harmless, harmless_json

__all__ = ["columns_of", "cut", "harmless", "harmless_json", "harmless_lines", "number"]

_TAB_COLUMNS = 4
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")


def harmless_lines(text: str) -> Iterator[str]:
    """The same for text of several lines (a traceback, a log); tabs become spaces."""
    for line in text.splitlines():
        yield harmless(line.replace("\t", " " * _TAB_COLUMNS))


def columns_of(text: str) -> int:
    """How many columns of a terminal a printable text takes; our own colours take none."""
    if text.isascii() and "\x1b" not in text:
        return len(text)
    return sum(map(_width, _ESCAPE_SEQUENCE.sub("", text)))


def cut(text: str, columns: int, sign: str = "…") -> str:
    """The text if it fits, else as much of its beginning as fits, ended by `sign`."""
    if columns_of(text) <= columns:
        return text
    left, kept = columns - columns_of(sign), []
    for character in text:
        left -= _width(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + sign


def number(count: int, what: str, many: str = "") -> str:
    """`1 queue`, `4,212 jobs`, `2 processes`."""
    return f"{count:,} {what if count == 1 else many or what + 's'}"


def _width(character: str) -> int:
    if combining(character) or category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
