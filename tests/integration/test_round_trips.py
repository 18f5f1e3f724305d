"""What is looked at together is asked together: round trips do not grow with the queues."""

from collections.abc import AsyncIterator, Sequence

import pytest

from streamq.embedded import EmbeddedServer
from streamq.job import JobId, JobState
from streamq.store import pages, reads
from streamq.store.address import Address
from streamq.store.client import CALL_TIMEOUT_S, Arg, Reply, Wire
from streamq.store.keys import keys_of
from streamq.store.scripts import Link
from tests.support.by_hand import ByHand, new


class CountedWire(Wire):
    """Counts how often something was sent and waited for."""

    exchanges = 0

    async def exchange(
        self,
        what: str,
        commands: Sequence[Sequence[Arg]],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        generation: int | None = None,
    ) -> list[Reply]:
        self.exchanges += 1
        return await super().exchange(what, commands, timeout_s=timeout_s, generation=generation)

    def since(self) -> int:
        found, self.exchanges = self.exchanges, 0
        return found


@pytest.fixture
async def wire(server: EmbeddedServer) -> AsyncIterator[CountedWire]:
    opened = CountedWire(Address(server.url, "the test"), b"", name="counted")
    yield opened
    await opened.close()


async def _busy(wire: CountedWire, prefix: str, queue: str, waiting: int) -> Link:
    """With some that wait, one that is delayed and one that runs."""
    at = Link(wire, keys_of(prefix, queue))
    hand = ByHand(at)
    await hand.claimed("runs")
    await hand.add(*(f"w{i}" for i in range(waiting)), new("later", delay_ms=60_000))
    return at


@pytest.mark.one_server
async def test_the_counts_of_many_queues_cost_one_round_trip(
    wire: CountedWire, prefix: str
) -> None:
    ats = [await _busy(wire, prefix, f"q{i}", i) for i in range(9)]
    wire.since()

    together = await reads.counts_of(ats)

    assert wire.since() == 1
    assert [each.waiting for each in together] == list(range(9))
    assert {(each.active, each.delayed, each.paused) for each in together} == {(1, 1, False)}
    assert together == [await reads.counts(at) for at in ats]


@pytest.mark.one_server
async def test_very_many_queues_are_asked_in_several_shares(wire: CountedWire, prefix: str) -> None:
    ats = [Link(wire, keys_of(prefix, f"q{i}")) for i in range(reads.COUNTED_TOGETHER + 1)]

    together = await reads.counts_of(ats)

    assert wire.since() == 2
    assert len(together) == len(ats)
    assert await reads.counts_of([]) == []


async def test_jobs_by_their_ids_cost_two(wire: CountedWire, prefix: str) -> None:
    at = await _busy(wire, prefix, "q", 3)
    wire.since()

    jobs = await reads.get_many(at, [JobId(job) for job in ("w0", "later", "runs", "nobody", "w2")])

    assert wire.since() == 2
    assert [job and job.state for job in jobs] == [
        JobState.WAITING, JobState.DELAYED, JobState.ACTIVE, None, JobState.WAITING,
    ]  # fmt: skip
    assert jobs[1] is not None and jobs[1].due_at_ms is not None


async def test_a_page_of_waiting_jobs_costs_three_whatever_lines_there_are(
    wire: CountedWire, prefix: str
) -> None:
    at = await _busy(wire, prefix, "q", 5)
    wire.since()

    page = await pages.page(at, JobState.WAITING, limit=50)

    assert wire.since() == 3
    assert [job.id for job in page.jobs] == [f"w{i}" for i in range(5)]
    assert page.cursor is None
