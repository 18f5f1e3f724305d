"""What the figures were taken on and with: they mean nothing without it."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.server import Cores, allocator_of
from streamq.embedded import EmbeddedServer

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("streamq", "redis", "hiredis", "msgspec", "uvloop")
GIT_LIMIT_S: Final = 5.0


class Machine(msgspec.Struct, frozen=True):
    cpu: str
    cores: int
    memory_gib: float
    system: str
    load_before: float
    """Of the last minute, before the first round: above 0.5, others were at work."""
    pinned: Cores


class ServerUsed(msgspec.Struct, frozen=True):
    name: str
    version: str
    allocator: str
    origin: str
    append_only: bool = False


class Setting(msgspec.Struct, frozen=True):
    """Where and when a run was made."""

    at: datetime
    commit: str
    changed: bool
    """Whether files of the engine or the benchmark differed from that commit."""
    machine: Machine
    server: ServerUsed
    python: str
    versions: dict[str, str]
    loop: str = "uvloop"
    log_level: str = "WARNING"


def setting_of(server: EmbeddedServer, cores: Cores) -> Setting:
    """The setting of a run that begins now."""
    return Setting(
        at=datetime.now(UTC).replace(microsecond=0),
        commit=_git("rev-parse", "HEAD") or "unknown",
        changed=bool(_git("status", "--porcelain", "--", "streamq", "benchmarks/*.py")),
        machine=Machine(
            cpu=_cpu_model(),
            cores=os.cpu_count() or 1,
            memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            system=f"{platform.system()} {platform.release()}",
            load_before=round(os.getloadavg()[0], 2),
            pinned=cores,
        ),
        server=ServerUsed(
            server.binary.name,
            server.version,
            allocator_of(server.binary),
            # A path would name this machine's folders.
            "wheel" if "wheel" in server.binary.origin else "PATH",
        ),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions={name: metadata.version(name) for name in PACKAGES},
    )


def _git(*words: str) -> str:
    """What git says; nothing where there is no git, or no checkout."""
    try:
        return subprocess.run(
            ["git", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=GIT_LIMIT_S,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
