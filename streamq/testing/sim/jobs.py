"""What the jobs of a simulation do: their payload says it, and the history hears how they ended."""

import asyncio
from enum import StrEnum
from typing import Final

import msgspec

from streamq.app import App
from streamq.run.context import Context
from streamq.settings import Keep, Settings
from streamq.testing.sim.history import History, Start
from streamq.testing.sim.loop import SimLoop, current_process
from streamq.verdicts import Fail, Snooze

QUEUE: Final = "q"
PREFIX: Final = "sim"
CODE_ATTEMPTS: Final = 3


class Kind(StrEnum):
    """How a job behaves."""

    OK = "ok"
    FLAKY = "flaky"
    """Raises in its first attempts."""
    BROKEN = "broken"
    """Raises in every attempt."""
    FAIL = "fail"
    SNOOZE = "snooze"
    CRASH = "crash"
    """Ends its process the first time that it runs."""
    POISON = "poison"
    """Ends its process whenever it runs."""
    STUBBORN = "stubborn"
    """Does not end at once when it is told to."""


class Deed(msgspec.Struct, frozen=True):
    """The payload. `times` is how often it misbehaves."""

    kind: Kind
    ms: int
    times: int = 1


class Mishap(Exception):
    """What a handler raises on purpose."""


async def perform(deed: Deed, job: Context, history: History, loop: SimLoop) -> str:
    """One attempt."""
    process = current_process()
    start = history.begin(
        Start(job.id, job._claim.fence, job.attempt, job.attempts, process, loop.time())
    )
    try:
        await asyncio.sleep(deed.ms / 1000)
        ran = sum(s.job == job.id for s in history.starts.values())
        if deed.kind is Kind.POISON or (deed.kind is Kind.CRASH and ran <= deed.times):
            process.kill()
            await asyncio.Event().wait()
        if deed.kind is Kind.BROKEN or (deed.kind is Kind.FLAKY and job.attempt <= deed.times):
            raise Mishap(f"attempt {job.attempt}")
        if deed.kind is Kind.FAIL:
            raise Fail("as was wanted")
        if deed.kind is Kind.SNOOZE and ran <= deed.times:
            raise Snooze(f"{deed.ms}ms")
    except Mishap:
        start.end = "error"
        raise
    except Fail:
        start.end = "fail"
        raise
    except Snooze:
        start.end = "snooze"
        raise
    except asyncio.CancelledError:
        if deed.kind is Kind.STUBBORN:
            await asyncio.sleep(deed.ms / 1000)
        start.end = "cancelled"
        raise
    start.end = "ok"
    return job.id


def made_app(
    history: History,
    loop: SimLoop,
    *,
    settings: Settings,
    knows_rare: bool = True,
    keep: int | None = None,
) -> App:
    """An App as each simulated process has one of its own; not all of them know `rare`."""
    app = App("simulation", settings=settings)
    if keep is not None:
        app.declare_queue(QUEUE, keep_completed=Keep(count=keep))

    @app.job(QUEUE, "deed", attempts=CODE_ATTEMPTS)
    async def deed(data: Deed, job: Context) -> str:
        return await perform(data, job, history, loop)

    if knows_rare:

        @app.job(QUEUE, "rare", attempts=CODE_ATTEMPTS)
        async def rare(data: Deed, job: Context) -> str:
            return await perform(data, job, history, loop)

    return app
