"""Did you mean...? The nearest known name to one that is not known."""

from collections.abc import Iterable

# Longer names are cut: the comparison is quadratic, and a name may come from outside.
_COMPARED_CHARS_MAX = 128
_KNOWN_MAX = 1_000
_ALIKE_MIN = 0.6


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None if nothing is alike enough to be a slip of the pen.

    Case, `-` and `_` do not count as differences. At most 1,000 known names are looked at.
    """
    # Imported here: only a mistake needs it, and `streamq --help` must not pay for it.
    from difflib import get_close_matches
    from itertools import islice

    plain: dict[str, str] = {}
    for candidate in islice(known, _KNOWN_MAX):
        plain.setdefault(_plain(candidate), candidate)
    found = get_close_matches(_plain(name), plain, n=1, cutoff=_ALIKE_MIN)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name[:_COMPARED_CHARS_MAX].casefold().replace("_", "-")
