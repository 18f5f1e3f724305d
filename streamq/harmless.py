"""Text of other people made harmless, for terminals and for log files.

A job's data, name or error may hold what a terminal obeys (colours, a moved cursor, a new title) or
what reorders a line. Nothing of it reaches one: each such character is shown by its escape.
"""

import re
from typing import Final
from unicodedata import category

_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# What a terminal obeys and JSON lets stand: DEL, C1, and the signs that turn the direction of text.
_UNSAFE_IN_JSON: Final = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)


def harmless(text: str) -> str:
    """One line that a terminal only prints: control and format characters as escapes."""
    return text if text.isprintable() else "".join(map(_visible, text))


def harmless_json(text: str) -> str:
    """JSON text that means the same and holds no character which a terminal obeys."""
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    if category(character) == "Zs":  # a no-break space and its like
        return " "
    number = ord(character)
    plain = f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
    return _NAMED.get(character, plain if number < 0x10000 else f"\\U{number:08x}")
