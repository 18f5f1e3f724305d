"""What a run gives: a table for people, and a file for each kind of figure."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.figures import Figure, Side
from benchmarks.harness import Pace
from benchmarks.machine import Setting

FOLDER: Final = Path(__file__).parent / "results"

_OTHERS: Final = (Side.LIMIT_SERIAL, Side.LIMIT_ONE_TRIP)


class Written(msgspec.Struct, frozen=True):
    """A figure as a file holds it: rounds, and what they came to."""

    name: str
    quantity: str
    unit: str
    better: str
    ratio_to_limit: float | None
    medians: dict[Side, float]
    rounds: dict[Side, tuple[float, ...]]


class Result(msgspec.Struct, frozen=True):
    """One kind of figure of one run."""

    what: str
    setting: Setting
    pace: Pace
    figures: tuple[Written, ...]


def result_of(what: str, setting: Setting, pace: Pace, figures: Sequence[Figure]) -> Result:
    return Result(what, setting, pace, tuple(map(_written, figures)))


def _written(figure: Figure) -> Written:
    medians = {side: figure.median(side) for side in figure.rounds}
    return Written(
        name=figure.name,
        quantity=figure.quantity,
        unit=figure.unit,
        better=figure.better,
        ratio_to_limit=None if figure.ratio is None else round(figure.ratio, 4),
        medians={side: _short(value) for side, value in medians.items() if value is not None},
        rounds={side: tuple(map(_short, values)) for side, values in figure.rounds.items()},
    )


def _short(value: float) -> float:
    """Six digits: more than any of them is worth."""
    return float(f"{value:.6g}")


def write(result: Result, folder: Path) -> Path:
    """The file of that kind, replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.what}.json"
    encoded = msgspec.json.format(msgspec.json.encode(result), indent=2)
    path.write_bytes(encoded + b"\n")
    return path


_HEAD: Final = ("", "", "streamq", "limit", "ratio", "serial", "one trip", "spread", "")
_WIDTHS: Final = ("30", "18", ">9", ">9", ">6", ">9", ">9", ">6", "")


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """Lines of a table: both sides' medians, their ratio, how far streamq's rounds lie apart."""
    yield _line(_HEAD)
    last = ""
    for figure in figures:
        name = "" if figure.name == last else figure.name
        last = figure.name
        yield _line(
            (
                name,
                figure.quantity,
                _shown(figure.median(Side.STREAMQ)),
                _shown(figure.median(Side.LIMIT)),
                "" if figure.ratio is None else f"{figure.ratio:.2f}",
                *[_shown(figure.median(side)) for side in _OTHERS],
                "" if figure.spread is None else f"{figure.spread:.0%}",
                figure.unit,
            )
        )


def _line(cells: Sequence[str]) -> str:
    padded = [f"{cell:{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)]
    return " ".join(padded).rstrip()


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}"
