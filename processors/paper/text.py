"""Text of the database on its way to paper and into mails: one line that everybody can show."""

import re
import unicodedata
from typing import Final

TEXT_CHARS_MAX: Final = 2_000
"""A longer text is cut, and says so by an ellipsis."""
BRAND_COLOR: Final = "#2563eb"
_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_PHONE: Final = re.compile(r"\+55([0-9]{2})([0-9]{4,5})([0-9]{4})")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def clean(text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """Without what has no look: controls, half surrogates, marks of direction; one line, cut."""
    shown = "".join(
        " " if c.isspace() and c != "\u00a0" else c
        for c in text[: 2 * chars_max]
        if c.isspace() or unicodedata.category(c) not in _HIDDEN
    )
    return f"{shown[: chars_max - 1]}…" if len(shown) > chars_max else shown


def phone(number: str) -> str:
    """`+551133334444` as people write it; any other as it is."""
    found = _PHONE.fullmatch(number)
    return "+55 {} {}-{}".format(*found.groups()) if found else number


def brand_color(color: str | None) -> str:
    """An agency's `#rrggbb`; ours if it is none."""
    return color if color and _COLOR.fullmatch(color) else BRAND_COLOR
