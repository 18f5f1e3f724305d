"""A queue driven by hand: each call of the store made at a moment that the test chooses.

The clock is the test's own and moves only by `later`; turn numbers are kept per worker.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from streamq.job import Claim, End, JobId, Line, NewJob, Options, Outcome, Run, WorkerId
from streamq.store import reads, transitions
from streamq.store.packed import packed
from streamq.store.replies import AddReply, Beaten, Reaped, Recheck, Resynced, Turn, Verdict
from streamq.store.scripts import Link

BEGIN_MS: Final = 1_800_000_000_000
LEASE_MS: Final = 30_000
REAPS_MAX: Final = 50  # calls until a dead worker's jobs are all given back
DATA: Final = b"\xa4data"

W1, W2, W3 = WorkerId("w1"), WorkerId("w2"), WorkerId("w3")


def new(job: str, *, priority: int | None = None, **options: int) -> NewJob:
    """A job of that id; `delay_ms` and `at_ms` say when."""
    return NewJob(JobId(job), "welcome", DATA, Options(priority=priority), **options)


def names(count: int, stem: str = "j") -> list[str]:
    return [f"{stem}{i}" for i in range(count)]


def ends(claims: Sequence[Claim], end: End = End.COMPLETED, **fields: object) -> list[Outcome]:
    """One outcome a claim. Unless told otherwise with a run, as a worker hands it in."""
    if end is not End.RELEASED:
        fields.setdefault("run", Run(attempts=1))
    return [Outcome(claim, end, **fields) for claim in claims]  # type: ignore[arg-type]  # by name


class Rechecked(AssertionError):
    """A step that the test expected to be taken was refused."""


class ByHand:
    """One queue, its clock and its workers' turn numbers."""

    def __init__(self, at: Link) -> None:
        self.at = at
        self.now_ms = BEGIN_MS
        self.turns: dict[WorkerId, int] = {}
        self.adds = 0

    def later(self, ms: int) -> int:
        self.now_ms += ms
        return self.now_ms

    async def register(
        self,
        *workers: WorkerId,
        kind: str = "d",
        max_active: int | None = None,
        rate: tuple[int, int] | None = None,
    ) -> None:
        for worker in workers or (W1,):
            await transitions.register(
                self.at, worker, kind=kind, row=b"row", max_active=max_active, rate=rate,
                now_ms=self.now_ms,
            )  # fmt: skip
            self.turns[worker] = 0

    async def add(self, *jobs: NewJob | str) -> AddReply:
        """One call of producer p; a plain str is a job of that id that waits at once."""
        self.adds += 1
        made = [new(job) if isinstance(job, str) else job for job in jobs]
        sent = packed(made, [job.name for job in made])
        return await transitions.add(self.at, "p", self.adds, sent, now_ms=self.now_ms)

    async def turn(
        self,
        worker: WorkerId = W1,
        *,
        slots: int = 0,
        share: int = 200,
        outcomes: Sequence[Outcome] = (),
        honoured: Collection[JobId] = (),
        waits: bool = False,
        shy: bool = False,
        alone: bool = False,
        keep_completed: int | None = None,
        keep_failed: int | None = None,
        counters: Mapping[str, int] | None = None,
    ) -> Turn:
        """The worker's next step, which Redis has to take."""
        reply = await transitions.step(
            self.at, worker, self.turns[worker] + 1, slots=slots, share=share, outcomes=outcomes,
            honoured=honoured, waits=waits, shy=shy, alone=alone, keep_completed=keep_completed,
            keep_failed=keep_failed, counters=counters, now_ms=self.now_ms,
        )  # fmt: skip
        if isinstance(reply, Recheck):
            raise Rechecked(reply)
        self.turns[worker] += 1
        return reply

    async def refused(
        self, worker: WorkerId, outcomes: Sequence[Outcome], *, honoured: Collection[JobId] = ()
    ) -> Recheck:
        """A step that Redis has to refuse; the worker's number is still to be used."""
        reply = await transitions.step(
            self.at, worker, self.turns[worker] + 1, slots=0, outcomes=outcomes, honoured=honoured,
            now_ms=self.now_ms,
        )  # fmt: skip
        assert isinstance(reply, Recheck), reply
        return reply

    async def claim(
        self, worker: WorkerId = W1, slots: int = 200, *, alone: bool = False, share: int = 200
    ) -> list[Claim]:
        return (await self.turn(worker, slots=slots, alone=alone, share=share)).claims

    async def claimed(self, *jobs: str) -> list[Claim]:
        """Workers w1 and w2, and these jobs, added and claimed by w1 in their order."""
        await self.register(W1, W2)
        await self.add(*jobs)
        return await self.claim(W1)

    async def make_suspects(self, *jobs: str) -> None:
        """Adds these jobs; two workers die over them, with evidence, while a daemon's lives."""
        await self.register(W3)
        await self.add(*jobs)
        for _ in range(2):
            victim = WorkerId(f"victim{len(self.turns)}")
            await self.register(victim)
            await self.claim(victim)
            await self.bury(victim, evidence=True)

    async def settle(
        self, claims: Sequence[Claim], end: End = End.COMPLETED, **fields: object
    ) -> Turn:
        return await self.turn(claims[0].worker, outcomes=ends(claims, end, **fields))

    async def resync(self, worker: WorkerId = W1, held: Sequence[Claim] = ()) -> Resynced:
        self.turns[worker] += 1
        found, _ = await transitions.resync(
            self.at, worker, self.turns[worker], held, now_ms=self.now_ms
        )
        return found

    async def beat(self, *workers: WorkerId, duty: str = "") -> Beaten:
        return await transitions.beat(
            self.at, workers, lease_ms=LEASE_MS, duty=duty, now_ms=self.now_ms
        )

    async def judge(self, *alive: WorkerId) -> list[WorkerId]:
        """Beats of these workers for two leases: who was named to be reaped meanwhile."""
        named: dict[WorkerId, None] = {}
        for _ in range(7):
            beaten = await self.beat(*alive)
            for chore in beaten.chores:
                if chore.name == "reap":
                    named |= dict.fromkeys(map(WorkerId, chore.args))
            self.later(LEASE_MS // 3)
        return list(named)

    async def reap(
        self,
        worker: WorkerId = W1,
        *,
        seen: bool = True,
        evidence: bool = False,
        verdicts: Sequence[Verdict] = (),
    ) -> Reaped:
        return await transitions.reap(
            self.at, worker, lease_ms=LEASE_MS, seen=seen, evidence=evidence, verdicts=verdicts,
            now_ms=self.now_ms,
        )  # fmt: skip

    async def bury(self, worker: WorkerId = W1, *, evidence: bool = False) -> list[Reaped]:
        """Reaps to the end: who may not run again is failed, parked or removed, by the reason."""
        replies = [await self.reap(worker, evidence=evidence)]
        while replies[-1].word == "more":
            assert len(replies) < REAPS_MAX, f"reap of {worker} does not end"
            doomed = replies[-1].doomed
            states = {"suspect": "parked", "removed": "removed"}
            verdicts = [Verdict(d, states.get(d.why, "failed"), Run(reason=d.why)) for d in doomed]
            replies.append(await self.reap(worker, evidence=evidence, verdicts=verdicts))
        return replies

    async def retry(self, *jobs: str, line: str = "3") -> list[bool]:
        ids = [JobId(job) for job in jobs]
        return await transitions.retry(self.at, ids, [Line(line)] * len(ids), now_ms=self.now_ms)

    async def unpark(self, *jobs: str, line: str = "3") -> list[bool]:
        ids = [JobId(job) for job in jobs]
        return await transitions.unpark(self.at, ids, [Line(line)] * len(ids), now_ms=self.now_ms)

    async def promote(self, *jobs: str) -> list[bool]:
        return await transitions.promote(self.at, [JobId(j) for j in jobs], now_ms=self.now_ms)

    async def remove(self, *jobs: str) -> list[str]:
        return await transitions.remove(self.at, [JobId(j) for j in jobs], now_ms=self.now_ms)

    async def cancel(self, job: str, *, run_before: bytes | None = None) -> str:
        return await transitions.cancel(
            self.at, JobId(job), run_before=run_before, run_after=Run(reason="cancelled"),
            now_ms=self.now_ms,
        )  # fmt: skip

    async def limit(
        self, version: int, *, paused: bool | None = None, max_active: str = "", rate: str = ""
    ) -> int:
        return await transitions.limit(
            self.at, version, paused=paused, max_active=max_active, rate=rate, now_ms=self.now_ms
        )

    async def open_up(self) -> None:
        """No pause and no limit."""
        version = (await reads.settings_of(self.at)).version
        await self.limit(version, paused=False, max_active="0", rate="0/0")

    async def drain(self, *, delayed: bool = True, limit: int = 1_000) -> tuple[int, bool]:
        return await transitions.drain(self.at, delayed=delayed, limit=limit, now_ms=self.now_ms)
