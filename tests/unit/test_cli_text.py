"""Text of other people never commands the terminal, and always fits its place."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.cli.text import columns_of, cut, harmless, harmless_json, harmless_lines

HOSTILE = {
    "\x1b[31mred": "\\x1b[31mred",
    "\x1b]0;owned\x07": "\\x1b]0;owned\\x07",
    "two\nlines\r\ttab": "two\\nlines\\r\\ttab",
    "\x9b31m": "\\x9b31m",
    "turned \u202eback": "turned \\u202eback",
    "no\u200bwidth": "no\\u200bwidth",
    "bell\x07 null\x00": "bell\\x07 null\\x00",
    "plane 14 \U000e0041": "plane 14 \\U000e0041",
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.items())
def test_what_a_terminal_obeys_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(st.text())
def test_no_text_reaches_a_terminal_with_a_sign_that_it_obeys(text: str) -> None:
    assert harmless(text).isprintable()


@pytest.mark.parametrize("text", ["", "ação", "日本語", "José & Ana <ana@sol.example>", "🏠"])
def test_plain_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_a_blank_of_another_kind_is_shown_as_a_blank() -> None:
    assert harmless("R$\xa01.500") == "R$ 1.500"


def test_lines_of_a_traceback_stay_lines_and_tabs_become_blanks() -> None:
    assert [*harmless_lines("a:\n\tb\x1b[2J")] == ["a:", "    b\\x1b[2J"]


@given(st.text())
def test_json_made_harmless_means_the_same(text: str) -> None:
    line = harmless_json(json.dumps({"said": text}, ensure_ascii=False))

    assert json.loads(line) == {"said": text}
    assert not any(unicodedata.category(c) == "Cc" for c in line)
    assert "\u202e" not in line


@pytest.mark.parametrize(
    ("text", "columns"), [("", 0), ("abc", 3), ("日本", 4), ("e\u0301", 1), ("🏠", 2)]
)
def test_width_is_measured_in_columns_of_a_terminal(text: str, columns: int) -> None:
    assert columns_of(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [("short", 5, "short"), ("longer", 5, "long…"), ("日本語です", 5, "日本…"), ("ab", 1, "…")],
)
def test_what_does_not_fit_is_cut_and_says_so(text: str, columns: int, shown: str) -> None:
    assert cut(text, columns) == shown


@given(st.text(), st.integers(1, 40))
def test_a_cut_text_never_takes_more_columns_than_it_has(text: str, columns: int) -> None:
    assert columns_of(cut(harmless(text), columns)) <= columns
