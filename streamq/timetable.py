"""The schedules of an App: declared, looked at, paused, run by hand. `app.schedules`.

What the code says of a schedule, a settings file may say otherwise. A schedule's state lies in its
target queue's slot; which process fires it does not matter.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Final, Unpack

import msgspec
from msgspec import UNSET

from streamq import blocking
from streamq.adding import NewJob, Terms, terms_of
from streamq.errors import (
    InvalidInput,
    InvalidSchedule,
    InvalidSetting,
    OutOfRange,
    UnknownSchedule,
)
from streamq.errors.wording import did_you_mean, listed, shown
from streamq.home import Home, now_ms
from streamq.job import JobId, JobState
from streamq.job import NewJob as SealedJob
from streamq.producer import parcels_of
from streamq.schedule import (
    EVERY_MS_MIN,
    Recurrence,
    Schedule,
    Slot,
    recurring,
)
from streamq.settings import ScheduleSettings, Settings
from streamq.store import reads, transitions
from streamq.store.replies import ScheduleState

SCHEDULES_MAX: Final = 200  # of one App: as many as are declared in one call
RETIRE_MS: Final = 3_600_000
"""A schedule that left the code is forgotten when no live process declared it for an hour."""

SILENCE_MS: Final = 900_000
"""If nobody declared any schedule of the queue for so long, that hour begins anew: after a
standstill the first app to come up must not forget the schedules of the next one."""

BACKFILL_MAX: Final = 1_000


class Planned(msgspec.Struct, frozen=True):
    """A job that a planner wants added; `key` tells it from the others of its slot."""

    key: str
    job: NewJob
    queue: str | None = None
    """None: the schedule's own."""


class SlotPayload(msgspec.Struct, frozen=True):
    """What a planner's job is added with."""

    slot: int
    """The slot that it plans for, in ms since 1970."""


Planner = Callable[..., AsyncGenerator[Planned, None]]
"""`async def plan(slot: datetime, job: Context)`: yields what is to be added for a slot."""


class ScheduleSeen(msgspec.Struct, frozen=True):
    """A schedule, and where it is. Times in ms since 1970; `state` None: never declared yet."""

    schedule: Schedule
    state: ScheduleState | None
    next_slot_ms: int | None
    """Of one that is not paused."""
    running: bool
    """The job of its newest slot is at work."""

    @property
    def paused(self) -> bool:
        return self.state is not None and self.state.paused

    @property
    def fired_ms(self) -> int | None:
        """The newest slot that added a job."""
        last_id = None if self.state is None else self.state.last_id
        return None if last_id is None else int(last_id.rpartition(":")[2])


