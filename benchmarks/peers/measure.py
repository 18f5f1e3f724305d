"""What a peer does in a round: add, drain, wait idle; each as processes of its own.

Every drain is proved: the handlers of the worker process count themselves (tally.py), and unless
they ran exactly as often as there were jobs, looked at after the worker has ended, there is no
figure. The rate is from the first handler's call to the last one's, so starting costs nobody.
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.figures import BenchmarkFault, percentile
from benchmarks.idle import listening
from benchmarks.machine import ROOT
from benchmarks.peers.adding import URL
from benchmarks.peers.catalogue import Peer
from benchmarks.peers.install import HERE, folder_of, python_of
from benchmarks.peers.tally import FILE, Tally
from benchmarks.server import Probe
from streamq.embedded import EmbeddedServer

LOOK_EVERY_S: Final = 0.005
START_LIMIT_S: Final = 30.0
DRAIN_LIMIT_S: Final = 240.0
ADD_LIMIT_S: Final = 240.0
STOP_LIMIT_S: Final = 10.0
SETTLE_S: Final = 0.3
"""From the last handler's call: its job is acknowledged, and a second run of it would show."""
QUIET_S: Final = 2.0
"""From a worker's last job to the idle time that counts."""
WARM: Final = 10
"""Samples that are left out: the adding process's first ones."""
ERROR_CHARS_MAX: Final = 1_500
_OURS: Final = ("config|resetstat", "monitor")
"""Commands by which the benchmark itself looks at an idle worker."""


