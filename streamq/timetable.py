"""The schedules of an App: declared, looked at, paused, run by hand. `app.schedules`.

A schedule's state lies in its target queue's slot; which process fires it does not matter.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from streamq.adding import NewJob, Terms, terms_of
from streamq.durations import Duration
from streamq.errors import InvalidInput, InvalidSchedule, UnknownSchedule
from streamq.home import Home, now_ms
from streamq.job import JobId, JobState
from streamq.job import NewJob as SealedJob
from streamq.schedule import FIRE_ONCE, Misfire, Overlap, Schedule, recurring
from streamq.store import reads, transitions
from streamq.store.replies import ScheduleState

SCHEDULES_MAX: Final = 200  # of one App: as many as are declared in one call
RETIRE_MS: Final = 3_600_000
"""A schedule that left the code is forgotten when no live process declared it for an hour."""

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
    running: bool

    @property
    def paused(self) -> bool:
        return self.state is not None and self.state.paused


class Timetable:
    """All schedules of an App."""

    def __init__(self, home: Home, timezone: Callable[[], str]) -> None:
        self._home = home
        self._timezone = timezone
        self._declared: dict[str, Schedule] = {}
        self.planners: dict[str, Planner] = {}

    def declare(
        self,
        name: str,
        *,
        queue: str,
        job: str | None = None,
        plan: Planner | None = None,
        cron: str | None = None,
        every: Duration | None = None,
        timezone: str | None = None,
        data: object = None,
        misfire: Misfire = FIRE_ONCE,
        overlap: Overlap = Overlap.ALLOW,
        spread: Duration | None = None,
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
        made = recurring(
            name,
            queue=queue,
            job=job or f"plan-{name}",
            cron=cron,
            every=every,
            timezone=timezone,
            data=data,
            misfire=misfire,
            overlap=overlap,
            spread=spread,
        )
        self._declared[name] = made
        if plan is not None:
            self.planners[name] = plan
        return made

    @property
    def declared(self) -> Mapping[str, Schedule]:
        """By name, each in its zone: its own, else the application's."""
        zone = self._timezone()
        return {name: schedule.in_zone(zone) for name, schedule in self._declared.items()}

    def get(self, name: str) -> Schedule:
        """Raises UnknownSchedule."""
        found = self._declared.get(name)
        if found is None:
            raise UnknownSchedule(name, sorted(self._declared))
        return found.in_zone(self._timezone())

    async def all(self) -> list[ScheduleSeen]:
        """Every schedule of this App, in the order of its declaration."""
        return [await self.see(name) for name in self._declared]

    async def see(self, name: str) -> ScheduleSeen:
        """One of them. Raises UnknownSchedule."""
        schedule = self.get(name)
        at = self._home.session().link(schedule.queue)
        state = await reads.schedule(at, name)
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
        """Adds the schedule's job now, beside its slots; the id of the job."""
        schedule = self.get(name)
        moment = now_ms(self._home, schedule.queue)
        job = JobId(f"sched:{name}:now-{moment}")
        await self._add(schedule, [self.job_of(schedule, moment, job)])
        return job

    async def backfill(
        self, name: str, begin: datetime, end: datetime, *, limit: int = BACKFILL_MAX
    ) -> list[JobId]:
        """Adds the jobs of the slots after `begin` and up to `end`, at most `limit` (1,000).

        A slot whose job is still there adds nothing. Raises InvalidInput for moments without a
        zone, and for an end in the future: those slots fire by themselves.
        """
        if begin.tzinfo is None or end.tzinfo is None:
            raise InvalidInput("backfill takes moments with a time zone.")
        schedule = self.get(name)
        end_ms = int(end.timestamp() * 1_000)
        if end_ms > now_ms(self._home, schedule.queue):
            raise InvalidInput(f"{end.isoformat()} is to come: its slots fire by themselves.")
        slots = schedule.slots(
            int(begin.timestamp() * 1_000), end_ms, max(1, min(limit, BACKFILL_MAX))
        )
        jobs = [self.job_of(schedule, slot, schedule.slot_id(slot)) for slot in slots]
        if jobs:
            await self._add(schedule, jobs)
        return [job.id for job in jobs]

    async def _add(self, schedule: Schedule, jobs: list[SealedJob]) -> None:
        # A schedule never refuses a name: what nobody knows is parked, and runs when it is known.
        label = self.label_of(schedule)
        await self._home.session().producer(schedule.queue).add(jobs, [label] * len(jobs))

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
