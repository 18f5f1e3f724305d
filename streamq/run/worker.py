"""The worker: takes jobs of one queue, runs their handlers, settles their outcomes.

Owns the slots of one queue in one process, shared out to its lanes, and what goes on beside the
jobs. Who hosts it beats for it (`upkeep`).
"""

import asyncio
import logging
import math
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

import msgspec

from streamq import sentry
from streamq.app import App
from streamq.clock import REAL, Clock
from streamq.errors import LayoutNewer, OutcomeUnknown, StoreError
from streamq.handlers import known_by
from streamq.job import Claim, End, JobId, Outcome, WorkerId
from streamq.run.context import Notes
from streamq.run.current import RUNNING
from streamq.run.execute import Executor
from streamq.run.judge import Attempt, released
from streamq.run.lane import Lane, LaneConfig
from streamq.run.roster import Roster
from streamq.run.sleep import Sleep
from streamq.run.telling import tell_begin, tell_end
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.reads import WorkerRow, ask_each, note_queue, workers
from streamq.store.scripts import link

CONCURRENCY_MAX = 10_000  # slots of one worker
NOTE_PAUSE_S = 10.0  # after Redis did not take the queue's name
FLEET_GOOD_FOR_S = 1.0  # how long the names that other workers list are taken for known
ABANDON_AFTER_S = 3.0  # a cancelled handler that does not end is handed back all the same
FAULT_PAUSE_S = 2.0  # after an error that nobody foresaw, before its lane goes on

log = logging.getLogger("streamq.worker")


