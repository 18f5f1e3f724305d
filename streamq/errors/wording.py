"""How a message shows a value, a size, a list of what is known, and a guess at what was meant."""

from collections.abc import Iterable, Sequence
from typing import Final

from streamq.suggest import nearest

KNOWN_SHOWN_MAX: Final = 12
VALUE_SHOWN_CHARS_MAX: Final = 80


def show_bytes(size_bytes: int) -> str:
    """A size for people: `"256 KiB"`, `"1.4 MiB"`."""
    size, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.1f}".removesuffix(".0") + f" {unit}"


def shown(value: object) -> str:
    """A value for a message: quoted, on one line, control characters escaped, cut to 80."""
    text = f'"{value}"' if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= VALUE_SHOWN_CHARS_MAX else text[: VALUE_SHOWN_CHARS_MAX - 1] + "…"


def running_version() -> str:
    # Asked only when a message needs it: reading a package's metadata takes milliseconds.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return ".".join(version("streamq").split(".")[:2])
    except PackageNotFoundError:
        return "not installed"


def article(noun: str) -> str:
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"


def did_you_mean(name: str, known: Iterable[str], quote: str = '"') -> str:
    found = nearest(name, known)
    return f" Did you mean {quote}{found}{quote}?" if found else ""


def listed(known: Sequence[str]) -> str:
    shown = sorted(known)[:KNOWN_SHOWN_MAX]
    return ", ".join(shown) + (", …" if len(known) > len(shown) else "") if shown else "none"
