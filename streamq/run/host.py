"""The workers of one child process, in its event loop: made, ticked for, told things, ended.

Owns what happens between the app's lifespan and its end. Hands the daemon reports by the pipe.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Final

from streamq.app import App
from streamq.errors import ConfigError, LayoutNewer, StoreError
from streamq.job import JobId, WorkerId
from streamq.run.burst import failures
from streamq.run.clockwork import Clockwork
from streamq.run.logs import set_level
from streamq.run.pipe import (
    Bye,
    Cancelled,
    ChildState,
    Command,
    Dump,
    Failed,
    Gone,
    Loaded,
    LogLevel,
    Now,
    Pipe,
    Quiet,
    Ready,
    Report,
    Resize,
    Setup,
    Stop,
    Tick,
)
from streamq.run.stacks import stacks_of_loop
from streamq.run.upkeep import Keeps, keeps_of
from streamq.run.worker import Worker
from streamq.store import calls
from streamq.store.address import Address
from streamq.store.channel import Channel
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.scripts import link

TICK_MAX_S: Final = 1.0
TICKS_A_LEASE: Final = 6  # at least: two in the time between two beats
UNKNOWN_TICK_S: Final = 0.005  # while a worker has no id
HAND_BACK_LIMIT_S: Final = 4.5  # after the handlers were cancelled; then what is left is abandoned
NOW_LIMIT_S: Final = 1.5  # the same, after the second TERM
CLOSE_LIMIT_S: Final = 5.0  # for connections and for what the app opened
ALONE_IDLE_S: Final = 1.0  # without a suspect, and the process for suspects ends
RUN_AGAIN_S: Final = 1.0  # after Redis went away just when a worker began

EXIT_ABANDONED: Final = 6

log = logging.getLogger("streamq.worker")


class Host:
    """See the module. All of it is for the loop's thread, but `workers`, `keeps` and `address`."""

    def __init__(
        self, app: App, setup: Setup, pipe: Pipe[Command, Report], queues: Mapping[str, int]
    ) -> None:
        """`queues`: slots by name."""
        self.workers: list[Worker] = []
        self.keeps: Mapping[str, Keeps] = {}
        self._app = app
        self._setup = setup
        self.address: Address | None = None
        self._pipe = pipe
        self._queues = queues
        self._failed_before: int | None = None
        self._resized = 0  # by an operator, beyond the slots that the settings say
        self._state = ChildState.STARTING
        self._ticks = 0
        self._tick_every_s = min(TICK_MAX_S, setup.lease_ms / 1000 / TICKS_A_LEASE)
        self._told: Mapping[str, tuple[WorkerId, ...]] = {}
        self._done_before = 0  # jobs of workers that have ended
        self._busy_at = time.monotonic()
        self._given_up = asyncio.Event()
        self._living: asyncio.Task[int] | None = None
        self._clockwork: Clockwork | None = None

    async def live(self) -> int:
        """From the app's lifespan to the last goodbye; the exit code."""
        self._living = asyncio.current_task()
        ticking = asyncio.create_task(self._tick_on())
        code, abandoned = 0, 0
        try:
            await self._work_unless_stopped()
        except* (StoreError, ConfigError) as group:
            error = _first_of(group)
            assert isinstance(error, StoreError | ConfigError)
            self._pipe.send(Failed(error.exit_code, error.cli_text))
            code = error.exit_code
        finally:
            ticking.cancel()
            abandoned = sum(len(worker.running) for worker in self.workers)
            self._send_tick()
            self._pipe.send(Bye(abandoned))
        return EXIT_ABANDONED if abandoned else code

    async def _work_unless_stopped(self) -> None:
        try:
            await self._work_within()
        except asyncio.CancelledError:
            # By `stop`, while the app still opened what it needs: it was undone in its own order.
            if self._state is not ChildState.DRAINING:
                raise

    async def _work_within(self) -> None:
        self.address = self._app.connection().address
        self._pipe.send(Loaded(self.address.url, self.address.origin, self.prefix))
        redis = Redis(self.address, name=f"streamq-{os.getpid()}")
        lifespan = self._app.lifespan
        try:
            async with nullcontext() if lifespan is None else lifespan(self._app) as shared:
                await self._count_failures(redis)
                self.workers = [self._made(queue, redis, shared) for queue in self._queues]
                self._state = ChildState.RUNNING
                self._tell_keeps()
                self._send_tick()
                await self._work()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await redis.close()
                    await self._app.close()

    async def _count_failures(self, redis: Redis) -> None:
        """Those until now: what a burst fails, it fails after this."""
        if self._setup.counts_failures:
            queues = [link(redis, keys_of(self.prefix, queue)) for queue in self._queues]
            self._failed_before = await failures(queues)

    def _made(self, queue: str, redis: Redis, shared: object) -> Worker:
        return Worker(
            self._app,
            queue,
            redis,
            concurrency=self._slots_of(queue),
            kind="a" if self._setup.alone else "d",
            daemon=self._setup.daemon,
            label=self._setup.label,
            state=shared,
            on_progress=self._on_progress,
        )

    async def _work(self) -> None:
        """Until the workers have ended, or what is left of them is given up."""
        listening = asyncio.create_task(self._listen())
        firing = asyncio.create_task(self._fire_slots())
        giving_up = asyncio.create_task(self._given_up.wait())
        runs = {asyncio.create_task(self._run(worker)): worker for worker in self.workers}
        try:
            while runs and not giving_up.done():
                done, _ = await asyncio.wait(
                    {*runs, giving_up, listening, firing}, return_when=asyncio.FIRST_COMPLETED
                )
                for endless in done & {listening, firing}:
                    endless.result()  # they go on for ever: this raises what ended it
                for ended in runs.keys() & done:
                    worker = runs.pop(ended)
                    ended.result()
                    self.workers.remove(worker)
                    self._done_before += worker.jobs_done
        finally:
            last = {*runs, listening, giving_up, firing}
            for each in last:
                each.cancel()
            await asyncio.wait(last)

    async def _fire_slots(self) -> None:
        """Fires the app's schedules as long as this process has workers, draining ones too: in a
        fleet of one there is nobody else."""
        assert self.address is not None
        if self._setup.alone or not self._setup.scheduler:
            await asyncio.Event().wait()
        redis = Redis(self.address, name=f"streamq-{os.getpid()}-schedules")
        try:
            self._clockwork = Clockwork(self._app, redis)
            await self._clockwork.run()
        finally:
            await redis.close()

    async def _run(self, worker: Worker) -> None:
        while True:
            try:
                return await worker.run()
            except StoreError as error:
                if isinstance(error, LayoutNewer) or self._state is ChildState.DRAINING:
                    raise
                log.debug("the worker of %s begins again: %s", worker.queue, error)
                await asyncio.sleep(RUN_AGAIN_S)

    async def _listen(self) -> None:
        """Cancels what operators cancel, within a second; the beat is the net below."""
        of_channel = {keys_of(self.prefix, w.queue).cancels_channel: w for w in self.workers}
        assert self.address is not None
        channel = Channel(self.address, list(of_channel), name=f"streamq-{os.getpid()}-cancels")
        async for message in channel.listen():
            of_channel[message.channel].cancel_job(JobId(message.data.decode("utf-8", "replace")))

    # -- what the daemon says ----------------------------------------------------------------

    @property
    def prefix(self) -> str:
        """Of every key: the application may have its own."""
        return self._app.settings.prefix

    def obey(self, command: Command) -> None:
        """Does what a command says; those that are not for the workers do nothing."""
        match command:
            case Stop(grace_ms, queue):
                self.stop(grace_ms, queue)
            case Now():
                self.hand_back(NOW_LIMIT_S)
            case Quiet(queue, on):
                self._quiet(queue, on)
            case Resize(by):
                self._resized = by
                self._renew_workers()
            case Gone() | Cancelled():
                self._hear(command)
            case Dump():
                self._dump()
            case LogLevel(level):
                set_level(level)
            case _:
                pass

    def on_term(self) -> None:
        """TERM, not from the daemon: in order the first time, at once the second."""
        if self._state is ChildState.DRAINING:
            self.hand_back(NOW_LIMIT_S)
        else:
            self.stop(self._setup.grace_ms)

    def stop(self, grace_ms: int | None, queue: str = "") -> None:
        """Claims nothing more; after `grace_ms` (None: never) what still runs is handed back."""
        for worker in self._of(queue):
            worker.stop()
        if queue:
            return
        if self._state is ChildState.STARTING and self._living is not None:
            self._living.cancel()
        self._state = ChildState.DRAINING
        self._send_tick()
        if grace_ms is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(grace_ms / 1000, self.hand_back, HAND_BACK_LIMIT_S)

    def hand_back(self, limit_s: float) -> None:
        """Cancels the handlers, hands their jobs back, and ends; after `limit_s` in any case."""
        self.stop(None)
        for worker in self.workers:
            worker.hand_back()
        asyncio.get_running_loop().call_later(limit_s, self._given_up.set)

    def renew(self, queues: Mapping[str, int]) -> None:
        """The app has other settings: slots by queue, what holds for a queue, schedules."""
        self._queues = queues
        self._renew_workers()
        self._tell_keeps()
        if self._clockwork is not None:
            self._clockwork.changed()

    def _renew_workers(self) -> None:
        for worker in self.workers:
            worker.renew(self._slots_of(worker.queue))

    def _slots_of(self, queue: str) -> int:
        return 1 if self._setup.alone else max(1, self._queues[queue] + self._resized)

    def _tell_keeps(self) -> None:
        """Reports what the app's queues keep."""
        self.keeps = {
            worker.queue: keeps_of(self._app.queue_settings(worker.queue))
            for worker in self.workers
        }
        named = {worker.queue: worker.process for worker in self.workers}
        self._pipe.send(Ready(self.keeps, named, self._failed_before))

    def _of(self, queue: str) -> list[Worker]:
        return [worker for worker in self.workers if not queue or worker.queue == queue]

    def _quiet(self, queue: str, on: bool) -> None:
        for worker in self._of(queue):
            worker.quiet(on)
        if not queue and self._state in (ChildState.RUNNING, ChildState.QUIET):
            self._state = ChildState.QUIET if on else ChildState.RUNNING
            self._send_tick()

    def _hear(self, told: Gone | Cancelled) -> None:
        for worker in self._of(told.queue):
            if isinstance(told, Gone):
                worker.heard_gone(frozenset(told.workers))
                continue
            for job, flag in told.flags.items():
                worker.cancel_job(job, flag)

    def _dump(self) -> None:
        for worker in self.workers:
            log.warning(
                "[Worker:%s] %d of %d slots busy, %d stuck; running: %s",
                worker.queue, worker.busy, worker.slots, worker.stuck,
                " ".join(worker.running) or "nothing",
                extra={"event": "worker.dump", "queue": worker.queue},
            )  # fmt: skip
        log.warning("[Worker] tasks:\n%s", stacks_of_loop(), extra={"event": "worker.dump"})

    # -- ticks -------------------------------------------------------------------------------

    async def _tick_on(self) -> None:
        while True:
            self._send_tick()
            if self._setup.alone and self.workers:
                self._end_if_idle(self.workers[0])
            # An id that the daemon does not know is beaten for by nobody: it is told at once.
            known = all(worker.ids for worker in self.workers)
            await asyncio.sleep(self._tick_every_s if known else UNKNOWN_TICK_S)

    def _on_progress(self) -> None:
        if self._ids() != self._told:
            self._send_tick()

    def _ids(self) -> dict[str, tuple[WorkerId, ...]]:
        return {worker.queue: tuple(worker.ids) for worker in self.workers}

    def _send_tick(self) -> None:
        self._ticks += 1
        self._told = self._ids()
        now = time.monotonic()
        turned_at = [worker.turned_at for worker in self.workers]
        turned = bool(turned_at) and min(turned_at) > 0
        self._pipe.send(
            Tick(
                self._ticks,
                self._state,
                self._told,
                slots=sum(worker.slots for worker in self.workers),
                busy=sum(worker.busy for worker in self.workers),
                stuck=sum(worker.stuck for worker in self.workers),
                jobs_done=self._done_before + sum(worker.jobs_done for worker in self.workers),
                turned_ms=int((now - min(turned_at)) * 1000) if turned else None,
                calls=calls.own(),
            )
        )

    def _end_if_idle(self, worker: Worker) -> None:
        if not worker.idle or not worker.turned_at:
            self._busy_at = time.monotonic()
        elif time.monotonic() - self._busy_at > ALONE_IDLE_S:
            self.stop(self._setup.grace_ms)


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