class Timetable:
    """All schedules of an App."""

    def __init__(self, home: Home, settings: Callable[[], Settings]) -> None:
        self._home = home
        self._settings = settings
        self._declared: dict[str, Schedule] = {}
        self._merged: Mapping[str, Schedule] = {}
        self._merged_from: Settings | None = None
        self.planners: dict[str, Planner] = {}

    def declare(
        self,
        name: str,
        *,
        queue: str,
        job: str | None = None,
        plan: Planner | None = None,
        **terms: Unpack[Recurrence],
    ) -> Schedule:
        """A schedule of this App: a cron expression or an interval, and the job of each slot.

        Either `job` names the job (with `data`), or `plan` is an async generator that yields the
        jobs of a slot (`Planned`); it runs as the job `plan-<name>`. Raises InvalidSchedule,
        InvalidCron, UnknownTimeZone, InvalidName, InvalidInput.
        """
        if (job is None) == (plan is None):
            raise InvalidSchedule(name, "give the name of a job, or a planner (plan), one.")
        if name in self._declared:
            raise InvalidSchedule(name, "it is declared twice. Give one of them another name.")
        if len(self._declared) >= SCHEDULES_MAX:
            raise InvalidSchedule(name, f"an app has at most {SCHEDULES_MAX} schedules.")
        made = recurring(name, queue=queue, job=job or f"plan-{name}", **terms)
        self._declared[name] = made
        self._merged_from = None
        if plan is not None:
            self.planners[name] = plan
        return made

    @property
    def declared(self) -> Mapping[str, Schedule]:
        """By name, each in its zone, the application's if it names none; what a file says wins.

        Raises InvalidSetting for what a file says that cannot be so.
        """
        settings = self._settings()
        if self._merged_from is not settings:
            self._merged = merged(self._declared, self.planners, settings)
            self._merged_from = settings
        return self._merged

    def check(self, settings: Settings | None = None) -> None:
        """That all of them can fire, as the App is or as it would be with other settings.

        Raises InvalidSetting, and InvalidSchedule for a queue that the App does not have.
        """
        declared = self.declared
        if settings is not None:
            declared = merged(self._declared, self.planners, settings)
        for name, schedule in declared.items():
            if not self._home.knows_queue(schedule.queue):
                known = self._home.queue_names()
                raise InvalidSchedule(
                    name,
                    f"app {shown(self._home.name)} has no queue {shown(schedule.queue)}."
                    f"{did_you_mean(schedule.queue, known)} Known: {listed(known)}",
                )

    def get(self, name: str) -> Schedule:
        """Raises UnknownSchedule."""
        found = self.declared.get(name)
        if found is None:
            raise UnknownSchedule(name, sorted(self.declared))
        return found

    async def all(self) -> list[ScheduleSeen]:
        """Every schedule of this App, in the order of its declaration."""
        return list(await asyncio.gather(*map(self.see, self.declared)))

    async def see(self, name: str) -> ScheduleSeen:
        """One of them. Raises UnknownSchedule."""
        schedule = self.get(name)
        at = self._home.session().link(schedule.queue)
        state = await reads.schedule(at, name)
        coming: list[Slot] = []
        if state is None or not state.paused:
            now = now_ms(self._home, schedule.queue)
            coming = schedule.next_slots(max(now, state.last_slot_ms if state else 0), 1)
        last = await reads.get(at, state.last_id) if state and state.last_id else None
        running = last is not None and last.state is JobState.ACTIVE
        return ScheduleSeen(schedule, state, coming[0] if coming else None, running)

    async def pause(self, name: str) -> bool:
        """No slot fires until it is resumed; whether that changed anything.

        What falls due meanwhile is passed over. Raises UnknownSchedule, and WrongState if no
        worker has declared it yet.
        """
        return await self._hold(name, paused=True)

    async def resume(self, name: str) -> bool:
        """It goes on from now; whether that changed anything."""
        return await self._hold(name, paused=False)

    async def _hold(self, name: str, *, paused: bool) -> bool:
        at = self._home.session().link(self.get(name).queue)
        return await transitions.hold(at, name, paused=paused, now_ms=self._home.clock.now_ms())

    async def run(self, name: str) -> JobId:
        """Adds the schedule's job now, beside its slots; the id of the job.

        Neither a pause nor the overlap policy holds it back. Raises UnknownSchedule.
        """
        schedule = self.get(name)
        moment = now_ms(self._home, schedule.queue)
        job = JobId(f"sched:{name}:now-{moment}")
        await self._add(schedule, [self.job_of(schedule, moment, job)])
        return job

    def run_sync(self, name: str) -> JobId:
        """`run` for code without an event loop. Raises SyncInLoop where one runs."""
        return blocking.run(lambda: self.run(name), called="run_sync", instead="run")

    def between(
        self, name: str, begin: datetime, end: datetime, *, limit: int = BACKFILL_MAX
    ) -> list[Slot]:
        """The slots from `begin` up to `end`, both included: the first `limit` (1 to 1,000).

        Raises UnknownSchedule, OutOfRange, InvalidInput for moments without a zone, and for an end
        in the future: those slots fire by themselves.
        """
        schedule = self.get(name)
        if begin.tzinfo is None or end.tzinfo is None:
            raise InvalidInput("backfill takes moments with a time zone.")
        if not 1 <= limit <= BACKFILL_MAX:
            raise OutOfRange("limit", limit, 1, BACKFILL_MAX)
        end_ms = math.floor(end.timestamp() * 1_000)
        if end_ms > now_ms(self._home, schedule.queue):
            raise InvalidInput(f"{end.isoformat()} is to come: its slots fire by themselves.")
        return schedule.slots(math.ceil(begin.timestamp() * 1_000) - 1, end_ms, limit)

    async def backfill(
        self, name: str, begin: datetime, end: datetime, *, limit: int = BACKFILL_MAX
    ) -> list[JobId]:
        """Adds the jobs of the slots between, see there; the ids of those that were added.

        A slot whose job is still there adds nothing; one whose job was removed adds it again.
        """
        schedule = self.get(name)
        slots = self.between(name, begin, end, limit=limit)
        return await self._add(
            schedule, [self.job_of(schedule, slot, schedule.slot_id(slot)) for slot in slots]
        )

    async def _add(self, schedule: Schedule, jobs: list[SealedJob]) -> list[JobId]:
        """The ids of those that were not there."""
        if self._home.recorder is not None:
            existed = self._home.recorder(schedule.queue, jobs)
            return [job.id for job, was in zip(jobs, existed, strict=True) if not was]
        # A schedule never refuses a name: what nobody knows is parked, and runs when it is known.
        labels = [self.label_of(schedule)] * len(jobs)
        added: list[JobId] = []
        for some, some_labels in parcels_of(jobs, labels):
            receipt = await self._home.session().producer(schedule.queue).add(some, some_labels)
            pairs = zip(some, receipt.existed, strict=True)
            added += [job.id for job, was in pairs if not was]
        return added

    def label_of(self, schedule: Schedule) -> str:
        """The job's name in counters."""
        return self.terms_of(schedule).label

    def terms_of(self, schedule: Schedule) -> Terms:
        handler = self._home.handlers.find(schedule.queue, schedule.job)
        defaults = self._home.queue_settings(schedule.queue)
        return terms_of(schedule.queue, schedule.job, handler, defaults)

    def job_of(self, schedule: Schedule, slot: int, job: JobId) -> SealedJob:
        """The job of a slot; a planner's is told which slot it plans for."""
        terms = self.terms_of(schedule)
        data = schedule.data
        if schedule.name in self.planners:
            data = msgspec.msgpack.encode(SlotPayload(slot))
        return SealedJob(job, schedule.job, data, terms.plain)


