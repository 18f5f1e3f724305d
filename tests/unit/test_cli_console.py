"""What is printed: for people or for programs, in colour or not, in columns that fit."""

import io
import json

from streamq.cli.console import Cell, Column, Console

COLUMNS = (Column("NAME", least=6), Column("COUNT", right=True), Column("NOTE", least=6))


class Printed:
    """A console and what it wrote."""

    def __init__(
        self,
        *,
        as_json: bool = False,
        colour: bool = False,
        width: int | None = None,
        encoding: str = "utf-8",
    ) -> None:
        self._out, self._err = (
            io.TextIOWrapper(io.BytesIO(), encoding, newline="") for _ in range(2)
        )
        self.console = Console(
            self._out, self._err, as_json=as_json, colour=colour, colour_err=colour, width=width
        )

    @property
    def out(self) -> str:
        return _written(self._out)

    @property
    def err(self) -> str:
        return _written(self._err)


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def test_people_get_lines_and_programs_get_objects() -> None:
    human, program = Printed(), Printed(as_json=True)

    for printed in (human, program):
        printed.console.line("three jobs")
        printed.console.record({"jobs": 3})
        printed.console.note("more are there")

    assert (human.out, human.err) == ("three jobs\n", "more are there\n")
    assert (json.loads(program.out), program.err) == ({"jobs": 3}, "")


def test_an_error_is_a_sentence_for_people_and_an_object_for_programs() -> None:
    human, program = Printed(), Printed(as_json=True)

    for printed in (human, program):
        printed.console.failure("SQ101 Redis is away.", {"code": "SQ101", "exit_code": 3})

    assert human.err == "SQ101 Redis is away.\n"
    assert json.loads(program.err) == {"error": {"code": "SQ101", "exit_code": 3}}
    assert human.out == program.out == ""


def test_colour_is_there_only_where_it_is_wanted() -> None:
    plain, coloured = Printed(), Printed(colour=True)

    for printed in (plain, coloured):
        printed.console.line("state: ", Cell("failed", "red"))
        printed.console.failure("SQ101 Away.", {})

    assert plain.out == "state: failed\n"
    assert coloured.out == "state: \x1b[31mfailed\x1b[0m\n"
    assert coloured.err == "\x1b[1;31mSQ101\x1b[0m Away.\n"


def test_colours_in_the_data_of_a_job_are_never_obeyed() -> None:
    printed = Printed(colour=True)

    printed.console.line("name: ", "\x1b[31mred")
    printed.console.table(COLUMNS, [[Cell("\x1b[2J", "red"), "1", "\x07"]])
    printed.console.failure("no job '\x1b]0;x\x07'", {})

    assert "\\x1b[31mred" in printed.out and "\x1b[31m\\x1b[2J\x1b[0m" in printed.out
    assert "\x07" not in printed.out + printed.err and "\x1b]" not in printed.err


def test_json_holds_no_sign_that_a_terminal_obeys() -> None:
    printed = Printed(as_json=True)

    printed.console.record({"name": "\x1b[31m \x9b \u202e"})

    assert printed.out.isascii() and json.loads(printed.out)["name"] == "\x1b[31m \x9b \u202e"


def test_a_table_is_as_wide_as_its_cells_and_has_no_blanks_at_its_end() -> None:
    printed = Printed()

    printed.console.table(COLUMNS, [["email", "12", ""], ["payment-reminder", "3", "paused"]])

    assert printed.out.splitlines() == [
        "NAME              COUNT  NOTE",
        "email                12",
        "payment-reminder      3  paused",
    ]


def test_a_table_on_a_terminal_is_cut_to_fit_it() -> None:
    printed = Printed(width=32)

    printed.console.table(COLUMNS, [["a-very-long-name-of-a-queue", "12", "x" * 40]])

    lines = printed.out.splitlines()
    assert [len(line) for line in lines[1:]] == [32]
    assert "12" in lines[1] and lines[1].count("…") == 2


def test_a_table_that_nothing_shows_on_a_terminal_is_never_cut() -> None:
    printed = Printed(width=None)

    printed.console.table(COLUMNS, [["a" * 100, "1", "b" * 100]])

    assert "…" not in printed.out


def test_cells_of_two_columns_a_sign_stand_in_line() -> None:
    printed = Printed()

    printed.console.table(COLUMNS, [["日本", "1", "a"], ["abcd", "2", "b"]])

    assert printed.out.splitlines()[1:] == ["日本      1  a", "abcd      2  b"]


def test_a_terminal_without_our_signs_gets_others() -> None:
    printed = Printed(encoding="ascii", width=20)

    printed.console.line("… and more →")
    printed.console.table([Column("NAME", least=5)], [["n" * 40]])

    assert printed.out.isascii()
    assert printed.out.startswith("... and more ->\n") and printed.out.endswith("n...\n")
