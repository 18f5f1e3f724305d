"""The days on which clocks change: tables for some zones, and a sample against two oracles."""

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Final

import pytest

from streamq.cron import parse
from streamq.dst import Effect, Fold, Gap, Landing, Rule, landings
from streamq.zones import zone_names, zone_of
from tests.full.oracles import EXPRESSIONS, SEED, Change, Minutes, changes_of, judged, our_slots

SAO_PAULO: Final = "America/Sao_Paulo"
NEW_YORK: Final = "America/New_York"
DAY_S: Final = 86_400

# America/Sao_Paulo put its clock from 00:00 to 01:00 on each of these days.
MIDNIGHT_GAPS: Final = {
    2000: (10, 8),
    2001: (10, 14),
    2002: (11, 3),
    2003: (10, 19),
    2004: (11, 2),
    2005: (10, 16),
    2006: (11, 5),
    2007: (10, 14),
    2008: (10, 19),
    2009: (10, 18),
    2010: (10, 17),
    2011: (10, 16),
    2012: (10, 21),
    2013: (10, 20),
    2014: (10, 19),
    2015: (10, 18),
    2016: (10, 16),
    2017: (10, 15),
    2018: (11, 4),
}
SAMPLE_ZONES: Final = 60
SAMPLE_EXPRESSIONS: Final = 12
SAMPLE_SEED: Final = 2_026


def fires(
    expression: str,
    zone: str,
    first: str,
    last: str,
    gap: Gap = Gap.FIRST_INSTANT_AFTER,
    fold: Fold = Fold.FIRST,
) -> list[str]:
    """What fires on the days from `first` to `last`, as the wall shows it with its offset."""
    return [
        _shown(landing, zone)
        for landing in told(expression, zone, first, last, gap, fold)
        if landing.fires
    ]


def told(
    expression: str,
    zone: str,
    first: str,
    last: str,
    gap: Gap = Gap.FIRST_INSTANT_AFTER,
    fold: Fold = Fold.FIRST,
) -> list[Landing]:
    from_s, to_s = _midnight_s(first, zone), _midnight_s(last, zone) + DAY_S
    rule = Rule(parse(expression), zone_of(zone), gap, fold)
    found = landings(rule, from_s - DAY_S, to_s + DAY_S)
    return [each for each in found if first <= _shown(each, zone)[:10] <= last]


def _shown(landing: Landing, zone: str) -> str:
    return datetime.fromtimestamp(landing.at_s, zone_of(zone)).isoformat(" ", "minutes")


def _midnight_s(day: str, zone: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=zone_of(zone)).timestamp())


# ---- America/Sao_Paulo, where midnight did not exist once a year until 2018


@pytest.mark.parametrize("year", MIDNIGHT_GAPS)
def test_sao_paulo_midnight_gap_moves_the_daily_reports_to_one_o_clock_of_the_same_day(
    year: int,
) -> None:
    month, day = MIDNIGHT_GAPS[year]
    the_day = f"{year}-{month:02}-{day:02}"

    assert fires("0 0 * * *", SAO_PAULO, the_day, the_day) == [f"{the_day} 01:00-02:00"]
    assert fires("0 0 * * *", SAO_PAULO, the_day, the_day, Gap.SKIP) == []


def test_sao_paulo_midnight_gap_of_2018_fires_the_daily_reports_once_each_day() -> None:
    assert fires("0 0 * * *", SAO_PAULO, "2018-11-03", "2018-11-05") == [
        "2018-11-03 00:00-03:00",
        "2018-11-04 01:00-02:00",
        "2018-11-05 00:00-02:00",
    ]


def test_sao_paulo_midnight_gap_of_2018_leaves_no_half_hour_of_real_time_out() -> None:
    every_half_hour = told("*/30 * * * *", SAO_PAULO, "2018-11-03", "2018-11-05")

    instants = [landing.at_s for landing in every_half_hour if landing.fires]

    assert instants == list(range(instants[0], instants[-1] + 1, 1_800))
    assert len(instants) == (24 + 23 + 24) * 2


