"""Schedules: what recurs, when it fired and will fire; run one now, pause it, let it go on.

`POST /api/cron/<schedule>` is for a scheduler outside, which has the CRON_SECRET and no login.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from admin.api.paths import Done, done
from admin.api.reading import together
from admin.api.shown import EpochMs
from admin.call import Call
from admin.errors import Conflict, NotFound
from admin.wire import CLAMP
from streamq.errors import UnknownSchedule, WrongState
from streamq.home import now_ms
from streamq.schedule import EXPLAINED_MAX
from streamq.timetable import ScheduleSeen

FIRES: Final = 10

ScheduleName = Annotated[str, Meta(description="a schedule of the application")]


class AtSchedule(msgspec.Struct, frozen=True, rename="camel"):
    schedule_name: ScheduleName


class ScheduleShown(msgspec.Struct, frozen=True, rename="camel"):
    """A schedule. `running`: the job of its newest slot is at work now.

    Either `cron` or `every` (ms) is set. `lastSlot`: up to there all slots were seen to; null until
    a worker has declared it.
    """

    name: str
    running: bool
    cron: str | None
    every: int | None
    timezone: str
    queue: str
    job: str
    paused: bool
    last_slot: EpochMs | None
    next_slot: EpochMs | None
    fired: int
    missed: int
    last_job_id: str | None
    overlap: str


async def scheduled(call: Call) -> list[ScheduleShown]:
    """All schedules of the application, in the order in which it declares them."""
    schedules = call.app.schedules
    return [_shown(each) for each in await together(map(schedules.see, schedules.declared))]


def _shown(seen: ScheduleSeen) -> ScheduleShown:
    schedule, state = seen.schedule, seen.state
    return ScheduleShown(
        name=schedule.name,
        running=seen.running,
        cron=schedule.cron,
        every=schedule.every_ms,
        timezone=schedule.zone.key,
        queue=schedule.queue,
        job=schedule.job,
        paused=seen.paused,
        last_slot=state.last_slot_ms if state else None,
        next_slot=seen.next_slot_ms,
        fired=state.fired if state else 0,
        missed=state.missed if state else 0,
        last_job_id=state.last_id if state else None,
        overlap=schedule.overlap,
    )


# ---- one of them


class FiresQuery(msgspec.Struct, frozen=True):
    limit: Annotated[
        int, Meta(description=f"fires; 1 to {EXPLAINED_MAX}", extra={CLAMP: (1, EXPLAINED_MAX)})
    ] = FIRES


class FireShown(msgspec.Struct, frozen=True):
    """A time that the schedule names. Null `timestamp`: it does not fire, and `note` says why."""

    local: Annotated[str, Meta(description="in the schedule's zone")]
    timestamp: EpochMs | None
    note: Annotated[str, Meta(description="what a change of clocks does to it")]


class ScheduleDetail(msgspec.Struct, frozen=True):
    schedule: ScheduleShown
    fires: list[FireShown]


async def schedule(call: Call, path: AtSchedule, query: FiresQuery) -> ScheduleDetail:
    """One schedule, and its next fires."""
    seen = await _seen(call, path.schedule_name)
    now = now_ms(call.app, seen.schedule.queue)
    fires = [
        FireShown(each.at.isoformat(timespec="seconds"), each.slot, each.note)
        for each in seen.schedule.explain(now, query.limit)
    ]
    return ScheduleDetail(_shown(seen), fires)


async def _seen(call: Call, name: str) -> ScheduleSeen:
    """Raises NotFound."""
    try:
        return await call.app.schedules.see(name)
    except UnknownSchedule as error:
        message = str(error).removeprefix(f"{error.code} ")
        raise NotFound("Schedule not found", message, code=error.code or "") from None


async def pause(call: Call, path: AtSchedule) -> Done:
    return await _hold(call, path.schedule_name, paused=True)


async def resume(call: Call, path: AtSchedule) -> Done:
    return await _hold(call, path.schedule_name, paused=False)


async def _hold(call: Call, name: str, *, paused: bool) -> Done:
    seen = await _seen(call, name)
    call.queue_name = seen.schedule.queue
    act = call.app.schedules.pause if paused else call.app.schedules.resume
    try:
        changed = await act(name)
    except WrongState:
        raise Conflict(
            f"No worker has declared schedule {name} yet. Start one of queue {call.queue_name}."
        ) from None
    call.note(before={"paused": seen.paused}, after={"schedule": name, "paused": paused})
    already = "" if changed else " already"
    return done(f"Schedule {name} is{already} {'paused' if paused else 'at work'}")


async def run(call: Call, path: AtSchedule) -> Done:
    """Adds its job now, beside its slots: those fire all the same."""
    return await _run(call, path.schedule_name)


async def cron(call: Call, path: AtSchedule) -> Done:
    """The same for a scheduler outside."""
    return await _run(call, path.schedule_name)


async def _run(call: Call, name: str) -> Done:
    seen = await _seen(call, name)
    call.queue_name = seen.schedule.queue
    job = await call.app.schedules.run(name)
    call.note(job=job, after={"schedule": name})
    return done(f"Schedule {name}: job {job} was added to {call.queue_name}", job_id=job)
