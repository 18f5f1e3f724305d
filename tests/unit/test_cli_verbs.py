"""The table of verbs: each is there, explains itself, and a slip of the pen finds it."""

import io
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout

import pytest

from streamq.cli import main, verbs
from streamq.cli.parser import UsageError, parser_of, split_at_verb
from streamq.cli.spec import Command, Exit

ALL = verbs.names()


@pytest.fixture(autouse=True)
def _hook_put_back() -> Iterator[None]:
    before = sys.excepthook
    yield
    sys.excepthook = before


def _run(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as ended:  # argparse's own --help
            assert isinstance(ended.code, int)
            code = ended.code
    return code, out.getvalue(), err.getvalue()


def test_help_names_every_verb_in_a_line_that_fits() -> None:
    code, out, _ = _run("--help")

    assert code == Exit.OK
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert set(ALL) <= set(listed)
    assert max(map(len, out.splitlines())) <= 80


def test_no_words_at_all_show_the_help_and_are_a_wrong_use() -> None:
    code, out, _ = _run()

    assert code == Exit.USAGE
    assert "usage: streamq VERB" in out


@pytest.mark.parametrize("verb", ALL)
def test_each_verb_explains_itself_with_examples_in_80_columns(verb: str) -> None:
    code, out, _ = _run(verb, "--help")

    assert code == Exit.OK
    assert out.startswith(f"usage: streamq {verb}")
    assert "\nexamples:\n  " in out
    assert [line for line in out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("verb", ALL)
def test_each_verb_has_a_command_whose_examples_name_it(verb: str) -> None:
    command = verbs.find(verb)

    assert isinstance(command, Command)
    assert all(f"streamq {verb}" in example.command for example in command.examples)


@pytest.mark.parametrize("verb", ALL)
def test_the_examples_of_a_verb_are_commands_that_it_reads(verb: str) -> None:
    import shlex

    command = verbs.find(verb)
    for example in command.examples:
        words = shlex.split(example.command)
        behind = words[words.index(verb) + 1 :]
        behind = behind[: behind.index("<")] if "<" in behind else behind

        parser_of(verb, command).read(behind, Namespace())  # raises UsageError if it does not


def test_help_and_a_verb_is_the_same_as_the_verbs_help() -> None:
    assert _run("help", "queues") == _run("queues", "--help")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["quues"], "streamq: no verb 'quues'. Did you mean queues? All of them:  streamq --help"),
        (["xyzzy"], "streamq: no verb 'xyzzy'. All of them:  streamq --help"),
        (
            ["jobs", "email", "--stat", "failed"],
            "streamq jobs: no option --stat. Did you mean --state?",
        ),
        (["--jsn", "queues"], "streamq: no option --jsn. Did you mean --json?"),
        (["jobs", "email", "report"], "streamq jobs: one argument too many: 'report'"),
        (["jobs"], "streamq jobs: the following arguments are required: QUEUE"),
        (
            ["jobs", "email", "--state", "faild"],
            "streamq jobs: no 'faild' here. Did you mean failed? There are: waiting, delayed,"
            " active, completed, failed, parked",
        ),
        (
            ["jobs", "email", "--limit", "x"],
            "streamq jobs: argument --limit: invalid int value: 'x'",
        ),
    ],
)
def test_a_slip_of_the_pen_is_answered_by_what_was_meant(words: list[str], said: str) -> None:
    code, out, err = _run(*words)

    assert (code, out) == (Exit.USAGE, "")
    assert err.splitlines()[0] == said


def test_a_wrong_use_is_an_object_for_programs() -> None:
    code, _, err = _run("jobs", "--json")

    assert code == Exit.USAGE
    assert err.startswith('{"error": {"code": null, "message": "streamq jobs: the following')


def test_options_common_to_all_may_stand_before_the_verb() -> None:
    before, verb, behind = split_at_verb(["--redis", "redis://h:1", "-v", "job", "--json", "x"])

    assert (before, verb, behind) == (["--redis", "redis://h:1", "-v"], "job", ["--json", "x"])


def test_arguments_and_options_may_stand_in_any_order() -> None:
    command = verbs.find("add")

    args = parser_of("add", command).read(
        ["email", "--wait", "welcome", "--priority", "1", '{"to": "a"}'], Namespace()
    )

    assert (args.queue, args.name, args.data) == ("email", "welcome", '{"to": "a"}')


def test_an_option_is_never_cut_short() -> None:
    with pytest.raises(UsageError):
        parser_of("jobs", verbs.find("jobs")).read(["email", "--lim", "1"], Namespace())


def test_the_version_is_a_verb_and_an_option() -> None:
    assert _run("version")[1] == _run("--version")[1] == _run("-V")[1] != ""
