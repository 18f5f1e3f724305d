"""Planners: an async generator that yields the jobs of a slot, run as a job itself.

Their ids are made of schedule, slot and the planner's own key: a second run of the same slot, after
a crash or a retry, adds nothing twice.
"""

from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Final, Protocol

import msgspec

from streamq.adding import NewJob
from streamq.errors import InvalidInput
from streamq.queue import Queue
from streamq.schedule import Schedule
from streamq.timetable import Planned, Planner, SlotPayload, Timetable, moment_of

BATCH_JOBS: Final = 500
PLANNED_MAX: Final = 1_000_000
"""Jobs of one slot. A planner that yields more has a fault, and would fill Redis."""


class Speaker(Protocol):
    """Of a Context, what a planner's job itself needs."""

    def log(self, text: str) -> None: ...


class Plan(msgspec.Struct, frozen=True):
    """What a planner's job came to."""

    planned: int
    added: int


def planned(
    timetable: Timetable, queue: Callable[[str], Queue], schedule: Schedule, plan: Planner
) -> Callable[[SlotPayload, Speaker], Coroutine[None, None, Plan]]:
    """The handler of a planner's job."""

    async def run_plan(data: SlotPayload, job: Speaker) -> Plan:
        total = added = 0
        batches: dict[str, list[NewJob]] = {}
        async with aclosing(plan(moment_of(data.slot), job)) as found:
            async for one in found:
                if total >= PLANNED_MAX:
                    raise InvalidInput(
                        f"schedule {schedule.name}: over {PLANNED_MAX} jobs for one slot."
                    )
                total += 1
                target = one.queue or schedule.queue
                batch = batches.setdefault(target, [])
                batch.append(_with_id(schedule, data.slot, one))
                if len(batch) >= BATCH_JOBS:
                    added += await _add(queue(target), batches.pop(target))
        for target, batch in batches.items():
            added += await _add(queue(target), batch)
        job.log(f"slot {moment_of(data.slot):%Y-%m-%d %H:%M}Z: {total} planned, {added} added")
        return Plan(total, added)

    run_plan.__name__ = f"plan_{schedule.name}"
    return run_plan


def _with_id(schedule: Schedule, slot: int, one: Planned) -> NewJob:
    """Raises InvalidInput for a job that brings an id of its own: it could be added twice."""
    if one.job.id is not None:
        raise InvalidInput(
            f"schedule {schedule.name}: a planned job has no id of its own; its key is {one.key!r}."
        )
    return msgspec.structs.replace(one.job, id=f"sched:{schedule.name}:{slot}:{one.key}")


async def _add(queue: Queue, jobs: list[NewJob]) -> int:
    """How many of them were new."""
    return sum(not added.existed for added in await queue.add_many(jobs))
