"""The clockwork's idea of what time it is for Redis, and how it parts its calls."""

import pytest

from streamq.clock import Clock
from streamq.durations import Ms
from streamq.job import JobId, NewJob
from streamq.producer import CALL_BYTES_MAX
from streamq.run.clockwork import SLOTS_A_CALL, RedisTime, pieces

LEASE_MS = 30_000
BEGIN_MS = 1_800_000_000_000


class Hand(Clock):
    """A process's own clock, moved by hand."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def monotonic(self) -> float:
        return self.at_s


@pytest.fixture
def own() -> Hand:
    return Hand()


@pytest.fixture
def time(own: Hand) -> RedisTime:
    """Heard once, without delay: it was BEGIN_MS at 100 s."""
    made = RedisTime(own, LEASE_MS)
    made.heard(BEGIN_MS, own.at_s)
    return made


def test_time_goes_on_by_the_own_clock(own: Hand, time: RedisTime) -> None:
    own.at_s += 2.5

    assert time.now_ms() == BEGIN_MS + 2_500
    assert time.settles_s() == 0


def test_the_first_reply_makes_it_rather_late_than_early(own: Hand) -> None:
    time = RedisTime(own, LEASE_MS)
    own.at_s += 0.2

    time.heard(BEGIN_MS, own.at_s - 0.2)

    assert time.now_ms() == BEGIN_MS


def test_a_reply_that_waited_for_the_loop_corrects_nothing(own: Hand, time: RedisTime) -> None:
    own.at_s += 20

    # Asked at once, answered at once, and read when a handler let go of the loop.
    time.heard(BEGIN_MS, own.at_s - 20)

    assert time.now_ms() == BEGIN_MS + 20_000
    assert time.settles_s() == 0


@pytest.mark.parametrize("drift_ms", [-150, 150])
def test_a_clock_that_drifts_is_followed(own: Hand, time: RedisTime, drift_ms: int) -> None:
    own.at_s += 60

    time.heard(BEGIN_MS + 60_000 + drift_ms, own.at_s)

    assert time.now_ms() == BEGIN_MS + 60_000 + drift_ms
    assert time.settles_s() == 0


@pytest.mark.parametrize("jump_ms", [-3_600_000, 3_600_000])
def test_after_a_jump_no_slot_fires_for_one_lease(own: Hand, time: RedisTime, jump_ms: int) -> None:
    time.heard(BEGIN_MS + jump_ms, own.at_s)

    assert time.now_ms() == BEGIN_MS + jump_ms
    assert time.settles_s() == LEASE_MS / 1_000
    own.at_s += LEASE_MS / 1_000
    assert time.settles_s() == 0


def test_a_time_that_a_test_moves_is_no_jump() -> None:
    class Moved(Clock):
        at_ms = Ms(BEGIN_MS)

        def now_ms(self) -> Ms:
            return self.at_ms

    clock = Moved()
    time = RedisTime(clock, LEASE_MS)
    clock.at_ms = Ms(BEGIN_MS + 86_400_000)
    time.heard(clock.at_ms, clock.monotonic())

    assert time.now_ms() == clock.at_ms
    assert time.settles_s() == 0


def _jobs(count: int, payload_bytes: int = 10) -> list[NewJob]:
    return [NewJob(JobId(f"j{i}"), "tick", b"x" * payload_bytes) for i in range(count)]


def test_a_call_is_bounded_by_jobs_and_by_bytes_and_there_always_is_one() -> None:
    many = pieces(_jobs(2 * SLOTS_A_CALL + 1))
    large = pieces(_jobs(5, CALL_BYTES_MAX // 2))

    assert pieces([]) == [(0, 0)]
    assert many == [(0, 500), (500, 1_000), (1_000, 1_001)]
    assert large == [(i, i + 1) for i in range(5)]
