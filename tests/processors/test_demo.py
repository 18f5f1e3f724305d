"""The demo as a newcomer runs it: everything starts, works, is opened and ends; nothing remains."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from processors.demo.kinds import NINE
from processors.demo.timetable import steps
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
LIMIT_S = 200


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where the demo makes its folder; a root's PostgreSQL gets through to it."""
    with tempfile.TemporaryDirectory(prefix="demo-of-tests-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o711)
        yield Path(made)


def started(temporary: Path) -> "subprocess.Popen[str]":
    # What it must not listen to: a demo that cleaned up a real database would be its last.
    traps = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/real", "REDIS_URL": "redis://h:1"}
    return subprocess.Popen(
        [sys.executable, "-m", "processors.demo"],
        cwd=ROOT,
        env={**os.environ, **traps, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_of(temporary: Path) -> list[str]:
    """Processes that have anything to do with that folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        about = [process.info["cwd"] or "", *(process.info["cmdline"] or ())]
        if any(str(temporary) in word for word in about):
            found.append(" ".join(about))
    return found


def test_each_kind_and_each_schedule_comes_to_what_was_promised(temporary: Path) -> None:
    with started(temporary) as demo:
        said, _ = demo.communicate(timeout=LIMIT_S)

    assert demo.returncode == 0, said
    rows = [line.split("  ")[0] for line in said.splitlines() if "  completed  " in line]
    assert rows == [step.name for step in (*NINE, *steps())]
    assert "failed" not in said
    (folder,) = temporary.glob("streamq-demo-*")
    assert {path.name for path in (folder / ".streamq").iterdir()} == {"dev.lock", "outbox", "s3"}
    assert (folder / ".streamq" / "outbox" / "index.html").exists()
    until(lambda: not left_of(temporary), "nothing of it runs any more", limit_s=LIMIT_S)


def test_a_demo_that_is_killed_leaves_nothing_behind(temporary: Path) -> None:
    with started(temporary) as demo:
        assert demo.stdout is not None
        until(
            lambda: any(temporary.glob("streamq-demo-*/.streamq/dev.env")),
            "it is up",
            limit_s=LIMIT_S,
        )
        demo.send_signal(signal.SIGKILL)

    until(lambda: not left_of(temporary), "nothing of it runs any more", limit_s=LIMIT_S)
