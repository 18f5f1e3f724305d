"""The clockwork: in every worker process, fires the slots of the app's schedules as they fall due.

All processes know the same slots; the script lets one of them win each. Nobody leads, so nobody has
to be found again when a process dies. What stops one queue does not stop the others: each has a
`Dial` of its own.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from streamq.app import App
from streamq.clock import Clock
from streamq.errors import (
    LayoutNewer,
    OutcomeUnknown,
    RedisUnavailable,
    ScriptFault,
    StoreError,
)
from streamq.job import JobId, NewJob
from streamq.producer import CALL_BYTES_MAX, size_of
from streamq.schedule import LATE_MS, Schedule, Slot
from streamq.store import transitions
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.mending import repair_queue
from streamq.store.reads import note_queue
from streamq.store.replies import ScheduleState, SlotReply
from streamq.store.scripts import Link, link
from streamq.timetable import RETIRE_MS, SILENCE_MS

DECLARE_EVERY_S: Final = 60.0
"""How long it takes at most to see that Redis's clock was moved, or that all its data went."""
assert DECLARE_EVERY_S * 5 * 1_000 < SILENCE_MS < RETIRE_MS  # some may be lost, and nothing is

SLEEP_MAX_S: Final = 30.0
SLEEP_MIN_S: Final = 0.001
SETTLE_S: Final = 2.0  # after Redis refused, and while a jump of its clock settles
OWED_EVERY_S: Final = 1.0  # has the job ended that an owed slot waits for?
SLOTS_A_CALL: Final = 500
REPAIR_EVERY_S: Final = 60.0

log = logging.getLogger("streamq.schedules")


class Clockwork:
    """The schedules of an App, fired from this process."""

    def __init__(self, app: App, redis: Redis, *, clock: Clock | None = None) -> None:
        """`clock`: the App's own, unless given."""
        self._app = app
        self._redis = redis
        self._clock = app.clock if clock is None else clock
        self._changed = asyncio.Event()
        self.dials: list[Dial] = self._made()

    async def run(self) -> None:
        """Fires until it is cancelled; trouble with Redis is waited out."""
        while True:
            self._changed.clear()
            self.dials = self._made()
            async with asyncio.TaskGroup() as group:
                turning = [group.create_task(dial.run()) for dial in self.dials]
                await self._changed.wait()
                for each in turning:
                    each.cancel()

    def changed(self) -> None:
        """The settings were read anew, and the schedules in them."""
        self._changed.set()

    def _made(self) -> "list[Dial]":
        by_queue: dict[str, list[Schedule]] = {}
        for schedule in self._app.schedules.declared.values():
            by_queue.setdefault(schedule.queue, []).append(schedule)
        return [
            Dial(self._app, self._redis, queue, schedules, self._clock)
            for queue, schedules in by_queue.items()
        ]


class RedisTime:
    """What time it is for Redis, kept by this process's clock from one reply to the next."""

    def __init__(self, clock: Clock, lease_ms: int) -> None:
        self._clock = clock
        self._lease_s = lease_ms / 1_000
        self._offset_ms: float | None = None
        self._jumped_at_s: float | None = None

    def now_ms(self) -> int:
        moved = self._clock.now_ms()
        if moved is not None:
            return moved
        assert self._offset_ms is not None, "Redis was not heard yet"
        return int(self._clock.monotonic() * 1_000 + self._offset_ms)

    def heard(self, now_ms: int, asked_s: float) -> None:
        """Redis said that it was `now_ms`, some time between `asked_s` and now.

        A reply may have waited for a handler that holds the loop: only what it contradicts is
        corrected. At first the later bound holds, by which no slot is early.
        """
        if self._clock.now_ms() is not None:
            return
        low_ms = now_ms - self._clock.monotonic() * 1_000
        high_ms = now_ms - asked_s * 1_000
        before_ms = self._offset_ms
        if before_ms is None:
            self._offset_ms = low_ms
            return
        self._offset_ms = min(max(before_ms, low_ms), high_ms)
        if abs(self._offset_ms - before_ms) > self._lease_s * 500:
            # Rule 7. The clock was moved, or this machine slept. It may be moved back soon.
            self._jumped_at_s = self._clock.monotonic()

    def settles_s(self) -> float:
        """For how long no slot may fire."""
        if self._jumped_at_s is None:
            return 0.0
        return max(0.0, self._jumped_at_s + self._lease_s - self._clock.monotonic())


