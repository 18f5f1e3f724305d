"""All interleavings of a small scope: two workers, two jobs, one crash, one lost reply.

Processes share nothing, so an interleaving is the order in which their requests reach the server,
and where the crash and the lost reply fall. Each request is held until nobody can run; which one
arrives then is a choice, and a depth-first search makes all of them.
"""

import asyncio
import math
import time
from functools import partial
from random import Random
from typing import Final

import msgspec

from streamq.app import App
from streamq.settings import Settings
from streamq.testing.sim.fleet import Host, Terms, World
from streamq.testing.sim.front import Front
from streamq.testing.sim.jobs import PREFIX, QUEUE, Deed, Kind, made_app
from streamq.testing.sim.loop import OUTSIDE, Process, SimLoop, seeded_ids
from streamq.testing.sim.net import Network, Weather
from streamq.testing.sim.server import Server
from streamq.testing.sim.twin import Differs

SETTLE_S: Final = 2.0  # until both workers have nothing to do
END_S: Final = 600.0
LOOK_S: Final = 0.5
JOBS: Final = ("one", "two")


class Choices:
    """The choices of one interleaving, and how to come to the next."""

    def __init__(self) -> None:
        self._prefix: list[int] = []
        self._made: list[tuple[int, int]] = []

    def choose(self, options: int) -> int:
        at = len(self._made)
        chosen = self._prefix[at] if at < len(self._prefix) else 0
        self._made.append((chosen, options))
        return chosen

    def advance(self) -> bool:
        """To the next interleaving; False: that was the last one."""
        made, self._made = self._made, []
        while made:
            chosen, options = made.pop()
            if chosen + 1 < options:
                self._prefix = [c for c, _ in made] + [chosen + 1]
                return True
        return False

    @property
    def said(self) -> str:
        return ".".join(str(chosen) for chosen, _ in self._made)


class Searched(msgspec.Struct, frozen=True):
    """How many interleavings there were, whether that is all of them, and what one broke."""

    count: int
    complete: bool
    wrong: str


class Small(msgspec.Struct, frozen=True):
    """What may happen in one interleaving, besides the order of requests."""

    crashes: int = 1
    losses: int = 1
    delays: int = 0


class Scope:
    """One interleaving."""

    def __init__(self, server: Server, choices: Choices, small: Small) -> None:
        self._choices = choices
        self._crashes, self._losses, self._delays = small.crashes, small.losses, small.delays
        self._loop = SimLoop(Random(0))
        self.front = Front(server, self._loop, f"{PREFIX}:{{{QUEUE}}}:", QUEUE)
        self._network = Network(self._loop, Random(0), self.front.carry, self.front.pop)
        self._network.weather = Weather(latency_s=0.0)
        settings = Settings(redis="unix:///simulated", prefix=PREFIX)
        self._world = World(self._loop, Random(0), self.front.history, settings)
        self._host = Host(self._world, "host", children=2, terms=Terms(slots=1))
        self._producers: list[tuple[Process, App]] = [
            (Process(f"producer{n}"), made_app(self.front.history, self._loop, settings=settings))
            for n in range(len(JOBS))
        ]

    def run(self) -> str:
        """Plays it; what is wrong."""
        loop = self._loop
        try:
            loop.run_until_complete(loop.create_task(self._play(), context=OUTSIDE.context))
        except (AssertionError, RuntimeError) as error:
            return str(loop.failure or error)
        finally:
            self._network.held, loop.on_idle = None, None
            self._network.away = True
            self._network.cut()
            loop.discard()
        return "\n".join(self.front.history.wrong)

    async def _play(self) -> None:
        self._host.start()
        await asyncio.sleep(SETTLE_S)
        self._network.held, self._loop.on_idle = [], self._let_one_arrive
        for (process, app), job in zip(self._producers, JOBS, strict=True):
            self._loop.spawn(process, partial(self._added, app, job))
        until = self._loop.time() + END_S
        while not self._ended():
            if self._loop.time() > until:
                twin = self.front.twin
                raise Differs(f"not ended: {twin.jobs}\n  " + "\n  ".join(self.front.last))
            await asyncio.sleep(LOOK_S)

    async def _added(self, app: App, job: str) -> None:
        self.front.history.unknown.add(job)
        await app.queue(QUEUE).add("deed", Deed(Kind.OK, 5), id=job)
        self.front.history.acked[job] = self._loop.time()

    def _ended(self) -> bool:
        twin = self.front.twin
        return len(self.front.history.acked) == len(JOBS) and all(
            twin.jobs[job].state == "completed" for job in JOBS
        )

    def _let_one_arrive(self) -> bool:
        """The next choice: which request arrives, with or without its reply; a crash; or a delay,
        in which the clock moves while requests are on their way."""
        network, host = self._network, self._host
        assert network.held is not None
        network.held = [h for h in network.held if not h[0].gone]
        heads: dict[int, int] = {}
        for at, (connection, _) in enumerate(network.held):
            heads.setdefault(id(connection), at)
        if not heads:
            return False
        ways = [(at, "arrives") for at in heads.values()]
        if self._losses:
            ways += [(at, "reply lost") for at in heads.values()]
        if self._crashes:
            ways += [(n, "crash") for n, each in enumerate(host.children) if each.process.alive]
        if self._delays:
            ways.append((0, "delay"))
        which, way = ways[self._choices.choose(len(ways))]
        if way == "delay":
            self._delays -= 1
            return False
        if way == "crash":
            self._crashes -= 1
            host.children[which].process.kill()
            return True
        connection, commands = network.held.pop(which)
        self._losses -= way == "reply lost"
        connection.let_arrive(commands, reply=way == "arrives")
        return True


def search(server: Server, scope: Small, *, seconds: float = math.inf) -> Searched:
    """All interleavings of a scope, or as many as there is time for."""
    choices, began, count = Choices(), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        server.begin()
        with seeded_ids(Random(0)):
            wrong = Scope(server, choices, scope).run()
        count += 1
        if wrong:
            return Searched(count, False, f"choices {choices.said}: {wrong}")
        if not choices.advance():
            return Searched(count, True, "")
    return Searched(count, False, "")
