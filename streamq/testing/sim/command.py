"""`python -m streamq.testing sim`: plays seeds, and says of each that fails how to replay it."""

import argparse
import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from streamq.embedded import EmbeddedServer
from streamq.testing.sim.exhaustive import Small, search
from streamq.testing.sim.server import Server
from streamq.testing.sim.world import STEPS, Result, simulate

HASHES: Final = "PYTHONHASHSEED"
"""The order of sets is to be the same each time."""


def _seeds(said: str) -> range:
    first, _, last = said.partition(":")
    return range(int(first), int(last or first) + 1)


def main(argv: Sequence[str]) -> int:
    """Exit status 0: all held; 1: a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m streamq.testing sim", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=range(1, 101), metavar="FIRST:LAST")
    parser.add_argument("--steps", type=int, default=STEPS, help="happenings a seed")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after this; 0: never")
    parser.add_argument("--keep-going", action="store_true", help="past a seed that fails")
    parser.add_argument("--each", action="store_true", help="a line for each seed")
    parser.add_argument(
        "--exhaustive", type=int, nargs=3, metavar=("CRASHES", "LOSSES", "DELAYS"),
        help="all interleavings of two workers and two jobs with so many of these, no seeds",
    )  # fmt: skip
    parser.add_argument("--trace", action="store_true", help="a line for each call")
    said = parser.parse_args(argv)
    if os.environ.get(HASHES) != "0":
        os.environ[HASHES] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "streamq.testing", "sim", *argv])
    logging.disable(logging.CRITICAL)  # the engine says much while it is being broken
    with tempfile.TemporaryDirectory(prefix="sq-") as folder, started(Path(folder)) as running:
        server = Server(Path(str(running.address)))
        return _all_interleavings(server, said) if said.exhaustive else _play(server, said)


def _play(server: Server, said: argparse.Namespace) -> int:
    failed = played = scripts = faults = 0
    began = time.monotonic()
    for seed in said.seeds:
        trace: list[str] | None = [] if said.trace else None
        result = simulate(server, seed, said.steps, trace=trace)
        if trace is not None:
            print("\n".join(trace))
        played, scripts = played + 1, scripts + result.scripts
        faults += sum(result.faults.values())
        if said.each:
            print(_line(result))
        if result.wrong:
            failed += 1
            print(f"seed {seed} failed: {result.wrong}\n{replay(result)}", flush=True)
            if not said.keep_going:
                break
        if said.seconds and time.monotonic() - began > said.seconds:
            break
    took = time.monotonic() - began
    print(
        f"{played} seeds, {failed} failed; {scripts} scripts compared, {faults} faults;"
        f" {took:.1f} s, {played / took:.1f} seeds/s"
    )
    return 1 if failed else 0


def _all_interleavings(server: Server, said: argparse.Namespace) -> int:
    small = Small(*said.exhaustive)
    found = search(server, small, seconds=said.seconds or math.inf)
    print(
        f"2 workers, 2 jobs, {small.crashes} crashes, {small.losses} lost replies, {small.delays}"
        f" delays: {found.count} interleavings{', all there are' if found.complete else ''};"
        f" {found.wrong or 'none went wrong'}"
    )
    return 1 if found.wrong else 0


def started(folder: Path) -> EmbeddedServer:
    """A server for simulations: no disk, no threads of its own that matter."""
    return EmbeddedServer(folder, append_only=False)


def replay(result: Result) -> str:
    """The line that plays a seed again."""
    return f"python -m streamq.testing sim --seeds {result.seed} --steps {result.steps}"


def _line(result: Result) -> str:
    faults = sum(result.faults.values())
    return (
        f"seed {result.seed} trace {result.trace} jobs {result.jobs} scripts {result.scripts}"
        f" faults {faults} virtual {result.virtual_s:.0f} s {'FAILED' if result.wrong else 'ok'}"
    )