class PeersPace(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured in a round, and how many rounds."""

    rounds: int
    drained: int
    """Jobs of one drain, and of its bulk add; a peer's share of it."""
    added_singly: int
    timed: int
    """Jobs to an idle worker."""
    idle_s: float
    """How long an idle worker is listened to; in the first round."""


FULL: Final = PeersPace(rounds=5, drained=30_000, added_singly=1_000, timed=300, idle_s=120.0)
QUICK: Final = PeersPace(rounds=3, drained=20_000, added_singly=500, timed=100, idle_s=20.0)

Values = dict[str, float]
"""A round's values by the figure's name; see UNITS."""

UNITS: Final[Mapping[str, str]] = {
    "bulk add": "jobs/s",
    "single add": "jobs/s",
    "drain": "jobs/s",
    "idle latency p50": "ms",
    "idle latency p99": "ms",
    "Redis CPU": "µs/job",
    "commands": "/job",
    "idle commands": "/min",
    "idle commands sent": "/min",
}


class Place(msgspec.Struct, frozen=True):
    """Where the peers meet: one server, reached over TCP, since not all of them speak otherwise."""

    server: EmbeddedServer
    probe: Probe

    def words(self, peer: Peer) -> list[str]:
        """The command of its worker."""
        python = python_of(peer)
        return [
            word.format(bin=python.parent, python=python, url=self.server.url, here=HERE)
            for word in peer.worker
        ]

    def adding(self, peer: Peer, way: str, jobs: int) -> list[str]:
        """The command of its adding process."""
        if peer.on_node:
            return ["node", str(HERE / "node" / f"{peer.key}.mjs"), way, str(jobs)]
        python = str(python_of(peer))
        return [python, "-m", "benchmarks.peers.adding", peer.key, way, str(jobs)]

    def variables(self, peer: Peer, tally: Path | None = None) -> dict[str, str]:
        named = {FILE: str(tally)} if tally is not None else {}
        return {
            **os.environ,
            **named,
            URL: self.server.url,
            "PEERS_FOLDER": str(folder_of(peer)),
            "PYTHONPATH": str(ROOT),
        }


# -- processes


async def added(place: Place, peer: Peer, way: str, jobs: int) -> float:
    """Seconds that its adding process says it took. Raises BenchmarkFault if it failed."""
    process = await asyncio.create_subprocess_exec(
        *place.adding(peer, way, jobs), cwd=ROOT, env=place.variables(peer),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(ADD_LIMIT_S):
            said, wrong = await process.communicate()
    except TimeoutError:
        raise BenchmarkFault(f"did not add {jobs} jobs in {ADD_LIMIT_S:g} s") from None
    finally:
        _end_group(process.pid)
    if process.returncode:
        raise BenchmarkFault(f"adding ended with {process.returncode}: {_tail(wrong)}")
    return float(said.split()[-1])


@asynccontextmanager
async def working(place: Place, peer: Peer) -> AsyncIterator["Worker"]:
    """Its worker process within the block, and none of it afterwards."""
    with tempfile.TemporaryDirectory(prefix="sq-peers-") as folder:
        path, said = Path(folder) / "tally", Path(folder) / "said"
        tally = Tally.empty(path)
        with said.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *place.words(peer), cwd=ROOT, env=place.variables(peer, path),
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        worker = Worker(process, tally, said)
        try:
            yield worker
        finally:
            await worker.stop()


class Worker:
    def __init__(self, process: asyncio.subprocess.Process, tally: Tally, said: Path) -> None:
        self._process = process
        self._said = said
        self.tally = tally

    async def until_ran(self, jobs: int, limit_s: float) -> None:
        """Until so many handlers have run. Raises BenchmarkFault if they do not, or it ended."""
        try:
            async with asyncio.timeout(limit_s):
                while self.tally.ran < jobs:
                    if self._process.returncode is not None:
                        code = self._process.returncode
                        raise BenchmarkFault(f"the worker ended with {code}: {self._last_words()}")
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise BenchmarkFault(
                f"ran {self.tally.ran} of {jobs} jobs in {limit_s:g} s: {self._last_words()}"
            ) from None

    async def stop(self) -> None:
        """By TERM, and after STOP_LIMIT_S by KILL; what it started goes with it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await self._process.wait()
        except TimeoutError:
            pass
        _end_group(self._process.pid)
        await self._process.wait()

    def _last_words(self) -> str:
        return _tail(self._said.read_bytes())


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _tail(said: bytes) -> str:
    return said.decode(errors="replace")[-ERROR_CHARS_MAX:].strip()


# -- a round


class Seen(msgspec.Struct, frozen=True):
    """What Redis has done at a moment, and how many handlers had run."""

    ran: int
    cpu_us: float
    commands: int

    @classmethod
    def now(cls, place: Place, ran: int = 0) -> "Seen":
        commands = sum(place.probe.commands().values())
        return cls(ran, place.probe.cpu_us(), commands)

    def per_job(self, before: "Seen", jobs: int) -> tuple[float, float]:
        """CPU in µs and commands since then, by the job."""
        return (self.cpu_us - before.cpu_us) / jobs, (self.commands - before.commands) / jobs


async def measured(place: Place, peer: Peer, pace: PeersPace, *, first: bool) -> Values:
    """One round of that peer. Raises BenchmarkFault if it did not do the work."""
    values: Values = {}
    place.probe.flush()
    took_s = await added(place, peer, "singly", pace.added_singly)
    values["single add"] = pace.added_singly / took_s
    values |= await drained(place, peer, max(1, round(pace.drained * peer.share)))
    values |= await waited(place, peer, pace, first=first)
    place.probe.flush()
    return values


async def drained(place: Place, peer: Peer, jobs: int) -> Values:
    """Added in bulk, or as quickly as it can, and worked off by one worker process."""
    place.probe.flush()
    before = Seen.now(place)
    took_s = await added(place, peer, "fill" if peer.bulk is None else "many", jobs)
    cpu_us, commands = Seen.now(place).per_job(before, jobs)
    async with working(place, peer) as worker:
        await worker.until_ran(1, START_LIMIT_S)
        began = Seen.now(place, worker.tally.ran)
        await worker.until_ran(jobs, DRAIN_LIMIT_S)
        await asyncio.sleep(SETTLE_S)
        ended = Seen.now(place, worker.tally.ran)
    check_each_ran_once(worker.tally, jobs)
    # What it does to start is not counted: from the moment that Redis was looked at, after the
    # first jobs.
    left = max(1, ended.ran - began.ran)
    drained_us, drained_commands = ended.per_job(began, left)
    return {
        **({} if peer.bulk is None else {"bulk add": jobs / took_s}),
        "drain": (jobs - 1) / worker.tally.seconds,
        "Redis CPU": cpu_us + drained_us,
        "commands": commands + drained_commands,
    }


async def waited(place: Place, peer: Peer, pace: PeersPace, *, first: bool) -> Values:
    """With an idle worker: how soon it has a job, and what it asks Redis (in the first round)."""
    values: Values = {}
    place.probe.flush()
    async with working(place, peer) as worker:
        await added(place, peer, "timed", 1)
        await worker.until_ran(1, START_LIMIT_S)
        await added(place, peer, "timed", WARM + pace.timed)
        await worker.until_ran(1 + WARM + pace.timed, START_LIMIT_S)
        await asyncio.sleep(SETTLE_S)
        if first:
            await asyncio.sleep(QUIET_S)
            values |= await _idle(place, pace.idle_s)
    check_each_ran_once(worker.tally, 1 + WARM + pace.timed)
    samples_ms = worker.tally.samples_ms[1 + WARM :]
    values["idle latency p50"] = percentile(samples_ms, 50)
    values["idle latency p99"] = percentile(samples_ms, 99)
    return values


async def _idle(place: Place, seconds: float) -> Values:
    """By INFO, which counts those inside scripts as well; and those that clients send."""
    place.probe.forget()
    async with listening(place.server) as heard:
        await asyncio.sleep(seconds)
        ran = place.probe.commands()
        sent = heard.total()
    ours = sum(ran.get(name, 0) for name in _OURS)
    return {
        "idle commands": (sum(ran.values()) - ours) / seconds * 60,
        "idle commands sent": sent / seconds * 60,
    }


def check_each_ran_once(tally: Tally, jobs: int) -> None:
    """Raises BenchmarkFault unless exactly so many handlers ran."""
    if tally.ran != jobs:
        raise BenchmarkFault(f"ran {tally.ran} handlers for {jobs} jobs")
