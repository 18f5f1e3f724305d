"""Running a program that refuses to run as root: as a user who may nothing."""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

USER: Final = "nobody"
"""Whom a root's server runs as: every system has it, and nothing is its own."""
STEP_LIMIT_S: Final = 60.0

_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG


class Owner(msgspec.Struct, frozen=True):
    """The user and group that programs run as and that their files belong to."""

    uid: int
    gid: int


def unprivileged() -> Owner | None:
    """Whom a root gives its servers to; None: to itself, for it is no root."""
    if os.geteuid() != 0:
        return None
    found = pwd.getpwnam(USER)
    return Owner(found.pw_uid, found.pw_gid)


def run_as(owner: Owner | None, words: Sequence[str | Path], folder: Path) -> None:
    """One program, to its end. Raises CalledProcessError, TimeoutExpired, OSError."""
    subprocess.run(
        words,
        cwd=folder,
        env=environ_of(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=STEP_LIMIT_S,
        user=None if owner is None else owner.uid,
        group=None if owner is None else owner.gid,
        extra_groups=None if owner is None else [],
    )


def start_as(
    owner: Owner | None, words: Sequence[str | Path], folder: Path, log: IO[bytes]
) -> "subprocess.Popen[bytes]":
    """A server, in a session of its own: a Ctrl-C at the terminal is not for it.

    It gets SIGQUIT when the *thread* that called this ends (Linux): call it from one that lives as
    long as the server should, not from `asyncio.to_thread`.
    """
    return subprocess.Popen(
        words,
        cwd=folder,
        env=environ_of(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        start_new_session=True,
        user=None if owner is None else owner.uid,
        group=None if owner is None else owner.gid,
        extra_groups=None if owner is None else [],
        preexec_fn=with_parent(signal.SIGQUIT),
    )


def environ_of(folder: Path) -> dict[str, str]:
    """Built from nothing: what our own environment holds is not for the server."""
    return {"HOME": str(folder), "LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


def with_parent(sign: signal.Signals) -> Callable[[], None] | None:
    """For `preexec_fn`: the system sends that signal when the thread ends that started it (Linux).

    None where it cannot.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # not after the fork: loading may wait for another's lock

    def ask() -> None:
        prctl(_DIE_WITH_PARENT, sign)

    return ask
