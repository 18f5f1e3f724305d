"""Expressions: what each field may hold and means, which days match, and what is refused, how."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamq.cron import EXPRESSION_CHARS_MAX, WAIT_YEARS_MAX, Cron, parse
from streamq.errors import InvalidCron

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall_s(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]


def first_walls(cron: Cron, from_s: int, n: int) -> list[str]:
    """The first `n` wall times, as people write them."""
    found = islice(cron.walls(from_s, wall_s(2400, 1, 1)), n)
    return [f"{EPOCH + timedelta(seconds=each):%a %Y-%m-%d %H:%M}" for each in found]


def hours(said: str) -> list[int]:
    return [time_s // 3_600 for time_s in parse(f"0 {said} * * *").times]


def weekdays(said: str) -> list[int]:
    return sorted(parse(f"0 0 * * {said}").weekdays)


# ---- fields


def test_a_range_of_hours_is_what_it_says_and_may_go_over_midnight() -> None:
    for low, high in ((low, high) for low in range(24) for high in range(24)):
        over = [hour for hour in range(24) if hour >= low or hour <= high]
        plain = list(range(low, high + 1))

        assert hours(f"{low}-{high}") == (plain if low <= high else over)


@pytest.mark.parametrize("step", [1, 2, 5, 23, 24, 70])
@pytest.mark.parametrize(("low", "high"), [(0, 23), (3, 17), (9, 9), (22, 23), (23, 23)])
def test_a_step_counts_from_the_beginning_of_its_range(low: int, high: int, step: int) -> None:
    assert hours(f"{low}-{high}/{step}") == list(range(low, high + 1, step))
    assert hours(f"{low}/{step}") == list(range(low, 24, step))
    assert hours(f"*/{step}") == list(range(0, 24, step))


def test_a_range_of_one_is_one() -> None:
    # croniter 7.0 takes 9-9 for every hour and Sun-Sun for every day.
    assert hours("9-9") == [9]
    assert weekdays("sun-sun") == weekdays("7-7") == weekdays("SUN-0") == [0]
    assert parse("0 0 1 jan-JAN *").months == {1}


def test_a_step_behind_the_last_value_is_that_value() -> None:
    assert weekdays("7/2") == [0]
    assert weekdays("6/2") == [6]
    assert [time_s // 60 for time_s in parse("59/15 0 * * *").times] == [59]


@pytest.mark.parametrize(
    ("said", "days"),
    [
        ("0", [0]),
        ("7", [0]),
        ("SUN", [0]),
        ("mon-fri", [1, 2, 3, 4, 5]),
        ("5-7", [0, 5, 6]),
        ("fri-mon", [0, 1, 5, 6]),
        ("0-7", [0, 1, 2, 3, 4, 5, 6]),
        ("1-7", [0, 1, 2, 3, 4, 5, 6]),
        ("0-7/2", [0, 2, 4, 6]),
        ("1-7/2", [0, 1, 3, 5]),
        ("2-7/2", [2, 4, 6]),
        ("1-7/3", [0, 1, 4]),
        ("*/2", [0, 2, 4, 6]),
        ("tue,THU,6", [2, 4, 6]),
        ("?", [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_weekdays_by_number_and_name_with_sunday_on_both_ends(said: str, days: list[int]) -> None:
    assert weekdays(said) == days


def test_months_by_name_and_over_the_end_of_the_year() -> None:
    assert parse("0 0 1 nov-FEB *").months == {11, 12, 1, 2}
    assert parse("0 0 1 JAN,6,dec *").months == {1, 6, 12}
    assert parse("0 0 1 */3 *").months == {1, 4, 7, 10}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@Monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        (" @daily ", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ],
)
def test_a_nickname_is_its_expression(said: str, meant: str) -> None:
    named, written = parse(said), parse(meant)

    assert (named.times, named.days, named.months) == (written.times, written.days, written.months)
    assert (named.weekdays, named.any_hour) == (written.weekdays, written.any_hour)


@pytest.mark.parametrize("said", ["*", "*/2", "*/1", "*,5"])
def test_an_hour_field_with_a_star_in_front_counts_real_hours(said: str) -> None:
    assert parse(f"0 {said} * * *").any_hour


@pytest.mark.parametrize("said", ["0-23", "0-23/2", "5", "0/2", "5,6"])
def test_named_hours_are_those_of_the_wall_even_if_they_are_all_hours(said: str) -> None:
    assert not parse(f"0 {said} * * *").any_hour


# ---- days


@pytest.mark.parametrize(
    ("expression", "walls"),
    [
        ("0 0 L * *", ["Sat 2026-01-31 00:00", "Sat 2026-02-28 00:00", "Tue 2026-03-31 00:00"]),
        ("0 0 1,l 2 *", ["Sun 2026-02-01 00:00", "Sat 2026-02-28 00:00", "Mon 2027-02-01 00:00"]),
        ("0 9 * * 1#1", ["Mon 2026-01-05 09:00", "Mon 2026-02-02 09:00", "Mon 2026-03-02 09:00"]),
        ("0 9 * * fri#5", ["Fri 2026-01-30 09:00", "Fri 2026-05-29 09:00", "Fri 2026-07-31 09:00"]),
        ("0 9 * * L5", ["Fri 2026-01-30 09:00", "Fri 2026-02-27 09:00", "Fri 2026-03-27 09:00"]),
        ("0 9 * * l7", ["Sun 2026-01-25 09:00", "Sun 2026-02-22 09:00", "Sun 2026-03-29 09:00"]),
        (
            "0 9 * * mon-tue#2,L0",
            ["Mon 2026-01-12 09:00", "Tue 2026-01-13 09:00", "Sun 2026-01-25 09:00"],
        ),
        ("0 0 29 2 *", ["Tue 2028-02-29 00:00", "Sun 2032-02-29 00:00", "Fri 2036-02-29 00:00"]),
        ("0 0 29 2 */7", ["Sun 2032-02-29 00:00", "Sun 2060-02-29 00:00", "Sun 2088-02-29 00:00"]),
    ],
)
def test_rare_days(expression: str, walls: list[str]) -> None:
    assert first_walls(parse(expression), wall_s(2026, 1, 1, 0, 1), 3) == walls


@pytest.mark.parametrize(
    ("expression", "walls"),
    [
        # Either: the 13th, and each Friday.
        ("0 0 13 * 5", ["Fri 2026-01-02 00:00", "Fri 2026-01-09 00:00", "Tue 2026-01-13 00:00"]),
        ("0 0 13 * 5#1", ["Fri 2026-01-02 00:00", "Tue 2026-01-13 00:00", "Fri 2026-02-06 00:00"]),
        ("0 0 L * 1", ["Mon 2026-01-05 00:00", "Mon 2026-01-12 00:00", "Mon 2026-01-19 00:00"]),
        ("0 0 30 2 1", ["Mon 2026-02-02 00:00", "Mon 2026-02-09 00:00", "Mon 2026-02-16 00:00"]),
        # Both: one of the two fields begins with a star.
        ("0 0 */2 * 5", ["Fri 2026-01-09 00:00", "Fri 2026-01-23 00:00", "Fri 2026-02-13 00:00"]),
        ("0 0 13 * */5", ["Fri 2026-02-13 00:00", "Fri 2026-03-13 00:00", "Sun 2026-09-13 00:00"]),
        ("0 0 ? * 5", ["Fri 2026-01-02 00:00", "Fri 2026-01-09 00:00", "Fri 2026-01-16 00:00"]),
    ],
)
def test_day_and_weekday_are_alternatives_unless_one_has_a_star(
    expression: str, walls: list[str]
) -> None:
    assert first_walls(parse(expression), wall_s(2026, 1, 1, 0, 1), 3) == walls


def test_the_longest_wait_for_a_day_that_does_come_is_known() -> None:
    across_2100 = islice(parse("0 0 29 2 */7").walls(wall_s(2088, 3, 1), wall_s(2400, 1, 1)), 1)

    (found,) = (EPOCH + timedelta(seconds=each) for each in across_2100)

    assert (found.year, found.month, found.day) == (2088 + WAIT_YEARS_MAX, 2, 29)


def test_walls_begin_with_their_first_moment_and_end_before_their_last() -> None:
    cron = parse("0 * * * *")

    assert list(cron.walls(3_600, 7_200)) == [3_600]
    assert list(cron.walls(3_601, 7_201)) == [7_200]
    assert list(cron.walls(7_200, 7_200)) == []
    assert list(cron.walls(7_200, 0)) == []


def _items(low: int, high: int, *, starts: bool = True) -> st.SearchStrategy[str]:
    value, step = st.integers(low, high), st.integers(1, high)
    # Not 9-9: with a step behind it, cronsim takes that for 9, 10, 11 and so on.
    ends = st.lists(value, min_size=2, max_size=2, unique=True)
    span = ends.map(lambda ends: f"{min(ends)}-{max(ends)}")
    forms: list[st.SearchStrategy[str]] = [value.map(str), span, st.just("*")]
    forms += [st.tuples(span, step).map(lambda of: f"{of[0]}/{of[1]}")]
    forms += [step.map(lambda by: f"*/{by}")]
    if starts:
        forms += [st.tuples(value, step).map(lambda of: f"{of[0]}/{of[1]}")]
    return st.one_of(forms)


def _lists(item: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(item, min_size=1, max_size=4).map(",".join)


NTH = st.tuples(st.integers(0, 6), st.integers(1, 5)).map(lambda of: f"{of[0]}#{of[1]}")
EXPRESSIONS = st.tuples(
    _lists(_items(0, 59)),
    _lists(_items(0, 23)),
    _lists(_items(1, 31) | st.just("L")),
    _lists(_items(1, 12)),
    # Not 1/2: for cronsim the week goes on to 7, a Sunday; for croniter it ends with 6.
    _lists(_items(0, 7, starts=False)) | _lists(NTH),
).map(" ".join)


@given(EXPRESSIONS, st.integers(wall_s(1990, 1, 1), wall_s(2050, 1, 1)))
@example("0 0 1 * 0,*", wall_s(2000, 1, 1))
@example("0 0-1 L,2-31 1 0", wall_s(1990, 1, 1))
def test_any_expression_names_the_times_that_cronsim_names(expression: str, from_s: int) -> None:
    try:
        ours = list(islice(parse(expression).walls(from_s + 1, from_s + 86_400 * 366 * 41), 5))
    except InvalidCron:
        ours = []

    assert ours == _simulated(expression, from_s, 5)


def _simulated(expression: str, from_s: int, n: int) -> list[int]:
    try:
        simulated: Iterable[datetime] = CronSim(expression, datetime.fromtimestamp(from_s, UTC))
        return [int(each.timestamp()) for each in islice(simulated, n)]
    except CronSimError:
        return []


# ---- what is refused


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (
            "0 9 * *",
            'SQ401 "0 9 * *" has 4 fields, cron needs 5 (minute hour day month weekday).',
        ),
        ("", 'SQ401 "" has 0 fields, cron needs 5 (minute hour day month weekday).'),
        ("@often", 'SQ401 "@often" has 1 field, cron needs 5 (minute hour day month weekday).'),
        (
            "* * * * * *",
            'SQ401 "* * * * * *" has 6 fields, cron needs 5 (minute hour day month weekday).'
            ' For seconds give an interval: every="10s".',
        ),
        (
            "61 9 * * *",
            'SQ401 "61 9 * * *" has minute "61": give * or 0 to 59, a range a-b,'
            " a step */n or a-b/n, or a list of these.",
        ),
        (
            "0 9 15W * *",
            'SQ401 "0 9 15W * *" has day "15W": give * or 1 to 31 or L (the last), a range a-b,'
            " a step */n or a-b/n, or a list of these.",
        ),
        (
            "0 9 * * MUN",
            'SQ401 "0 9 * * MUN" has weekday "MUN": give * or 0 to 7 or SUN to SAT (0 and 7:'
            " Sunday), 1#2 (the second of a month), L5 (the last), a range a-b, a step */n or"
            " a-b/n, or a list of these.",
        ),
        (
            "0 21-6/2 * * *",
            'SQ401 "0 21-6/2 * * *" has hour "21-6/2": a range that goes over the end takes'
            " no step: write two ranges.",
        ),
        (
            "0 9 * * 1,5#2",
            'SQ401 "0 9 * * 1,5#2" has weekday "1,5#2": L5 and 1#2 do not go with plain'
            " weekdays: make two schedules.",
        ),
        (
            "0 0 30 2 *",
            'SQ401 "0 0 30 2 *" never fires: no month that it names has such a day.',
        ),
    ],
)
def test_a_wrong_expression_is_told_what_is_wrong(expression: str, text: str) -> None:
    with pytest.raises(InvalidCron) as refused:
        parse(expression)

    assert str(refused.value) == text


@pytest.mark.parametrize(
    "expression",
    ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * 30,31 FEB ?", "0 0 30 2 */2", "0 0 31 2 ?"],
)
def test_a_date_that_never_comes_is_refused_where_it_is_declared(expression: str) -> None:
    with pytest.raises(InvalidCron, match="never fires"):
        parse(expression)


# fmt: off
NO_MINUTES = [
    "R", "H", "H/15", "R(0-5)", "-1", "+1", "1-", "-", "1--2", "1/0", "*/0", "*/", "1,,2", ",1",
    "1.5", "٣", "*-5", "L", "?", "100", "1#1", "mon", "1-mon", "60", "*5", "**", "1\x00", "0x1",
    "1e1", "1/1/1", "1-2-3",
]
# fmt: on


@pytest.mark.parametrize("said", NO_MINUTES)
def test_what_a_minute_cannot_be_is_refused(said: str) -> None:
    with pytest.raises(InvalidCron):
        parse(f"{said} * * * *")


def test_a_random_field_is_refused_for_each_process_would_draw_its_own() -> None:
    for field in range(5):
        said = ["0", "0", "1", "1", "1"]
        said[field] = "r"
        with pytest.raises(InvalidCron):
            parse(" ".join(said))


def test_a_huge_expression_is_refused_unread() -> None:
    with pytest.raises(InvalidCron, match=f"at most {EXPRESSION_CHARS_MAX} are read"):
        parse("0," * 100_000 + "0 * * * *")


@settings(max_examples=200)
@given(
    st.text(max_size=40)
    | st.text(alphabet="0123456789*/-,#?LWRHlwrh ", max_size=40)
    | st.lists(
        st.text(alphabet="0123456789*/-,#?LMONJAFSUTDEC", min_size=1, max_size=6),
        min_size=5,
        max_size=5,
    ).map(" ".join)
)
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        cron = parse(text)
    except InvalidCron as refused:
        assert str(refused).startswith("SQ401 ")
        assert str(refused).isprintable()
    else:
        assert next(cron.walls(0, wall_s(2012, 1, 1)), None) is not None or cron.months == {2}