def test_sao_paulo_midnight_gap_of_2018_is_left_out_by_every_six_hours() -> None:
    # As Debian's cron does: a step counts the hours that the wall shows.
    assert fires("0 */6 * * *", SAO_PAULO, "2018-11-04", "2018-11-04") == [
        "2018-11-04 06:00-02:00",
        "2018-11-04 12:00-02:00",
        "2018-11-04 18:00-02:00",
    ]
    assert fires("0 0,6,12,18 * * *", SAO_PAULO, "2018-11-04", "2018-11-04") == [
        "2018-11-04 01:00-02:00",
        "2018-11-04 06:00-02:00",
        "2018-11-04 12:00-02:00",
        "2018-11-04 18:00-02:00",
    ]


def test_sao_paulo_midnight_gap_of_2018_fires_all_that_it_swallowed_once() -> None:
    swallowed = told("0,15,30,45 0 * * *", SAO_PAULO, "2018-11-04", "2018-11-04")

    assert [landing.fires for landing in swallowed] == [True, False, False, False]
    assert [landing.effect for landing in swallowed] == [Effect.MOVED, *[Effect.JOINED] * 3]
    # Nor does what stands at one o'clock anyway fire again.
    assert fires("0 0,1,2 * * *", SAO_PAULO, "2018-11-04", "2018-11-04") == [
        "2018-11-04 01:00-02:00",
        "2018-11-04 02:00-02:00",
    ]


def test_sao_paulo_eleven_at_night_of_2018_02_17_comes_twice() -> None:
    day = "2018-02-17"

    assert fires("30 23 * * *", SAO_PAULO, day, day) == [f"{day} 23:30-02:00"]
    assert fires("30 23 * * *", SAO_PAULO, day, day, fold=Fold.SECOND) == [f"{day} 23:30-03:00"]
    assert fires("30 23 * * *", SAO_PAULO, day, day, fold=Fold.BOTH) == [
        f"{day} 23:30-02:00",
        f"{day} 23:30-03:00",
    ]


@pytest.mark.parametrize(
    ("expression", "day", "expected"),
    [
        # 2018-11-04, a Sunday, began at 01:00; the clock went back at the end of 2018-02-17.
        ("0 9 * * *", "2018-11-04", ["09:00-02:00"]),
        ("0 0 * * *", "2018-11-04", ["01:00-02:00"]),
        ("0 2 * * *", "2018-11-04", ["02:00-02:00"]),
        ("0 8 * * 1", "2018-11-04", []),
        ("0 8 * * 1", "2018-11-05", ["08:00-02:00"]),
        ("0 3 * * 0", "2018-11-04", ["03:00-02:00"]),
        ("0 * * * *", "2018-11-04", [f"{hour:02}:00-02:00" for hour in range(1, 24)]),
        ("0 */6 * * *", "2018-11-04", ["06:00-02:00", "12:00-02:00", "18:00-02:00"]),
        ("0 8 1 * *", "2018-11-01", ["08:00-03:00"]),
        ("0 8 1 * *", "2018-11-04", []),
        ("0 9 * * *", "2018-02-17", ["09:00-02:00"]),
        ("0 0 * * *", "2018-02-18", ["00:00-03:00"]),
        ("0 2 * * *", "2018-02-18", ["02:00-03:00"]),
        ("0 8 * * 1", "2018-02-19", ["08:00-03:00"]),
        ("0 3 * * 0", "2018-02-18", ["03:00-03:00"]),
        (
            "0 * * * *",
            "2018-02-17",
            [f"{hour:02}:00-02:00" for hour in range(24)] + ["23:00-03:00"],
        ),
        ("0 */6 * * *", "2018-02-17", [f"{hour:02}:00-02:00" for hour in (0, 6, 12, 18)]),
        ("0 8 1 * *", "2018-03-01", ["08:00-03:00"]),
        # An ordinary day of now.
        ("0 9 * * *", "2026-11-24", ["09:00-03:00"]),
        ("0 0 * * *", "2026-11-24", ["00:00-03:00"]),
        ("0 2 * * *", "2026-11-24", ["02:00-03:00"]),
        ("0 8 * * 1", "2026-11-23", ["08:00-03:00"]),
        ("0 3 * * 0", "2026-11-22", ["03:00-03:00"]),
        ("0 * * * *", "2026-11-24", [f"{hour:02}:00-03:00" for hour in range(24)]),
        ("0 */6 * * *", "2026-11-24", [f"{hour:02}:00-03:00" for hour in (0, 6, 12, 18)]),
        ("0 8 1 * *", "2026-11-01", ["08:00-03:00"]),
    ],
)
def test_the_nine_schedules_of_the_application_in_sao_paulo(
    expression: str, day: str, expected: list[str]
) -> None:
    assert expression in SEED

    assert fires(expression, SAO_PAULO, day, day) == [f"{day} {each}" for each in expected]


