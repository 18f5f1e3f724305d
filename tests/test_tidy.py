"""The house rules hold in every file; and each rule does catch what it is there for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support import tidiness
from tests.support.tidiness import RULES, Rule, Source, sources

ROOT: Final = Path(__file__).parents[1]
CHECKOUT: Final = tuple(sources(ROOT))

SCRIPT: Final = "streamq/store/scripts/move.lua"
GOOD_SCRIPT: Final = """\
-- move: put a job elsewhere.
--
-- From     waiting                  To   parked
-- Bound    one job
-- KEYS     jobs
-- ARGV     id
-- USES     clock
-- RETURNS  1
-- ERRORS   none

return 1
"""
# What else must be there for the script to be in order.
AROUND_IT: Final = {
    "streamq/store/scripts/lib/clock.lua": "-- clock: the time.\n",
    "streamq/store/transitions.py": '"""Transitions."""\n\n\nasync def move() -> None: ...\n',
    "tests/transitions/test_move.py": "",
}


def _complaints(rule: Rule, checkout: tuple[Source, ...]) -> list[str]:
    return [f"{source.name}: {said}" for source in checkout for said in rule(source)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_checkout_is_tidy(rule: Rule) -> None:
    assert CHECKOUT, "no files were found: the rules would hold for nothing"

    complaints = _complaints(rule, CHECKOUT)

    assert not complaints, "\n" + "\n".join(complaints)


def _caught(rule: Rule, tmp_path: Path, files: Mapping[str, str]) -> list[str]:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return _complaints(rule, tuple(sources(tmp_path)))


def _script(**changed: str) -> dict[str, str]:
    text = GOOD_SCRIPT
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    return AROUND_IT | {SCRIPT: text}


BAD: Final[list[tuple[Rule, dict[str, str]]]] = [
    (tidiness.a_file_is_short, {"tests/long.py": "x = 1\n" * 501}),
    (tidiness.a_file_is_short, {"streamq/store/scripts/lib/long.lua": "x()\n" * 151}),
    (tidiness.a_function_is_short, {"tests/a.py": "def f():\n" + "    x = 1\n" * 70}),
    (tidiness.a_module_says_what_it_owns, {"streamq/a.py": "x = 1\n"}),
    (tidiness.a_module_says_what_it_owns, {"streamq/utils.py": '"""All sorts."""\n'}),
    (tidiness.words_are_ours, {"streamq/a.py": "class SendTask: ...\n"}),
    (tidiness.words_are_ours, {"streamq/a.py": "def add(task): ...\n"}),
    (tidiness.words_are_ours, {"streamq/a.py": "import asyncio\ndef run_task(): ...\n"}),
    (tidiness.words_are_ours, {"processors/a.py": "self.max_tries = 3\n"}),
    (
        tidiness.only_three_places_catch_everything,
        {"streamq/queue.py": "try: f()\nexcept Exception: pass\n"},
    ),
    (
        tidiness.only_three_places_catch_everything,
        {"streamq/queue.py": "try: f()\nexcept (KeyError, BaseException) as e: raise X from e\n"},
    ),
    (
        tidiness.only_three_places_catch_everything,
        {"streamq/run/worker.py": "try: f()\nexcept: pass\ntry: f()\nexcept: pass\n"},
    ),
    (tidiness.nothing_sleeps_for_luck, {"tests/test_a.py": "import time\ntime.sleep(1)\n"}),
    (tidiness.nothing_sleeps_for_luck, {"streamq/a.py": "from time import sleep\n"}),
    (tidiness.types_say_what_they_mean, {"streamq/a.py": "from typing import Any\n"}),
    (tidiness.types_say_what_they_mean, {"streamq/a.py": "import typing\nx: typing.Any\n"}),
    (tidiness.a_script_has_its_header, _script(move="shove")),
    (tidiness.a_script_has_its_header, _script(Bound="Limit")),
    (tidiness.a_script_has_its_header, _script(To="Into")),
    (tidiness.a_script_names_its_fragments, _script(clock="clock\n--          wake")),
    (tidiness.a_fragment_is_used, _script(clock="other")),
    (tidiness.nobody_counts_positions, _script(**{"return 1": "return KEYS[1]"})),
    (
        tidiness.a_script_has_its_function_and_its_tests,
        _script() | {"streamq/store/transitions.py": "async def move_all(): ..."},
    ),
    (tidiness.a_script_has_its_function_and_its_tests, {SCRIPT: GOOD_SCRIPT}),
    (tidiness.nothing_knows_this_machine, {"README.md": "cd /" + "root/streamq"}),
    (tidiness.nothing_knows_this_machine, {"tests/a.py": "x = '/" + "work/main'"}),
    (tidiness.no_index_has_an_address, {"requirements.lock": "--index" + "-url x"}),
    (tidiness.no_index_has_an_address, {"Makefile": "see https://py" + "pi.org/project/x"}),
    (tidiness.no_secret_is_kept, {"processors/a.py": "-----BEGIN " + "PRIVATE KEY-----"}),
    (tidiness.no_secret_is_kept, {"docs/a.md": "AKIA" + "0123456789ABCDEF"}),
    (tidiness.nothing_is_left_to_nobody, {"streamq/a.py": "# TO" + "DO: later\n"}),
]


@pytest.mark.parametrize(("rule", "files"), BAD)
def test_each_rule_catches_what_it_is_for(
    rule: Rule, files: dict[str, str], tmp_path: Path
) -> None:
    assert _caught(rule, tmp_path, files)


def test_every_rule_has_a_case_that_it_catches() -> None:
    assert {rule for rule, _ in BAD} == set(RULES)


GOOD: Final = [
    {"streamq/a.py": '"""Runs jobs."""\nimport asyncio\ntask = asyncio.create_task(f())\n'},
    {"streamq/run/worker.py": '"""A worker."""\ntry: f()\nexcept Exception: pass\n'},
    {"streamq/a.py": '"""A."""\ntry: f()\nexcept BaseException:\n    g()\n    raise\n'},
    {"Makefile": "pip-compile --no-emit-index" + "-url"},
    {"docs/a.md": "see /workers/3 and $HOME/x; # TO" + "DO(#12) later"},
    _script(),
]


@pytest.mark.parametrize("files", GOOD)
def test_the_rules_let_what_is_in_order_pass(files: dict[str, str], tmp_path: Path) -> None:
    assert [said for rule in RULES for said in _caught(rule, tmp_path, files)] == []
