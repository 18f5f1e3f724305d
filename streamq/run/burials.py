"""What is left of a child that ended: its workers are dead for Redis at once, its jobs go back.

The daemon saw the death, so nobody waits for a lease to run out. Redis may be away just then: it
is tried again, for as long as that makes sense.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from streamq.errors import StoreError
from streamq.job import WorkerId
from streamq.run.death import Death
from streamq.run.upkeep import reap_worker, workers_of
from streamq.store.scripts import Link

PAUSE_S: Final = 0.2
PAUSE_MAX_S: Final = 5.0
LIMIT_S: Final = 600.0  # then the beats of others have long done it, without evidence

log = logging.getLogger("streamq.daemon")


class Body(msgspec.Struct, frozen=True):
    """A child that ended: its workers as far as it told, and where else to look for them."""

    pid: int
    daemon: str
    workers: Mapping[str, Sequence[WorkerId]]
    queues: Sequence[str]
    death: Death


class Burials:
    """Buries in the background; `settle` waits for it."""

    def __init__(
        self, link: Callable[[str], Link], *, lease_ms: int, stopping: Callable[[], bool]
    ) -> None:
        self._link = link
        self._lease_ms = lease_ms
        self._stopping = stopping
        self._at_hand: set[asyncio.Task[bool]] = set()
        self.jobs_at_end = 0
        """Jobs that children still had when they ended, since the daemon itself ends."""

    def begin(self, body: Body) -> None:
        burying = asyncio.create_task(self._bury(body))
        self._at_hand.add(burying)
        burying.add_done_callback(self._at_hand.discard)

    async def settle(self, limit_s: float) -> bool:
        """Waits for those at hand; whether all are done."""
        if not self._at_hand:
            return True
        done, late = await asyncio.wait(self._at_hand, timeout=limit_s)
        for each in late:
            each.cancel()
        return not late and all(each.result() for each in done)

    async def _bury(self, body: Body) -> bool:
        left = {queue: set(body.workers.get(queue, ())) for queue in body.queues}
        looked: set[str] = set()
        began, pause_s = time.monotonic(), PAUSE_S
        while time.monotonic() - began < LIMIT_S:
            try:
                for queue in list(left):
                    if queue not in looked:
                        # It may have registered and claimed before its first tick came here.
                        left[queue] |= await workers_of(
                            self._link(queue), daemon=body.daemon, pid=body.pid
                        )
                        looked.add(queue)
                    left[queue] -= {w for w in left[queue] if await self._reaped(queue, w, body)}
                    if not left[queue]:
                        del left[queue]
            except StoreError as error:
                log.debug("burial of process %d waits: %s", body.pid, error)
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
            if not left:
                return True
            await asyncio.sleep(pause_s)
        return False

    async def _reaped(self, queue: str, worker: WorkerId, body: Body) -> bool:
        reaping = await reap_worker(
            self._link(queue),
            worker,
            lease_ms=self._lease_ms,
            seen=True,
            evidence=body.death.evidence,
            cause=body.death.cause,
            # Between two children no daemon's worker may be there; this daemon is, all the same.
            await_daemon=not self._stopping(),
        )
        if self._stopping():
            self.jobs_at_end += reaping.jobs
        return reaping.done
