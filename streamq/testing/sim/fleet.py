"""The simulated fleet: hosts with the engine's own workers, beats and burials.

A daemon's process beats for its children and buries them; a child runs one worker. An embedded
process does both for itself. What a daemon does about processes of the system is played here; what
it says to Redis is the engine's own.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from streamq.clock import Clock
from streamq.errors import LayoutNewer, StoreError
from streamq.job import WorkerId
from streamq.run.beats import Beats
from streamq.run.burials import Body, Burials
from streamq.run.death import Death
from streamq.run.upkeep import keeps_of
from streamq.run.worker import Worker
from streamq.settings import Settings
from streamq.store.address import Address
from streamq.store.client import Redis
from streamq.store.replies import Beaten
from streamq.testing.sim.history import History
from streamq.testing.sim.jobs import PREFIX, QUEUE, made_app
from streamq.testing.sim.loop import Process, SimLoop

ADDRESS: Final = Address("unix:///simulated", "the simulation")
SEEN_DEAD_S: Final = 0.05  # until a daemon sees that a child has ended
RESTART_S: Final = 2.0
GRACE_S: Final = 30.0  # of a stop, until what runs is handed back
END_S: Final = 10.0


class SimClock(Clock):
    """A process's own clock: it knows nothing of Redis's, and began at another moment."""

    def __init__(self, loop: SimLoop, began_s: float) -> None:
        self._loop, self._began_s = loop, began_s

    def monotonic(self) -> float:
        return self._loop.time() + self._began_s


class Terms(msgspec.Struct, frozen=True):
    """What the seed says of a fleet."""

    slots: int = 3
    knows_rare: bool = True
    keep_completed: int | None = None


class World(msgspec.Struct, frozen=True):
    """What all processes share."""

    loop: SimLoop
    rng: Random
    history: History
    settings: Settings


class Child:
    """A process with one worker."""

    def __init__(self, world: World, name: str, kind: str, terms: Terms) -> None:
        self._world, self._kind, self._terms = world, kind, terms
        self.process = Process(name)
        self.worker: Worker | None = None
        self.by_itself = False
        """It ended because it was done."""
        self.hung = False
        """It stands still, and its daemon beats for it: a handler holds its loop."""
        self.killed = False
        """From outside: that says nothing about its jobs."""

    def start(self) -> None:
        self._world.loop.spawn(self.process, self._main)

    @property
    def ids(self) -> list[WorkerId]:
        return [] if self.worker is None else self.worker.ids

    async def _main(self) -> None:
        world = self._world
        app = made_app(
            world.history,
            world.loop,
            settings=world.settings,
            knows_rare=self._terms.knows_rare,
            keep=self._terms.keep_completed,
        )
        redis = Redis(ADDRESS, name=self.process.name)
        self.worker = Worker(
            app,
            QUEUE,
            redis,
            concurrency=1 if self._kind == "a" else self._terms.slots,
            kind=self._kind,
            daemon=self.process.name,
            clock=SimClock(world.loop, world.rng.uniform(10, 1e6)),
        )
        await self.worker.run()
        await redis.close()
        self.by_itself = True
        self.process.kill()

    def tell(self, call: Callable[[Worker], None]) -> None:
        """As by a message from its daemon."""
        worker = self.worker
        if worker is not None and self.process.alive:
            self._world.loop.call_soon(call, worker, context=self.process.context)

    def stop(self) -> None:
        """As by SIGTERM: what runs may end, within the grace."""
        self.process.ends = True
        self.tell(Worker.stop)
        self._world.loop.call_later(GRACE_S, self.tell, Worker.hand_back)
        self._world.loop.call_later(GRACE_S + END_S, self.process.kill)


class Host:
    """A machine: a daemon with its children, or (without any) one embedded process."""

    def __init__(self, world: World, name: str, *, children: int, terms: Terms) -> None:
        self._world, self.name, self.terms = world, name, terms
        self.seats = children
        self._born = 0
        self._stopping = False
        self._burials: Burials | None = None
        self.children: list[Child] = []
        self.alone: Child | None = None
        if children:
            self.process = Process(name)
        else:
            only = Child(world, name, "e", terms)
            self.children, self.process = [only], only.process

    def start(self) -> None:
        self._world.loop.spawn(self.process, self._beat)
        if not self.seats:
            self.children[0].start()
        for _ in range(self.seats):
            self._bear()

    @property
    def alive(self) -> bool:
        return self.process.alive

    def everyone(self) -> list[Child]:
        """Its children that are alive."""
        both = [*self.children, *([self.alone] if self.alone else [])]
        return [child for child in both if child.process.alive]

    def kill(self) -> None:
        """As when the power goes: no part of it runs any more."""
        self.process.kill()
        for child in self.everyone():
            child.process.kill()

    def stop(self) -> None:
        """In order: children end what they run; then it ends."""
        self._stopping = True
        for child in self.everyone():
            child.stop()
        self._world.loop.call_later(GRACE_S + 2 * END_S, self.kill)

    def _bear(self) -> None:
        if self._stopping or not self.alive:
            return
        self._born += 1
        child = Child(self._world, f"{self.name}-{self._born}", "d", self.terms)
        self._adopt(child)
        self.children.append(child)

    def _adopt(self, child: Child) -> None:
        child.process.on_death.append(lambda: self._died(child))
        child.start()

    def _begin_alone(self, _: str) -> None:
        if self.alone is None and not self._stopping:
            self._born += 1
            self.alone = Child(self._world, f"{self.name}-{self._born}", "a", self.terms)
            self._adopt(self.alone)

    # -- the daemon's own

    def _died(self, child: Child) -> None:
        if self.alive:
            self._world.loop.call_later(
                SEEN_DEAD_S, self._bury, child, context=self.process.context
            )

    def _bury(self, child: Child) -> None:
        """The daemon saw a child's end: its jobs go back at once, and another one is started."""
        if child is self.alone:
            self.alone = None
        else:
            self.children.remove(child)
            self._world.loop.call_later(
                self._world.rng.random() * RESTART_S, self._bear, context=self.process.context
            )
        if self._burials is not None:
            evidence = not child.by_itself and not child.killed
            self._burials.begin(
                Body(
                    pid=0,
                    daemon=child.process.name,
                    workers={QUEUE: child.ids},
                    queues=(QUEUE,),
                    death=Death(evidence=evidence, cause="its end in the simulation"),
                )
            )

    async def _beat(self) -> None:
        world = self._world
        app = made_app(world.history, world.loop, settings=world.settings)
        lease_ms = world.settings.lease_ms
        redis = Redis(ADDRESS, name=f"{self.name}-beats")
        beats = Beats(
            redis,
            PREFIX,
            lease_ms=lease_ms,
            heard=self._heard,
            duty=self.name if self.seats else "",
            on_alone=self._begin_alone if self.seats else None,
            clock=SimClock(world.loop, 0.0),
        )
        beats.keep(QUEUE, keeps_of(app.queue_settings(QUEUE)))
        self._burials = Burials(beats.link, lease_ms=lease_ms, stopping=lambda: self._stopping)
        while True:
            began = world.loop.time()
            try:
                await beats.round({QUEUE: self._living()})
            except LayoutNewer:
                raise
            except (StoreError, TimeoutError):
                pass  # a daemon says so, and beats again when it is time
            await asyncio.sleep(max(0.0, lease_ms / 3000 - (world.loop.time() - began)))

    def _living(self) -> list[WorkerId]:
        """A daemon beats for no child that is stopped; it does for one whose loop is held."""
        return [w for child in self.everyone() if not child.process.stopped or child.hung
                for w in child.ids]  # fmt: skip

    def _heard(self, _: str, beaten: Beaten) -> None:
        for child in self.everyone():
            if gone := beaten.gone.intersection(child.ids):
                child.tell(lambda worker, gone=gone: worker.heard_gone(gone))  # type: ignore[misc]
            for job, flag in beaten.flagged.items():
                child.tell(lambda worker, job=job, flag=flag: worker.cancel_job(job, flag))  # type: ignore[misc]
