"""Claims that cannot run as they come: unknown names, bytes that nobody reads, records too large.

None of them is lost, none holds up its neighbours, and each runs once somebody can run it.
"""

from collections.abc import Callable

import msgspec
import pytest

from streamq import Context, JobState, Payload
from streamq.backoff import exponential, to_wire
from streamq.job import JobId, NewJob, Options
from streamq.run.parked import Parked
from streamq.store import transitions
from streamq.store.packed import packed
from tests.support.waiting import soon
from tests.support.workers import QUEUE, Floor


class Welcome(Payload):
    to: str


def _quick(floor: Floor) -> None:
    @floor.job()
    async def quick(data: object) -> str:
        return "done"


async def _releases(floor: Floor) -> int:
    """What a worker's chore does about parked jobs."""
    return await Parked(floor.link()).release()


# ---- names


@pytest.mark.slow
async def test_a_name_that_nobody_knows_is_parked_and_runs_once_somebody_does(
    floor: Floor,
) -> None:
    _quick(floor)
    await floor.hire()
    job = await floor.add("qiuck")
    after = await floor.add("quick")

    parked = await floor.reaches(job, JobState.PARKED)
    await floor.reaches(after, JobState.COMPLETED)
    assert parked.run.attempts == 0
    assert "Did you mean quick?" in parked.run.reason
    assert await _releases(floor) == 0

    knows = floor.another_app()

    @knows.job(QUEUE)
    async def qiuck(data: object) -> str:
        return "known"

    await floor.hire(app=knows)
    assert await _releases(floor) == 1
    done = await floor.reaches(job, JobState.COMPLETED)
    assert done.run.attempts == 1
    await knows.close()


@pytest.mark.slow
async def test_a_name_that_another_worker_lists_is_left_to_it_and_uses_no_attempt(
    floor: Floor,
) -> None:
    """H27: who holds the timer does not know it, and would take it again at each due time."""
    _quick(floor)
    other = floor.another_app()

    @other.job(QUEUE, name="rare")
    async def rare(data: object, job: Context) -> int:
        return job.attempt

    ignorant = await floor.hire()
    job = await floor.add("rare", delay="50ms")
    await floor.hire(app=other)
    assert floor.dump().hashes["meta"][b"timer_by"].decode() in ignorant.worker.ids

    done = await floor.reaches(job, JobState.COMPLETED)

    assert (done.run.attempts, done.run.result) == (1, msgspec.msgpack.encode(1))
    await other.close()


async def test_a_redis_that_is_asked_about_a_name_and_does_not_answer_costs_nothing(
    floor: Floor,
) -> None:
    _quick(floor)
    async with floor.proxy() as proxy:
        hired = await floor.hire(url=proxy.url)
        fault = proxy.drop_reply(match=b"HGETALL")

        job = await floor.add("unheard")
        after = await floor.add("quick")

        await fault.struck()
        await floor.reaches(job, JobState.PARKED)
        await floor.reaches(after, JobState.COMPLETED)
        await hired.leaves()


# ---- bytes


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\xc1\xc1\xc1",
        msgspec.msgpack.encode(["quick"]),
        msgspec.msgpack.encode(["quick", {"half": "a"}, {"p": 99}]),
        msgspec.msgpack.encode(["quick", None, {"b": b"\xc1"}]),
        msgspec.msgpack.encode(["quick", None, {"t": "soon"}]),
    ],
    ids=["empty", "no-msgpack", "too-short", "priority", "backoff", "timeout"],
)
async def test_a_record_that_nobody_can_read_is_parked_and_its_neighbours_run(
    floor: Floor, record: bytes
) -> None:
    _quick(floor)
    await floor.queue.pause()
    bad = await floor.add("quick", id="bad")
    good = [await floor.add("quick") for _ in range(5)]
    _rewrite(floor, "jobs", bad, lambda value: value[:12] + record)
    await floor.queue.resume()

    hired = await floor.hire(concurrency=3)

    await floor.all_reach(JobState.COMPLETED, len(good))
    parked = await floor.settles_and_frees(hired, bad, JobState.PARKED)
    assert parked.run.reason.startswith("undecodable")
    assert parked.run.worker in hired.worker.ids, "so a later worker of its build leaves it parked"


async def test_a_run_that_nobody_can_read_is_parked(floor: Floor) -> None:
    @floor.job(backoff=["1ms"], attempts=9)
    async def fails(data: object) -> None:
        raise ValueError("no")

    _quick(floor)
    await floor.queue.pause()
    bad = await floor.add("fails", delay="1h")
    await floor.queue.promote(bad)
    floor.raw.hset(floor.keys.names["runs"], bad, b"\xc1")
    # As of a retry: its entry says that there is a run to be read.
    await floor.queue.change(bad, priority=2)
    after = await floor.add("quick")
    await floor.queue.resume()

    await floor.hire()

    await floor.reaches(bad, JobState.PARKED)
    await floor.reaches(after, JobState.COMPLETED)