class Dial:
    """The schedules of one queue."""

    def __init__(
        self, app: App, redis: Redis, queue: str, schedules: Sequence[Schedule], clock: Clock
    ) -> None:
        self._app = app
        self._redis = redis
        self._at: Link = link(redis, keys_of(app.settings.prefix, queue))
        self._clock = clock
        self._time = RedisTime(clock, app.settings.lease_ms)
        self._hands = {schedule.name: Hand(schedule) for schedule in schedules}
        self._declare_at_s = 0.0
        self._noted = False
        self._trouble: type[StoreError] | None = None
        self._repaired_at_s: float | None = None

    async def run(self) -> None:
        """Fires until it is cancelled, or until a newer streamq wrote this queue."""
        while True:
            try:
                wait_s = await self.turn()
                self._trouble = None
            except LayoutNewer as error:
                log.error("%s Its schedules are left to the newer one.", error)
                return
            except StoreError as error:
                self._tell(error)
                wait_s = SETTLE_S
            await asyncio.sleep(wait_s)

    async def turn(self) -> float:
        """Fires what is due; for how long there is nothing to do. Raises StoreError."""
        if self._clock.monotonic() >= self._declare_at_s:
            await self._declare()
        settles_s = self._time.settles_s()
        if settles_s:
            return min(settles_s, SLEEP_MAX_S)
        for hand in self._hands.values():
            if hand.wait_s(self._time.now_ms(), self._clock.monotonic()) <= 0:
                await self._fire_safely(hand)
        return self._sleep_s()

    def _sleep_s(self) -> float:
        """Until the next slot of all, or the next declaration."""
        now_ms, now_s = self._time.now_ms(), self._clock.monotonic()
        waits_s = [hand.wait_s(now_ms, now_s) for hand in self._hands.values()]
        wait_s = min(SLEEP_MAX_S, self._declare_at_s - now_s, *waits_s)
        # Not before the slot's own millisecond: a turn too early would find nothing due.
        return max(0.0, wait_s) + SLEEP_MIN_S

    async def _declare(self) -> None:
        """Tells Redis what stands; it says where each schedule is, and what time it is."""
        asked_s = self._clock.monotonic()
        now_ms, states = await transitions.declare(
            self._at,
            [hand.declaration for hand in self._hands.values()],
            retire_ms=RETIRE_MS,
            silence_ms=SILENCE_MS,
            late_ms=LATE_MS,
            now_ms=self._clock.now_ms(),
        )
        self._time.heard(now_ms, asked_s)
        for name, state in states.items():
            self._hands[name].set(state)
        if not self._noted:
            # For who looks for queues: perhaps nobody ever adds to this one otherwise.
            await note_queue(self._redis, self._at.keys.prefix, self._at.queue)
            self._noted = True
        self._declare_at_s = self._clock.monotonic() + DECLARE_EVERY_S

    async def _fire_safely(self, hand: "Hand") -> None:
        """A fault in one schedule's script is no reason to leave the others."""
        try:
            await self._fire(hand)
        except ScriptFault as error:
            self._tell(error)
            hand.not_before_s = self._clock.monotonic() + SETTLE_S
            await self._repair()

    async def _fire(self, hand: "Hand") -> None:
        """Fires what the misfire policy leaves of the slots that are due, and one that is owed."""
        schedule, state = hand.schedule, hand.state
        due = schedule.due_slots(state.last_slot_ms, self._time.now_ms())
        slots = [] if state.paused else [*due.slots]
        if state.owed_ms is not None and not state.paused:
            slots = [Slot(state.owed_ms), *slots]
        jobs = [self._job(schedule, slot) for slot in slots]
        missed, label = due.missed, self._app.schedules.label_of(schedule)
        for first, last in pieces(jobs):
            until_ms = due.last_ms if last == len(slots) else slots[last - 1]
            reply = await self._call(
                hand,
                [
                    (s, job, label)
                    for s, job in zip(slots[first:last], jobs[first:last], strict=True)
                ],
                until_ms=max(until_ms, hand.state.last_slot_ms),
                missed=missed,
            )
            missed = 0
            if reply.word not in ("fired", "paused"):
                return
            if reply.fired:
                ids = [jobs[first + i].id for i in sorted(reply.fired)]
                self._say(schedule, ids)

    async def _call(
        self, hand: "Hand", slots: Sequence[tuple[int, NewJob, str]], *, until_ms: int, missed: int
    ) -> SlotReply:
        asked_s = self._clock.monotonic()
        schedule = hand.schedule
        reply = await transitions.slot(
            self._at,
            schedule.name,
            slots,
            after_ms=hand.state.last_slot_ms,
            until_ms=until_ms,
            overlap=schedule.overlap.value,
            missed=missed,
            now_ms=self._clock.now_ms(),
        )
        self._time.heard(reply.now_ms, asked_s)
        now_s = self._clock.monotonic()
        if reply.state is None:
            self._declare_at_s = 0.0  # all data went, or it was retired
        else:
            hand.set(reply.state)
        if reply.word == "wait":
            hand.not_before_s = now_s + SETTLE_S
        elif hand.state.owed_ms is not None:
            hand.ask_owed_s = now_s + OWED_EVERY_S
        return reply

    def _job(self, schedule: Schedule, slot: Slot) -> NewJob:
        job = self._app.schedules.job_of(schedule, slot, schedule.slot_id(slot))
        delay_ms = schedule.delay_ms(slot)
        return msgspec.structs.replace(job, at_ms=slot + delay_ms) if delay_ms else job

    def _say(self, schedule: Schedule, ids: Sequence[JobId]) -> None:
        what = ids[0] if len(ids) == 1 else f"{len(ids)} jobs"
        log.info(
            "[Scheduler] '%s' fired: %s added to %s", schedule.name, what, schedule.queue,
            extra={
                "event": "schedule.fired", "schedule": schedule.name, "queue": schedule.queue,
                "job_id": ids[-1],
            },
        )  # fmt: skip

    def _tell(self, error: StoreError) -> None:
        """Once for each kind of trouble: it is met again every two seconds. That Redis is away is
        for the workers to say."""
        known = isinstance(error, RedisUnavailable | OutcomeUnknown)
        known = known or self._trouble is type(error)
        level = logging.DEBUG if known else logging.WARNING
        self._trouble = type(error)
        log.log(level, "[Scheduler] schedules of %s wait: %s", self._at.queue, error)

    async def _repair(self) -> None:
        """Puts right what a torn script left; not at every fault, for one may repeat itself."""
        now_s = self._clock.monotonic()
        if self._repaired_at_s is None or now_s - self._repaired_at_s > REPAIR_EVERY_S:
            self._repaired_at_s = now_s
            mended = await repair_queue(self._at)
            log.warning("queue %s: %d items were put right", self._at.queue, mended.total)


