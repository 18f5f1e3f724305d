"""Zones: which names are taken, whose rules hold, and the spans between changes of the clock."""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

from streamq.errors import UnknownTimeZone
from streamq.zones import offset_s, spans, year_start_s, zone_names, zone_of
from tests.full.oracles import changes_of

HOUR_S = 3_600
ODD_ZONES = [
    "UTC",
    "America/Sao_Paulo",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # left out a day
    "Africa/Casablanca",  # a clock of its own in Ramadan
    "Antarctica/Troll",  # two hours
    "Asia/Pyongyang",
    "Europe/Dublin",  # "daylight saving" in winter
    "America/Caracas",
    "Africa/Sao_Tome",
]


def utc(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "America/Sao_Paolo",
            "SQ402 America/Sao_Paolo is no time zone. Did you mean America/Sao_Paulo?",
        ),
        (
            "america/sao_paulo",
            "SQ402 america/sao_paulo is no time zone. Did you mean America/Sao_Paulo?",
        ),
        ("x", "SQ402 x is no time zone."),
        ("", 'SQ402 "" is no time zone.'),
        ("../../etc/passwd", 'SQ402 "../../etc/passwd" is no time zone.'),
        ("\x1b[31m", "SQ402 '\\x1b[31m' is no time zone."),
    ],
)
def test_an_unknown_zone_is_named_with_the_one_that_was_meant(name: str, text: str) -> None:
    with pytest.raises(UnknownTimeZone) as refused:
        zone_of(name)

    assert str(refused.value) == text


@pytest.mark.parametrize(
    "name", ["localtime", "posixrules", "posix/UTC", "right/UTC", "America", "zone.tab", "UTC/"]
)
def test_what_only_some_machines_have_is_no_zone(name: str) -> None:
    with pytest.raises(UnknownTimeZone):
        zone_of(name)


def test_every_name_of_the_database_is_taken() -> None:
    assert len(zone_names()) > 500
    for name in zone_names():
        assert zone_of(name).key == name


@pytest.fixture
def other_rules(tmp_path: Path) -> Iterator[None]:
    """A machine on which America/Sao_Paulo keeps the time of Tokyo."""
    (tmp_path / "America").mkdir()
    tokyo = files("tzdata").joinpath("zoneinfo", "Asia", "Tokyo").read_bytes()
    (tmp_path / "America/Sao_Paulo").write_bytes(tokyo)
    zoneinfo.reset_tzpath([str(tmp_path)])
    zoneinfo.ZoneInfo.clear_cache()
    zone_of.cache_clear()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()
    zone_of.cache_clear()


def test_two_machines_with_other_rules_agree_on_a_slot(other_rules: None) -> None:
    at_s = utc(2026, 1, 1)
    machine = datetime.fromtimestamp(at_s, zoneinfo.ZoneInfo("America/Sao_Paulo")).utcoffset()
    assert machine is not None and machine.total_seconds() == 9 * HOUR_S

    assert offset_s(zone_of("America/Sao_Paulo"), at_s) == -3 * HOUR_S


@pytest.mark.parametrize("name", ODD_ZONES)
def test_spans_cover_each_year_without_a_hole_and_hold_their_offset(name: str) -> None:
    zone = zone_of(name)
    for year in range(1995, 2041):
        covering = spans(zone, year)

        assert covering[0].start_s <= year_start_s(year)
        assert covering[-1].end_s >= year_start_s(year + 1)
        for span in covering:
            assert offset_s(zone, span.start_s) == span.offset_s
            assert offset_s(zone, span.end_s - 1) == span.offset_s
            assert offset_s(zone, span.end_s) == span.after_s
        for one, other in pairwise(covering):
            assert one.end_s == other.start_s
            assert (one.offset_s, one.after_s) == (other.before_s, other.offset_s)


@pytest.mark.parametrize("name", ODD_ZONES)
def test_spans_end_where_a_look_at_every_hour_sees_the_clock_change(name: str) -> None:
    zone = zone_of(name)
    seen = {change.at_s for change in changes_of(zone, range(2005, 2015))}

    ends = {
        span.end_s
        for year in range(2005, 2015)
        for span in spans(zone, year)
        if span.after_s != span.offset_s
    }

    assert {end for end in ends if utc(2005, 1, 1) <= end < utc(2015, 1, 1)} == seen


def test_a_span_keeps_its_true_end_beyond_new_year() -> None:
    # The clock of Sao Tome went back in the first hours of 2019.
    last = spans(zone_of("Africa/Sao_Tome"), 2018)[-1]

    assert (last.end_s, last.offset_s, last.after_s) == (utc(2019, 1, 1, 1), HOUR_S, 0)


def test_a_zone_that_changes_nothing_has_one_span_a_year() -> None:
    assert [span.offset_s for span in spans(zone_of("UTC"), 2026)] == [0]
    assert [span.offset_s for span in spans(zone_of("America/Sao_Paulo"), 2026)] == [-3 * HOUR_S]
