"""Random ways through the scripts, compared with a model in plain Python after every call."""

import asyncio
import os
import random
from collections.abc import Awaitable
from typing import Final, TypeVar

import pytest
import redis
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from streamq.embedded import EmbeddedServer
from streamq.errors import Gone, StaleTurn, VersionConflict, WrongState
from streamq.job import (
    Claim,
    End,
    JobId,
    Line,
    NewJob,
    Options,
    Outcome,
    Run,
    WorkerId,
    new_id,
    pack,
)  # fmt: skip
from streamq.store import transitions
from streamq.store.address import Address
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.scripts import link
from streamq.testing.model import Model, held_by, picture_of
from tests.support import invariants
from tests.support.by_hand import DATA, ByHand

SEED: Final = "STREAMQ_TEST_SEED"
"""The environment variable that repeats a run: the seed that it printed."""
EXAMPLES, STEPS = 200, 40

T = TypeVar("T")
JOBS = st.integers(0, 8).map(lambda n: JobId(f"j{n}"))
LINES = st.sampled_from("13:").map(Line)
WORKERS = st.sampled_from([WorkerId(f"w{n}") for n in range(3)])
DELAYS = st.sampled_from([None, 10, 5_000])


class Queue(RuleBasedStateMachine):
    """One queue, three workers that die and come back under new ids, and the model beside them."""

    url: str
    raw: redis.Redis
    prefix: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.redis = Redis(Address(self.url, "the test"))
        self.under = f"{self.prefix}:{new_id()[-12:]}"
        self.hand = ByHand(link(self.redis, keys_of(self.under, "q")))
        self.model = Model()
        self.claims: dict[WorkerId, list[Claim]] = {}
        self.id_of: dict[WorkerId, WorkerId] = {}
        self.records: dict[JobId, NewJob] = {}
        self.version = 0

    def do(self, call: Awaitable[T]) -> T:
        async def made() -> T:
            return await call

        return self.runner.run(made())

    def teardown(self) -> None:
        self.do(self.redis.close())
        self.runner.close()
        self.raw.delete(*self.hand.at.keys.all())

    def compare(self) -> None:
        dump = invariants.read(self.raw, self.under, "q")
        assert picture_of(dump) == self.model.picture()
        wrong = invariants.violations(dump)
        assert not wrong, "\n".join(wrong)

    def worker(self, which: WorkerId) -> WorkerId:
        """Its id of now; registered when it has none."""
        if which not in self.id_of:
            self.id_of[which] = worker = WorkerId(f"{which}-{len(self.hand.turns)}")
            kind = "e" if which == "w2" else "d"
            self.do(self.hand.register(worker, kind=kind))
            self.model.live[worker] = kind
            self.claims[worker] = []
        return self.id_of[which]

    # ---- producers and operators

    @rule(ids=st.lists(JOBS, min_size=1, max_size=4), line=LINES, delay_ms=DELAYS)
    def add(self, ids: list[JobId], line: Line, delay_ms: int | None) -> None:
        options = Options(priority=ord(line) - 48)
        jobs = [NewJob(job, "welcome", DATA, options, delay_ms=delay_ms) for job in ids]
        for job in jobs:
            if job.id not in self.model.jobs:
                self.records[job.id] = job

        existed = self.do(self.hand.add(*jobs)).existed

        assert existed == self.model.add(jobs, self.hand.now_ms)
        self.compare()

    @rule(job=JOBS, line=LINES)
    def retry(self, job: JobId, line: Line) -> None:
        assert self.do(self.hand.retry(job, line=line)) == [self.model.retry(job, line)]
        self.compare()

    @rule(job=JOBS, line=LINES)
    def unpark(self, job: JobId, line: Line) -> None:
        assert self.do(self.hand.unpark(job, line=line)) == [self.model.unpark(job, line)]
        self.compare()

    @rule(job=JOBS)
    def promote(self, job: JobId) -> None:
        assert self.do(self.hand.promote(job, job)) == [self.model.promote(job), False]
        self.compare()

    @rule(job=JOBS)
    def remove(self, job: JobId) -> None:
        assert self.do(self.hand.remove(job)) == [self.model.remove(job)]
        self.compare()

    @rule(job=JOBS)
    def cancel(self, job: JobId) -> None:
        run = self.raw.hget(self.hand.at.keys.names["runs"], job)
        before = run if isinstance(run, bytes) else None
        assert self.do(self.hand.cancel(job, run_before=before)) == self.model.cancel(job)
        self.compare()

    @rule(job=JOBS, line=LINES, delay_ms=st.sampled_from([None, 0, 10, 5_000]))
    def change(self, job: JobId, line: Line, delay_ms: int | None) -> None:
        due_ms = delay_ms and delay_ms + self.hand.now_ms
        before = self.records.get(job, NewJob(job, "welcome", DATA))
        after = NewJob(job, "welcome", DATA, Options(priority=ord(line) - 48))
        call = transitions.change(
            self.hand.at, job, before=pack(before), after=after, due_ms=due_ms,
            now_ms=self.hand.now_ms,
        )  # fmt: skip
        try:
            self.do(call)
        except WrongState:
            assert not self.model.change(job, line, due_ms, self.hand.now_ms)
        else:
            assert self.model.change(job, line, due_ms, self.hand.now_ms)
            self.records[job] = after
        self.compare()

    @rule()
    def drain(self) -> None:
        assert self.do(self.hand.drain()) == (self.model.drain(), False)
        self.compare()

    @rule(paused=st.booleans(), limit=st.sampled_from(["", "0", "2"]))
    def limit(self, paused: bool, limit: str) -> None:
        before = self.version
        self.version = self.do(self.hand.limit(before, paused=paused, max_active=limit))
        self.model.paused = paused
        if limit:
            self.model.max_active = int(limit) or None
        try:
            self.do(self.hand.limit(before, paused=not paused))
        except VersionConflict:
            self.compare()
        else:
            raise AssertionError("a late copy was heard")

    @rule(ms=st.sampled_from([1, 10, 4_990, 60_000, -5, -3_600_000]))
    def move_the_clock(self, ms: int) -> None:
        self.hand.later(ms)

    # ---- workers

    def outcomes(self, worker: WorkerId, data: st.DataObject) -> list[Outcome]:
        """Of some of its claims; flags are obeyed."""
        claims = self.claims[worker]
        chosen = data.draw(st.lists(st.sampled_from(claims), unique_by=id)) if claims else []
        made: list[Outcome] = []
        for claim in chosen:
            flag = self.model.jobs[claim.id].flag
            end = End.FAILED if flag else data.draw(st.sampled_from(End))
            keep = flag != "r" if flag else data.draw(st.sampled_from([True, True, True, False]))
            run = None if end is End.RELEASED else Run(attempts=1)
            made.append(
                Outcome(
                    claim, end, run, delay_ms=data.draw(st.sampled_from([0, 10])),
                    line=data.draw(LINES), keep=keep,
                )
            )  # fmt: skip
        return made

    @rule(
        which=WORKERS, slots=st.integers(0, 4), share=st.integers(0, 2), alone=st.booleans(),
        waits=st.booleans(), lost=st.sampled_from(["", "", "reply", "request"]), data=st.data(),
    )  # fmt: skip
    def step(
        self, which: WorkerId, slots: int, share: int, alone: bool, waits: bool, lost: str,
        data: st.DataObject,
    ) -> None:  # fmt: skip
        worker = self.worker(which)
        made = self.outcomes(worker, data)
        honoured = {o.claim.id for o in made}
        number = self.hand.turns[worker] + 1
        if lost != "request":
            turn = self.do(
                self.hand.turn(
                    worker, slots=slots, share=share, outcomes=made, honoured=honoured,
                    waits=waits, alone=alone,
                )
            )  # fmt: skip
            self.model.settle(_as_lua_orders(made), self.hand.now_ms)
            given = self.model.claim(worker, slots, share, self.hand.now_ms, alone=alone)
            assert held_by(turn.claims) == given
            self.compare()
            if not lost:
                settled = {o.claim.lease for o in made}
                left = [c for c in self.claims[worker] if c.lease not in settled]
                self.claims[worker] = left + turn.claims
        if lost:
            self.resync(worker)
        late = transitions.step(
            self.hand.at, worker, number, slots=4, outcomes=made, honoured=honoured,
            now_ms=self.hand.now_ms,
        )  # fmt: skip
        try:
            self.do(late)
        except StaleTurn:
            self.compare()
        else:
            raise AssertionError("a late copy was heard")

    def resync(self, worker: WorkerId) -> None:
        held = self.claims[worker]
        found = self.do(self.hand.resync(worker, held))
        mine = {j for j, each in self.model.jobs.items() if each.worker == worker}
        kept = [c for c in held if c.id not in found.lost]
        self.claims[worker] = kept + found.claims
        assert sorted(c.id for c in self.claims[worker]) == sorted(mine)
        self.compare()

    @precondition(lambda self: self.id_of)
    @rule(which=WORKERS, evidence=st.booleans())
    def die(self, which: WorkerId, evidence: bool) -> None:
        if which not in self.id_of:
            return
        worker = self.id_of.pop(which)
        stale = self.claims.pop(worker)

        self.do(self.hand.bury(worker, evidence=evidence))

        self.model.reap(worker, evidence=evidence)
        self.compare()
        outcomes = [Outcome(c, End.COMPLETED, Run()) for c in stale]
        try:
            self.do(self.hand.turn(worker, slots=4, outcomes=outcomes))
        except Gone:
            self.compare()
        else:
            raise AssertionError("a dead worker was heard")


def _as_lua_orders(outcomes: list[Outcome]) -> list[Outcome]:
    """Retries first, then what is given back: so they come to their lines."""
    return sorted(outcomes, key=lambda o: o.end is End.RELEASED)


@pytest.mark.slow
def test_every_way_through_the_scripts_is_the_models(server: EmbeddedServer, prefix: str) -> None:
    number = int(os.environ.get(SEED) or random.getrandbits(32))
    print(f"{SEED}={number}")
    with redis.Redis.from_url(server.url, protocol=2) as raw:

        class OnThisServer(Queue):
            pass

        OnThisServer.url, OnThisServer.raw, OnThisServer.prefix = server.url, raw, prefix
        run_state_machine_as_test(
            seed(number)(OnThisServer),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
