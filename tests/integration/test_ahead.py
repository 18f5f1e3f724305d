"""The turn that an idle worker sends ahead, behind its blocking pop: claimed with the token."""

from collections.abc import Sequence

import pytest

from streamq import JobState
from streamq.errors import OutcomeUnknown
from streamq.run.lane import Lane
from streamq.store.client import Arg, Reply, Wire
from streamq.store.replies import Turn
from tests.support.journal import Journal
from tests.support.waiting import soon
from tests.support.workers import Floor, Hired


@pytest.fixture
def journal(floor: Floor) -> Journal:
    return Journal(floor)


async def asleep(floor: Floor, concurrency: int = 4) -> Hired:
    """A worker that sleeps, with its next turn sent ahead."""
    hired = await floor.hire(concurrency)
    lanes = hired.worker._lanes
    await soon(lambda: any(lane._ahead.slots for lane in lanes), "a turn is sent ahead")
    return hired


async def test_a_job_is_claimed_with_the_token_that_it_brings(
    floor: Floor, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: list[int] = []
    real = Lane._settled

    async def settled(lane: Lane) -> Turn:
        own.append(len(lane.running))
        return await real(lane)

    await asleep(floor)
    monkeypatch.setattr(Lane, "_settled", settled)

    job = await floor.add("lasts")

    await soon(lambda: journal.ran == [(job, 1)], "it runs")
    assert own == []  # no turn of its own came before the handler
    journal.go_on.set()
    await floor.reaches(job, JobState.COMPLETED)


async def test_after_stop_nothing_is_claimed_by_a_turn_sent_before(
    floor: Floor, journal: Journal
) -> None:
    hired = await asleep(floor)
    hired.worker.stop()
    await hired.run

    job = await floor.add("quick")

    assert journal.ran == []
    assert floor.states() == {job: "waiting"}


async def test_a_quiet_worker_claims_nothing_by_a_turn_sent_before(
    floor: Floor, journal: Journal
) -> None:
    hired = await asleep(floor)
    turn = hired.worker._lanes[0]._turn
    hired.worker.quiet()
    await soon(lambda: hired.worker._lanes[0]._turn > turn, "it has turned")

    job = await floor.add("quick")
    await soon(lambda: hired.worker._lanes[0]._turn > turn + 1, "it has looked")

    assert journal.ran == []
    hired.worker.quiet(on=False)
    await floor.reaches(job, JobState.COMPLETED)


async def test_a_turn_sent_ahead_whose_reply_is_lost_strands_no_job(
    floor: Floor, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Wire.exchange
    lost: list[Reply] = []

    async def exchange(
        wire: Wire,
        what: str,
        commands: Sequence[Sequence[Arg]],
        *,
        timeout_s: float = 10.0,
        generation: int | None = None,
    ) -> list[Reply]:
        replies = await real(wire, what, commands, timeout_s=timeout_s, generation=generation)
        if len(commands) == 2 and not lost:
            lost.append(replies[1])
            raise OutcomeUnknown(what, "lost by the test")
        return replies

    monkeypatch.setattr(Wire, "exchange", exchange)
    await asleep(floor)

    job = await floor.add("quick")

    await floor.reaches(job, JobState.COMPLETED)
    assert len(lost) == 1
    assert journal.ran == [(job, 1)]


async def test_many_that_trickle_in_run_once_each(floor: Floor, journal: Journal) -> None:
    await asleep(floor, concurrency=40)

    jobs = [await floor.add("quick") for _ in range(200)]

    await floor.all_reach(JobState.COMPLETED, 200)
    assert sorted(journal.ran) == sorted((job, 1) for job in jobs)
