"""What the root imports, and when: a probe that runs every ten seconds must start at once."""

import json
import os
import subprocess
import sys

import pytest

import streamq

HEAVY = ("redis", "hiredis", "msgspec", "croniter", "asyncio", "logging", "concurrent", "ssl")
SAY = "; import json; print('\\n' + json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"


def _imported_by(program: str) -> set[str]:
    """The top-level modules in a fresh interpreter after it ran this."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; " + program + SAY],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env=os.environ | {"STREAMQ_REDIS": "redis://127.0.0.1:1"},
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "program",
    [
        "import streamq",
        "from streamq import StreamqError, Fail, Retry, Snooze",
        "from streamq.cli import main; main(['--help'])",
        "from streamq.cli import main; main(['health'])",
    ],
)
def test_little_is_imported_for(program: str) -> None:
    heavy = _imported_by(program) & set(HEAVY)

    assert not heavy


def test_a_producer_does_not_import_the_worker() -> None:
    names = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from streamq import App; App('a'); print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.split()

    assert "streamq.app" in names
    assert not [
        name for name in names if name.startswith(("streamq.run", "streamq.cli", "croniter"))
    ]


@pytest.mark.parametrize("name", streamq.__all__)
def test_each_public_name_is_there_and_stays_the_same(name: str) -> None:
    assert getattr(streamq, name) is getattr(streamq, name)


def test_the_lists_of_public_names_agree() -> None:
    assert streamq.__all__ == sorted(streamq.__all__) == dir(streamq)
    assert set(streamq.__all__) == set(streamq._HOMES)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Worker'"):
        getattr(streamq, "Worker")  # noqa: B009 - a type checker refuses the other way
