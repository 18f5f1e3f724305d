"""Runs the tests on each server (`make test`), with `--others` not on the default.

A server that is not there is skipped with a line that says so. With CI=true that is a failure, and
as root what Debian has is installed first, with the start of services denied (tests start theirs).

A few tests that fail beside others are run once more, alone: a shared machine may starve a test
for seconds. They are named as UNSTEADY, which is a bug of the test or of the engine. A broken
invariant is never tried again (tests/conftest.py ends such a run with a code of its own).
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from tests.support import apt
from tests.support.servers import CHOICE, ServerKind, find

ROOT: Final = Path(__file__).parents[2]
DEFAULT: Final = ServerKind.VALKEY
OTHERS: Final = (ServerKind.REDIS62, ServerKind.REDIS70, ServerKind.CLUSTER)
FOLDERS: Final = ("tests/transitions", "tests/integration")
"""What the other servers are tried with; the default runs all."""
SIDE_BY_SIDE: Final = ("--numprocesses", "auto", "--maxprocesses", "8")
AGAIN_MAX: Final = 5
"""More than that is no accident."""


def main() -> int:
    kinds = OTHERS if sys.argv[1:] == ["--others"] else (DEFAULT, *OTHERS)
    failed = [kind.label for kind in kinds if not _passes(kind)]
    if failed:
        print(f"!!! FAILED on {', '.join(failed)}", flush=True)
    return int(bool(failed))


def _passes(kind: ServerKind) -> bool:
    found = find(kind)
    if found is None and kind is ServerKind.REDIS70 and apt.may_install():
        apt.install("redis-server")
        found = find(kind)
    if found is None:
        in_ci = os.environ.get("CI") == "true"
        word = "FAILED" if in_ci else "SKIPPED"
        print(f"!!! {word}: {kind.label} is not here: {kind.way_out}", flush=True)
        return not in_ci
    print(f"=== {kind.label}: {found.version}", flush=True)
    folders = () if kind is DEFAULT else FOLDERS
    with tempfile.TemporaryDirectory() as cache:
        code = _pytest(kind, cache, *SIDE_BY_SIDE, *folders)
        failed = _failed(Path(cache)) if code == 1 else []
        if not 0 < len(failed) <= AGAIN_MAX:
            return code == 0
        print(f"!!! UNSTEADY, once more and alone: {', '.join(failed)}", flush=True)
        return _pytest(kind, cache, *failed) == 0


def _pytest(kind: ServerKind, cache: str, *arguments: str) -> int:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={cache}", *arguments],
        cwd=ROOT,
        env=os.environ | {CHOICE: kind.value},
        check=False,
    ).returncode


def _failed(cache: Path) -> list[str]:
    """The tests that failed in the run that had this cache."""
    kept = cache / "v" / "cache" / "lastfailed"
    return sorted(msgspec.json.decode(kept.read_bytes(), type=dict[str, bool]))


if __name__ == "__main__":
    sys.exit(main())
