"""Retry policies: the table of waits, what an error may say itself, and the way into a record."""

import random
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.backoff import (
    STEPS_MAX,
    Backoff,
    as_backoff,
    calling,
    exponential,
    fixed,
    from_settings,
    from_wire,
    linear,
    steps,
    to_settings,
    to_wire,
)
from streamq.durations import DURATION_MS_MAX, Duration
from streamq.errors import BareNumber, InvalidBackoff, InvalidDuration
from streamq.verdicts import Fail, Retry, Snooze

ERROR = ValueError("no route")
WAITS = st.integers(0, DURATION_MS_MAX).map(lambda ms: timedelta(milliseconds=ms))
JITTERS = st.floats(0, 1)
POLICIES = st.one_of(
    st.builds(fixed, WAITS, jitter=JITTERS),
    st.builds(linear, WAITS, max=st.none() | WAITS, jitter=JITTERS),
    st.builds(exponential, WAITS, max=st.none() | WAITS, jitter=JITTERS),
    st.builds(steps, st.lists(WAITS, min_size=1, max_size=STEPS_MAX), jitter=JITTERS),
)


def seconds(policy: Backoff, attempts: Sequence[int]) -> list[float]:
    return [(policy.delay_ms(attempt, ERROR) or 0) / 1_000 for attempt in attempts]


@pytest.mark.parametrize(
    ("policy", "waits_s"),
    [
        (exponential("5s"), [5, 10, 20, 40, 80]),
        (exponential("5s", max="30s"), [5, 10, 20, 30, 30]),
        (exponential("5s", max="1s"), [1, 1, 1, 1, 1]),
        (exponential("0s"), [0, 0, 0, 0, 0]),
        (linear("5s"), [5, 10, 15, 20, 25]),
        (linear("5s", max="12s"), [5, 10, 12, 12, 12]),
        (fixed("5s"), [5, 5, 5, 5, 5]),
        (fixed(timedelta(milliseconds=250)), [0.25, 0.25, 0.25, 0.25, 0.25]),
        (steps(["1s", "10s", "1m"]), [1, 10, 60, 60, 60]),
        (steps(["1s"]), [1, 1, 1, 1, 1]),
        (calling(lambda attempt, _: f"{attempt * attempt}s"), [1, 4, 9, 16, 25]),
    ],
)
def test_the_wait_before_each_retry(policy: Backoff, waits_s: list[float]) -> None:
    assert seconds(policy, range(1, 6)) == waits_s


def test_three_attempts_by_the_defaults_of_the_seed_wait_5_and_10_seconds() -> None:
    assert seconds(exponential("5s"), [1, 2]) == [5, 10]


@pytest.mark.parametrize("attempt", [41, 1_000, 10**6, 10**18])
def test_a_growing_wait_is_never_computed_beyond_its_cap(attempt: int) -> None:
    tiny = exponential(timedelta(milliseconds=1))

    assert tiny.delay_ms(attempt, ERROR) == DURATION_MS_MAX
    assert linear("1s", max="1m").delay_ms(attempt, ERROR) in (41_000, 60_000)


@given(POLICIES, st.integers(1, 10**12), st.floats(0, 1, exclude_max=True))
def test_no_attempt_number_overflows_and_no_wait_leaves_its_range(
    policy: Backoff, attempt: int, chance: float
) -> None:
    wait_ms = policy.delay_ms(attempt, ERROR, rand=lambda: chance)

    assert wait_ms is not None
    assert 0 <= wait_ms <= DURATION_MS_MAX


def test_jitter_takes_off_at_most_its_part_and_never_adds() -> None:
    policy = exponential("100s", max="100s", jitter=0.2)
    seed = 20261124
    rand = random.Random(seed).random

    waits = [policy.delay_ms(3, ERROR, rand) or 0 for _ in range(500)]

    assert all(80_000 <= wait <= 100_000 for wait in waits), f"seed {seed}"
    assert max(waits) - min(waits) > 15_000, f"seed {seed}"


def test_jitter_is_even_over_its_part() -> None:
    policy = fixed("10s", jitter=0.5)

    chances = iter((0.0, 0.5, 0.999))

    waits = [policy.delay_ms(1, ERROR, rand=lambda: next(chances)) for _ in range(3)]

    assert waits == [10_000, 7_500, 5_005]


def test_without_jitter_chance_is_not_asked() -> None:
    def never() -> float:
        raise AssertionError("asked")

    assert exponential("5s").delay_ms(1, ERROR, rand=never) == 5_000
    assert steps(["1s"]).delay_ms(1, ERROR, rand=never) == 1_000


def test_the_default_chance_stays_in_range() -> None:
    wait_ms = fixed("10s", jitter=1).delay_ms(1, ERROR)

    assert wait_ms is not None
    assert 0 <= wait_ms <= 10_000


@pytest.mark.parametrize(
    ("error", "wait_ms"),
    [
        (Retry(after="2m"), 120_000),
        (Retry(after="0s"), 0),
        (Retry(), 5_000),
        (Snooze(after="1h"), 3_600_000),
        (Fail("gone"), None),
    ],
)
def test_an_errors_own_word_wins_over_policy_and_cap(error: Exception, wait_ms: int) -> None:
    assert exponential("5s", max="10s").delay_ms(1, error) == wait_ms


