"""`python -m benchmarks peers`: measures streamq beside its peers; see README.md."""

import argparse
import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from benchmarks.figures import BenchmarkFault
from benchmarks.machine import setting_of
from benchmarks.peers.catalogue import ALL, Peer
from benchmarks.peers.install import lacking, version_of
from benchmarks.peers.measure import FULL, QUICK, PeersPace, Place, Values, measured
from benchmarks.peers.told import (
    WHAT,
    PeerResult,
    PeersResult,
    judged,
    page,
    peer_result,
    write,
)
from benchmarks.results import FOLDER
from benchmarks.server import AUTO, Cores, Probe, choose, cores_here, pin, pinned
from streamq.embedded import EmbeddedServer, ServerBinary

EXIT_UNFIT: Final = 2


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three short rounds")
    parser.add_argument(
        "--only", action="append", choices=[peer.key for peer in ALL], metavar="NAME",
        help=f"this one; repeatable: {', '.join(peer.key for peer in ALL)}",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help="rounds, of which the median is taken")
    parser.add_argument("--jobs", type=int, help="jobs of a drain, before a peer's share of it")
    parser.add_argument("--idle", type=float, metavar="S", help="seconds to listen to an idle one")
    parser.add_argument("--server", default=AUTO, help="as for the other kinds")
    parser.add_argument(
        "--out", type=Path, help="folder of the two files (default: results/; none with --only)"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    args = arguments().parse_args(argv)
    pace = QUICK if args.quick else FULL
    changed = {"rounds": args.rounds, "drained": args.jobs, "idle_s": args.idle}
    pace = msgspec.structs.replace(pace, **{k: v for k, v in changed.items() if v is not None})
    chosen = [peer for peer in ALL if args.only is None or peer.key in args.only]
    try:
        result = uvloop.run(_run(chosen, pace, choose(args.server)))
    except BenchmarkFault as error:
        print(f"not measured: {error}")
        return EXIT_UNFIT
    print("\n" + "\n".join(page(result)))
    # Some peers alone would take the others out of the committed files.
    if (out := args.out or (None if args.only else FOLDER)) is not None:
        write(result, out)
    return EXIT_UNFIT if any(each.missing for each in result.peers) else 0


@contextlib.contextmanager
def serving(binary: ServerBinary, cores: Cores) -> Iterator[EmbeddedServer]:
    """The server of the other kinds, on TCP: not every peer speaks over a unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="sq-peers-"))
    try:
        with EmbeddedServer(folder, binary=binary, append_only=False, tcp=True) as server:
            pin(cores.server, server.pid)
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _run(chosen: Sequence[Peer], pace: PeersPace, binary: ServerBinary) -> PeersResult:
    cores = cores_here()
    rounds: dict[str, list[Values]] = {peer.key: [] for peer in chosen}
    missing = {peer.key: lacking(peer) for peer in chosen}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(binary, cores))
        setting = setting_of(server, cores)
        stack.enter_context(pinned(cores.of_worker(0)))  # and with it all that is started below
        place = Place(server, Probe(server.url))
        stack.callback(place.probe.close)
        for number in range(pace.rounds):
            turn = number % len(chosen)
            for peer in [*chosen[turn:], *chosen[:turn]]:
                if missing[peer.key] is not None:
                    continue
                print(f"round {number + 1}, {peer.name}", flush=True)
                try:
                    values = await measured(place, peer, pace, first=number == 0)
                except BenchmarkFault as fault:
                    missing[peer.key] = f"round {number + 1}: {fault}"
                    print(f"  {fault}", flush=True)
                else:
                    rounds[peer.key].append(values)
    results = tuple(_result(peer, pace, rounds[peer.key], missing[peer.key]) for peer in chosen)
    reached = tuple(judged(results))
    return PeersResult(WHAT, setting, "TCP, loopback", pace, results, reached)


def _result(
    peer: Peer, pace: PeersPace, rounds: Sequence[Values], missing: str | None
) -> PeerResult:
    drained = max(1, round(pace.drained * peer.share))
    return peer_result(peer, version_of(peer), drained, rounds, missing)