async def test_a_payload_that_does_not_fit_its_type_is_parked_without_an_attempt(
    floor: Floor,
) -> None:
    @floor.job()
    async def welcome(data: Welcome) -> None: ...

    _quick(floor)
    bad = JobId("old-producer")
    data = msgspec.msgpack.encode({"to": "ana@x.br", "nickname": "ana"})
    sent = packed([NewJob(bad, "welcome", data)], ["welcome"])
    await transitions.add(floor.link(), "p", 1, sent)
    after = await floor.add("quick")

    await floor.hire()

    parked = await floor.reaches(bad, JobState.PARKED)
    await floor.reaches(after, JobState.COMPLETED)
    assert parked.run.attempts == 0
    assert 'unknown field "nickname"' in parked.run.reason
    # The build that could not read it does not read it a minute later.
    assert await _releases(floor) == 0


async def test_a_job_brings_its_own_terms(floor: Floor) -> None:
    @floor.job(attempts=9, timeout="1h")
    async def fails(data: object, job: Context) -> None:
        raise ValueError(f"of {job.attempts}")

    clock = floor.stop_time()
    options = Options(attempts=2, backoff=to_wire(exponential("3s")), priority=1, timeout_ms=1_000)
    job = JobId("own-terms")
    sent = packed([NewJob(job, "fails", b"\xc0", options)], ["fails"])
    await transitions.add(floor.link(), "p", 1, sent, now_ms=clock.at_ms)

    await floor.hire()

    delayed = await floor.reaches(job, JobState.DELAYED)
    assert delayed.due_at_ms == clock.at_ms + 3_000
    assert set(floor.dump().zsets["delayed"]) >= {
        b"1r" + floor.dump().jobs[job.encode()][:6] + job.encode()
    }
    await floor.later(3_000)
    failed = await floor.reaches(job, JobState.FAILED)
    assert [e.message for e in failed.run.errors] == ["of 2", "of 2"]


# ---- records past a turn's budget


async def test_records_past_the_budget_of_a_turn_are_fetched_and_run_whole(floor: Floor) -> None:
    lengths: list[int] = []
    leases: list[int] = []

    @floor.job()
    async def measure(data: str) -> None:
        lengths.append(len(data))

    await floor.queue.pause()
    for _ in range(30):
        await floor.add("measure", "x" * 200_000)
    hired = await floor.hire(concurrency=10)
    hired.at_each_turn(lambda: leases.append(floor.leases()))

    await floor.queue.resume()

    await floor.all_reach(JobState.COMPLETED, 30)
    assert lengths == [200_000] * 30
    assert hired.worker.busy == 0
    assert max(leases) == 10  # those that are fetched hold their slots


async def test_a_record_that_cannot_be_fetched_goes_back_unrun(floor: Floor) -> None:
    ran: list[str] = []

    @floor.job()
    async def measure(data: str, job: Context) -> None:
        ran.append(job.id)

    async with floor.proxy() as proxy:
        await floor.queue.pause()
        for _ in range(8):
            await floor.add("measure", "x" * 200_000)
        hired = await floor.hire(concurrency=8, url=proxy.url)
        fault = proxy.drop_reply(match=b"HGET\r\n")

        await floor.queue.resume()
        await fault.struck()

        await floor.all_reach(JobState.COMPLETED, 8)
        assert len(ran) == len(set(ran)) == 8
        assert hired.worker.busy == 0
        await hired.leaves()


async def test_a_claim_whose_lease_is_lost_while_it_is_fetched_is_not_started(
    floor: Floor,
) -> None:
    ran: list[str] = []

    @floor.job()
    async def measure(data: str, job: Context) -> None:
        ran.append(job.id)

    async with floor.proxy() as proxy:
        await floor.queue.pause()
        for _ in range(8):
            await floor.add("measure", "x" * 200_000)
        hired = await floor.hire(concurrency=8, url=proxy.url)
        fault = proxy.blackhole(match=b"HGET\r\n")
        await floor.queue.resume()
        await fault.struck()
        await soon(lambda: len(ran) == 5, "those that came with their record have run")

        # Declared dead meanwhile: all is given back, and it registers anew.
        (worker,) = hired.worker.ids
        await transitions.reap(floor.link(), worker, lease_ms=0, seen=True)
        fetched = {job for job, state in floor.states().items() if job not in ran}
        proxy.heal()

        await floor.all_reach(JobState.COMPLETED, 8)
        assert len(fetched) == 3
        assert sorted(job for job in ran if job in fetched) == sorted(fetched)
        await hired.leaves()


def _rewrite(floor: Floor, name: str, job: str, change: Callable[[bytes], bytes]) -> None:
    """Writes other bytes in a job's place in a hash."""
    key = floor.keys.names[name]
    value = floor.raw.hget(key, job)
    assert isinstance(value, bytes)
    floor.raw.hset(key, job, change(value))
