"""A ZIP that is written from front to back, to something that cannot be rewound."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import IO, Final

from processors.days import TIME_ZONE

Write = Callable[[bytes], Awaitable[None]]

_MODE: Final = 0o600 << 16
_UNIX: Final = 3


class Zip:
    """Entries one after another; what is packed goes to `write` at once."""

    def __init__(self, write: Write, at: datetime) -> None:
        self._write = write
        self._at = at.astimezone(TIME_ZONE).timetuple()[:6]
        self._out = _Out()
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_DEFLATED)
        self._packing: asyncio.Future[int] | None = None

    @asynccontextmanager
    async def entry(self, name: str) -> AsyncIterator[Write]:
        """One file in it, written by what this gives; no other may be open at the same time."""
        info = zipfile.ZipInfo(name, self._at)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.create_system, info.external_attr = _UNIX, _MODE
        # Its size is not known before: only with this may it grow over 4 GB.
        file = self._zip.open(info, "w", force_zip64=True)
        try:
            yield partial(self._pack, file)
        finally:
            if self._packing is not None:  # cut short: its thread still writes
                await asyncio.wait([self._packing])
            file.close()
        await self.drain()

    def close(self) -> None:
        """Writes the table of contents, which `drain` gives on."""
        self._zip.close()

    async def drain(self) -> None:
        if packed := self._out.take():
            await self._write(packed)

    async def _pack(self, file: IO[bytes], chunk: bytes) -> None:
        # It takes CPU; shielded, for a thread cannot be stopped.
        self._packing = asyncio.ensure_future(asyncio.to_thread(file.write, chunk))
        await asyncio.shield(self._packing)
        self._packing = None
        await self.drain()


@asynccontextmanager
async def zipped(write: Write, at: datetime) -> AsyncIterator[Zip]:
    """A ZIP whose entries are all of that moment; whole once the block has ended."""
    packed = Zip(write, at)
    try:
        yield packed
    finally:
        packed.close()
    await packed.drain()


class _Out(io.RawIOBase):
    """Without `tell` and `seek`, so that zipfile writes sizes behind the data and not before it."""

    def __init__(self) -> None:
        self._packed = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]
        self._packed += data
        return len(data)

    def take(self) -> bytes:
        packed, self._packed = bytes(self._packed), bytearray()
        return packed
