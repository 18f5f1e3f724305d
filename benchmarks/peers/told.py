"""What a run of the peers gives: a file, a table, and streamq's lead over each."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.machine import Setting
from benchmarks.peers.catalogue import PEERS, STREAMQ, Peer
from benchmarks.peers.measure import UNITS, PeersPace, Values

WHAT: Final = "peers"
COLUMNS: Final = (
    "bulk add", "single add", "drain", "idle latency p50", "idle latency p99",
    "Redis CPU", "commands", "idle commands", "idle commands sent",
)  # fmt: skip


class PeerFigure(msgspec.Struct, frozen=True):
    name: str
    unit: str
    median: float
    rounds: tuple[float, ...]


class PeerResult(msgspec.Struct, frozen=True):
    """One peer's part of a run, with what it promises for it."""

    key: str
    name: str
    version: str
    settings: str
    safety: str
    source: str
    bulk: str | None
    drained: int
    """Jobs of each drain."""
    missing: str | None
    """Why there are no figures, or not of all rounds; None if there are."""
    figures: tuple[PeerFigure, ...]

    def figure(self, name: str) -> PeerFigure | None:
        return next((figure for figure in self.figures if figure.name == name), None)


class PeersTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What streamq is to reach, as a ratio to others of the same run."""

    figure: str
    of: tuple[str, ...]
    """Keys of the peers; the best one of them is compared with."""
    least: float | None = None
    most: float | None = None
    called: str


class Reached(msgspec.Struct, frozen=True):
    target: PeersTarget
    peer: str
    """The best of those compared with."""
    ratio: float
    """The median of the rounds' own ratios."""
    reached: bool


class PeersResult(msgspec.Struct, frozen=True):
    what: str
    setting: Setting
    transport: str
    pace: PeersPace
    peers: tuple[PeerResult, ...]
    targets: tuple[Reached, ...]


_IN_PYTHON: Final = tuple(peer.key for peer in PEERS if not peer.on_node)
TARGETS: Final[Sequence[PeersTarget]] = (
    PeersTarget(figure="drain", of=("limit",), least=1.0, called="the bare script"),
    PeersTarget(figure="drain", of=("bullmq",), least=4.0, called="BullMQ on Node"),
    PeersTarget(figure="drain", of=_IN_PYTHON, least=10.0, called="the fastest Python peer"),
    *[
        PeersTarget(figure="drain", of=(key,), least=25.0, called=key)
        for key in ("arq", "streaq", "saq", "taskiq")
    ],
    PeersTarget(figure="bulk add", of=("limit",), least=1.5, called="the bare script"),
    PeersTarget(figure="bulk add", of=("bullmq",), least=3.0, called="BullMQ on Node"),
    PeersTarget(figure="single add", of=("limit",), least=0.85, called="the bare script"),
    PeersTarget(figure="Redis CPU", of=("limit",), most=2.5, called="the bare script"),
    PeersTarget(figure="idle latency p50", of=("limit",), most=1.3, called="the bare script"),
    PeersTarget(figure="idle latency p99", of=("limit",), most=2.0, called="the bare script"),
)


def peer_result(
    peer: Peer, version: str, drained: int, rounds: Sequence[Values], missing: str | None
) -> PeerResult:
    figures = []
    for name, unit in UNITS.items():
        values = tuple(_short(values[name]) for values in rounds if name in values)
        if values:
            figures.append(PeerFigure(name, unit, _short(statistics.median(values)), values))
    return PeerResult(
        peer.key, peer.name, version, peer.settings, peer.safety, peer.source, peer.bulk, drained,
        missing, tuple(figures),
    )  # fmt: skip


