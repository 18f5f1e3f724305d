"""Text of other people on a terminal: made harmless, measured in columns, cut to fit.

A job's data, name or error may hold what a terminal obeys (colours, a moved cursor, a new title) or
what reorders a line. Nothing of it reaches one: each such character is shown by its escape.
"""

import re
from collections.abc import Iterator
from unicodedata import category, combining, east_asian_width

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_TAB_COLUMNS = 4
# What a terminal obeys and JSON lets stand: DEL, C1, and the signs that turn the direction of text.
_UNSAFE_IN_JSON = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")


def harmless(text: str) -> str:
    """One line that a terminal only prints: control and format characters as escapes."""
    return text if text.isprintable() else "".join(map(_visible, text))


def harmless_lines(text: str) -> Iterator[str]:
    """The same for text of several lines (a traceback, a log); tabs become spaces."""
    for line in text.splitlines():
        yield harmless(line.replace("\t", " " * _TAB_COLUMNS))


def harmless_json(text: str) -> str:
    """JSON text that means the same and holds no character which a terminal obeys."""
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


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


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    if category(character) == "Zs":  # a no-break space and its like
        return " "
    number = ord(character)
    plain = f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
    return _NAMED.get(character, plain if number < 0x10000 else f"\\U{number:08x}")


def _width(character: str) -> int:
    if combining(character) or category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
