"""What handlers saw, and what Redis took of it: the side of the truth that no key holds.

Each start is one lease, once. What an attempt came to must be what is handed in for its lease.
"""

from typing import Final

import msgspec

from streamq.testing.sim.calls import Settled
from streamq.testing.sim.loop import Process
from streamq.testing.sim.twin import Differs, expect

UNRUN: Final = ("failed", "parked", "delayed", "waiting")
"""What may be handed in of a claim that no handler saw."""

BACKOFF_MS: Final = 5_000  # doubled with each attempt, where nobody says otherwise


class Start(msgspec.Struct):
    """One attempt. `end` is the handler's word: ok, error, fail, snooze, or what stopped it."""

    job: str
    fence: int
    attempt: int
    attempts: int
    process: Process
    at_s: float
    end: str = ""


class History:
    """See the module."""

    def __init__(self) -> None:
        self.starts: dict[tuple[str, int], Start] = {}
        self.taken: dict[tuple[str, int], float] = {}
        """By job and fence: when Redis took the outcome."""
        self._again: set[tuple[str, int]] = set()
        self.acked: dict[str, float] = {}
        """Ids whose add was answered, and when."""
        self.unknown: set[str] = set()
        """Ids whose add may have been applied."""
        self.lost: set[str] = set()
        """Ids that were added to a master that is no more."""
        self.refused: set[str] = set()
        """Ids of which somebody was told that they were not added."""
        self.told_to_end: set[str] = set()
        """Ids that an operator cancelled or removed."""
        self.wrong: list[str] = []

    def begin(self, start: Start) -> Start:
        """A handler begins."""
        key = (start.job, start.fence)
        if key in self.starts and key not in self._again:
            self.wrong.append(f"{start.job} started twice under fence {start.fence}")
        if start.job not in self.acked and start.job not in self.unknown:
            self.wrong.append(f"{start.job} came from nowhere")
        self.starts[key] = start
        return start

    def took(self, outcomes: list[Settled], at_s: float) -> None:
        """Redis took these outcomes. Raises Differs."""
        for outcome in outcomes:
            key = (outcome.job, outcome.fence)
            expect(key not in self.taken, "settled twice under one fence", outcome)
            self.taken[key] = at_s
            self._fits(outcome, self.starts.get(key))

    def _fits(self, outcome: Settled, start: Start | None) -> None:
        if start is None:
            expect(outcome.kind in (*UNRUN, "removed"), "settled, and never ran", outcome)
            return
        told: tuple[str, ...] = ("failed", "removed") if outcome.job in self.told_to_end else ()
        if start.process.ends and start.end != "ok":
            told = (*told, "waiting")  # whatever it raised at that
        allowed = {
            "ok": ("completed", "gone", *told),
            "fail": ("failed", *told),
            "snooze": ("delayed", *told),
            "error": ("failed" if start.attempt >= start.attempts else "delayed", *told),
        }.get(start.end, ("waiting", *told))
        if outcome.kind not in allowed:
            raise Differs(f"{outcome} of an attempt that ended as {start.end!r}")
        if start.end in ("ok", "error", "fail") and outcome.kind in ("completed", "delayed"):
            expect(outcome.attempts == start.attempt, "attempts are miscounted", outcome, start)
        if start.end == "error" and outcome.kind == "delayed":
            wait_ms = BACKOFF_MS << (start.attempt - 1)
            expect(outcome.delay_ms == wait_ms, "the backoff is another", outcome, wait_ms)

    def forgive(self, since_s: float, jobs: set[str]) -> None:
        """These jobs, whenever their add is answered, are lost with the master that had them.

        What was settled since then runs again, under the lease that its worker still has there.
        """
        self.lost |= jobs
        for key, at in list(self.taken.items()):
            if at >= since_s:
                del self.taken[key]
                self._again.add(key)
