"""A lane: a worker as Redis knows it, with an id, turns and slots of its own.

A worker of many slots runs as two lanes, so that one's round trip overlaps with the other's
handlers. Owns one line of calls: `register`, then turn after turn, `resync` when a reply is
missing. Hands claims to `start`, gets outcomes back by `settle`.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Callable, Collection

import msgspec

from streamq.clock import Clock
from streamq.errors import (
    Gone,
    LayoutNewer,
    NotApplied,
    OutcomeUnknown,
    ScriptFault,
    StaleTurn,
    StoreError,
    StoreFull,
    WrongState,
)
from streamq.job import GIVEN_BACK, Claim, JobId, Outcome, WorkerId
from streamq.run.ahead import Ahead
from streamq.run.judge import Attempt, marked, released
from streamq.run.outbox import Outbox
from streamq.settings import JobDefaults
from streamq.stats import tally
from streamq.store import transitions
from streamq.store.batch import read_turn
from streamq.store.client import Arg, Reply
from streamq.store.mending import repair_queue
from streamq.store.replies import Turn
from streamq.store.scripts import Link

log = logging.getLogger("streamq.worker")

RECHECKS_MAX = 20  # of one turn: each takes at least one outcome out of it
PAUSE_MIN_S = 0.05  # after a turn that Redis could not take
PAUSE_MAX_S = 2.0
NOTES_EVERY_S = 0.8  # what running jobs said is handed in after this, and in Redis within 1 s
SHY_S = 5.0  # see docs/design.md, "Waiting"
NO_TIMER_S = 3600.0  # a lane that does not sleep for its worker is nudged when there is work
ALONE_LOOK_S = 0.5  # nothing wakes the suspects' process; it lives for ALONE_IDLE_S without one
ALONE_IDLE_S = 5.0
REPAIR_EVERY_S = 60.0  # by one lane: a fault that repeats itself must not walk the queue each time


class LaneConfig(msgspec.Struct, frozen=True):
    """A lane's kind (d, e or a: see transitions.register), its row, and its queue's terms."""

    kind: str
    row: bytes
    defaults: JobDefaults

    @property
    def alone(self) -> bool:
        return self.kind == "a"


class Lane:
    """See the module. `start` runs a claim as a task; it must not raise."""

    def __init__(
        self,
        link: Link,
        config: LaneConfig,
        slots: int,
        *,
        clock: Clock,
        on_register: Callable[[], None],
        start: Callable[["Lane", Claim], None],
        on_turn: Callable[["Lane"], None],
    ) -> None:
        self._link = link
        self._config = config
        self._clock = clock
        self._on_register = on_register
        self._start = start
        self._on_turn = on_turn
        self._turn = 0
        self._generation: int | None = None
        self.outbox = Outbox()
        self._nudged = asyncio.Event()
        self.rests = asyncio.Event()
        """Set while it sleeps with nothing in hand: what its next turn will be is certain."""
        self._loop = asyncio.get_running_loop()
        self._shy_until = 0.0
        self._notes_due = False
        self._ahead = Ahead()
        self._heard_ms: int | None = None  # when to look again, by a turn sent ahead and taken
        self._alone_since = clock.monotonic()
        self._offset_ms = 0.0  # Redis's clock less ours
        self._lost = 0
        self._repaired_at = -math.inf
        self.id = WorkerId("")
        self.running: dict[JobId, Attempt] = {}
        self.opening: dict[JobId, Claim] = {}
        """Claims that need another look at Redis before they can start."""
        self.zombies: set[Attempt] = set()
        """Attempts whose lease is lost, until they have ended: each holds its slot so long."""
        self.stuck: set[asyncio.Future[object]] = set()
        """Threads that outlived their attempt: each holds its slot until it ends."""
        self.slots = slots
        self.waits = False
        """Whether this lane is the one that sleeps for its worker."""
        self.stopping = False
        self.quiet = False
        self.hungry = False
        """The last turn left slots free: more jobs could start."""
        self.filled = False
        """The last turn gave all that was asked for: there may be more."""
        self.turned_at = 0.0

    # -- what the worker and its host may do -------------------------------------------------

    def nudge(self) -> None:
        """Ends the lane's sleep: there is a reason for a turn."""
        self._nudged.set()
        self.rests.clear()

    def follow(self, before: "Lane") -> None:
        """Takes over from a lane of its worker: the clock of Redis, and what that one was told."""
        self._offset_ms, self.turned_at = before._offset_ms, before.turned_at
        self.quiet = before.quiet

    def begin(self, claim: Claim) -> None:
        """A claim to its attempt; or back at once, if it came after `stop`."""
        if self.stopping:
            self.settle(released(claim))
            return
        if claim.id in self.running:
            self._lose({claim.id})  # it was taken from us without our knowing, and given again
        self._start(self, claim)

    def settle(self, outcome: Outcome) -> None:
        """Takes an outcome for the next turn."""
        self.outbox.put(outcome)
        self.nudge()

    def freed(self, thread: asyncio.Future[object]) -> None:
        """A thread that outlived its attempt has ended: its slot is free."""
        self.stuck.discard(thread)
        self.nudge()

    def said(self) -> None:
        """A running job said something, on whatever thread: it reaches Redis within a second."""
        if not self._notes_due:
            self._loop.call_soon_threadsafe(self._note_due)

    def _note_due(self) -> None:
        if not self._notes_due:
            self._notes_due = True
            self._loop.call_later(NOTES_EVERY_S, self.nudge)

    def shy(self) -> None:
        """A name was handed back that another worker knows: leave it to that one for a while."""
        self._shy_until = self._clock.monotonic() + SHY_S

    def now_ms(self) -> int:
        """Redis's clock, as of the last reply and our own clock since."""
        moved = self._clock.now_ms()
        return moved if moved is not None else int(self._clock.monotonic() * 1000 + self._offset_ms)

    @property
    def free_slots(self) -> int:
        """Slots that a turn may fill now."""
        if self.stopping or self.quiet:
            return 0
        return max(0, min(self.slots - self.busy, transitions.SLOTS_MAX))

    @property
    def busy(self) -> int:
        """Slots in use, those of threads that would not end among them."""
        return len(self.running) + len(self.opening) + len(self.zombies) + len(self.stuck)

    @property
    def idle(self) -> bool:
        return not (self.running or self.opening or self.outbox or self.zombies)

    @property
    def takes_given_back(self) -> bool:
        """Whether its share of the given-back jobs is not used up."""
        return self._share() > 0

    # -- the loop ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Take jobs and settle them, turn by turn, until told to stop and nothing runs.

        Raises LayoutNewer; any other trouble with Redis is waited out. May be called again after
        an error that nobody foresaw: what it holds is asked of Redis first.
        """
        self._generation = None
        if not self.id:
            await self._until_registered()
        if not self.id:
            return
        told_to_stop = False
        while not (told_to_stop and self.stopping and self.idle):
            self._nudged.clear()
            # The turn after `stop` goes out at once: it gives back the timer, and asks for nothing.
            told_to_stop = self.stopping
            look_again_ms = await self._one_turn()
            if not self.outbox:
                await self._sleep(look_again_ms)
            if self._config.alone:
                self._alone_for_long()
        await self._leave()

    async def _sleep(self, look_again_ms: int) -> None:
        """Until an outcome, a token or the time told; not at all if there is something to do."""
        if self._nudged.is_set() or (self.stopping and self.idle):
            return
        seconds = look_again_ms / 1000
        if self._config.alone:
            seconds = ALONE_LOOK_S
        elif not self.waits:
            seconds = NO_TIMER_S
        timer = self._loop.call_later(seconds, self.nudge)
        if self.idle:
            self.rests.set()
        try:
            await self._nudged.wait()
        finally:
            self.rests.clear()
            timer.cancel()

    def _alone_for_long(self) -> None:
        """The suspects' process ends by itself when none came for a while."""
        if not self.idle:
            self._alone_since = self._clock.monotonic()
        elif self._clock.monotonic() - self._alone_since > ALONE_IDLE_S:
            self.stopping = True

    async def _one_turn(self) -> int:
        """One turn, whatever it takes; when to look again, in ms."""
        pause_s = 0.0
        resync_first = False
        while True:
            try:
                if resync_first or self._generation is None:
                    await self._resync()
                    resync_first = False
                return await self._step()
            except LayoutNewer:
                raise
            except Gone:
                await self._begin_anew()
            except ScriptFault as error:
                await self._repair(error)
                resync_first, pause_s = True, PAUSE_MAX_S
            except StoreError as error:
                # Away, loading, read-only, full: outcomes are kept, and handlers go on.
                log.debug("turn of %s waits: %s", self.id, error)
                resync_first = not isinstance(error, NotApplied | StoreFull)
                if self.stopping and self.idle:
                    return 0  # what Redis does not answer to cannot be told goodbye
                if pause_s == 0 and isinstance(error, OutcomeUnknown | StaleTurn):
                    pause_s = PAUSE_MIN_S  # once at once: a reply that was lost, no more
                    continue
            await asyncio.sleep(pause_s)
            pause_s = max(PAUSE_MIN_S, min(pause_s * 2, PAUSE_MAX_S))

    async def _step(self) -> int:
        """Hands in what there is, asks for what is free. Outcomes go only when they are taken."""
        self._notes_due = False
        heard_ms, self._heard_ms = self._heard_ms, None
        if heard_ms is not None:
            return heard_ms
        if (turn := self._came_ahead()) is not None:
            return self._turned(turn)
        self.outbox.take(self.running.values())
        try:
            turn = await self._settled()
        except BaseException as error:
            self.outbox.put_back(self.running)
            if isinstance(error, StaleTurn):
                await self._ahead.wait(self._turn + 1)
                if (late := self._came_ahead()) is not None:
                    # The step that was sent ahead came first; what is to be settled comes next.
                    self._turned(late)
                    return 0
            raise
        self.outbox.taken()
        return self._turned(turn)

    def _turned(self, turn: Turn) -> int:
        """A turn came back: its claims begin. When to look again, in ms."""
        self._offset_ms = turn.now_ms - self._clock.monotonic() * 1000
        self.turned_at = self._clock.monotonic()
        for claim in turn.claims if not turn.flagged else marked(turn):
            self.begin(claim)
        self._on_turn(self)
        return 0 if self.outbox else turn.look_again_ms

    def send_ahead(self) -> tuple[Arg, ...] | None:
        """The command of the next turn, to stand behind the blocking pop of an idle worker.

        So a job that comes is claimed the moment the token is popped, without another round trip.
        Any turn of ours that is sent meanwhile makes it stale. None: what the next turn will be is
        not certain. Its reply goes to `hear_ahead`.
        """
        certain = (
            self.rests.is_set()
            and not self._ahead.heard  # the reply to the last one is to come first
            and not self._lost
            and self._clock.now_ms() is None
            and self._clock.monotonic() >= self._shy_until
            and self._generation is not None
            and self._link.wire.lives(self._generation)
        )
        if not certain or not self.free_slots or not self.waits:
            return None
        defaults = self._config.defaults
        self._ahead.sent(self._turn + 1, self.free_slots)
        return transitions.step_ahead(
            self._link.keys,
            self.id,
            self._turn + 1,
            slots=self._ahead.slots,
            share=self._share(),
            keep_completed=defaults.keep_completed.count,
            keep_failed=defaults.keep_failed.count,
        )

    def hear_ahead(self, reply: Reply) -> None:
        """Takes the reply to the turn that was sent ahead, or the StoreError that it came to.

        The claims begin here and now, if the lane sleeps: it wakes after them.
        """
        self._ahead.hear(reply)
        slept = self.rests.is_set()
        self.nudge()
        if slept and not isinstance(reply, StoreError):
            generation, self._generation = self._generation, None  # an error here: resync
            turn = self._came_ahead()
            self._heard_ms = None if turn is None else self._turned(turn)
            self._generation = generation

    def _came_ahead(self) -> Turn | None:
        """The turn that was sent ahead, if its reply is there and Redis took it.

        Raises OutcomeUnknown if it may have been taken and its reply is lost, and ScriptFault.
        """
        reply = self._ahead.take(self._turn + 1)
        if reply is None:
            return None
        self._turn += 1
        turn = read_turn(reply, self.id)
        self.hungry = len(turn.claims) < self._ahead.slots
        self.filled = not self.hungry
        return turn

    async def _settled(self) -> Turn:
        """The turn, taken: what Redis refuses of the batch is left out, and it is sent again."""
        box = self.outbox
        # Outcomes that have to wait for a later turn still hold a lease each.
        asked = max(0, self.free_slots - len(box))
        for _ in range(RECHECKS_MAX):
            number = self._turn + 1
            counters = tally(box.in_hand) if box.in_hand else {}
            if self._lost:
                counters = {**counters, "lease_lost": self._lost}
            reply = await transitions.step(
                self._link,
                self.id,
                number,
                slots=asked,
                share=self._share(),
                outcomes=box.in_hand,
                notes=box.notes,
                honoured=box.honoured,
                counters=counters,
                waits=self.waits and not self.stopping,
                shy=self._clock.monotonic() < self._shy_until,
                alone=self._config.alone,
                keep_completed=self._config.defaults.keep_completed.count,
                keep_failed=self._config.defaults.keep_failed.count,
                generation=self._generation,
                now_ms=self._clock.now_ms(),
            )
            if isinstance(reply, Turn):
                self._turn, self._lost = number, 0
                self.hungry = len(reply.claims) < asked
                self.filled = asked > 0 and not self.hungry
                return reply
            self._lost += len(reply.refused)
            self._lose(box.recheck(reply, self.now_ms()))
        raise OutcomeUnknown("step", "it was refused again and again")

    def _share(self) -> int:
        """Of the jobs that were given back it holds a tenth of its slots, at least one."""
        held = sum(a.claim.line == GIVEN_BACK for a in self.running.values())
        held += sum(c.line == GIVEN_BACK for c in self.opening.values())
        return max(0, max(1, self.slots // 10) - held)

    # -- identity ----------------------------------------------------------------------------

    async def _until_registered(self) -> None:
        """A live row under an id of our own; waits as long as Redis is away, unless stopping."""
        self._ahead.drop()  # of the id before
        pause_s = PAUSE_MIN_S
        defaults = self._config.defaults
        rate = defaults.rate
        while True:
            # A register without an answer is not repeated: a late copy of it would raise the dead.
            worker = WorkerId(secrets.token_hex(6))
            try:
                now = await transitions.register(
                    self._link,
                    worker,
                    kind=self._config.kind,
                    row=self._config.row,
                    max_active=defaults.max_active,
                    rate=None if rate is None else (rate.count, rate.per_ms),
                    now_ms=self._clock.now_ms(),
                )
            except LayoutNewer:
                raise
            except ScriptFault as error:
                await self._repair(error)
                if self.stopping:
                    return
            except (WrongState, StoreError) as error:
                log.debug("register of %s: %s", worker, error)
                if self.stopping:
                    return
            else:
                self.id, self._turn, self._generation = worker, 0, self._link.wire.generation
                self._offset_ms = now - self._clock.monotonic() * 1000
                self._on_register()
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _begin_anew(self) -> None:
        """Declared dead: all that runs is lost, and so is what was not handed in yet."""
        log.warning(
            "worker %s of %s was declared dead; it registers anew", self.id, self._link.queue
        )
        self._lost += len(self.outbox.drop({claim.id for claim in self.outbox.claims}))
        self._lost += len(self.running) + len(self.opening)
        self._lose({*self.running, *self.opening})
        await self._until_registered()

    async def _resync(self) -> None:
        """What is really held: outcomes of other leases are dropped, unknown claims are started."""
        held = [a.claim for a in self.running.values()] + self.outbox.claims
        held += self.opening.values()
        self._turn += 1  # any number above the stored one: a late copy of an earlier step is stale
        found, generation = await transitions.resync(
            self._link, self.id, self._turn, held, now_ms=self._clock.now_ms()
        )
        self._generation = generation
        self._lost += len(found.lost)
        # An outcome and an attempt of one job: the outcome's lease is the older one.
        self._lose(found.lost - self.outbox.drop(found.lost))
        for claim in found.claims:
            self.begin(claim)

    def _lose(self, jobs: Collection[JobId]) -> None:
        """The leases of these are not ours: their attempts end, and keep their slots until then."""
        for job in jobs:
            self.opening.pop(job, None)
            if (attempt := self.running.pop(job, None)) is not None:
                log.warning("job %s: the lease is lost, its attempt ends", job)
                self.zombies.add(attempt)
                attempt.end("lost")

    async def _leave(self) -> None:
        """The row goes, and the consumer: nothing is held. No answer: the reaper does it."""
        if not self.id:
            return
        try:
            await transitions.reap(
                self._link, self.id, lease_ms=0, seen=True, now_ms=self._clock.now_ms()
            )
        except StoreError as error:
            log.debug("leaving of %s: %s", self.id, error)

    async def _repair(self, fault: ScriptFault) -> None:
        """Puts right what a torn script left; said, and done, once a minute at most."""
        now = self._clock.monotonic()
        if now - self._repaired_at < REPAIR_EVERY_S:
            log.debug("%s", fault)
            return
        self._repaired_at = now
        log.error("%s", fault)
        try:
            mended = await repair_queue(self._link)
        except StoreError as error:
            log.warning("repair of queue %s: %s", self._link.queue, error)
        else:
            log.warning("queue %s: %d items were put right", self._link.queue, mended.total)
