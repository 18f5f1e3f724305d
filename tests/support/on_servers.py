"""Runs the tests that speak to Redis on the servers that are not the default: `make test-servers`.

A server that is not there is skipped with a line that says so. With CI=true that is a failure, and
as root what Debian has is installed first, with the start of services denied (tests start theirs).
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support import apt
from tests.support.servers import CHOICE, ServerKind, find

ROOT: Final = Path(__file__).parents[2]
KINDS: Final = (ServerKind.REDIS62, ServerKind.REDIS70, ServerKind.CLUSTER)
FOLDERS: Final = ("tests/transitions", "tests/integration")
SIDE_BY_SIDE: Final = ("--numprocesses", "auto", "--maxprocesses", "8")


def main() -> int:
    in_ci = os.environ.get("CI") == "true"
    failed = False
    for kind in KINDS:
        if find(kind) is None and kind is ServerKind.REDIS70 and apt.may_install():
            apt.install("redis-server")
        found = find(kind)
        if found is None:
            word = "FAILED" if in_ci else "SKIPPED"
            print(f"!!! {word}: {kind.label} is not here: {kind.way_out}", flush=True)
            failed |= in_ci
            continue
        print(f"=== {kind.label}: {found.version}", flush=True)
        failed |= _run_tests(kind) != 0
    return int(failed)


def _run_tests(kind: ServerKind) -> int:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *SIDE_BY_SIDE, *FOLDERS],
        cwd=ROOT,
        env=os.environ | {CHOICE: kind.value},
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
