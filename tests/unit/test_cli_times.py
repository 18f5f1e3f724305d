"""Times as people read them."""

import pytest

from streamq.cli.times import ago, length

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (0, "0 ms"),
        (0.042, "0.042 ms"),
        (0.4, "0.4 ms"),
        (38, "38 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (1_540, "1.5 s"),
        (MINUTE, "1 m"),
        (MINUTE + 5_000, "1 m 05 s"),
        (2 * HOUR + 5 * MINUTE, "2 h 05 m"),
        (3 * DAY + 4 * HOUR, "3 d 04 h"),
    ],
)
def test_a_length_has_its_two_largest_units(ms: float, said: str) -> None:
    assert length(ms) == said


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (1_000_000, "now"),
        (999_100, "now"),
        (997_100, "2 s ago"),
        (1_005_900, "in 5 s"),
        (1_000_000 - 2 * MINUTE, "2 m ago"),
    ],
)
def test_a_moment_is_told_from_now(ms: int, said: str) -> None:
    assert ago(ms, now=1_000_000) == said