def judged(
    results: Sequence[PeerResult], targets: Sequence[PeersTarget] = TARGETS
) -> list[Reached]:
    """Each target whose figures were taken."""
    by_key = {result.key: result for result in results}
    ours = by_key.get(STREAMQ.key)
    found = []
    for target in targets:
        others = [
            (result.name, figure)
            for key in target.of
            if (result := by_key.get(key)) is not None
            and (figure := result.figure(target.figure)) is not None
        ]
        own = ours.figure(target.figure) if ours is not None else None
        if own is None or not others:
            continue
        # Rates have a least, and the best rate is the highest.
        pick = max if target.least is not None else min
        name, best = pick(others, key=lambda other: other[1].median)
        ratio = ratio_of(own, best)
        reached = (target.least is None or ratio >= target.least) and (
            target.most is None or ratio <= target.most
        )
        found.append(Reached(target, name, _short(ratio), reached))
    return found


def ratio_of(own: PeerFigure, other: PeerFigure) -> float:
    """streamq's by the other's: the median of the rounds' own ratios, as far as both have them."""
    return statistics.median(a / b for a, b in zip(own.rounds, other.rounds, strict=False) if b > 0)


def _short(value: float) -> float:
    """Six digits: more than any of them is worth."""
    return float(f"{value:.6g}")


def write(result: PeersResult, folder: Path) -> None:
    """The file, and its tables beside it; both replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.format(msgspec.json.encode(result), indent=2)
    (folder / f"{result.what}.json").write_bytes(encoded + b"\n")
    (folder / f"{result.what}.md").write_text("\n".join(page(result)) + "\n", "utf-8")


# -- tables, in Markdown


def page(result: PeersResult) -> Iterator[str]:
    """All that a run came to, with what it was taken on."""
    setting, pace = result.setting, result.pace
    machine, server = setting.machine, setting.server
    yield "# streamq beside its peers\n"
    yield (
        f"{setting.at:%Y-%m-%d %H:%M} UTC, commit {setting.commit[:12]}"
        f"{' and changes' * setting.changed}. {machine.cpu}, {machine.cores} cores,"
        f" {machine.memory_gib:g} GiB, {machine.system}, load before the run"
        f" {machine.load_before:g}. {server.name} {server.version} ({server.allocator}),"
        f" append-only off, {result.transport}; {setting.python}. Medians of {pace.rounds}"
        f" rounds; idle time once, {pace.idle_s:g} s.\n"
    )
    yield from table(result.peers)
    yield ""
    yield from target_lines(result.targets)


def table(results: Sequence[PeerResult]) -> Iterator[str]:
    """Medians; how many times streamq's drain is the peer's; and what each promises for it."""
    heads = [f"{name}, {UNITS[name]}" for name in COLUMNS]
    yield from _rows(["", *heads, "streamq's drain is"])
    ours = next((result for result in results if result.key == STREAMQ.key), None)
    for result in results:
        cells = [_cell(result, name) for name in COLUMNS]
        yield _row([f"{result.name} {result.version}", *cells, _lead(ours, result)])
    yield ""
    yield from _rows(["", "settings", "if its worker dies", "says"])
    for result in results:
        yield _row([result.name, result.settings, result.safety, result.source])
    for result in results:
        if result.missing is not None:
            yield f"\n{result.name}: {result.missing}"


def target_lines(reached: Sequence[Reached]) -> Iterator[str]:
    yield from _rows(["target", "asked", "got", ""])
    for each in reached:
        target = each.target
        bound = f"≥ {target.least:g}" if target.least is not None else f"≤ {target.most:g}"
        called = target.called if len(target.of) == 1 else f"{target.called} ({each.peer})"
        word = "reached" if each.reached else "**missed**"
        yield _row([f"{target.figure} by {called}'s", bound, f"{each.ratio:.2f}", word])


def _cell(result: PeerResult, name: str) -> str:
    figure = result.figure(name)
    if figure is not None:
        return _shown(figure.median)
    return "no bulk add" if name == "bulk add" and result.bulk is None else "-"


def _lead(ours: PeerResult | None, result: PeerResult) -> str:
    own = ours.figure("drain") if ours is not None else None
    other = result.figure("drain")
    if own is None or other is None or result is ours:
        return ""
    return f"{ratio_of(own, other):.1f} x"


def _rows(heads: Sequence[str]) -> Iterator[str]:
    yield _row(heads)
    yield _row(["---", *["---:" if len(heads) > 6 else "---"] * (len(heads) - 1)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
