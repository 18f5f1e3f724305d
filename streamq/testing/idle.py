"""Real workers in this process, until there is nothing left to do."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from streamq.app import App
from streamq.errors import StoreError
from streamq.home import now_ms
from streamq.job import JobId, JobState
from streamq.run.upkeep import Upkeep, beat_queue, keeps_of
from streamq.run.worker import Worker
from streamq.store.channel import Channel

LIMIT_S: Final = 30.0
LOOK_EVERY_S: Final = 0.01
STOP_LIMIT_S: Final = 5.0
"""For handlers that still run at the end; then they are handed back."""
LOOKS_IDLE: Final = 2
"""Looks in a row that find nothing to do: one look at several keys is not one instant."""

log = logging.getLogger("streamq.testing")


class NotIdle(AssertionError):
    """There was still something to do when the time was up."""


async def run_until_idle(
    app: App,
    queue: str | Sequence[str] | None = None,
    *,
    limit_s: float = LIMIT_S,
    concurrency: int = 10,
) -> None:
    """Runs the jobs of a queue (of all that the app knows) until none waits, runs or is due.

    What is due is told by `app.clock`: advance it, and retries and delayed jobs run too. A paused
    queue is idle when nothing runs. Raises NotIdle after `limit_s`, with what was left.
    """
    queues = app.queue_names() if queue is None else [queue] if isinstance(queue, str) else queue
    async with app.living() as shared, working(app, queues, shared, concurrency) as hosted:
        try:
            async with asyncio.timeout(limit_s):
                await _until_idle(app, hosted)
        except TimeoutError:
            left = [f"{q}: {await app.queue(q).counts()}" for q in queues]
            raise NotIdle(f"not idle within {limit_s:g} s: {'; '.join(left)}") from None


class Hosted:
    """A worker and its task, with what a daemon would do for it."""

    def __init__(self, app: App, worker: Worker) -> None:
        self.worker = worker
        self.run = asyncio.create_task(worker.run())
        self._app = app
        self._aside = [asyncio.create_task(self._beat()), asyncio.create_task(self._listen())]

    async def end(self) -> None:
        """Claims nothing more, waits for what runs, and hands back what does not end in time."""
        self.worker.stop()
        _, late = await asyncio.wait([self.run], timeout=STOP_LIMIT_S)
        if late:
            self.worker.hand_back()
            await asyncio.wait([self.run], timeout=STOP_LIMIT_S)
        last = (self.run, *self._aside)
        for each in last:
            each.cancel()
        await asyncio.wait(last)

    async def _beat(self) -> None:
        """The worker lives; and the chores of its queue are done."""
        app, worker = self._app, self.worker
        settings, at = app.settings, app.session().link(worker.queue)
        keeps = keeps_of(app.queue_settings(worker.queue))
        upkeep = Upkeep(at, lease_ms=settings.lease_ms, keeps=keeps, clock=app.clock)
        while True:
            try:
                beaten = await beat_queue(
                    at, worker.ids, lease_ms=settings.lease_ms, keeps=keeps, clock=app.clock
                )
                worker.heard_gone(beaten.gone)
                for job, flag in beaten.flagged.items():
                    worker.cancel_job(job, flag)
                for chore in beaten.chores:
                    await upkeep.do(chore)
            except StoreError as error:
                log.debug("beat of queue %s: %s", worker.queue, error)
            await asyncio.sleep(settings.beat_ms / 1000)

    async def _listen(self) -> None:
        """Cancels what is cancelled, within a second."""
        session = self._app.session()
        names = [session.keys(self.worker.queue).cancels_channel]
        channel = Channel(session.redis.address, names, name="streamq-testing-cancels")
        async for message in channel.listen():
            self.worker.cancel_job(JobId(message.data.decode()))


@asynccontextmanager
async def working(
    app: App, queues: Sequence[str], shared: object, concurrency: int
) -> AsyncIterator[list[Hosted]]:
    """Workers of these queues within it, stopped in order at its end."""
    hosted = [
        Hosted(
            app,
            Worker(
                app,
                queue,
                app.connection(),
                concurrency=concurrency,
                state=shared,
                clock=app.clock,
            ),
        )
        for queue in queues
    ]
    try:
        yield hosted
    finally:
        await asyncio.gather(*(each.end() for each in hosted))


async def _until_idle(app: App, hosted: Sequence[Hosted]) -> None:
    idle = 0
    while idle < LOOKS_IDLE:
        await asyncio.sleep(LOOK_EVERY_S)
        for each in hosted:
            if each.run.done():
                each.run.result()
        looks = [await _is_idle(app, each.worker) for each in hosted]
        idle = idle + 1 if all(looks) else 0


async def _is_idle(app: App, worker: Worker) -> bool:
    queue = app.queue(worker.queue)
    counts = await queue.counts()
    if counts.active or not worker.idle:
        return False
    if counts.paused:
        return True
    if counts.waiting:
        return False
    if not counts.delayed:
        return True
    page = await queue.page(JobState.DELAYED, limit=1, newest_first=False)
    now = now_ms(app, worker.queue)
    return not any(job.due_at_ms is not None and job.due_at_ms <= now for job in page.jobs)
