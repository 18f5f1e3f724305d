"""The ids that streamq makes: UUIDv7, in the order of their making, never the same twice."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest

from streamq.job import TAILS_AT_ONCE, new_id

MANY = 3 * TAILS_AT_ONCE


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> int:
    """The ms at which the clock stands, a minute from now: after all ids of this process."""
    at_ms = time.time_ns() // 1_000_000 + 60_000
    monkeypatch.setattr("streamq.job.time.time_ns", lambda: at_ms * 1_000_000)
    return at_ms


def test_an_id_is_a_uuid_of_version_7_that_begins_with_the_time(still: int) -> None:
    made = [new_id() for _ in range(MANY)]

    for one in made:
        found = UUID(one)
        assert (str(found), found.version, found.variant) == (one, 7, RFC_4122)
    assert {UUID(one).int >> 80 for one in made} == {still}


def test_every_bit_behind_the_counter_is_random_but_the_two_of_the_variant() -> None:
    ones = zeros = 0
    for _ in range(MANY):
        tail = UUID(new_id()).int & (1 << 64) - 1
        ones, zeros = ones | tail, zeros | ~tail

    assert ones & (1 << 64) - 1 == (1 << 64) - 1 - (1 << 62)
    assert zeros & (1 << 64) - 1 == (1 << 63) - 1


def test_ids_sort_in_the_order_of_their_making_though_the_clock_stands(still: int) -> None:
    made = [new_id() for _ in range(10_000)]  # more than the counter holds

    assert all(before < after for before, after in pairwise(made))


def test_threads_make_no_id_twice() -> None:
    with ThreadPoolExecutor(4) as threads:
        made = threads.map(lambda _: [new_id() for _ in range(10_000)], range(4))

    assert len({one for ids in made for one in ids}) == 40_000


@pytest.mark.usefixtures("still")
def test_a_forked_child_makes_none_of_the_ids_that_its_parent_makes() -> None:
    new_id()  # random bytes are in store, and the clock stands: the counters go on alike
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writes, "\n".join(new_id() for _ in range(100)).encode())
        finally:
            os._exit(0)
    os.close(writes)
    with open(reads) as pipe:
        theirs = pipe.read().split()
    os.waitpid(child, 0)

    ours = [new_id() for _ in range(100)]

    assert [one[:18] for one in theirs] == [one[:18] for one in ours]
    assert not {*theirs} & {*ours}
    assert not {one[19:] for one in theirs} & {one[19:] for one in ours}
