"""Watches over a daemon's children: tells them that it lives, ends what hangs, replaces what ends.

What a child's end means for its jobs is decided here, and carried out by `burials`.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from typing import Final

from streamq.run.burials import Body, Burials
from streamq.run.crew import Crew
from streamq.run.death import Death, MemoryKills, judge_death, own_memory_events
from streamq.run.pipe import DUMP_SIGNAL, ChildState, Pulse
from streamq.run.process import ChildProcess, reap_orphans
from streamq.run.rounds import until
from streamq.run.watch import Sight
from streamq.settings import Settings

LOOK_MAX_S: Final = 1.0
LOOKS_A_LEASE: Final = 6
DUMP_WAIT_S: Final = 0.5  # for the stacks of a process that is about to be killed

log = logging.getLogger("streamq.daemon")


class Watchman:
    """See the module. `settings` is asked at each look: they may have been re-read."""

    def __init__(
        self,
        crew: Crew,
        settings: Callable[[], Settings],
        *,
        daemon: str,
        failed_to_start: Callable[[ChildProcess], None],
        deserted: Callable[[], None],
    ) -> None:
        self._crew = crew
        self._settings = settings
        self._daemon = daemon
        self._failed_to_start = failed_to_start
        self._deserted = deserted
        self._memory_kills = MemoryKills(own_memory_events())
        self._killing: set[asyncio.Task[None]] = set()
        self.now = asyncio.Event()
        """Set: look at once."""
        self.burials: Burials | None = None
        self._ever_ready = False

    async def run(self) -> None:
        """Look after look."""
        every_s = min(LOOK_MAX_S, self._settings().lease_ms / 1000 / LOOKS_A_LEASE)
        while True:
            self.look()
            await until(self.now, every_s)

    def look(self) -> None:
        """One look at everybody."""
        if os.getpid() == 1:
            reap_orphans({child.pid for child in self._crew})
        for child in self._crew.collect():
            self._has_ended(child)
        for child in list(self._crew):
            self._look_at(child)
        if self._crew.deserted:
            self._deserted()
        for child in self._crew.fill():
            log.info("[Daemon] process %d started", child.pid, extra={"event": "worker.started"})

    def _look_at(self, child: ChildProcess) -> None:
        self._ever_ready = self._ever_ready or child.ready is not None
        settings = self._settings()
        child.send(Pulse())
        sight = child.look(settings.hung_ms / 1000)
        if sight is Sight.HUNG and not child.hung:
            child.hung = True
            killing = asyncio.create_task(self._kill_hung(child))
            self._killing.add(killing)
            killing.add_done_callback(self._killing.discard)
            return
        if not child.hung and (dump := child.new_dump()):
            log.warning(
                "[Daemon] stacks of process %d:\n%s", child.pid, dump,
                extra={"event": "worker.dump"},
            )  # fmt: skip
        if child.tick.state is ChildState.DRAINING and not child.retiring:
            # It ends of its own accord (TERM from somebody else): its successor starts now.
            self._crew.retire(child, told=True)
        elif (
            not child.retiring
            and (why := _worn(child, settings))
            and self._crew.retire(child, told=False)
        ):
            log.info("[Daemon] process %d is replaced: %s", child.pid, why)

    async def _kill_hung(self, child: ChildProcess) -> None:
        child.signal(DUMP_SIGNAL)
        await asyncio.sleep(DUMP_WAIT_S)
        if not child.ended():
            log.error(
                "[Daemon] process %d made no progress for %.0f s (no tick of its loop, no CPU"
                " time) and is killed; its stacks:\n%s",
                child.pid, child.watch.still_s, child.new_dump() or "it wrote none",
                extra={"event": "worker.hung"},
            )  # fmt: skip
            child.signal(signal.SIGKILL)

    def _has_ended(self, child: ChildProcess) -> None:
        assert child.returncode is not None
        death = judge_death(
            child.returncode,
            said_bye=child.bye is not None,
            hung=child.hung,
            out_of_memory=self._memory_kills.grew(),
        )
        stacks = child.new_dump()
        child.close()
        in_order = child.bye is not None and child.returncode == 0
        pause_s = self._crew.vacate(child, died=not in_order)
        self._ever_ready = self._ever_ready or child.ready is not None
        # Killed from outside it may do better the next time; by its own doing it will not.
        hopeless = not self._ever_ready and (
            child.failed is not None or death.evidence or child.returncode > 0
        )
        self._tell_end(child, death, in_order, None if hopeless else pause_s, stacks)
        if self.burials is not None and child.workers:
            queues = tuple(child.ready.queues) if child.ready else tuple(child.workers)
            self.burials.begin(Body(child.pid, self._daemon, child.workers, queues, death))
        if hopeless and not self._crew.closed:
            self._failed_to_start(child)

    def _tell_end(
        self, child: ChildProcess, death: Death, in_order: bool, pause_s: float | None, stacks: str
    ) -> None:
        fields = {"event": "worker.ended"}
        if in_order:
            log.info("[Daemon] process %d ended", child.pid, extra=fields)
            return
        after = "" if pause_s is None else f"; its successor starts in {pause_s:.1f} s"
        if child.failed is not None:
            log.error("%s", child.failed.message, extra=fields)
        log.warning(
            "[Daemon] process %d ended by %s%s%s", child.pid, death.cause, after,
            f"; its stacks:\n{stacks}" if stacks else "", extra=fields,
        )  # fmt: skip


def _worn(child: ChildProcess, settings: Settings) -> str:
    """Why a child is to be replaced by now; empty: it is not."""
    jobs, rss = settings.max_jobs, settings.max_rss_bytes
    if jobs is not None and child.tick.jobs_done >= jobs:
        return f"it did {child.tick.jobs_done} jobs (max_jobs is {jobs})"
    if rss is not None and child.watch.rss_bytes > rss:
        return f"it holds {child.watch.rss_bytes >> 20} MiB (max_rss is {rss >> 20} MiB)"
    return ""
