"""Schedules fired by real worker processes: killed at any moment, drained, and told of new ones."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import redis

from streamq.embedded import EmbeddedServer
from streamq.store import reads
from streamq.store.replies import ScheduleState
from tests.support import invariants
from tests.support.clockworks import slots_in
from tests.support.daemons import LIMIT_S, Fleet, RunningDaemon
from tests.support.waiting import soon

pytestmark = pytest.mark.slow

SECOND_MS = 1_000
SLOTS = 6
SEED = 20_261_124
EVERY_SECOND = '[schedules.tick]\nevery = "1s"\nqueue = "q"\njob = "quick"\n'


@pytest.fixture
async def fleet(server: EmbeddedServer, prefix: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(server.url, prefix, tmp_path) as opened:
        yield opened


def schedules(fleet: Fleet, text: str) -> None:
    """What the settings file beside the daemons says."""
    (fleet.folder / "streamq.toml").write_text(text)


async def state(fleet: Fleet, name: str = "tick") -> ScheduleState | None:
    return await reads.schedule(fleet.link, name)


async def fires(fleet: Fleet, times: int, name: str = "tick") -> None:
    """Waits until so many more slots have fired."""
    found = await state(fleet, name)
    wanted = times + (found.fired if found else 0)

    async def enough() -> bool:
        seen = await state(fleet, name)
        return seen is not None and seen.fired >= wanted

    await soon(enough, f"{times} slots of {name} fire", limit_s=LIMIT_S)


def fired(fleet: Fleet, name: str = "tick") -> list[int]:
    with redis.Redis.from_url(fleet.raw_url, protocol=2) as raw:
        return slots_in(invariants.read(raw, fleet.prefix, "q").states(), name)


def gaps(slots: list[int]) -> list[int]:
    """Where the seconds are not one after the other."""
    return [a for a, b in pairwise(slots) if b - a != SECOND_MS]


async def test_of_every_second_no_slot_is_lost_or_fired_twice_while_processes_are_killed(
    fleet: Fleet,
) -> None:
    schedules(fleet, EVERY_SECOND)
    daemon = await fleet.start(processes="3")
    await fires(fleet, 1)
    chance = random.Random(SEED)

    killing = asyncio.create_task(_kill_at_any_moment(daemon, chance))
    await fires(fleet, SLOTS)
    killing.cancel()
    await asyncio.wait([killing])

    slots = fired(fleet)
    seen = await state(fleet)
    assert len(slots) > SLOTS and not gaps(slots)
    # Counted as often as there are jobs: nobody added one a second time.
    assert seen is not None and seen.missed == 0
    assert seen.fired - len(slots) in (0, 1)  # read a moment later
    # Some were killed over their job, which then ran again: at least once, under one id.
    wanted = {f"sched:tick:{slot}" for slot in slots}
    await soon(lambda: wanted <= {each.job for each in fleet.ran()}, "each ran", limit_s=LIMIT_S)


async def _kill_at_any_moment(daemon: RunningDaemon, chance: random.Random) -> None:
    """One worker process after the other, some of them just when a slot is due."""
    while True:
        await asyncio.sleep(chance.uniform(0.2, 0.9))
        if children := daemon.children:
            try:
                os.kill(chance.choice(children), signal.SIGKILL)
            except ProcessLookupError:
                continue


async def test_two_daemons_one_of_which_dies_fire_each_slot_once(fleet: Fleet) -> None:
    schedules(fleet, EVERY_SECOND)
    first, second = await fleet.start(), await fleet.start()
    await fires(fleet, 1)

    for pid in [first.pid, *first.children]:
        psutil.Process(pid).kill()
    await fires(fleet, 2)

    assert not gaps(fired(fleet))
    assert second.children


async def test_a_process_that_drains_fires_until_its_end(fleet: Fleet) -> None:
    schedules(fleet, EVERY_SECOND)
    daemon = await fleet.start(grace="20s")
    await fires(fleet, 1)
    lasting = await fleet.add("lasting", 30.0)
    await fleet.began(lasting)

    daemon.send(signal.SIGTERM)
    await daemon.says("those that run have 20 s")
    await fires(fleet, 2)
    daemon.send(signal.SIGTERM)  # now

    assert await daemon.ends() == 0
    assert not gaps(fired(fleet))


async def test_a_daemon_without_the_scheduler_runs_what_others_fire_and_fires_nothing(
    fleet: Fleet,
) -> None:
    schedules(fleet, EVERY_SECOND)
    daemon = await fleet.start(config={"scheduler": False})
    await daemon.says("its processes fire no schedules")
    # The file is read anew there as well, and still nothing is fired.
    daemon.send(signal.SIGHUP)
    await daemon.says("[Settings] read again")
    await fleet.beats(4)
    assert await state(fleet) is None

    firing = await fleet.start()
    await fires(fleet, 2)
    assert [await each.stops() for each in (firing, daemon)] == [0, 0]


async def test_schedules_are_read_anew_and_what_cannot_be_leaves_them_as_they_are(
    fleet: Fleet,
) -> None:
    schedules(fleet, EVERY_SECOND)
    daemon = await fleet.start()
    await fires(fleet, 1)

    schedules(fleet, EVERY_SECOND.replace('queue = "q"', 'queue = "nowhere"'))
    daemon.send(signal.SIGHUP)
    await daemon.says(
        'kept as they were: SQ403 schedule "tick": app "tests" has no queue "nowhere"'
    )
    await fires(fleet, 1)

    schedules(fleet, EVERY_SECOND.replace("tick", "tock"))
    daemon.send(signal.SIGHUP)
    await fires(fleet, 1, "tock")

    before = fired(fleet)
    await fires(fleet, 2, "tock")
    assert fired(fleet) == before  # it left the file: not fired any more


async def test_a_schedule_with_an_unknown_queue_is_an_error_at_the_start(fleet: Fleet) -> None:
    schedules(fleet, EVERY_SECOND.replace('queue = "q"', 'queue = "nowhere"'))

    daemon = await fleet.start(ready=False)

    assert await daemon.ends() == 2
    assert daemon.said('SQ403 schedule "tick": app "tests" has no queue "nowhere". Known: q')
