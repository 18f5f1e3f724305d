"""A heart for workers that no daemon beats for: a thread, with a loop and connections of its own.

It goes on while handlers hold the host's event loop. It stands still with a handler that holds the
interpreter's lock (a long regular expression, a huge `json.dumps`): only another process, a
daemon, covers that.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from streamq.clock import REAL, Clock
from streamq.errors import OutcomeUnknown, StoreError
from streamq.job import JobId, WorkerId
from streamq.run.beats import Beats, Outage
from streamq.run.upkeep import Keeps
from streamq.store.address import Address
from streamq.store.client import Redis
from streamq.store.replies import Beaten

STOP_LIMIT_S: Final = 5.0
_BEATS_A_LEASE: Final = 3


class Hosted(Protocol):
    """A worker, as far as its heart has to know it."""

    @property
    def queue(self) -> str: ...

    @property
    def ids(self) -> Sequence[WorkerId]: ...

    def heard_gone(self, gone: frozenset[WorkerId]) -> None: ...

    def cancel_job(self, job: JobId, flag: str = "c") -> None: ...


class Heart:
    """Beats every third of the lease, from `start` to `stop`, and does the chores."""

    def __init__(
        self,
        address: Address,
        prefix: str,
        workers: Sequence[Hosted],
        keeps: Mapping[str, Keeps],
        *,
        lease_ms: int,
        loop: asyncio.AbstractEventLoop,
        clock: Clock = REAL,
        tell_outage: bool = True,
    ) -> None:
        self._address = address
        self._prefix = prefix
        self._workers = tuple(workers)
        self._keeps = keeps
        self._lease_ms = lease_ms
        self._host = loop
        self._clock = clock
        self._outage = Outage() if tell_outage else None
        self._own: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streamq-heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more beats; returns when the thread has ended, or after STOP_LIMIT_S."""
        self._begun.wait(STOP_LIMIT_S)
        if self._own is not None and self._ended is not None and self._thread.is_alive():
            try:
                self._own.call_soon_threadsafe(self._ended.set)
            except RuntimeError:
                return  # its loop has closed meanwhile
            self._thread.join(STOP_LIMIT_S)

    def _run(self) -> None:
        asyncio.run(self._beat())

    async def _beat(self) -> None:
        self._own, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._begun.set()
        redis = Redis(self._address, name="streamq-heart")
        beats = Beats(
            redis, self._prefix, lease_ms=self._lease_ms, heard=self._heard, clock=self._clock
        )
        for queue, keeps in self._keeps.items():
            beats.keep(queue, keeps)
        try:
            while not self._ended.is_set():
                await self._round(beats)
                await _pause(self._ended, self._lease_ms / 1000 / _BEATS_A_LEASE)
        finally:
            await beats.close()
            await redis.close()

    async def _round(self, beats: Beats) -> None:
        workers: dict[str, list[WorkerId]] = {}
        for worker in self._workers:
            workers.setdefault(worker.queue, []).extend(worker.ids)
        try:
            await beats.round(workers)
        except (StoreError, TimeoutError) as error:
            if self._outage is not None:
                silent = OutcomeUnknown("beat", "time-out")
                self._outage.lost(error if isinstance(error, StoreError) else silent)
        else:
            if self._outage is not None:
                self._outage.back()

    def _heard(self, queue: str, beaten: Beaten) -> None:
        for worker in self._workers:
            if worker.queue == queue:
                self._tell(worker, beaten)

    def _tell(self, worker: Hosted, beaten: Beaten) -> None:
        try:
            if beaten.gone:
                self._host.call_soon_threadsafe(worker.heard_gone, beaten.gone)
            for job, flag in beaten.flagged.items():
                self._host.call_soon_threadsafe(worker.cancel_job, job, flag)
        except RuntimeError:
            # The host's loop has closed: nothing runs there that could be told.
            return


async def _pause(ended: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        return
