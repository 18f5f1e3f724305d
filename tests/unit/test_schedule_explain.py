"""What `explain` tells: wall time, instant, and what a change of the clock does to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.dst import Effect, Fold, Gap
from streamq.schedule import Schedule
from tests.support.schedules import MOMENTS, NOW_MS, SCHEDULES, at_ms, schedule


def test_explain_tells_wall_time_instant_and_what_the_gap_did() -> None:
    moved, plain = schedule("0 0 * * *").explain(at_ms("2018-11-03T12:00-03:00"), 2)

    assert (str(moved.wall), str(moved.at)) == ("2018-11-04 00:00:00", "2018-11-04 01:00:00-02:00")
    assert str(moved.utc) == "2018-11-04 03:00:00+00:00"
    assert (moved.effect, moved.note) == (Effect.MOVED, "does not exist: moved to 01:00")
    assert moved.slot == at_ms("2018-11-04T03:00")
    assert (plain.effect, plain.note) == (Effect.NONE, "")


@pytest.mark.parametrize(
    ("cron", "zone", "after", "gap", "fold", "notes"),
    [
        (
            "0 0,1 * * *",
            "America/Sao_Paulo",
            "2018-11-03T12:00-03:00",
            Gap.FIRST_INSTANT_AFTER,
            Fold.FIRST,
            ["does not exist: moved to 01:00", "fires once, with the one moved to 01:00"],
        ),
        (
            "0 0 * * *",
            "America/Sao_Paulo",
            "2018-11-03T12:00-03:00",
            Gap.SKIP,
            Fold.FIRST,
            ["does not exist: skipped", ""],
        ),
        (
            "0 */6 * * *",
            "America/Sao_Paulo",
            "2018-11-03T18:00-03:00",
            Gap.FIRST_INSTANT_AFTER,
            Fold.FIRST,
            ["does not exist: skipped", ""],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00-04:00",
            Gap.FIRST_INSTANT_AFTER,
            Fold.FIRST,
            ["first of two", "second of two: skipped"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00-04:00",
            Gap.FIRST_INSTANT_AFTER,
            Fold.SECOND,
            ["first of two: skipped", "second of two"],
        ),
        (
            "30 * * * *",
            "America/New_York",
            "2026-11-01T01:00-04:00",
            Gap.FIRST_INSTANT_AFTER,
            Fold.FIRST,
            ["first of two", "second of two"],
        ),
        (
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00-10:00",
            Gap.FIRST_INSTANT_AFTER,
            Fold.FIRST,
            ["does not exist: moved to 2011-12-31 00:00", ""],
        ),
    ],
)
def test_explain_says_in_words_what_a_change_of_clocks_does(
    cron: str, zone: str, after: str, gap: Gap, fold: Fold, notes: list[str]
) -> None:
    rows = schedule(cron, timezone=zone, gap=gap, fold=fold).explain(at_ms(after), 3)

    assert [row.note for row in rows][:2] == notes


@given(SCHEDULES, MOMENTS, st.integers(1, 10))
def test_explain_fires_what_the_schedule_fires(any_one: Schedule, from_ms: int, n: int) -> None:
    rows = any_one.explain(from_ms, n)
    fired = [row.slot for row in rows if row.slot is not None]

    assert fired == any_one.next_slots(from_ms, n)[: len(fired)]
    assert len(fired) == n or len(rows) > n
    for row in rows:
        assert row.slot is None or row.slot == round(row.utc.timestamp() * 1_000)
        if row.effect is Effect.NONE:
            assert row.at.replace(tzinfo=None) == row.wall


def test_explain_of_an_interval_tells_the_wall_of_its_zone_to_the_millisecond() -> None:
    (half,) = schedule(every="1.5s").explain(NOW_MS, 1)
    assert (str(half.wall), half.slot) == ("2026-11-24 09:00:01.500000", NOW_MS + 1_500)

    (row,) = schedule(every="1d").explain(NOW_MS, 1)

    assert (str(row.wall), str(row.at)) == ("2026-11-24 21:00:00", "2026-11-24 21:00:00-03:00")