class Hand:
    """One schedule: where it is, and when it is to be looked at again."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.state = ScheduleState(0, 0, 0, False, None)
        self.not_before_s = 0.0
        self.ask_owed_s = 0.0
        self._next_ms: int | None = None
        self._next_of = 0
        row = msgspec.msgpack.encode(schedule)
        self.declaration = (schedule.name, row, schedule.timing)

    def set(self, state: ScheduleState) -> None:
        """Redis said that this is where it is."""
        self.state = state
        if self._next_of != state.last_slot_ms:
            coming = self.schedule.next_slots(state.last_slot_ms, 1)
            self._next_ms, self._next_of = coming[0] if coming else None, state.last_slot_ms

    def wait_s(self, now_ms: int, now_s: float) -> float:
        """For how long there is nothing to do for it."""
        wait_s = SLEEP_MAX_S if self._next_ms is None else (self._next_ms - now_ms) / 1_000
        if self.state.owed_ms is not None and not self.state.paused:
            wait_s = min(wait_s, self.ask_owed_s - now_s)
        return max(wait_s, self.not_before_s - now_s)


def pieces(jobs: Sequence[NewJob]) -> list[tuple[int, int]]:
    """From where to where the jobs of one call go: 500 and 1 MiB. One call even if there are none,
    for what is passed over has to be marked."""
    found, first, size = [], 0, 0
    for i, job in enumerate(jobs):
        size += (own := size_of(job))
        if i - first == SLOTS_A_CALL or (size > CALL_BYTES_MAX and i > first):
            found.append((first, i))
            first, size = i, own
    return [*found, (first, len(jobs))]
