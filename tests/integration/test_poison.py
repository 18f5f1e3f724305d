"""A job that ended its process though it ran alone: counted, and told to whoever reads Sentry."""

from collections.abc import AsyncIterator

import pytest

from streamq import JobState
from streamq.embedded import EmbeddedServer
from streamq.job import JobId, Run
from streamq.run.upkeep import reap_worker
from streamq.store import reads, transitions
from streamq.store.address import Address
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.scripts import Link, link
from tests.support import servers
from tests.support.by_hand import LEASE_MS, W1, ByHand
from tests.support.sentry_side import part, started

BAD = JobId("bad")


@pytest.fixture
async def at(server: EmbeddedServer, prefix: str) -> AsyncIterator[Link]:
    client = Redis(Address(servers.door(server.url), "the test"))
    yield link(client, keys_of(prefix, "q"))
    await client.close()


@pytest.fixture
async def hand(at: Link) -> ByHand:
    """With a suspect that was just claimed, alone."""
    hand = ByHand(at)
    await hand.make_suspects(BAD)
    await hand.register(W1, kind="a")
    await hand.claim(W1, alone=True)
    return hand


async def _dies(at: Link) -> None:
    reaping = await reap_worker(
        at, W1, lease_ms=LEASE_MS, seen=True, evidence=True, cause="SIGSEGV"
    )
    assert reaping.done


async def test_poison_is_counted(at: Link, hand: ByHand) -> None:
    await _dies(at)

    assert (await reads.stats(at))["poison"] == 1


async def test_poison_is_reported_by_whoever_sees_it_without_its_data(
    at: Link, hand: ByHand
) -> None:
    with started() as sent:
        await _dies(at)

    (event,) = sent.errors
    assert part(event, "level") == "fatal"
    error = part(event, "exception", "values", 0)
    assert part(error, "type") == "WorkerDied"
    assert str(part(error, "value")).startswith("poison: it ended its process (SIGSEGV)")
    job = part(event, "contexts", "job")
    assert (part(job, "id"), part(job, "queue"), part(job, "attempt")) == (BAD, at.queue, 1)
    assert str(part(job, "data")).endswith(" bytes]")


async def test_what_an_operator_cancelled_is_no_poison(at: Link, hand: ByHand) -> None:
    await transitions.cancel(at, BAD, run_before=None, run_after=Run(reason="cancelled"))

    with started() as sent:
        await _dies(at)

    found = await reads.get(at, BAD)
    assert found is not None and found.state is JobState.FAILED
    assert "poison" not in await reads.stats(at)
    assert sent.errors == []