def moment_of(slot_ms: int) -> datetime:
    """A slot as the application sees it."""
    return datetime.fromtimestamp(slot_ms / 1_000, UTC)


# ---- what files say


def merged(
    code: Mapping[str, Schedule], planners: Collection[str], settings: Settings
) -> Mapping[str, Schedule]:
    """The schedules of the code as the settings change them, and those that only they have.

    Raises InvalidSetting.
    """
    found = dict(code)
    for name, said in settings.schedules.items():
        found[name] = _overlaid(name, code, planners, said, settings)
    if len(found) > SCHEDULES_MAX:
        raise InvalidSchedule(next(reversed(found)), f"an app has at most {SCHEDULES_MAX}.")
    return {name: each.in_zone(settings.timezone) for name, each in found.items()}


def _overlaid(
    name: str,
    code: Mapping[str, Schedule],
    planners: Collection[str],
    said: ScheduleSettings,
    settings: Settings,
) -> Schedule:
    def wrong(key: str, value: object, why: str) -> InvalidSetting:
        full = f"schedules.{name}{key and '.'}{key}"
        return InvalidSetting(full, value, settings.origins.of(full), why)

    fields = {
        field: value
        for field in said.__struct_fields__
        if (value := getattr(said, field)) is not UNSET
    }
    if {"cron", "every_ms"} <= fields.keys():
        raise wrong("cron", said.cron, "every is set too: give one of the two.")
    if name in planners:
        for field in ("queue", "job", "data"):
            if field in fields:
                raise wrong(
                    field, fields[field], "a planner in the code makes the jobs of this one."
                )
    if name not in code:
        missing = [field for field in ("queue", "job") if field not in fields]
        if not {"cron", "every_ms"} & fields.keys():
            missing.append("cron or every")
        if missing:
            meant = did_you_mean(name, code)
            why = f"the code has no such schedule.{meant} A new one needs {', '.join(missing)} too."
            raise wrong("", [*fields], why)
    # An interval in place of an expression, or the reverse.
    other = {"cron": "every_ms", "every_ms": "cron"}
    fields |= {other[field]: None for field in other if field in fields}
    base = code.get(name, Schedule(name, name, name, every_ms=EVERY_MS_MIN))
    return msgspec.structs.replace(base, **fields)
