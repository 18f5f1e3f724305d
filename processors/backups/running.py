"""A program that runs beside us: by its argument list, with an environment built from nothing."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

CHUNK_BYTES: Final = 1024**2
SAID_BYTES_MAX: Final = 4_096
"""Of what it writes to stderr, the last are kept."""


class Running:
    """What `running` gives: read from it or feed it, and ask how it ended."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self._process = process
        self._said = bytearray()
        self._listening = asyncio.create_task(self._listen())
        self._deaf = False

    async def read(self) -> bytes:
        """The next of its output, up to a megabyte; empty at its end."""
        assert self._process.stdout is not None
        return await self._process.stdout.read(CHUNK_BYTES)

    async def lines(self) -> AsyncIterator[str]:
        """Its output line by line, while somebody else feeds it."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            yield line.decode(errors="replace").rstrip("\n")

    async def feed(self, chunk: bytes) -> None:
        """Writes to its input; nothing once it has stopped to read, for that is its own affair."""
        if self._deaf:
            return
        assert self._process.stdin is not None
        if self._process.stdin.is_closing():  # uvloop has no word for that but RuntimeError
            self._deaf = True
            return
        try:
            self._process.stdin.write(chunk)
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            self._deaf = True

    async def ended(self) -> int:
        """Ends its input and waits for it; its exit code, below zero for a signal."""
        if self._process.stdin is not None:
            self._process.stdin.close()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                await self._process.stdin.wait_closed()
        code = await self._process.wait()
        await self._listening
        return code

    @property
    def said(self) -> str:
        """The end of what it wrote to stderr, on one line."""
        return " ".join(self._said.decode(errors="replace").split())

    async def end(self) -> None:
        """Ends it, and what it has started, by force. `running` does so at the end of its block."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(CHUNK_BYTES):
            self._said = (self._said + chunk)[-SAID_BYTES_MAX:]


@asynccontextmanager
async def running(
    words: Sequence[str | Path],
    environ: Mapping[str, str],
    *,
    fed: bool = False,
    files: Sequence[int] = (),
) -> AsyncIterator[Running]:
    """One program, which ends with the block. `fed`: its input is ours to write, else empty;
    `files`: open ones that it inherits.

    A worker that is killed leaves none of them behind: their pipes end with it. Raises OSError.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        env={"PATH": os.defpath, "LC_ALL": "C", **environ},
        stdin=PIPE if fed else DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        limit=CHUNK_BYTES,
        pass_fds=files,
        start_new_session=True,
    )
    program = Running(Path(words[0]).name, process)
    try:
        yield program
    finally:
        # Shielded: a second cancel would leave it running.
        await asyncio.shield(program.end())