def test_a_function_sees_attempt_and_error_and_may_give_up() -> None:
    seen: list[tuple[int, Exception]] = []

    def choose(attempt: int, error: Exception) -> Duration | None:
        seen.append((attempt, error))
        return None if attempt == 2 else timedelta(seconds=7)

    policy = calling(choose)

    assert [policy.delay_ms(1, ERROR), policy.delay_ms(2, ERROR)] == [7_000, None]
    assert seen == [(1, ERROR), (2, ERROR)]


def test_a_function_that_gives_a_bare_number_is_told_so() -> None:
    policy = calling(lambda _attempt, _error: 5)  # type: ignore[arg-type, return-value]

    with pytest.raises(BareNumber, match="backoff=5 is an int"):
        policy.delay_ms(1, ERROR)


@pytest.mark.parametrize("value", [-1, 1.5, float("nan"), float("inf")])
def test_a_jitter_outside_0_to_1_is_refused(value: float) -> None:
    with pytest.raises(InvalidBackoff, match="0 to 1"):
        exponential("5s", jitter=value)


@pytest.mark.parametrize("waits", [[], ["1s"] * (STEPS_MAX + 1), "1s"])
def test_a_list_of_waits_is_bounded(waits: Sequence[Duration]) -> None:
    with pytest.raises(InvalidBackoff, match=f"1 to {STEPS_MAX} durations"):
        steps(waits)


def test_waits_are_durations() -> None:
    with pytest.raises(InvalidDuration, match='backoff delay="-5s"'):
        exponential("-5s")
    with pytest.raises(BareNumber, match="backoff step=5000"):
        steps([5_000])  # type: ignore[list-item]


def test_an_option_takes_a_policy_a_list_or_a_function() -> None:
    policy = exponential("5s")

    assert as_backoff(policy) is policy
    assert as_backoff(["1s", "2s"]) == steps(["1s", "2s"])
    assert as_backoff(lambda _attempt, _error: "3s").delay_ms(1, ERROR) == 3_000
    with pytest.raises(InvalidBackoff, match=r'give exponential\("5s"\)'):
        as_backoff("5s")
    with pytest.raises(InvalidBackoff):
        as_backoff(5_000)  # type: ignore[arg-type]


@given(POLICIES)
def test_a_policy_survives_the_way_into_a_record_and_back(policy: Backoff) -> None:
    assert from_wire(to_wire(policy)) == policy


def test_a_usual_policy_takes_a_dozen_bytes() -> None:
    assert len(to_wire(exponential("5s"))) <= 12


def test_a_function_cannot_travel_with_a_job() -> None:
    def my_backoff(_attempt: int, _error: Exception) -> Duration:
        return "5s"

    with pytest.raises(InvalidBackoff, match=r"my_backoff.*Put it on the handler"):
        to_wire(calling(my_backoff))


@given(st.binary(max_size=40))
def test_any_bytes_are_a_policy_or_refused(data: bytes) -> None:
    try:
        policy = from_wire(data)
    except InvalidBackoff:
        return
    assert 0 <= (policy.delay_ms(9, ERROR) or 0) <= DURATION_MS_MAX


@pytest.mark.parametrize(
    "table",
    [
        {"k": "e", "d": -1},
        {"k": "e", "d": DURATION_MS_MAX + 1},
        {"k": "f", "d": 1, "j": 2.0},
        {"k": "s", "w": []},
        {"k": "x", "d": 1},
        {"d": 1},
    ],
)
def test_a_stored_policy_outside_its_range_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(InvalidBackoff, match="no stored policy"):
        from_wire(msgspec.msgpack.encode(table))


@given(POLICIES)
def test_a_policy_survives_the_way_into_a_file_and_back(policy: Backoff) -> None:
    assert from_settings(to_settings(policy)) == policy


@pytest.mark.parametrize(
    ("table", "policy"),
    [
        (
            {"kind": "exponential", "delay": "5s", "max": "10m", "jitter": 0},
            exponential("5s", max="10m"),
        ),
        ({"delay": "5s"}, exponential("5s")),
        ({"kind": "fixed", "delay": "1s", "jitter": "0.5"}, fixed("1s", jitter=0.5)),
        ({"kind": "linear", "delay": "1s"}, linear("1s")),
        ({"kind": "list", "steps": ["1s", "1m"]}, steps(["1s", "1m"])),
    ],
)
def test_a_file_describes_a_policy(table: dict[str, object], policy: Backoff) -> None:
    assert from_settings(table) == policy


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"kind": "exponental", "delay": "5s"}, "Invalid enum value 'exponental'"),
        ({"dely": "5s"}, 'it has no "dely". Did you mean "delay"?'),
        ({"kind": "fixed"}, 'kind "fixed" has a "delay"'),
        ({"kind": "fixed", "delay": "5s", "max": "1m"}, 'kind "fixed" has no "max"'),
        ({"kind": "list", "delay": "5s"}, 'a list has "steps"'),
        ({"kind": "linear", "delay": "5s", "steps": ["1s"]}, 'no "steps"'),
        ({"delay": 5}, "Expected str | null, got int - at $.delay"),
    ],
)
def test_a_file_that_describes_none_is_told_why(table: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidBackoff) as refused:
        from_settings(table)

    assert why in str(refused.value)