# ---- elsewhere


@pytest.mark.parametrize(
    ("expression", "gap", "expected"),
    [
        ("30 2 * * *", Gap.FIRST_INSTANT_AFTER, ["03:00-04:00"]),
        ("0,30 2 * * *", Gap.FIRST_INSTANT_AFTER, ["03:00-04:00"]),
        ("*/15 2 * * *", Gap.FIRST_INSTANT_AFTER, ["03:00-04:00"]),
        ("30 2,3 * * *", Gap.FIRST_INSTANT_AFTER, ["03:00-04:00", "03:30-04:00"]),
        ("0 2,3 * * *", Gap.FIRST_INSTANT_AFTER, ["03:00-04:00"]),
        ("30 2,3 * * *", Gap.SKIP, ["03:30-04:00"]),
        ("30 2 * * *", Gap.SKIP, []),
        ("30 1-3 * * *", Gap.FIRST_INSTANT_AFTER, ["01:30-05:00", "03:00-04:00", "03:30-04:00"]),
        ("30 0-4/2 * * *", Gap.FIRST_INSTANT_AFTER, ["00:30-05:00", "03:00-04:00", "04:30-04:00"]),
        ("30 */2 * * *", Gap.FIRST_INSTANT_AFTER, ["00:30-05:00", "04:30-04:00"]),
        ("0 * * * *", Gap.SKIP, ["00:00-05:00", "01:00-05:00", "03:00-04:00", "04:00-04:00"]),
    ],
)
def test_new_york_has_no_two_o_clock_on_2026_03_08(
    expression: str, gap: Gap, expected: list[str]
) -> None:
    day = "2026-03-08"

    assert [each for each in fires(expression, NEW_YORK, day, day, gap) if each < f"{day} 05"] == [
        f"{day} {each}" for each in expected
    ]


@pytest.mark.parametrize(
    ("expression", "fold", "expected"),
    [
        ("30 1 * * *", Fold.FIRST, ["01:30-04:00"]),
        ("30 1 * * *", Fold.SECOND, ["01:30-05:00"]),
        ("30 1 * * *", Fold.BOTH, ["01:30-04:00", "01:30-05:00"]),
        ("0,30 1 * * *", Fold.BOTH, ["01:00-04:00", "01:30-04:00", "01:00-05:00", "01:30-05:00"]),
        ("*/30 1 * * *", Fold.FIRST, ["01:00-04:00", "01:30-04:00"]),
        ("0 2 * * *", Fold.SECOND, ["02:00-05:00"]),
        ("0 0-2 * * *", Fold.FIRST, ["00:00-04:00", "01:00-04:00", "02:00-05:00"]),
        ("0 0-2 * * *", Fold.SECOND, ["00:00-04:00", "01:00-05:00", "02:00-05:00"]),
        ("30 * * * *", Fold.FIRST, ["00:30-04:00", "01:30-04:00", "01:30-05:00", "02:30-05:00"]),
        ("0 */2 * * *", Fold.FIRST, ["00:00-04:00", "02:00-05:00"]),
    ],
)
def test_new_york_has_one_o_clock_twice_on_2026_11_01(
    expression: str, fold: Fold, expected: list[str]
) -> None:
    day = "2026-11-01"

    assert [
        each for each in fires(expression, NEW_YORK, day, day, fold=fold) if each < f"{day} 03"
    ] == [f"{day} {each}" for each in expected]


