"""`streamq dev` in a folder of its own, as a developer starts it, until we are done with it."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from processors.standins.unprivileged import with_parent
from streamq.cli.dev_beside import ENV_FILE, FOLDER
from streamq.lookup import DEV_URL_FILE

START_LIMIT_S: Final = 60.0
END_LIMIT_S: Final = 30.0
LOG: Final = "dev.log"
_LOOK_EVERY_S: Final = 0.1
_TAIL_CHARS: Final = 2_000

# Whatever else the caller's environment says, of a real database above all, is not for a demo.
_PASSED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")


class DevFailed(Exception):
    """It did not start, or did not end as it should; the message has its last words."""


class Running(msgspec.Struct, frozen=True):
    """What it brought up."""

    folder: Path
    redis_url: str
    variables: Mapping[str, str]
    """Of its database and its S3."""


def clean_environ() -> dict[str, str]:
    """What a process of the demo is given."""
    return {name: os.environ[name] for name in _PASSED if name in os.environ}


@contextmanager
def running(folder: Path, config: Path, variables: Mapping[str, str]) -> Iterator[Running]:
    """Blocking. Raises DevFailed."""
    # Whoever has no rights (a root's PostgreSQL) gets through to its data, and sees nothing else.
    for each in (folder, folder / FOLDER):
        each.mkdir(exist_ok=True)
        each.chmod(0o711)
    with (folder / LOG).open("wb") as log:
        dev = subprocess.Popen(
            # Each schedule is run by hand: one whose time comes meanwhile would do others' work.
            [sys.executable, "-m", "streamq", "dev", f"--config={config}", "--no-scheduler"],
            cwd=folder,
            env={**clean_environ(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C at the terminal is for us
            preexec_fn=with_parent(signal.SIGTERM),
        )
    try:
        yield _ready(dev, folder)
    finally:
        dev.send_signal(signal.SIGINT)
        try:
            dev.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            dev.kill()
            dev.wait()
    if dev.returncode != 0:
        raise DevFailed(f"streamq dev ended with {dev.returncode}: {_tail(folder)}")


def _ready(dev: "subprocess.Popen[bytes]", folder: Path) -> Running:
    redis_url, env = folder / DEV_URL_FILE, folder / ENV_FILE
    deadline = time.monotonic() + START_LIMIT_S
    while not (redis_url.exists() and env.exists()):
        with suppress(subprocess.TimeoutExpired):
            dev.wait(_LOOK_EVERY_S)
        if dev.returncode is not None or time.monotonic() > deadline:
            raise DevFailed(f"streamq dev did not start: {_tail(folder)}")
    pairs = (word.partition("=") for word in shlex.split(env.read_text()))
    return Running(folder, redis_url.read_text().strip(), {name: value for name, _, value in pairs})


def _tail(folder: Path) -> str:
    return (folder / LOG).read_text(errors="replace")[-_TAIL_CHARS:]
