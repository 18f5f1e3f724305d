"""The simulator holds on the engine as it is, and a seed is the same each time."""

import re
import subprocess
import sys
from typing import Final

import pytest

SECONDS: Final = 45
"""A fixed budget, and always the same seeds: a change is judged by itself."""
STEPS: Final = 25


def sim(*said: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: the order of sets is to be the same each time."""
    return subprocess.run(
        [sys.executable, "-m", "streamq.testing", "sim", *said],
        capture_output=True, text=True, timeout=SECONDS * 4, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 4)
def test_whatever_fails_no_job_is_lost_and_none_runs_twice_under_one_lease() -> None:
    ran = sim("--seeds", "1:20", "--steps", str(STEPS), "--seconds", str(SECONDS))
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
def test_a_seed_is_the_same_each_time() -> None:
    said = ("--seeds", "2:5", "--steps", "15", "--each")
    one, other = (re.findall("trace .*", sim(*said).stdout) for _ in range(2))
    assert len(one) == 4
    assert one == other


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 4)
def test_two_workers_and_two_jobs_come_through_a_crash_and_a_lost_reply_in_any_order() -> None:
    ran = sim("--exhaustive", "1", "1", "0")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = re.search(r"(\d+) interleavings, all there are", ran.stdout)
    assert found is not None
    assert int(found[1]) > 300, "the choices are not made any more"
