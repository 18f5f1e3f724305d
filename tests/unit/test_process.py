"""As process 1 of a container a daemon takes what strangers leave behind."""

import subprocess
import sys

import pytest

ADOPTS = """
import ctypes, os, subprocess, sys
from streamq.run.process import reap_orphans
from tests.support.waiting import until

ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what process 1 is to a container
ours = subprocess.Popen(["sh", "-c", "exit 3"])
parent = subprocess.run(
    ["sh", "-c", "sleep 0.05 & echo $!"], stdout=subprocess.PIPE, text=True, check=True
)
orphan = int(parent.stdout)

def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"

until(lambda: state(orphan) == "Z", "the orphan has ended, and is ours to take")
until(lambda: state(ours.pid) == "Z", "our own child has ended too")
for _ in range(3):
    reap_orphans({ours.pid})
    ours.poll()  # which would say 0 if its status had been taken by somebody else
print(ours.returncode, state(orphan))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that has containers like these")
def test_orphans_are_taken_and_our_own_children_are_left_to_their_owner() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ADOPTS], capture_output=True, text=True, timeout=30, check=False
    )

    assert done.stdout == "3 gone\n", done.stderr
