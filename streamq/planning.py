"""Planners: an async generator that yields the jobs of a slot, run as a job itself.

Their ids are made of schedule, slot and the planner's own key: a second run of the same slot, after
a crash or a retry, adds nothing twice. Not even what ran meanwhile, and of which nothing was kept:
until the planner's job has completed, what it added is remembered.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Final, Protocol

import msgspec

from streamq.adding import NewJob
from streamq.errors import InvalidInput
from streamq.port import DELETED_MAX, Port
from streamq.queue import Queue
from streamq.schedule import Schedule
from streamq.timetable import Planned, Planner, SlotPayload, moment_of

BATCH_JOBS: Final = 500
PLANNED_MAX: Final = 1_000_000
"""Jobs of one slot. A planner that yields more has a fault, and would fill Redis."""

REMEMBERED: Final = "7d"
"""As long as a failed planner's job is kept, and may be retried."""

_KEY_BYTES: Final = 8  # of a key's digest


class Speaker(Protocol):
    """Of a Context, what a planner's job itself needs."""

    def log(self, text: str) -> None: ...


class Plan(msgspec.Struct, frozen=True):
    """What a planner's job came to; `added`: by this attempt."""

    planned: int
    added: int


def planned(
    queue: Callable[[str], Queue], port: Port, schedule: Schedule, plan: Planner
) -> Callable[[SlotPayload, Speaker], Coroutine[None, None, Plan]]:
    """The handler of a planner's job. `port`: where it remembers what it added."""

    async def run_plan(data: SlotPayload, job: Speaker) -> Plan:
        recorded = queue(schedule.queue).home.recorder is not None
        stem = f"streamq.plan:{schedule.name}:{data.slot}"
        memory = Memory(None if recorded else port, stem)
        await memory.recall()
        total = added = 0
        async with (
            aclosing(plan(moment_of(data.slot), job)) as found,
            aclosing(_batches(found, schedule)) as batches,
        ):
            async for target, batch in batches:
                total += len(batch)
                new = memory.new_ones(target, batch)
                ready = [_with_id(schedule, data.slot, one) for one in new]
                # Never refused, as a schedule's own job: a name that nobody knows is parked.
                receipts = await queue(target).add_many(ready, force=True)
                added += sum(not receipt.existed for receipt in receipts)
                await memory.keep(target, new)
        await memory.forget()
        job.log(f"slot {moment_of(data.slot):%Y-%m-%d %H:%M}Z: {total} planned, {added} added")
        return Plan(total, added)

    run_plan.__name__ = f"plan_{schedule.name}"
    return run_plan


async def _batches(
    found: AsyncIterator[Planned], schedule: Schedule
) -> AsyncGenerator[tuple[str, list[Planned]], None]:
    """What goes in one call, by its queue. Raises InvalidInput for a slot without an end."""
    total = 0
    batches: dict[str, list[Planned]] = {}
    async for one in found:
        total += 1
        if total > PLANNED_MAX:
            raise InvalidInput(f"schedule {schedule.name}: over {PLANNED_MAX:,} jobs for one slot.")
        target = one.queue or schedule.queue
        batch = batches.setdefault(target, [])
        batch.append(one)
        if len(batch) >= BATCH_JOBS:
            yield target, batches.pop(target)
    for target, batch in batches.items():
        yield target, batch


def _with_id(schedule: Schedule, slot: int, one: Planned) -> NewJob:
    """Raises InvalidInput for a job that brings an id of its own: it could be added twice."""
    if one.job.id is not None:
        raise InvalidInput(
            f"schedule {schedule.name}: a planned job has no id of its own; its key is {one.key!r}."
        )
    return msgspec.structs.replace(one.job, id=f"sched:{schedule.name}:{slot}:{one.key}")


class Memory:
    """Which keys of a slot were added: in pages, one a batch, that end by themselves.

    A batch is remembered after it was added. If it is not, its ids are still known to Redis, but
    for what ended meanwhile and was not kept.
    """

    def __init__(self, port: Port | None, stem: str) -> None:
        """`port` None: nothing is remembered."""
        self._port = port
        self._stem = stem
        self._pages = 0
        self._known: set[bytes] = set()

    async def recall(self) -> None:
        """What earlier attempts added."""
        while self._port is not None:
            page = await self._port.get(self._name(self._pages))
            if page is None:
                return
            self._known.update(
                page[first : first + _KEY_BYTES] for first in range(0, len(page), _KEY_BYTES)
            )
            self._pages += 1

    def new_ones(self, target: str, batch: Sequence[Planned]) -> Sequence[Planned]:
        if not self._known:
            return batch
        return [one for one in batch if _digest(target, one) not in self._known]

    async def keep(self, target: str, added: Sequence[Planned]) -> None:
        if self._port is not None and added:
            page = b"".join(_digest(target, one) for one in added)
            await self._port.set(self._name(self._pages), page, expire=REMEMBERED)
            self._pages += 1

    async def forget(self) -> None:
        """The planner's job has completed: what is run again for this slot is meant so."""
        names = [self._name(page) for page in range(self._pages)]
        for first in range(0, len(names), DELETED_MAX):
            if self._port is not None:
                await self._port.delete(*names[first : first + DELETED_MAX])

    def _name(self, page: int) -> str:
        return f"{self._stem}:{page}"


def _digest(target: str, one: Planned) -> bytes:
    return hashlib.blake2b(f"{target}:{one.key}".encode(), digest_size=_KEY_BYTES).digest()
