"""A ZIP that is written from front to back, to something that cannot be rewound."""

import asyncio
import io
import zipfile
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import IO, Final

from processors.days import TIME_ZONE

Write = Callable[[bytes], Awaitable[None]]

_MODE: Final = 0o600 << 16
_UNIX: Final = 3


class Zip:
    """Entries one after another; what is packed goes to `write` at once. `finish` ends it.

    Packing takes CPU and is done in a thread.
    """

    def __init__(self, write: Write, at: datetime) -> None:
        self._write = write
        self._at = at.astimezone(TIME_ZONE).timetuple()[:6]
        self._out = _Out()
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_DEFLATED)

    def entry(self, name: str) -> "Entry":
        info = zipfile.ZipInfo(name, self._at)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.create_system, info.external_attr = _UNIX, _MODE
        # Its size is not known before: only with this may it grow over 4 GB.
        return Entry(self, self._zip.open(info, "w", force_zip64=True))

    async def finish(self) -> None:
        self._zip.close()
        await self.drain()

    async def drain(self) -> None:
        if packed := self._out.take():
            await self._write(packed)


class Entry:
    """One file in it; open until `close`, and no other may be opened before."""

    def __init__(self, inside: Zip, file: IO[bytes]) -> None:
        self._inside = inside
        self._file = file

    async def write(self, chunk: bytes) -> None:
        await asyncio.to_thread(self._file.write, chunk)
        await self._inside.drain()

    async def close(self) -> None:
        self._file.close()
        await self._inside.drain()


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