@pytest.mark.parametrize("fold", Fold)
@pytest.mark.parametrize("gap", Gap)
def test_real_hours_run_on_whatever_is_wanted_of_named_ones(gap: Gap, fold: Fold) -> None:
    for day in ("2026-03-08", "2026-11-01"):
        instants = [
            each.at_s for each in told("30 * * * *", NEW_YORK, day, day, gap, fold) if each.fires
        ]

        assert instants == list(range(instants[0], instants[-1] + 1, 3_600))
        assert len(instants) == (23 if day == "2026-03-08" else 25)


def test_lord_howe_changes_its_clock_by_half_an_hour() -> None:
    zone, spring, autumn = "Australia/Lord_Howe", "2026-10-04", "2026-04-05"

    assert fires("15 2 * * *", zone, spring, spring) == [f"{spring} 02:30+11:00"]
    assert fires("45 2 * * *", zone, spring, spring) == [f"{spring} 02:45+11:00"]
    assert fires("45 1 * * *", zone, autumn, autumn) == [f"{autumn} 01:45+11:00"]
    assert fires("45 1 * * *", zone, autumn, autumn, fold=Fold.SECOND) == [f"{autumn} 01:45+10:30"]
    assert fires("15 1 * * *", zone, autumn, autumn, fold=Fold.BOTH) == [f"{autumn} 01:15+11:00"]
    halves = [each.at_s for each in told("*/30 * * * *", zone, spring, spring) if each.fires]
    assert halves == list(range(halves[0], halves[-1] + 1, 1_800))


def test_apia_left_out_2011_12_30_and_its_jobs_ran_as_the_next_day_began() -> None:
    def around(expression: str, gap: Gap = Gap.FIRST_INSTANT_AFTER) -> list[str]:
        return fires(expression, "Pacific/Apia", "2011-12-29", "2012-01-01", gap)

    assert around("0 9,12 * * *") == [
        "2011-12-29 09:00-10:00",
        "2011-12-29 12:00-10:00",
        "2011-12-31 00:00+14:00",
        "2011-12-31 09:00+14:00",
        "2011-12-31 12:00+14:00",
        "2012-01-01 09:00+14:00",
        "2012-01-01 12:00+14:00",
    ]
    assert around("0 9 30 12 *") == ["2011-12-31 00:00+14:00"]
    assert around("0 9 30 12 *", Gap.SKIP) == []
    assert around("0 */12 30 12 *") == []


def test_casablanca_changes_its_clock_four_times_a_year_of_ramadan() -> None:
    zone = "Africa/Casablanca"
    changes = changes_of(zone_of(zone), range(2016, 2017))
    assert len(changes) == 4

    for change in changes:
        rule = Rule(parse("30 2 * * *"), zone_of(zone), Gap.FIRST_INSTANT_AFTER, Fold.FIRST)
        slots = our_slots(rule, change)
        days = [datetime.fromtimestamp(slot, zone_of(zone)).date() for slot in slots]
        assert len(days) == len(set(days)) == 3


