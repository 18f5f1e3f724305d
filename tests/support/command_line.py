"""The command line as a user has it: a process of its own, in a folder of its own.

line = CommandLine(server.url, prefix, tmp_path)
done = line.run("queues", "--json")
assert done.code == 0, done
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from tests.support import servers

ROOT: Final = Path(__file__).parents[2]
LIMIT_S: Final = 40.0
"""For one command, on a machine that is busy with other tests."""

NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})

SHOP: Final = '''\
"""A small application, as a user would write it."""

import asyncio

from streamq import App, Context, Fail, Payload

app = App("shop")
app.declare_queue("email", concurrency=5)


class Welcome(Payload):
    to: str
    name: str = "friend"


@app.job("email")
async def welcome(data: Welcome, job: Context) -> dict[str, str]:
    job.log(f"writing to {data.to}")
    return {"sent": data.to}


@app.job("email")
async def bounce(data: Welcome) -> None:
    raise Fail("550 no such mailbox")


@app.job("email")
async def slow(data: Welcome, job: Context) -> None:
    job.log("began")
    await asyncio.sleep(120)


@app.job("report", name="make-*")
def make(data) -> str:
    return "made"
'''


class Done(msgspec.Struct, frozen=True):
    """A command that has ended."""

    code: int
    out: str
    err: str

    def records(self) -> list[dict[str, object]]:
        """What --json printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    def record(self) -> dict[str, object]:
        """The same, of a command that prints one."""
        (only,) = self.records()
        return only


class CommandLine:
    """Commands in one folder, against one server, under one prefix."""

    def __init__(self, url: str | None, prefix: str, folder: Path) -> None:
        self.folder = folder
        self._own = {"STREAMQ_PREFIX": prefix} | ({"REDIS_URL": servers.door(url)} if url else {})

    def with_shop(self) -> None:
        """From now on the folder holds an app, and settings that name it."""
        (self.folder / "shop.py").write_text(SHOP)
        (self.folder / "streamq.toml").write_text('app = "shop:app"\n')

    def environ(self, variables: Mapping[str, str] = NO_VARIABLES) -> dict[str, str]:
        """Nothing of the outer environment that is a setting of ours, and nothing of its looks."""
        outer = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("STREAMQ_", "REDIS_")) and name not in ("NO_COLOR", "COLUMNS")
        }
        # Where the package is imported from its folder, that must not depend on the current one.
        return {**outer, "PYTHONPATH": str(ROOT), "TERM": "xterm", **self._own, **variables}

    def run(
        self,
        *words: str,
        stdin: str | bytes = "",
        variables: Mapping[str, str] = NO_VARIABLES,
    ) -> Done:
        """Runs `streamq WORDS` to its end."""
        ended = subprocess.run(
            command(*words),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            cwd=self.folder,
            env=self.environ(variables),
            timeout=LIMIT_S,
            check=False,
        )
        return Done(
            ended.returncode,
            ended.stdout.decode("utf-8", "replace"),
            ended.stderr.decode("utf-8", "replace"),
        )

    def start(
        self, *words: str, log: Path, variables: Mapping[str, str] = NO_VARIABLES
    ) -> "subprocess.Popen[bytes]":
        """Starts one that goes on; what it prints goes to `log`, both streams of it."""
        with log.open("wb") as out:
            return subprocess.Popen(
                command(*words),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environ(variables),
            )


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "streamq", *words]