class Worker:
    """Runs jobs of one queue until it is told to stop. One event loop, one App."""

    def __init__(
        self,
        app: App,
        queue: str,
        redis: Redis,
        *,
        concurrency: int,
        kind: str = "e",
        daemon: str = "",
        label: str = "",
        state: object = None,
        clock: Clock = REAL,
        on_progress: Callable[[], None] | None = None,
    ) -> None:
        self.queue = queue
        self.jobs_done = 0
        self._app = app
        self._redis = redis
        self._keys = keys_of(app.settings.prefix, queue)
        self._link = link(redis, self._keys)
        self._kind = kind
        self._clock = clock
        self._on_progress = on_progress
        self.process = secrets.token_hex(6)
        # Threads are made when they are needed, and never more than there are slots.
        self._threads = ThreadPoolExecutor(CONCURRENCY_MAX, thread_name_prefix=f"streamq-{queue}")
        self._row = WorkerRow(
            host=socket.gethostname(),
            pid=os.getpid(),
            queue=queue,
            slots=concurrency,
            names=tuple(app.handlers.names(queue)),
            process=self.process,
            build=app.build,
            daemon=daemon,
            label=label,
            started_at_ms=int(time.time() * 1000),
        )
        self._defaults = app.queue_settings(queue)
        self._roster = Roster(concurrency, self._made_lane)
        self._sleep: Sleep | None = None
        if kind != "a":
            self._sleep = Sleep(self._lanes, redis.address, self._keys, clock)
        self._executor = Executor(
            queue,
            app.handlers,
            self._defaults,
            state=state,
            middleware=app.middlewares,
            on_failed=app.failed_hooks,
            threads=self._threads,
            now_ms=lambda: self._roster.lanes[0].now_ms(),
            known_elsewhere=self._known_elsewhere,
        )
        self._call = self._executor.call
        if sentry.active():
            from streamq.run.reports import Reports

            self._call = Reports(self._executor.call).call
        self._note_at = math.inf
        self._initialized = False
        self._over = False
        self._running: asyncio.TaskGroup | None = None
        self._fleet: list[tuple[str, ...]] | None = []
        self._fleet_at = -math.inf
        self._looking = asyncio.Lock()
        self._asides: set[asyncio.Task[object]] = set()
        self._loop = asyncio.get_running_loop()

    def _made_lane(self, slots: int) -> Lane:
        row = msgspec.structs.replace(self._row, slots=slots)
        config = LaneConfig(self._kind, msgspec.msgpack.encode(row), self._defaults)
        return Lane(
            self._link,
            config,
            slots,
            clock=self._clock,
            on_register=self._on_register,
            start=self._start,
            on_turn=self._on_turn,
        )

    @property
    def _lanes(self) -> list[Lane]:
        """Those that claim."""
        return self._roster.lanes

    @property
    def slots(self) -> int:
        return self._roster.slots

    # -- what its host may do ----------------------------------------------------------------

    async def run(self) -> None:
        """Until `stop` was called and all that runs has ended. Raises LayoutNewer.

        Cancelled, it ends at once: what runs is cancelled, too, and nothing of it is handed in.
        """
        sleep = [] if self._sleep is None else [asyncio.create_task(self._keep(self._sleep.run))]
        try:
            async with asyncio.TaskGroup() as self._running:
                for lane in self._roster:
                    self._running.create_task(self._keep_lane(lane))
            # The last word on the shared connection: to cancel it would cut off others.
            await asyncio.gather(*self._asides, return_exceptions=True)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._over, self._running = True, None
            last = [*sleep, *self._asides]
            for each in last:
                each.cancel()
            await asyncio.gather(*last, return_exceptions=True)
            for lane in self._roster:
                for attempt in (*lane.running.values(), *lane.zombies):
                    attempt.end("lost")
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _keep_lane(self, lane: Lane) -> None:
        await self._keep(lane.run)
        self._roster.ended(lane)

    async def _keep(self, run: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await run()
            except LayoutNewer:
                raise
            # The second of the three places: an error that nobody foresaw must not end the process,
            # for that would count against every job that runs in it.
            except Exception:
                log.exception("a turn of queue '%s' went wrong; it goes on", self.queue)
                await asyncio.sleep(FAULT_PAUSE_S)

    def stop(self) -> None:
        """Claims nothing more; `run` ends when what runs has ended."""
        for lane in self._roster:
            lane.stopping = True
            lane.nudge()

    def quiet(self, on: bool = True) -> None:
        """Claims nothing more, or again, and stays."""
        for lane in self._lanes:
            lane.quiet = on
            lane.nudge()

    def renew(self, concurrency: int) -> None:
        """Other slots, and the terms of its queue as the App has them by now.

        Nothing that runs is told: what is beyond the slots ends as it will.
        """
        defaults = self._app.queue_settings(self.queue)
        slots = max(1, min(concurrency, CONCURRENCY_MAX))
        ends = any(lane.stopping for lane in self._lanes)
        if ends or (slots, defaults) == (self.slots, self._defaults):
            return
        self._defaults = defaults
        self._executor.renew(defaults)
        self._roster.change(slots)
        if self._sleep is not None:
            self._sleep.change(self._lanes)
        if self._running is not None:
            for lane in self._lanes:
                self._running.create_task(self._keep_lane(lane))

    def hand_back(self) -> None:
        """Cancels all that runs, now, to hand it back without using an attempt."""
        for lane in self._roster:
            for attempt in list(lane.running.values()):
                attempt.end("released")
                asyncio.get_running_loop().call_later(ABANDON_AFTER_S, self._abandon, lane, attempt)

    def _abandon(self, lane: Lane, attempt: Attempt) -> None:
        if lane.running.get(attempt.claim.id) is attempt:
            log.warning("job %s does not end: it is handed back while it runs", attempt.claim.id)
            del lane.running[attempt.claim.id]
            lane.settle(released(attempt.claim, attempt.handler.label))

    def cancel_job(self, job: JobId, flag: str = "c") -> None:
        """Ends the attempt of a cancelled ("c") or removed ("r") job, if it runs here."""
        for lane in self._roster:
            if (attempt := lane.running.get(job)) is not None and not attempt.why:
                attempt.end("removed" if flag == "r" else "cancelled")

    def heard_gone(self, gone: frozenset[WorkerId]) -> None:
        """A beat was told that these workers are dead: a turn will be told so, too."""
        for lane in self._roster:
            if lane.id in gone:
                lane.nudge()

    @property
    def ids(self) -> list[WorkerId]:
        """Its lanes as Redis knows them."""
        return [lane.id for lane in self._roster if lane.id]

    @property
    def busy(self) -> int:
        """Slots in use, those of threads that would not end among them."""
        return sum(lane.busy for lane in self._roster)

    @property
    def stuck(self) -> int:
        """Slots held by threads that outlived their attempt."""
        return sum(len(lane.stuck) for lane in self._roster)

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing is to be handed in."""
        return all(lane.idle for lane in self._roster)

    @property
    def running(self) -> list[JobId]:
        return [job for lane in self._roster for job in lane.running]

    @property
    def turned_at(self) -> float:
        """When a turn last came back (monotonic); 0: never."""
        return max(lane.turned_at for lane in self._roster)

    def look(self) -> None:
        """A turn at once, whatever the time told."""
        for lane in self._lanes:
            lane.nudge()

    # -- claims and outcomes -----------------------------------------------------------------

    def _start(self, lane: Lane, claim: Claim) -> None:
        """A claim to its task; one that is not to run is settled at once, with its reason."""
        if claim.record is None:
            self._aside(lane, claim, self._fetched(claim))
            return
        opened = self._executor.open(claim)
        if isinstance(opened, Outcome):
            if opened.count == "unknown":
                self._aside(lane, claim, self._unknown(lane, opened))
            elif opened.end is End.FAILED:
                self._aside(lane, claim, self._executor.tell_failed(opened))
            else:
                lane.settle(opened)
            return
        lane.running[claim.id] = opened
        Notes.listen(opened.context, lane.said)
        opened.task = self._loop.create_task(self._attempt(lane, opened))
        if claim.cancelled:
            opened.end("cancelled")

    def _aside(self, lane: Lane, claim: Claim, work: Awaitable[Claim | Outcome]) -> None:
        """A claim that needs another look at Redis first: held meanwhile, with its slot."""
        lane.opening[claim.id] = claim

        async def look() -> None:
            # Handed back as it is, if Redis does not answer: whoever is given it next may see more.
            found: Claim | Outcome = released(claim)
            try:
                found = await work
            except StoreError as error:
                log.debug("job %s: %s", claim.id, error)
            finally:
                if lane.opening.get(claim.id) is claim:  # else its lease was lost meanwhile
                    del lane.opening[claim.id]
                    if isinstance(found, Outcome):
                        lane.settle(found)
                    else:
                        lane.begin(found)

        self._spawn(look())

    async def _fetched(self, claim: Claim) -> Claim:
        """A claim that came without record and run: the turn's reply was at its byte budget."""
        names = self._keys.names
        value, run = await ask_each(
            self._link, ("HGET", names["jobs"], claim.id), ("HGET", names["runs"], claim.id)
        )
        return msgspec.structs.replace(claim, record=value or b"", run=run)

    async def _unknown(self, lane: Lane, outcome: Outcome) -> Outcome:
        settled = await self._executor.settle_unknown(outcome)
        if settled.end is End.RETRY:
            lane.shy()
        elif settled.run is not None:
            log.warning("job %s: %s", outcome.claim.id, settled.run.reason)
        return settled

    async def _attempt(self, lane: Lane, attempt: Attempt) -> None:
        job = attempt.claim.id
        RUNNING.set(attempt.context)
        told = log.isEnabledFor(logging.INFO)
        if told:
            tell_begin(self.queue, job)
        outcome = await self._call(attempt)
        if self._over:
            return
        if attempt.thread is not None and not attempt.thread.done():
            lane.stuck.add(attempt.thread)
            attempt.thread.add_done_callback(lane.freed)
            attempt.thread.add_done_callback(lambda _: self._roster.share_out())
        if lane.running.get(job) is attempt:
            del lane.running[job]
            if outcome is not None:
                if told or outcome.end is not End.COMPLETED:
                    tell_end(self.queue, outcome)
                lane.settle(outcome)
        else:
            lane.zombies.discard(attempt)
            lane.nudge()
        self.jobs_done += 1
        if self._on_progress is not None:
            self._on_progress()

    def _on_register(self) -> None:
        """A lane has a row. Whoever emptied Redis took the queue's name away as well."""
        self._note_at = 0.0
        if not self._initialized:
            self._initialized = True
            log.info("[QueueManager] Queue '%s' initialized", self.queue)

    async def _note_queue(self) -> None:
        """Writes the queue's name where operators look for queues; on a cluster, at another node.

        Beside the turns, and again until it is done: a worker works in a full Redis, too.
        """
        try:
            await note_queue(self._redis, self._keys.prefix, self.queue)
        except StoreError as error:
            log.debug("name of queue %s: %s", self.queue, error)
            self._note_at = self._clock.monotonic() + NOTE_PAUSE_S

    def _spawn(self, work: Coroutine[None, None, object]) -> None:
        task = self._loop.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    # -- beside the jobs ---------------------------------------------------------------------

    def _on_turn(self, lane: Lane) -> None:
        if self._note_at <= lane.turned_at:
            self._note_at = math.inf
            self._spawn(self._note_queue())
        if self._roster.leaving:
            self._roster.share_out()
        for outcome in lane.outbox.ended_by_flag():
            self._spawn(self._executor.tell_failed(outcome))
        if lane.filled:
            for other in self._lanes:
                if other is not lane and other.hungry and other.free_slots:
                    other.nudge()
        if self._sleep is not None:
            self._sleep.on_turn()

    async def _known_elsewhere(self, name: str) -> bool:
        """Whether another live worker of the queue lists the name."""
        asked_at = self._clock.monotonic()
        if asked_at - self._fleet_at <= FLEET_GOOD_FOR_S and self._listed(name):
            return True
        # That nobody knows it is not to be said from an old look: a worker may just have started.
        async with self._looking:
            if self._fleet_at < asked_at:
                self._fleet_at, self._fleet = self._clock.monotonic(), None
                seen = await workers(self._link)
                mine = self.process
                self._fleet = [w.row.names for w in seen if w.live and w.row.process != mine]
            elif self._fleet is None:
                # Somebody else has looked meanwhile, and had no answer: not each in turn.
                raise OutcomeUnknown(f"look at the workers of {self.queue}", "a moment ago")
        return self._listed(name)

    def _listed(self, name: str) -> bool:
        return any(known_by(names, name) for names in self._fleet or ())
