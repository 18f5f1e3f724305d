"""The queue in plain Python: what each script ought to do, without Redis, streams or leases.

Each method is the twin of a script and takes what that takes. `picture` is all that a reader of
the queue can tell; `picture_of` is the same of the raw keys.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamq.job import ALONE, GIVEN_BACK, LINES, Claim, End, JobId, NewJob, Outcome
from streamq.testing.invariants import Dump

DEATHS_MAX: Final = 10
Picture = dict[str, object]


@dataclass
class Job:
    """`seq` is when it came to its line; `deaths`: guilty ones, blameless ones.

    Who has them from the replies keeps the lease, and the attempts that were handed in.
    """

    state: str
    line: str
    ticket: int
    mark: str = "n"
    due_ms: int = 0
    seq: int = 0
    worker: str = ""
    flag: str = ""
    has_run: bool = False
    deaths: tuple[int, int] | None = None
    ended_ms: int = 0
    lease: str = ""
    attempts: int = 0


@dataclass
class Model:
    jobs: dict[str, Job] = field(default_factory=dict)
    live: dict[str, str] = field(default_factory=dict)
    """Worker id -> kind."""
    paused: bool = False
    max_active: int | None = None
    ticket: int = 0
    seq: int = 0
    gone: int = 0
    """Jobs that were removed, or left nothing."""

    # ---- looking

    def ids(self, *states: str) -> list[str]:
        return [job for job, each in self.jobs.items() if each.state in states]

    def in_order(self, ids: Iterable[str]) -> list[str]:
        """By line, as a reaper and a claim walk them, and as they came."""
        rank = {line: n for n, line in enumerate(GIVEN_BACK + ALONE + LINES[1:-1])}
        return sorted(ids, key=lambda j: (rank[self.jobs[j].line], self.jobs[j].seq))

    def picture(self) -> Picture:
        waiting = self.in_order(self.ids("waiting"))
        return {
            "states": {job: each.state for job, each in self.jobs.items()},
            "waiting": [(self.jobs[j].line, j, self.jobs[j].mark) for j in waiting],
            "delayed": {
                j: (self.jobs[j].due_ms, self.jobs[j].line, self.jobs[j].mark)
                for j in self.ids("delayed")
            },
            "active": {j: self.jobs[j].worker for j in self.ids("active")},
            "flags": {j: each.flag for j, each in self.jobs.items() if each.flag},
            "deaths": {j: each.deaths for j, each in self.jobs.items() if each.deaths},
            "live": set(self.live),
            "paused": self.paused,
        }

    # ---- what a job's way is made of

    def _to_line(self, job: str, line: str, mark: str) -> None:
        self.seq += 1
        each = self.jobs[job]
        each.state, each.line, each.mark, each.seq = "waiting", line, mark, self.seq
        each.worker = ""

    def _end(self, job: str, state: str) -> None:
        each = self.jobs[job]
        each.state, each.flag, each.worker, each.has_run = state, "", "", True

    def _forget(self, job: str) -> None:
        del self.jobs[job]
        self.gone += 1

    def _draw(self) -> int:
        self.ticket += 1
        return self.ticket

    def _promote_due(self, now_ms: int) -> None:
        due = [(j, self.jobs[j]) for j in self.ids("delayed") if self.jobs[j].due_ms <= now_ms]
        due.sort(key=lambda d: (d[1].due_ms, d[1].line, d[1].mark, d[1].ticket, d[0]))
        for job, each in due:
            self._to_line(job, each.line, each.mark)

    # ---- the scripts

    def add(self, jobs: Sequence[NewJob], now_ms: int) -> set[int]:
        ticket, existed = self._draw(), set()
        for position, new in enumerate(jobs):
            if new.id in self.jobs:
                existed.add(position)
                continue
            self.jobs[new.id] = Job("delayed", new.line, ticket)
            if new.delay_ms:
                self.jobs[new.id].due_ms = now_ms + new.delay_ms
            else:
                self._to_line(new.id, new.line, "n")
        return existed

    def settle(self, outcomes: Sequence[Outcome], now_ms: int) -> None:
        for outcome in outcomes:
            job, each = outcome.claim.id, self.jobs[outcome.claim.id]
            mark = outcome.claim.mark if outcome.run is None else "r"
            each.has_run |= outcome.run is not None
            if not outcome.keep:
                self._forget(job)
            elif outcome.end is End.RETRY:
                each.state, each.worker, each.flag = "delayed", "", ""
                each.line, each.mark = outcome.line, mark
                each.due_ms = now_ms + (outcome.delay_ms or 0)
            elif outcome.end is End.RELEASED:
                self._to_line(job, ALONE if each.line == ALONE else GIVEN_BACK, mark)
                each.flag = ""
            else:
                self._end(job, outcome.end.value)

    def claim(
        self, worker: str, slots: int, share: int, now_ms: int, *, alone: bool = False
    ) -> list[tuple[str, str, str]]:
        """Promotes what is due and gives jobs out: id, line and mark of each."""
        self._promote_due(now_ms)
        room = 0 if self.paused else slots
        if self.max_active is not None:
            room = min(room, self.max_active - len(self.ids("active")))
        given: list[tuple[str, str, str]] = []
        for job in self.in_order(self.ids("waiting")):
            each = self.jobs[job]
            taken = sum(line == GIVEN_BACK for _, line, _ in given)
            if (each.line == ALONE) is not alone or (each.line == GIVEN_BACK and taken >= share):
                continue
            if len(given) >= room:
                break
            each.state, each.worker = "active", worker
            given.append((job, each.line, each.mark))
        return given

    def reap(self, worker: str, *, evidence: bool) -> None:
        """To the end; who may not run again is failed, parked or removed."""
        self.live.pop(worker, None)
        for job in self.in_order(j for j in self.ids("active") if self.jobs[j].worker == worker):
            each = self.jobs[job]
            if each.flag:
                self._forget(job) if each.flag == "r" else self._end(job, "failed")
                continue
            guilty, blameless = each.deaths or (0, 0)
            guilty, blameless = guilty + evidence, blameless + (not evidence)
            if (evidence and each.line == ALONE) or (not evidence and blameless >= DEATHS_MAX):
                self._end(job, "failed")
            elif evidence and guilty >= 2 and "d" not in self.live.values():
                self._end(job, "parked")
            else:
                suspect = guilty >= 2 or each.line == ALONE
                each.deaths = (guilty, blameless)
                self._to_line(
                    job, ALONE if suspect else GIVEN_BACK, "f" if each.mark == "f" else "r"
                )

    def retry(self, job: str, line: str) -> bool:
        if job not in self.ids("failed"):
            return False
        self.jobs[job].deaths = None
        self._to_line(job, line, "f")
        return True

    def unpark(self, job: str, line: str) -> bool:
        if job not in self.ids("parked"):
            return False
        self._to_line(job, line, "r")
        return True

    def promote(self, job: str) -> bool:
        if job not in self.ids("delayed"):
            return False
        self._to_line(job, self.jobs[job].line, self.jobs[job].mark)
        return True

    def remove(self, job: str) -> str:
        if job not in self.jobs:
            return "absent"
        if self.jobs[job].state == "active":
            self.jobs[job].flag = "r"
            return "flagged"
        self._forget(job)
        return "removed"

    def cancel(self, job: str) -> str:
        if job not in self.jobs:
            return "absent"
        each = self.jobs[job]
        if each.state in ("completed", "failed"):
            return each.state
        if each.state == "active":
            each.flag = each.flag or "c"
            return "flagged"
        if each.state == "waiting":
            each.ticket = self._draw()
        each.deaths = None
        self._end(job, "failed")
        return "cancelled"

    def change(self, job: str, line: str, due_ms: int | None, now_ms: int) -> bool:
        if job not in self.ids("waiting", "delayed"):
            return False
        each = self.jobs[job]
        each.ticket = self._draw()
        waits = each.state == "waiting"
        mark = ("f" if each.has_run else "n") if waits else each.mark
        at_ms = due_ms if due_ms is not None else (0 if waits else each.due_ms)
        if at_ms > now_ms:
            each.state, each.line, each.mark, each.due_ms = "delayed", line, mark, at_ms
        else:
            self._to_line(job, line, mark)
        return True

    def drain(self) -> int:
        going = self.ids("waiting", "delayed")
        for job in going:
            self._forget(job)
        return len(going)


def picture_of(dump: Dump) -> Picture:
    """What the raw keys say, in the model's words."""
    waiting = [e for e in dump.entries if e.free and dump.is_live(e)]
    rank = {line: n for n, line in enumerate(GIVEN_BACK + ALONE + LINES[1:-1])}
    waiting.sort(key=lambda e: rank[e.line])  # and within a line as they stand
    deaths = {j.decode(): v.decode().split() for j, v in dump.hashes["stalls"].items()}
    return {
        "states": dump.states(),
        "waiting": [(e.line, e.job.decode(), e.value[:1].decode()) for e in waiting],
        "delayed": {
            m[8:].decode(): (int(due), m[:1].decode(), m[1:2].decode())
            for m, due in dump.zsets["delayed"].items()
        },
        "active": {
            j.decode(): lease.decode().rpartition("|")[2]
            for j, lease in dump.hashes["leases"].items()
        },
        "flags": {j.decode(): flag.decode() for j, flag in dump.hashes["cancels"].items()},
        "deaths": {j: (int(guilty), int(blameless)) for j, (guilty, blameless) in deaths.items()},
        "live": {w.decode() for w in dump.live_workers},
        "paused": dump.hashes["meta"].get(b"paused") == b"1",
    }


def held_by(claims: Iterable[Claim]) -> list[tuple[JobId, str, str]]:
    """Claims as the model tells them."""
    return [(c.id, str(c.line), c.mark) for c in claims]