@pytest.mark.parametrize(
    ("zone", "day", "expression", "expected"),
    [
        # Left summer time for good, or changed their zone: no daylight saving, a gap or fold still.
        ("America/Caracas", "2007-12-09", "45 2 * * *", ["02:45-04:00"]),
        ("America/Caracas", "2016-05-01", "45 2 * * *", ["03:00-04:00"]),
        ("Asia/Pyongyang", "2015-08-14", "45 23 * * *", ["23:45+09:00"]),
        ("Asia/Pyongyang", "2018-05-04", "45 23 * * *", []),
        ("Asia/Pyongyang", "2018-05-05", "0 0 * * *", ["00:00+09:00"]),
        ("Europe/Istanbul", "2016-03-27", "30 3 * * *", ["04:00+03:00"]),
        ("Europe/Moscow", "2014-10-26", "30 1 * * *", ["01:30+04:00"]),
        ("Asia/Kathmandu", "1986-01-01", "5 0 * * *", ["00:15+05:45"]),
        ("America/Havana", "2026-11-01", "0 0 * * *", ["00:00-04:00"]),
        ("Asia/Gaza", "2026-03-28", "30 2 * * *", ["03:00+03:00"]),
        ("Antarctica/Troll", "2026-03-29", "30 1 * * *", ["03:00+02:00"]),
        ("Europe/Dublin", "2026-10-25", "30 1 * * *", ["01:30+01:00"]),
        # New Year is a day of the old year in UTC here, and most of a day later there.
        ("Pacific/Kiritimati", "2026-01-01", "0 0 1 1 *", ["00:00+14:00"]),
        ("Etc/GMT+12", "2025-12-31", "0 23 31 12 *", ["23:00-12:00"]),
        ("Africa/Monrovia", "1972-01-07", "30 0 * * *", ["00:44+00:00"]),
    ],
)
def test_clocks_that_changed_for_other_reasons(
    zone: str, day: str, expression: str, expected: list[str]
) -> None:
    assert fires(expression, zone, day, day) == [f"{day} {each}" for each in expected]


def test_the_rule_is_asked_from_any_moment_and_says_the_same() -> None:
    change = Change(int(datetime(2026, 11, 1, 6, tzinfo=UTC).timestamp()), -14_400, -18_000)
    for fold in Fold:
        rule = Rule(parse("*/20 0-2 * * *"), zone_of(NEW_YORK), Gap.FIRST_INSTANT_AFTER, fold)
        whole = our_slots(rule, change)
        for cut_s in range(change.at_s - 7_200, change.at_s + 7_200, 300):
            before = [each.at_s for each in landings(rule, whole[0] - 1, cut_s) if each.fires]
            after = [each.at_s for each in landings(rule, cut_s, whole[-1]) if each.fires]
            assert before + after == whole


# ---- against the oracles: `make cron-check` looks at all of it


def _agreed(cases: list[tuple[str, Change]], expressions: list[str]) -> Counter[str]:
    """How many slots were compared, and how often cronsim's rule was not ours."""
    found: Counter[str] = Counter()
    for zone, change in cases:
        minutes = Minutes(zone_of(zone), change)
        for expression in expressions:
            verdict = judged(expression, zone, change, minutes)
            assert not verdict.wrong
            found["slots"] += verdict.slots
            found[verdict.why_cronsim_differs] += 1
    return found


def test_sao_paulo_midnight_gaps_agree_with_both_oracles() -> None:
    gaps = [each for each in changes_of(zone_of(SAO_PAULO)) if each.after_s > each.before_s]
    days = [datetime.fromtimestamp(each.at_s, UTC) for each in gaps]
    assert {day.year: (day.month, day.day) for day in days} == MIDNIGHT_GAPS

    found = _agreed([(SAO_PAULO, gap) for gap in gaps], [*SEED, "*/20 0 * * *", "30 0-2 * * 0"])

    assert found["slots"] > 1_000


@pytest.mark.slow
def test_a_sample_of_zones_changes_and_expressions_agrees_with_both_oracles() -> None:
    draw = random.Random(SAMPLE_SEED)
    zones = draw.sample(zone_names(), SAMPLE_ZONES)
    cases = []
    for zone in zones:
        year = draw.randrange(2000, 2040)
        cases += [(zone, change) for change in changes_of(zone_of(zone), range(year, year + 1))]

    found = Counter[str]()
    for case in cases:
        found += _agreed([case], draw.sample(EXPRESSIONS, SAMPLE_EXPRESSIONS))

    assert found["slots"] > 1_000
