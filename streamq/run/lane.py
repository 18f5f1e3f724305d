"""A lane: a worker as Redis knows it, with an id, turns and slots of its own.

A worker of many slots runs as two lanes, so that one's round trip overlaps with the other's
handlers. Owns one line of calls: `register`, then turn after turn, `resync` when a reply is
missing. Hands claims to `start`, gets outcomes back by `settle`.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence

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
from streamq.job import Claim, End, JobId, Outcome, WorkerId
from streamq.run.context import Notes
from streamq.run.execute import Attempt, flagged
from streamq.settings import JobDefaults
from streamq.stats import tally
from streamq.store import transitions
from streamq.store.mending import repair_queue
from streamq.store.replies import Note, Recheck, Turn
from streamq.store.scripts import Link

log = logging.getLogger("streamq.worker")

OUTCOMES_BYTES_MAX = 1 << 20  # of runs handed in with one turn
RECHECKS_MAX = 20  # of one turn: each takes at least one outcome out of it
PAUSE_MIN_S = 0.05  # after a turn that Redis could not take
PAUSE_MAX_S = 2.0
NOTES_EVERY_S = 1.0  # what running jobs said reaches Redis within this
SHY_S = 5.0  # see docs/design.md, "Waiting"
NO_TIMER_S = 3600.0  # a lane that does not sleep for its worker is nudged when there is work
ALONE_LOOK_S = 0.5  # nothing wakes the suspects' process; it lives for ALONE_IDLE_S without one
ALONE_IDLE_S = 5.0

_RUN_BYTES_EACH_ERROR = 10_500  # message and traceback at their limits


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
        start: Callable[["Lane", Claim], None],
        on_turn: Callable[["Lane"], None],
    ) -> None:
        self._link = link
        self._config = config
        self._clock = clock
        self._start = start
        self._on_turn = on_turn
        self._turn = 0
        self._generation: int | None = None
        self._outcomes: list[Outcome] = []
        self._in_hand: list[Outcome] = []  # of the turn under way
        self._honoured: set[JobId] = set()
        self._nudged = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._shy_until = 0.0
        self._notes_due = False
        self._alone_since = clock.monotonic()
        self._offset_ms = 0.0  # Redis's clock less ours
        self._lost = 0
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

    def settle(self, outcome: Outcome) -> None:
        """Takes an outcome for the next turn."""
        self._outcomes.append(outcome)
        self._nudged.set()

    def freed(self, thread: asyncio.Future[object]) -> None:
        """A thread that outlived its attempt has ended: its slot is free."""
        self.stuck.discard(thread)
        self._nudged.set()

    def said(self) -> None:
        """A running job said something, on whatever thread: it reaches Redis within a second."""
        if not self._notes_due:
            self._loop.call_soon_threadsafe(self._note_due)

    def _note_due(self) -> None:
        if not self._notes_due:
            self._notes_due = True
            self._loop.call_later(NOTES_EVERY_S, self._nudged.set)

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
        taken = len(self.running) + len(self.opening) + len(self.zombies) + len(self.stuck)
        return max(0, min(self.slots - taken, transitions.SLOTS_MAX))

    @property
    def idle(self) -> bool:
        return not (self.running or self.opening or self._outcomes or self.zombies)

    @property
    def takes_given_back(self) -> bool:
        """Whether its share of the given-back jobs is not used up."""
        return self._share() > 0

    # -- the loop ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Take jobs and settle them, turn by turn, until told to stop and nothing runs.

        Raises LayoutNewer; any other trouble with Redis is waited out.
        """
        await self._until_registered()
        if not self.id:
            return
        told_to_stop = False
        while not (told_to_stop and self.stopping and self.idle):
            self._nudged.clear()
            # The turn after `stop` goes out at once: it gives back the timer, and asks for nothing.
            told_to_stop = self.stopping
            look_again_ms = await self._one_turn()
            if not self._outcomes:
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
        timer = self._loop.call_later(seconds, self._nudged.set)
        try:
            await self._nudged.wait()
        finally:
            timer.cancel()

    def _alone_for_long(self) -> None:
        """The suspects' process ends by itself when none came for a while."""
        if not self.idle:
            self._alone_since = self._clock.monotonic()
        elif self._clock.monotonic() - self._alone_since > ALONE_IDLE_S:
            self.stopping = True

    async def _one_turn(self) -> int:
        """One turn, whatever it takes; when to look again, in ms."""
        pause_s = PAUSE_MIN_S
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
            except (StaleTurn, OutcomeUnknown) as error:
                log.debug("resync of %s: %s", self.id, error)
                resync_first = True
            except ScriptFault as error:
                log.error("%s", error)
                await self._repair()
                resync_first = True
                pause_s = PAUSE_MAX_S
                await asyncio.sleep(pause_s)
            except StoreError as error:
                # Away, loading, read-only, full: outcomes are kept, and handlers go on.
                log.debug("turn of %s waits: %s", self.id, error)
                resync_first = not isinstance(error, NotApplied | StoreFull)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _step(self) -> int:
        """Hands in what there is, asks for what is free. Outcomes go only when they are taken."""
        # Swapped out before the call, not after: one that finishes meanwhile belongs to the next.
        self._in_hand = self._next_outcomes()
        del self._outcomes[: len(self._in_hand)]
        notes = self._take_notes()
        try:
            turn = await self._settled(notes)
        except BaseException:
            self._outcomes[:0] = self._in_hand
            for note in notes:
                if (attempt := self.running.get(note.claim.id)) is not None:
                    Notes.put_back(attempt.context, note.run, note.log)
            raise
        self._honoured.clear()
        self._offset_ms = turn.now_ms - self._clock.monotonic() * 1000
        self.turned_at = self._clock.monotonic()
        for claim in turn.claims:
            word = turn.flagged.get(claim.id)
            self._start(self, claim if word is None else _flag(claim))
        self._on_turn(self)
        return 0 if self._outcomes else turn.look_again_ms

    async def _settled(self, notes: Sequence[Note]) -> Turn:
        """The turn, taken: what Redis refuses of the batch is left out, and it is sent again."""
        asked = self.free_slots
        for _ in range(RECHECKS_MAX):
            number = self._turn + 1
            counters = tally(self._in_hand) if self._in_hand else {}
            if self._lost:
                counters = {**counters, "lease_lost": self._lost}
            reply = await transitions.step(
                self._link,
                self.id,
                number,
                slots=asked,
                share=self._share(),
                outcomes=self._in_hand,
                notes=notes,
                honoured=self._honoured,
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
            notes = self._rechecked(reply, notes)
        raise OutcomeUnknown("step", "it was refused again and again")

    def _rechecked(self, reply: Recheck, notes: Sequence[Note]) -> list[Note]:
        """The batch without what is not ours any more, and with operators' flags obeyed."""
        self._lose(reply.refused)
        kept = []
        for outcome in self._in_hand:
            job = outcome.claim.id
            if job in reply.refused:
                continue
            if job in reply.flagged:
                outcome = flagged(outcome, reply.flagged[job])
                self._honoured.add(job)
            kept.append(outcome)
        self._in_hand = kept
        return [n for n in notes if n.claim.id not in reply.refused]

    def _next_outcomes(self) -> list[Outcome]:
        """As many as one turn may carry; at least one, if there is one."""
        batch: list[Outcome] = []
        size = 0
        for outcome in self._outcomes[: transitions.OUTCOMES_MAX]:
            run = outcome.run
            if run is not None and (run.errors or run.result is not None):
                size += len(run.errors) * _RUN_BYTES_EACH_ERROR
                size += 0 if run.result is None else len(run.result)
                if size > OUTCOMES_BYTES_MAX and batch:
                    break
            batch.append(outcome)
        return batch

    def _take_notes(self) -> list[Note]:
        self._notes_due = False
        notes: list[Note] = []
        for attempt in self.running.values():
            if len(notes) >= transitions.OUTCOMES_MAX:
                break
            if Notes.pending(attempt.context):
                run, text = Notes.take(attempt.context)
                notes.append(Note(attempt.claim, run, text))
        return notes

    def _share(self) -> int:
        """Of the jobs that were given back it holds a tenth of its slots, at least one."""
        held = sum(a.claim.line == "0" for a in self.running.values())
        return max(0, max(1, self.slots // 10) - held)

    # -- identity ----------------------------------------------------------------------------

    async def _until_registered(self) -> None:
        """A live row under an id of our own; waits as long as Redis is away, unless stopping."""
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
                log.error("%s", error)
                await self._repair()
            except (WrongState, StoreError) as error:
                log.debug("register of %s: %s", worker, error)
                if self.stopping:
                    return
            else:
                self.id, self._turn, self._generation = worker, 0, self._link.wire.generation
                self._offset_ms = now - self._clock.monotonic() * 1000
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _begin_anew(self) -> None:
        """Declared dead: all that runs is lost, and so is what was not handed in yet."""
        log.warning(
            "worker %s of %s was declared dead; it registers anew", self.id, self._link.queue
        )
        self._lose(frozenset(self.running) | {o.claim.id for o in self._outcomes})
        await self._until_registered()

    async def _resync(self) -> None:
        """What is really held: outcomes of other leases are dropped, unknown claims are started."""
        held = [a.claim for a in self.running.values()] + [o.claim for o in self._outcomes]
        held += self.opening.values()
        self._turn += 1  # any number above the stored one: a late copy of an earlier step is stale
        found, generation = await transitions.resync(
            self._link, self.id, self._turn, held, now_ms=self._clock.now_ms()
        )
        self._generation = generation
        self._lose(found.lost)
        for claim in found.claims:
            self._start(self, claim)

    def _lose(self, jobs: frozenset[JobId]) -> None:
        """These leases are not ours: their attempts end, and their outcomes go."""
        for job in jobs:
            self._lost += 1
            if (attempt := self.running.pop(job, None)) is not None:
                log.warning("job %s: the lease is lost, its attempt ends", job)
                self.zombies.add(attempt)
                attempt.end("lost")
        if jobs:
            self._outcomes = [o for o in self._outcomes if o.claim.id not in jobs]

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

    async def _repair(self) -> None:
        try:
            mended = await repair_queue(self._link)
        except StoreError as error:
            log.warning("repair of queue %s: %s", self._link.queue, error)
        else:
            log.warning("queue %s: %d items were put right", self._link.queue, mended.total)


def _flag(claim: Claim) -> Claim:
    return msgspec.structs.replace(claim, cancelled=True)


def abandoned(attempt: Attempt) -> Outcome:
    """The outcome of an attempt that does not end in time at a shutdown: handed back as it is."""
    return Outcome(attempt.claim, End.RELEASED, name=attempt.handler.label, count="released")
