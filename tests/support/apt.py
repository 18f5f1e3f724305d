"""Packages of Debian that a test needs and the machine lacks: as root and in CI only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LIMIT_S: Final = 300
SERVICE_POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""What Debian asks before it starts a service; see invoke-rc.d(8)."""


def may_install() -> bool:
    """Whether this run may change the machine."""
    return os.environ.get("CI") == "true" and os.geteuid() == 0


def install(package: str) -> None:
    """With the start of services denied; whether it worked is seen by looking for the program."""
    assert may_install()
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_service_starts():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            try:
                subprocess.run(
                    ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", *command],
                    env=quiet,
                    stdin=subprocess.DEVNULL,
                    timeout=LIMIT_S,
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
