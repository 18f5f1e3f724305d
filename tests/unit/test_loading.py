"""An App is found by its name, or it is said well why not."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamq.errors import AppNotImportable, DuplicateHandler
from streamq.run.loading import load_app

GOOD = "from streamq import App\nshop = App('shop')\nother = App('other')\nthing = 5\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("zz_"):
            del sys.modules[name]


@pytest.mark.parametrize("folder", [".", "src"])
def test_an_app_is_found_in_the_current_folder_and_in_src(elsewhere: Path, folder: str) -> None:
    (elsewhere / folder).mkdir(exist_ok=True)
    (elsewhere / folder / "zz_good.py").write_text(GOOD)

    assert load_app("zz_good:shop").name == "shop"


@pytest.mark.parametrize(
    ("text", "target", "says"),
    [
        (None, "zz_absent:app", "ModuleNotFoundError 'zz_absent'"),
        ("import zz_missing\n", "zz_bad:app", "ModuleNotFoundError 'zz_missing'"),
        ("x = 1\n\n1 / 0\n", "zz_bad:app", "ZeroDivisionError: division by zero (zz_bad.py:3)"),
        ("def (:\n", "zz_bad:app", "SyntaxError: "),
        (GOOD, "zz_bad:app", "it has no attribute app"),
        (GOOD, "zz_bad", "it is to be module:app"),
        (GOOD, "zz_bad:thing", "it is a int, no App: thing"),
    ],
)
def test_what_cannot_be_imported_is_named_with_its_reason(
    elsewhere: Path, text: str | None, target: str, says: str
) -> None:
    if text is not None:
        (elsewhere / "zz_bad.py").write_text(text)

    with pytest.raises(AppNotImportable) as raised:
        load_app(target)

    assert raised.value.exit_code == 4
    assert f"SQ301 Cannot import {target}: " in str(raised.value)
    assert says in str(raised.value)


def test_the_apps_that_are_there_are_named(elsewhere: Path) -> None:
    (elsewhere / "zz_good.py").write_text(GOOD)

    with pytest.raises(AppNotImportable, match="zz_good:other, zz_good:shop"):
        load_app("zz_good:app")


def test_an_error_of_the_apps_own_making_keeps_its_own_words(elsewhere: Path) -> None:
    (elsewhere / "zz_twice.py").write_text(
        GOOD + "@shop.job('q', name='a')\ndef f(data): ...\n" * 2
    )

    with pytest.raises(DuplicateHandler):
        load_app("zz_twice:shop")
