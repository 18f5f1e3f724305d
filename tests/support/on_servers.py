"""Runs the tests that speak to Redis on the servers that are not the default: `make test-servers`.

A server that is not there is skipped with a line that says so. With CI=true that is a failure, and
as root what Debian has is installed first, with the start of services denied (tests start theirs).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.servers import CHOICE, ServerKind, find

ROOT: Final = Path(__file__).parents[2]
KINDS: Final = (ServerKind.REDIS62, ServerKind.REDIS70)
FOLDERS: Final = ("tests/transitions", "tests/integration")

APT_LIMIT_S: Final = 300
SERVICE_POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""What Debian asks before it starts a service; see invoke-rc.d(8)."""


def main() -> int:
    in_ci = os.environ.get("CI") == "true"
    failed = False
    for kind in KINDS:
        if find(kind) is None and kind is ServerKind.REDIS70 and in_ci and os.geteuid() == 0:
            _install("redis-server")
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
        [sys.executable, "-m", "pytest", "-q", *FOLDERS],
        cwd=ROOT,
        env=os.environ | {CHOICE: kind.value},
        check=False,
    ).returncode


def _install(package: str) -> None:
    """As root and in CI only; whether it worked is seen by looking for the program again."""
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_service_starts():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            try:
                subprocess.run(
                    ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", *command],
                    env=quiet,
                    stdin=subprocess.DEVNULL,
                    timeout=APT_LIMIT_S,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                print(f"apt-get {command[0]}: {error}", flush=True)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    if SERVICE_POLICY.exists():
        # The machine has a rule of its own (a container's image, mostly the same one): it stays.
        yield
        return
    try:
        SERVICE_POLICY.write_text("#!/bin/sh\nexit 101\n")
        SERVICE_POLICY.chmod(0o755)
        yield
    finally:
        SERVICE_POLICY.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
