"""One simulation: a fleet, what happens to it, the healing, and what must hold in the end."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from random import Random
from typing import Final

import msgspec

from streamq.app import App
from streamq.errors import NotApplied, OutcomeUnknown, RedisUnavailable, StoreError, StoreFull
from streamq.queue import Queue
from streamq.settings import Settings
from streamq.testing.sim.fleet import Host, Terms, World
from streamq.testing.sim.front import Front
from streamq.testing.sim.jobs import PREFIX, QUEUE, Deed, made_app
from streamq.testing.sim.loop import OUTSIDE, Process, SimLoop, seeded_ids
from streamq.testing.sim.net import FINE, Network
from streamq.testing.sim.plan import Profile, chosen, profile
from streamq.testing.sim.server import Server
from streamq.testing.sim.twin import Differs

LEASE_S: Final = 30.0
STEPS: Final = 40
TWICE: Final = 0.06  # of the adds, of an id that there was
CANCELLED: Final = 0.3  # of the operators' calls, in the middle
STORM_CALLS: Final = 8
REVIVE_S: Final = 10.0
STALL_S: Final = 1_200.0
"""Once all is healed, some job ends in this time until all have: ten deaths take longest."""
LOOK_S: Final = 5.0
QUIET_S: Final = 120.0
QUIET_CALLS_MAX: Final = 60  # of all scripts in that time, for each live worker
ENDED: Final = ("completed", "failed")
"""Not parked: in the end every name is known to somebody."""


class Result(msgspec.Struct, frozen=True):
    """How a seed went. `wrong` is empty if all held."""

    seed: int
    steps: int
    wrong: str
    trace: str
    scripts: int
    jobs: int
    faults: dict[str, int]
    virtual_s: float


class Simulation:
    """See the module."""

    def __init__(self, server: Server, seed: int, steps: int) -> None:
        self._seed, self._steps = seed, steps
        self._rng = Random(f"{seed}/plan")
        self.profile: Profile = profile(self._rng)
        self._loop = SimLoop(Random(f"{seed}/order"))
        self.front = Front(server, self._loop, f"{PREFIX}:{{{QUEUE}}}:", QUEUE)
        self._network = Network(
            self._loop, Random(f"{seed}/network"), self.front.carry, self.front.pop
        )
        self._network.weather = self.profile.weather
        settings = Settings(redis="unix:///simulated", prefix=PREFIX)
        history = self.front.history
        self._world = World(self._loop, Random(f"{seed}/world"), history, settings)
        self._hosts: list[Host] = []
        self._born = 0
        self._jobs: list[str] = []
        self._open: list[asyncio.TimerHandle] = []
        """Ends of what goes on: an outage, a freeze."""
        self._adding = 0
        """Calls of `add` that were not answered yet."""
        self._healing = self._over = False
        self._back_s = 0.0
        self._producers = [self._client(f"producer{n}") for n in (1, 2)]
        self._operator = self._client("operator")

    def _client(self, name: str) -> tuple[Process, App]:
        world = self._world
        keep = self.profile.keep_completed
        app = made_app(world.history, world.loop, settings=world.settings, keep=keep)
        return Process(name), app

    def run(self) -> Result:
        """Plays it."""
        loop, wrong = self._loop, ""
        try:
            loop.run_until_complete(loop.create_task(self._play(), context=OUTSIDE.context))
        except (AssertionError, RuntimeError) as error:
            found = loop.failure or error
            wrong = str(found) if isinstance(found, Differs) else _traced(found)
        finally:
            self._over = self._network.away = True
            self._network.cut()
            loop.discard()
        wrong = wrong or "\n".join(self.front.history.wrong)
        return Result(
            self._seed, self._steps, wrong, self.front.trace.hexdigest()[:16],
            sum(self.front.scripts.values()), len(self._jobs), self._network.faults, loop.time(),
        )  # fmt: skip

    async def _play(self) -> None:
        for children in self.profile.hosts:
            self._bear(children)
        for _ in range(self._steps):
            await asyncio.sleep(self._rng.random() ** 2 * self.profile.pause_s)
            name = chosen(self._rng, self.profile.weights)
            if name != "add":
                self._network.happened(name)
            HAPPENINGS[name](self)
        await self._heal()
        await self._drain()
        await self._be_quiet()
        await self._end()

    # -- the fleet

    def _bear(self, children: int) -> None:
        if self._over:
            return
        self._born += 1
        terms = Terms(
            self.profile.slots,
            knows_rare=self._healing or self._rng.random() < 0.5,
            keep_completed=self.profile.keep_completed,
        )
        host = Host(self._world, f"host{self._born}", children=children, terms=terms)
        self._hosts.append(host)
        host.process.on_death.append(lambda: self._revive(host, children))
        host.start()

    def _revive(self, host: Host, children: int) -> None:
        """Somebody starts what died, as systemd would."""
        self._hosts.remove(host)
        delay_s = self._rng.random() * REVIVE_S
        self._loop.call_later(delay_s, self._bear, children, context=OUTSIDE.context)

    def _for(self, seconds: float, end: Callable[[], None]) -> None:
        self._open.append(self._loop.call_later(seconds, end, context=OUTSIDE.context))

    # -- producers and operators

    def add(self) -> None:
        rng = self._rng
        names = []
        for _ in range(rng.choice((1, 1, 2, 5, 12))):
            if self._jobs and rng.random() < TWICE:
                job = rng.choice(self._jobs)  # of the same id: it changes nothing, if it is there
                self.front.twin.again.add(job)
                self.front.history.refused.discard(job)
            else:
                self._jobs.append(job := f"j{len(self._jobs)}")
            names.append(job)
        process, app = rng.choice(self._producers)
        jobs = [(job, *self._deed()) for job in names]
        self._loop.spawn(process, partial(self._added, app.queue(QUEUE), jobs))

    def _deed(self) -> tuple[str, Deed, dict[str, object]]:
        rng = self._rng
        kind = rng.choice(self.profile.kinds)
        ms = rng.choice((0, 0, 5, 5, 300, 300, 4_000, 4_000, 20_000, 70_000))
        options: dict[str, object] = {"priority": rng.choice((1, 3, 3, 3, 10))}
        if rng.random() < 0.2:
            options["delay"] = f"{rng.choice((20, 900, 15_000, 60_000))}ms"
        if rng.random() < 0.2:
            options["keep"] = False
        name = "rare" if rng.random() < 0.1 else "deed"
        return name, Deed(kind, ms, rng.randint(1, 3)), options

    async def _added(
        self, queue: Queue, jobs: list[tuple[str, str, Deed, dict[str, object]]]
    ) -> None:
        history = self.front.history

        async def one(job: str, name: str, deed: Deed, options: dict[str, object]) -> None:
            if job not in history.acked:
                history.unknown.add(job)
            try:
                await queue.add(name, deed, id=job, **options)  # type: ignore[arg-type]
            except OutcomeUnknown:
                return
            except (NotApplied, RedisUnavailable, StoreFull):
                # A copy of a refused call, which no TCP connection makes, may still be taken.
                if job not in self.front.twin.again and not self.profile.weather.late_copy:
                    history.unknown.discard(job)
                    history.refused.add(job)
            else:
                history.unknown.discard(job)
                history.acked[job] = self._loop.time()

        self._adding += 1
        await asyncio.gather(*(one(*each) for each in jobs))
        self._adding -= 1

    def _operate(self, call: Callable[[Queue], Coroutine[object, object, object]]) -> None:
        process, app = self._operator
        queue, hurry_s = app.queue(QUEUE), None
        if self._rng.random() < CANCELLED:
            hurry_s = self._rng.random() * 0.004

        async def operate() -> None:
            try:
                async with asyncio.timeout(hurry_s):
                    await call(queue)
            except TimeoutError:
                return
            except StoreError as error:
                logging.getLogger("streamq.simulation").debug("operator: %s", error)

        self._loop.spawn(process, operate)

    def _any_job(self) -> str:
        return self._rng.choice(self._jobs[-30:] or ["nobody"])

    def storm(self) -> None:
        """Many reads on one connection, some of them cut off: each is to get its own answer."""
        process, app = self._operator
        queue = app.queue(QUEUE)

        async def look(job: str, hurry_s: float | None) -> None:
            try:
                async with asyncio.timeout(hurry_s):
                    found = await queue.get(job)
            except (TimeoutError, StoreError):
                return
            if found is not None and found.id != job:
                raise Differs(f"asked for {job}, and was answered {found.id}")

        for _ in range(STORM_CALLS):
            hurry_s = self._rng.choice((None, self._rng.random() * 0.003))
            self._loop.spawn(process, partial(look, self._any_job(), hurry_s))

    def pause(self) -> None:
        self._operate(Queue.pause)
        self._for(self._rng.random() * 40, lambda: self._operate(Queue.resume))

    def limit(self) -> None:
        most = self._rng.choice((None, 1, 2, 5))
        self._operate(lambda queue: queue.limit(most))

    def rate(self) -> None:
        rate = self._rng.choice((None, (1, "1s"), (5, "10s"), (3, "200ms"), (4, "20s")))
        self._operate(lambda queue: queue.limit(rate=rate))

    def cancel(self) -> None:
        job = self._any_job()
        self.front.history.told_to_end.add(job)
        self._operate(lambda queue: queue.cancel(job))

    def remove(self) -> None:
        job = self._any_job()
        self.front.history.told_to_end.add(job)
        self._operate(lambda queue: queue.remove(job))

    def retry(self) -> None:
        job = self._any_job()
        self._operate(lambda queue: queue.retry(job))

    def promote(self) -> None:
        job = self._any_job()
        self._operate(lambda queue: queue.promote(job))

    # -- deaths and pauses

    def _some_host(self) -> Host | None:
        return self._rng.choice(self._hosts) if self._hosts else None

    def kill_child(self) -> None:
        if (host := self._some_host()) and (children := host.everyone()):
            child = self._rng.choice(children)
            child.killed = self._rng.random() < 0.5
            # Not between two happenings only: in the middle of whatever it does.
            self._loop.call_later(
                self._rng.random() * 0.01, child.process.kill, context=OUTSIDE.context
            )

    def kill_host(self) -> None:
        if host := self._some_host():
            host.kill()

    def stop_child(self) -> None:
        if (host := self._some_host()) and (children := host.everyone()):
            self._rng.choice(children).stop()

    def freeze(self, *, hung: bool = False) -> None:
        if not (host := self._some_host()) or not (children := host.everyone()):
            return
        child = self._rng.choice(children)
        child.process.stopped, child.hung = True, hung

        def thaw() -> None:
            child.process.stopped = child.hung = False

        self._for(self._rng.choice((0.3, 0.9, 1.5, 3.0)) * LEASE_S * self._rng.random(), thaw)

    def hang(self) -> None:
        self.freeze(hung=True)

    # -- Redis

    def cut(self) -> None:
        self._network.cut()

    def away(self) -> None:
        self._network.cut()
        self._network.away = True
        self._for(self._rng.choice((0.5, 5.0, 70.0)) * self._rng.random(), self._back)

    def _back(self) -> None:
        self._network.away = False

    def refuse(self) -> None:
        self.front.refuses = self._rng.choice(("LOADING", "READONLY", "MISCONF", "BUSY"))
        self._for(self._rng.choice((0.5, 5.0, 50.0)) * self._rng.random(), self._relent)

    def _relent(self) -> None:
        self.front.refuses = None

    def full(self) -> None:
        self.front.fill(full=True)
        self._for(self._rng.choice((1.0, 60.0)) * self._rng.random(), self._empty)

    def _empty(self) -> None:
        self.front.fill(full=False)

    def flush_scripts(self) -> None:
        self.front.flush_scripts()

    def fail_over(self) -> None:
        """A replica that is a little behind becomes the master."""
        if self._network.away:
            return
        copied = self.front.copied()

        def promote() -> None:
            self._network.cut()
            self.front.restored(copied)

        self._for(self._rng.choice((0.001, 0.3, 5.0)) * self._rng.random(), promote)

    def clock(self) -> None:
        # Not back where a master may be lost: a fence rises over a lost tail by the clock alone.
        ways = (1,) if "fail over" in self.profile.weights else (1, -1)
        jump_s = self._rng.choice((1, 20, 600)) * self._rng.choice(ways)
        self.front.offset_ms += jump_s * 1000
        self._back_s += max(0, -jump_s)

    # -- afterwards

    async def _heal(self) -> None:
        last_s = max((timer.when() for timer in self._open), default=0.0)
        await asyncio.sleep(max(0.0, last_s - self._loop.time()) + 1.0)
        self._healing = True
        self._network.weather = FINE
        for host in list(self._hosts):
            if not host.terms.knows_rare:
                host.stop()  # all hosts know all names from now on
        if not any(host.seats and host.alive for host in self._hosts):
            self._bear(1)
        done = asyncio.Event()

        async def open_up(queue: Queue) -> None:
            while not done.is_set():
                try:
                    await queue.resume()
                    await queue.limit(None, rate=None)
                except StoreError:
                    await asyncio.sleep(1.0)
                else:
                    done.set()

        self._loop.spawn(self._operator[0], partial(open_up, self._operator[1].queue(QUEUE)))
        await asyncio.wait_for(done.wait(), 120.0)

    def _unended(self) -> Iterator[str]:
        twin = self.front.twin
        yield from (j for j, each in twin.jobs.items() if each.state not in ENDED)

    async def _drain(self) -> None:
        """I1, I14: in bounded time every job has ended, and none is missing."""
        fewest, since_s = len(self._jobs) + 1, self._loop.time()
        while (left := list(self._unended())) or self._adding:
            if len(left) < fewest:
                fewest, since_s = len(left), self._loop.time()
            if self._loop.time() - since_s > STALL_S + self._back_s:
                raise Differs(self._said(left))
            await asyncio.sleep(LOOK_S)
        twin, history = self.front.twin, self.front.history
        there = twin.jobs.keys() | twin.went | history.lost
        lost = [job for job in history.acked if job not in there]
        if lost:
            raise Differs(f"added, and not there: {lost}")
        made = sorted(history.refused & twin.created)
        if made:
            raise Differs(f"said to be not added, and there: {made}")

    def _said(self, left: list[str]) -> str:
        twin = self.front.twin
        waits = "; ".join(f"{j}: {twin.jobs[j]}" for j in left[:10])
        return f"{len(left)} jobs have not ended: {waits}; live: {twin.live}\n  " + "\n  ".join(
            self.front.last
        )

    async def _be_quiet(self) -> None:
        """I14: who has nothing to do asks for next to nothing."""
        await asyncio.sleep(LEASE_S)
        before = sum(self.front.scripts.values())
        await asyncio.sleep(QUIET_S)
        calls = sum(self.front.scripts.values()) - before
        workers = len(self.front.twin.live) or 1
        if calls > QUIET_CALLS_MAX * workers:
            raise Differs(f"{calls} scripts in {QUIET_S:g} s with nothing to do, {workers} workers")

    async def _end(self) -> None:
        """I13: whoever leaves takes everything along."""
        self._over = True
        for host in list(self._hosts):
            host.stop()
        await asyncio.sleep(3 * LEASE_S)
        self.front.look()
        self.front.expect_nothing_left()


def _traced(error: BaseException) -> str:
    """A fault of the simulator itself, or an error that the engine let through."""
    return "".join(traceback.format_exception(error))


HAPPENINGS: Final[dict[str, Callable[[Simulation], None]]] = {
    "add": Simulation.add,
    "pause": Simulation.pause,
    "storm": Simulation.storm,
    "limit": Simulation.limit,
    "rate": Simulation.rate,
    "cancel": Simulation.cancel,
    "remove": Simulation.remove,
    "retry": Simulation.retry,
    "promote": Simulation.promote,
    "kill child": Simulation.kill_child,
    "kill host": Simulation.kill_host,
    "stop child": Simulation.stop_child,
    "freeze": Simulation.freeze,
    "hang": Simulation.hang,
    "cut": Simulation.cut,
    "away": Simulation.away,
    "refuse": Simulation.refuse,
    "full": Simulation.full,
    "flush scripts": Simulation.flush_scripts,
    "fail over": Simulation.fail_over,
    "clock": Simulation.clock,
}


def simulate(
    server: Server, seed: int, steps: int = STEPS, *, trace: list[str] | None = None
) -> Result:
    """Plays a seed on an empty server. `trace`: takes a line for each call."""
    server.begin()
    with seeded_ids(Random(f"{seed}/ids")):
        simulation = Simulation(server, seed, steps)
        simulation.front.whole = trace
        return simulation.run()
