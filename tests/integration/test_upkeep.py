"""Beats and chores on a real queue, its clock moved by hand."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
import redis

from streamq import JobState
from streamq.clock import Clock
from streamq.durations import Ms
from streamq.embedded import EmbeddedServer
from streamq.job import AttemptError, End, Job, JobId, Run, WorkerId
from streamq.run.heart import Heart
from streamq.run.parked import Parked
from streamq.run.upkeep import Keeps, Upkeep, beat_queue, keeps_of, reap_worker, workers_of
from streamq.run.verdict import SUSPECT
from streamq.settings import JobDefaults
from streamq.store import reads, transitions
from streamq.store.address import Address
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.reads import WorkerRow
from streamq.store.replies import Chore
from streamq.store.scripts import Link, link
from tests.support import invariants, servers
from tests.support.by_hand import LEASE_MS, W1, W2, ByHand, names
from tests.support.waiting import soon

DAY_MS = 86_400_000
KEEPS = Keeps(completed_ms=DAY_MS, failed_ms=7 * DAY_MS, parked_ms=30 * DAY_MS, parked=10_000)


class HandClock(Clock):
    """The clock of a queue that is driven by hand."""

    def __init__(self, hand: ByHand) -> None:
        self._hand = hand

    def now_ms(self) -> Ms:
        return Ms(self._hand.now_ms)


@pytest.fixture(autouse=True)
def checked(server: EmbeddedServer, prefix: str) -> Iterator[redis.Redis]:
    with invariants.checked_queue(server.url, prefix) as raw:
        yield raw


@pytest.fixture
async def at(server: EmbeddedServer, prefix: str) -> AsyncIterator[Link]:
    client = Redis(Address(servers.door(server.url), "the test"))
    yield link(client, keys_of(prefix, "q"))
    await client.close()


@pytest.fixture
def hand(at: Link) -> ByHand:
    return ByHand(at)


@pytest.fixture
def upkeep(at: Link, hand: ByHand) -> Upkeep:
    return Upkeep(at, lease_ms=LEASE_MS, keeps=KEEPS, clock=HandClock(hand))


async def _job(at: Link, job: str) -> Job:
    found = await reads.get(at, JobId(job))
    assert found is not None
    return found


async def _states(at: Link, *jobs: str) -> list[JobState]:
    return [(await _job(at, job)).state for job in jobs]


async def _register(
    hand: ByHand, worker: WorkerId, *listed: str, kind: str = "d", row: WorkerRow | None = None
) -> None:
    made = row or WorkerRow("host", 1, "q", 1, listed, worker)
    await transitions.register(
        hand.at, worker, kind=kind, row=msgspec.msgpack.encode(made), now_ms=hand.now_ms
    )
    hand.turns[worker] = 0


async def _bury(hand: ByHand, worker: WorkerId, *, evidence: bool, cause: str = "SIGSEGV") -> bool:
    reaping = await reap_worker(
        hand.at,
        worker,
        lease_ms=LEASE_MS,
        seen=True,
        evidence=evidence,
        cause=cause,
        clock=HandClock(hand),
    )
    return reaping.done


# ---- beats


async def test_a_beat_of_more_workers_than_one_call_takes_reaches_them_all(
    at: Link, hand: ByHand
) -> None:
    workers = [WorkerId(f"w{n}") for n in range(transitions.WORKERS_MAX + 6)]
    await hand.register(*workers)
    absent = [WorkerId("never"), WorkerId("nor-this")]
    hand.later(100)

    beaten = await beat_queue(
        at, [absent[0], *workers, absent[1]], lease_ms=LEASE_MS, keeps=KEEPS, clock=HandClock(hand)
    )

    assert beaten.gone == frozenset(absent)
    assert {w.heard_at_ms for w in await reads.workers(at)} == {hand.now_ms}


async def test_a_beat_without_workers_finds_what_is_to_be_done(at: Link, hand: ByHand) -> None:
    await hand.claimed("a")
    silent: set[str] = set()

    for _ in range(8):
        beaten = await beat_queue(at, [], lease_ms=LEASE_MS, keeps=KEEPS, clock=HandClock(hand))
        silent |= {worker for chore in beaten.chores for worker in chore.args}
        hand.later(LEASE_MS // 3)

    assert silent >= {W1, W2}


def test_what_a_queue_keeps_comes_from_its_settings() -> None:
    assert keeps_of(JobDefaults()) == KEEPS


# ---- reap


async def test_the_jobs_of_a_silent_worker_wait_again_without_an_attempt(
    at: Link, hand: ByHand, upkeep: Upkeep
) -> None:
    await hand.claimed("a", "b")
    named = await hand.judge(W2)
    assert named == [W1]

    await upkeep.do(Chore("reap", tuple(named)))

    assert await _states(at, "a", "b") == [JobState.WAITING, JobState.WAITING]
    assert (await _job(at, "a")).run.attempts == 0


async def test_a_worker_that_spoke_meanwhile_keeps_its_jobs(
    at: Link, hand: ByHand, upkeep: Upkeep
) -> None:
    await hand.claimed("a")
    await hand.judge(W2)
    await hand.beat(W1)

    await upkeep.do(Chore("reap", (W1,)))

    assert await _states(at, "a") == [JobState.ACTIVE]


async def test_poison_fails_says_why_and_keeps_the_old_errors(at: Link, hand: ByHand) -> None:
    await hand.make_suspects("bad")
    before = Run(attempts=1, errors=(AttemptError(1, "ValueError", "once"),))
    await at.wire.call("plant", ("HSET", at.keys.names["runs"], "bad", _packed(before)))
    await hand.register(W1, kind="a")
    await hand.claim(W1, alone=True)

    assert await _bury(hand, W1, evidence=True)

    found = await _job(at, "bad")
    assert found.state is JobState.FAILED
    assert found.run.reason.startswith("poison: it ended its process (SIGSEGV)")
    assert [error.type for error in found.run.errors] == ["ValueError", "WorkerDied"]
    assert found.run.attempts == 1


async def test_a_suspect_without_any_daemon_is_parked(at: Link, hand: ByHand) -> None:
    await _die_twice(hand, "bad", kind="e")

    found = await _job(at, "bad")
    assert found.state is JobState.PARKED
    assert found.run.reason.startswith(SUSPECT)


async def test_a_daemon_between_two_children_keeps_a_suspect_until_the_next_is_there(
    at: Link, hand: ByHand
) -> None:
    await hand.add("bad")
    for victim in (W1, W2):
        await hand.register(victim)
        await hand.claim(victim)
        if victim is W1:
            await _bury(hand, victim, evidence=True)

    async def bury_w2() -> bool:
        reaping = await reap_worker(
            at, W2, lease_ms=LEASE_MS, seen=True, evidence=True, await_daemon=True,
            clock=HandClock(hand),
        )  # fmt: skip
        return reaping.done

    assert not await bury_w2()
    assert await _states(at, "bad") == [JobState.ACTIVE]
    await hand.register(WorkerId("next"))
    assert await bury_w2()

    assert await _states(at, "bad") == [JobState.WAITING]
    assert await hand.claim(WorkerId("next")) == []  # it stands in the line of its own
    await hand.register(WorkerId("alone"), kind="a")
    assert [c.id for c in await hand.claim(WorkerId("alone"), alone=True)] == ["bad"]


async def test_a_job_that_was_cancelled_or_removed_while_its_worker_died_does_not_run_again(
    at: Link, hand: ByHand
) -> None:
    await hand.claimed("cancelled", "removed", "other")
    await hand.cancel("cancelled")
    await hand.remove("removed")

    assert await _bury(hand, W1, evidence=False)

    assert (await _job(at, "cancelled")).run.reason == "cancelled"
    assert await _states(at, "cancelled", "other") == [JobState.FAILED, JobState.WAITING]
    assert await reads.get(at, JobId("removed")) is None


async def test_ten_deaths_from_outside_fail_a_job_as_lost(at: Link, hand: ByHand) -> None:
    await hand.add("unlucky")
    for n in range(10):
        victim = WorkerId(f"victim{n}")
        await hand.register(victim)
        await hand.claim(victim)
        assert await _bury(hand, victim, evidence=False, cause="SIGKILL")

    found = await _job(at, "unlucky")
    assert found.state is JobState.FAILED
    assert found.run.reason.startswith("lost: its worker died again and again (SIGKILL)")


async def test_more_jobs_than_one_call_takes_are_all_given_back(at: Link, hand: ByHand) -> None:
    await hand.register(W1)
    await hand.add(*names(450))
    for _ in range(3):
        await hand.claim(W1)

    reaping = await reap_worker(at, W1, lease_ms=LEASE_MS, seen=True, clock=HandClock(hand))

    assert (reaping.jobs, reaping.done) == (450, True)
    assert (await reads.counts(at)).waiting == 450


async def test_the_workers_of_one_child_are_found_by_their_rows(at: Link, hand: ByHand) -> None:
    for worker, daemon, pid in (("a", "d1", 7), ("b", "d1", 8), ("c", "d2", 7), ("x", "d1", 7)):
        row = WorkerRow("host", pid, "q", 1, (), worker, daemon=daemon)
        await _register(hand, WorkerId(worker), row=row)
    await hand.bury(WorkerId("x"))

    assert await workers_of(at, daemon="d1", pid=7) == {WorkerId("a")}


# ---- retention


async def test_what_ended_longer_ago_than_it_is_kept_goes(
    at: Link, hand: ByHand, upkeep: Upkeep
) -> None:
    claims = await hand.claimed("old", "new", "old-failure")
    await hand.settle([claims[0]])
    await hand.settle([claims[2]], End.FAILED)
    await _pass(hand, DAY_MS)
    await hand.settle([claims[1]])

    await upkeep.do(Chore("retain", ("completed",)))
    await upkeep.do(Chore("retain", ("failed",)))

    assert await reads.get(at, JobId("old")) is None
    assert await _states(at, "new", "old-failure") == [JobState.COMPLETED, JobState.FAILED]


async def test_nothing_goes_for_its_age_right_after_the_clock_jumped(
    at: Link, hand: ByHand, upkeep: Upkeep
) -> None:
    claims = await hand.claimed("old")
    await hand.settle(claims)
    await hand.beat(W1)
    hand.later(2 * DAY_MS)
    await hand.beat(W1)

    await upkeep.do(Chore("retain", ("completed",)))

    assert await _states(at, "old") == [JobState.COMPLETED]


async def test_a_queue_that_keeps_for_ever_loses_nothing(at: Link, hand: ByHand) -> None:
    claims = await hand.claimed("old")
    await hand.settle(claims)
    await _pass(hand, 400 * DAY_MS)
    upkeep = Upkeep(at, lease_ms=LEASE_MS, keeps=Keeps(), clock=HandClock(hand))

    await upkeep.do(Chore("retain", ("completed",)))

    assert await _states(at, "old") == [JobState.COMPLETED]


# ---- parked jobs


async def test_a_parked_job_waits_again_once_a_live_worker_lists_its_name(
    at: Link, hand: ByHand, upkeep: Upkeep
) -> None:
    await _park(hand, "a", reason="SQ202 q/welcome parked: no handler.")

    await upkeep.do(Chore("unpark"))
    assert await _states(at, "a") == [JobState.PARKED]
    await _register(hand, W2, "other", "wel*")
    await upkeep.do(Chore("unpark"))

    assert await _states(at, "a") == [JobState.WAITING]


async def test_a_look_goes_on_behind_where_the_last_one_ended(at: Link, hand: ByHand) -> None:
    parked = Parked(at)
    await _register(hand, W2, "welcome")
    await _park(hand, *names(1_050), reason="SQ202 q/welcome parked: no handler.")

    first = await parked.release(now_ms=hand.now_ms)
    second = await parked.release(now_ms=hand.now_ms)

    assert (first, second) == (1_000, 50)


async def test_a_job_parked_for_too_long_fails_with_its_reason(
    at: Link, hand: ByHand, upkeep: Upkeep
) -> None:
    await _park(hand, "old", reason="SQ202 q/welcome parked: no handler.")
    await _pass(hand, 31 * DAY_MS)
    await _park(hand, "new", reason="SQ202 q/welcome parked: no handler.")

    await upkeep.do(Chore("unpark"))

    assert await _states(at, "old", "new") == [JobState.FAILED, JobState.PARKED]
    found = await _job(at, "old")
    assert found.run.reason == "parked for too long: SQ202 q/welcome parked: no handler."


async def test_more_parked_jobs_than_are_kept_fail_the_oldest_first(at: Link, hand: ByHand) -> None:
    for n in range(5):
        await _park(hand, f"j{n}", reason="SQ202 q/welcome parked: no handler.")
        hand.later(1_000)

    failed = await Parked(at).expire(None, 3, now_ms=hand.now_ms)

    assert failed == 2
    assert await _states(at, *names(5)) == [JobState.FAILED] * 2 + [JobState.PARKED] * 3


async def test_a_suspect_that_was_parked_runs_alone_once_there_is_a_daemon(
    at: Link, hand: ByHand, upkeep: Upkeep
) -> None:
    await _die_twice(hand, "bad", kind="e")
    assert await _states(at, "bad") == [JobState.PARKED]
    await _register(hand, WorkerId("fresh"), "welcome")

    await upkeep.do(Chore("unpark"))

    assert await _states(at, "bad") == [JobState.WAITING]
    assert await hand.claim(WorkerId("fresh")) == []
    await hand.register(WorkerId("alone"), kind="a")
    assert [c.id for c in await hand.claim(WorkerId("alone"), alone=True)] == ["bad"]


# ---- who does what


async def test_a_chore_of_a_newer_streamq_is_left_to_it(upkeep: Upkeep) -> None:
    await upkeep.do(Chore("polish", ("a",)))


async def test_suspects_are_the_daemons_to_run(at: Link, hand: ByHand) -> None:
    told: list[str] = []
    upkeep = Upkeep(at, lease_ms=LEASE_MS, keeps=KEEPS, on_alone=lambda: told.append("alone"))

    await upkeep.do(Chore("alone"))

    assert told == ["alone"]


# ---- a heart of its own


class Worker:
    """Of a host that has no daemon."""

    queue = "q"

    def __init__(self, *ids: WorkerId) -> None:
        self.ids = ids
        self.gone: set[WorkerId] = set()
        self.cancelled: dict[JobId, str] = {}

    def heard_gone(self, gone: frozenset[WorkerId]) -> None:
        self.gone |= gone

    def cancel_job(self, job: JobId, flag: str = "c") -> None:
        self.cancelled[job] = flag


async def test_a_heart_beats_tells_of_the_dead_and_does_the_chores(
    at: Link, prefix: str, server: EmbeddedServer
) -> None:
    await transitions.register(at, W1, kind="e", row=b"row")
    worker = Worker(W1, WorkerId("never"))
    heart = Heart(
        Address(servers.door(server.url), "the test"),
        prefix,
        [worker],
        {"q": Keeps()},
        lease_ms=300,
        loop=asyncio.get_running_loop(),
    )

    heart.start()
    heard: set[int] = set()

    async def beats() -> bool:
        heard.update([w.heard_at_ms for w in await reads.workers(at)])
        return len(heard) > 3

    await soon(beats, "several beats")
    await soon(lambda: worker.gone == {"never"}, "the dead one is told of")
    # Another worker, which nobody beats for, is reaped.
    await transitions.register(at, W2, kind="e", row=b"row")
    await soon(lambda: _is_dead(at, W2), "the silent one is reaped")
    heart.stop()

    assert not await _is_dead(at, W1)


async def _is_dead(at: Link, worker: WorkerId) -> bool:
    return {w.id: not w.live for w in await reads.workers(at)}[worker]


# ---- how


def _packed(run: Run) -> bytes:
    return msgspec.msgpack.encode(run)


async def _die_twice(hand: ByHand, job: str, *, kind: str) -> None:
    """Two workers die over the job, with evidence."""
    await hand.add(job)
    for n in range(2):
        victim = WorkerId(f"victim-{job}-{n}")
        await hand.register(victim, kind=kind)
        await hand.claim(victim)
        assert await _bury(hand, victim, evidence=True)


async def _park(hand: ByHand, *jobs: str, reason: str) -> None:
    parker = WorkerId(f"parker-{jobs[0]}")
    await hand.register(parker)
    for first in range(0, len(jobs), 200):
        some = jobs[first : first + 200]
        await hand.add(*some)
        claims = await hand.claim(parker)
        assert [c.id for c in claims] == list(some)
        await hand.settle(claims, End.PARKED, run=Run(reason=reason))
    await hand.bury(parker)


async def _pass(hand: ByHand, ms: int) -> None:
    """So much time, in which somebody beats as it should be: no jump."""
    hand.later(ms)
    for _ in range(4):
        await hand.beat(W1)
        hand.later(LEASE_MS // 3)
