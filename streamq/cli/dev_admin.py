"""The admin beside `streamq dev`: `streamq web` in a process of its own, which ends with this one.

A process, since the engine does not know the admin; the verb is all that it knows of it.
"""

import asyncio
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Final

from streamq.brought import Fact
from streamq.cli import verbs
from streamq.lookup import RedisPlace

VERB: Final = "web"
PACKAGES: Final = ("starlette", "uvicorn")
"""What the extra brings."""
START_LIMIT_S: Final = 20.0
END_LIMIT_S: Final = 15.0
"""More than it gives the requests on their way."""
FACTS_MAX: Final = 10
_SAID_BYTES_MAX: Final = 4_096


class AdminProcess:
    """One that was started; see `beside`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    async def facts(self) -> Sequence[Fact]:
        """What it says of itself, once it listens; or that it does not."""
        reading = asyncio.create_task(asyncio.to_thread(self._read))
        done, _ = await asyncio.wait([reading], timeout=START_LIMIT_S)
        if not done:
            self._process.kill()  # which ends the reading
            return [("admin", f"did not start within {START_LIMIT_S:g} s; the rest goes on")]
        return reading.result() or [("admin", "did not start, as said above; the rest goes on")]

    def _read(self) -> list[Fact]:
        said = self._process.stdout
        assert said is not None
        found: list[Fact] = []
        while len(found) < FACTS_MAX:
            line = said.readline(_SAID_BYTES_MAX).decode("utf-8", "replace")
            label, gap, fact = line.rstrip("\n").partition("  ")
            if not gap:
                break  # the empty line behind the last, or its end
            found.append((label, fact))
        return found

    def end(self) -> None:
        """Ends it, whatever it does."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def beside(args: Namespace, target: str, place: RedisPlace | None) -> Iterator[AdminProcess | None]:
    """Starts it, and ends it at the end; None where it is not installed.

    `place`: where Redis is; None: as the app itself says.
    """
    if VERB not in verbs.others() or not all(map(find_spec, PACKAGES)):
        yield None
        return
    admin = AdminProcess(
        subprocess.Popen(
            [sys.executable, "-m", "streamq", VERB, target, "--dev", *_said(args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # By the environment: a URL may hold a password, and arguments are everybody's to read.
            env={**os.environ, **({} if place is None else {"STREAMQ_REDIS": place.url})},
            # Ctrl-C is for this process: whoever looks sees how the workers end.
            process_group=0,
        )
    )
    try:
        yield admin
    finally:
        admin.end()


def _said(args: Namespace) -> list[str]:
    words = [("--config", args.config), ("--prefix", args.prefix)]
    return [part for option, value in words if value is not None for part in (option, value)]
