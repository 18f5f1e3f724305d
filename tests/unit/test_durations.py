"""Durations and sizes: what is read, what is refused, and that what is shown is read back."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.durations import DURATION_MS_MAX, show_bytes_exactly, show_ms, to_bytes, to_ms
from streamq.errors import BareNumber, InvalidDuration, InvalidSize


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0s", 0),
        ("250ms", 250),
        ("5s", 5_000),
        ("1m30s", 90_000),
        ("1m250ms", 60_250),
        ("2h", 7_200_000),
        ("7d", 604_800_000),
        ("1w", 604_800_000),
        ("1d12h", 129_600_000),
        ("90m", 5_400_000),
        ("1.5h", 5_400_000),
        ("0.25s", 250),
        (" 5s ", 5_000),
        ("3660d", DURATION_MS_MAX),
    ],
)
def test_a_duration_is_read_with_its_units(text: str, ms: int) -> None:
    assert to_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "5", "s", "5 s", "5S", "5sec", "1s1m", "5s5s", "1.5h30m", ".5s", "5.s", "1e3s"),
        *("1.2345s", "+5s", "--5s", "\u0665s", "5s\x00", "5s\n6s", "inf", "nan"),
        "9" * 5_000 + "s",
    ],
)
def test_other_text_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidDuration, match="is not a duration"):
        to_ms(text)


@pytest.mark.parametrize("value", ["-5s", "-0.5h", timedelta(seconds=-1), timedelta.min])
def test_a_negative_duration_is_called_negative(value: str | timedelta) -> None:
    with pytest.raises(InvalidDuration, match="is negative"):
        to_ms(value)


@pytest.mark.parametrize("value", ["3661d", "999999999w", timedelta(days=3_661), timedelta.max])
def test_over_ten_years_is_absurd(value: str | timedelta) -> None:
    with pytest.raises(InvalidDuration, match="longer than ten years"):
        to_ms(value)


@pytest.mark.parametrize("value", [5, 5.0, 0, True, None, b"5s", float("nan")])
def test_a_bare_number_is_a_type_error_that_says_how(value: object) -> None:
    with pytest.raises(TypeError) as caught:
        to_ms(value, "delay")  # type: ignore[arg-type]

    assert isinstance(caught.value, BareNumber)
    assert 'give "5s" or timedelta(seconds=5)' in str(caught.value)


def test_the_messages_name_option_value_and_way_out() -> None:
    with pytest.raises(InvalidDuration) as refused:
        to_ms("-5s", "delay")
    with pytest.raises(BareNumber) as bare:
        to_ms(5, "timeout")  # type: ignore[arg-type]

    assert str(refused.value) == (
        'SQ207 delay="-5s": it is negative.'
        ' Give "250ms", "5s", "1m30s", "2h" or "7d", or a timedelta.'
    )
    assert str(bare.value) == (
        'SQ207 timeout=5 is an int, it has no unit: give "5s" or timedelta(seconds=5).'
    )


@given(st.timedeltas(timedelta(0), timedelta(milliseconds=DURATION_MS_MAX)))
def test_a_timedelta_is_rounded_down_to_a_whole_ms(length: timedelta) -> None:
    exact = length / timedelta(milliseconds=1)

    assert exact - 1 < to_ms(length) <= exact


@given(st.integers(0, DURATION_MS_MAX))
def test_a_shown_duration_is_read_back(ms: int) -> None:
    assert to_ms(show_ms(ms)) == ms


@given(st.text())
def test_any_text_is_read_or_refused_with_our_error(text: str) -> None:
    try:
        ms = to_ms(text)
    except InvalidDuration:
        return
    assert 0 <= ms <= DURATION_MS_MAX


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0B", 0),
        ("512B", 512),
        ("64KiB", 65_536),
        ("1.5 MiB", 1_572_864),
        ("2GiB", 2_147_483_648),
        ("1kB", 1_000),
        ("3MB", 3_000_000),
        ("1GB", 1_000_000_000),
    ],
)
def test_a_size_is_read_with_its_unit(text: str, size_bytes: int) -> None:
    assert to_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "64", "64K", "64kib", "-1B", "KiB", "1e3B", "64 KiB x"])
def test_other_text_is_no_size(text: str) -> None:
    with pytest.raises(InvalidSize, match='give "512B", "64KiB"'):
        to_bytes(text)


@given(st.integers(0, 1 << 45))
def test_a_shown_size_is_read_back_exactly(size_bytes: int) -> None:
    assert to_bytes(show_bytes_exactly(size_bytes)) == size_bytes
