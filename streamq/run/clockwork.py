"""The clockwork: in every worker process, fires the slots of the app's schedules as they fall due.

All processes know the same slots; the script lets one of them win each. Nobody leads, so nobody has
to be found again when a process dies.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import msgspec

from streamq.app import App
from streamq.clock import REAL, Clock
from streamq.errors import LayoutNewer, ScriptFault, StoreError
from streamq.job import NewJob
from streamq.schedule import Schedule, Slot
from streamq.store import transitions
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.scripts import Link, link
from streamq.timetable import RETIRE_MS

DECLARE_EVERY_S: Final = 300.0
assert DECLARE_EVERY_S * 4 * 1_000 < RETIRE_MS  # some may be lost, and it is not retired
SLEEP_MAX_S: Final = 30.0
SETTLE_S: Final = 2.0  # while a jump of the clock settles, and after Redis refused
SLOTS_A_CALL: Final = 500

log = logging.getLogger("streamq.schedules")


class Clockwork:
    """See the module."""

    def __init__(self, app: App, redis: Redis, *, clock: Clock = REAL) -> None:
        self._app = app
        self._clock = clock
        self._redis = redis
        self._schedules: Mapping[str, Schedule] = app.schedules.declared
        self._links = {s.queue: self._link(s.queue) for s in self._schedules.values()}
        self._last: dict[str, int] = {}
        self._offset_ms = 0.0
        self._declare_at = 0.0
        self._not_before: dict[str, float] = {}

    def _link(self, queue: str) -> Link:
        return link(self._redis, keys_of(self._app.settings.prefix, queue))

    async def run(self) -> None:
        """Fires until it is cancelled; trouble with Redis is waited out. Raises LayoutNewer."""
        if not self._schedules:
            return
        while True:
            try:
                if self._clock.monotonic() >= self._declare_at:
                    await self._declare()
                await self._fire_due()
            except LayoutNewer:
                raise
            except (StoreError, ScriptFault) as error:
                log.debug("schedules wait: %s", error)
                await asyncio.sleep(SETTLE_S)
            await asyncio.sleep(self._sleep_s())

    def _now_ms(self) -> int:
        moved = self._clock.now_ms()
        if moved is not None:
            return moved
        return int(self._clock.monotonic() * 1_000 + self._offset_ms)

    def _heard(self, now_ms: int) -> None:
        self._offset_ms = now_ms - self._clock.monotonic() * 1_000

    async def _declare(self) -> None:
        """Tells Redis what stands; where each schedule is, and what time it is."""
        for queue, at in self._links.items():
            own = {n: s for n, s in self._schedules.items() if s.queue == queue}
            rows = {name: msgspec.msgpack.encode(schedule) for name, schedule in own.items()}
            now_ms, states = await transitions.declare(
                at, rows, retire_ms=RETIRE_MS, now_ms=self._clock.now_ms()
            )
            self._heard(now_ms)
            for name, state in states.items():
                self._last[name] = max(state.last_slot_ms, self._last.get(name, 0))
        self._declare_at = self._clock.monotonic() + DECLARE_EVERY_S

    async def _fire_due(self) -> None:
        for name, schedule in self._schedules.items():
            if self._clock.monotonic() >= self._not_before.get(name, 0.0):
                await self._fire(name, schedule)

    async def _fire(self, name: str, schedule: Schedule) -> None:
        """Fires what the misfire policy leaves of the slots that are due."""
        due = schedule.due_slots(self._last[name], self._now_ms())
        if due.last_ms <= self._last[name]:
            return
        slots, missed = due.slots, due.missed
        for first in range(0, max(1, len(slots)), SLOTS_A_CALL):
            few = slots[first : first + SLOTS_A_CALL]
            until_ms = few[-1] if first + SLOTS_A_CALL < len(slots) else due.last_ms
            label = self._app.schedules.label_of(schedule)
            reply = await transitions.slot(
                self._links[schedule.queue],
                name,
                [(slot, self._job(schedule, slot), label) for slot in few],
                until_ms=until_ms,
                overlap=schedule.overlap.value,
                missed=missed,
                now_ms=self._clock.now_ms(),
            )
            missed = 0
            self._heard(reply.now_ms)
            if reply.word == "wait":
                self._not_before[name] = self._clock.monotonic() + SETTLE_S
                return
            if reply.word == "absent":
                self._declare_at = 0.0
                return
            self._last[name] = until_ms
            if reply.fired:
                log.info("[Scheduler] '%s' added %d to %s", name, len(reply.fired), schedule.queue)

    def _job(self, schedule: Schedule, slot: Slot) -> NewJob:
        job = self._app.schedules.job_of(schedule, slot, schedule.slot_id(slot))
        delay_ms = schedule.delay_ms(slot)
        return msgspec.structs.replace(job, delay_ms=delay_ms) if delay_ms else job

    def _sleep_s(self) -> float:
        """Until the next slot of all, or the next declaration."""
        now_ms, now_s = self._now_ms(), self._clock.monotonic()
        wait_s = min(SLEEP_MAX_S, max(0.0, self._declare_at - now_s))
        for name, schedule in self._schedules.items():
            coming = schedule.next_slots(self._last.get(name, now_ms), 1)
            if coming:
                own_s = max((coming[0] - now_ms) / 1_000, self._not_before.get(name, 0.0) - now_s)
                wait_s = min(wait_s, own_s)
        # Not before the slot's own millisecond: a turn too early would find nothing due.
        return max(0.001, wait_s + 0.001)
