"""The transport of a developer's machine: each letter becomes one `.eml` file, which any mail
reader opens.
"""

import asyncio
import os
import re
import secrets
from pathlib import Path

from processors.clients.delivery import Delivery, Letter

FILES_MAX = 1_000  # the oldest go: a folder that nobody looks after must not fill a disk
_FOLDER_MODE = 0o700  # mails hold names, addresses and links that log in
_SUFFIX = ".eml"
# The ids that streamq takes; asked again here, for this one becomes the name of a file.
_JOB_ID = re.compile(r"[A-Za-z0-9._:@+-]{1,128}")


class OutboxTransport:
    """Writes letters into `folder`, one file a job: a second attempt of a job replaces the first
    one's file.
    """

    provider = "outbox"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def deliver(self, letter: Letter) -> Delivery:
        path = await asyncio.to_thread(self._write, letter)
        return Delivery(delivered=letter.recipients, note=str(path))

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _write(self, letter: Letter) -> Path:
        if _JOB_ID.fullmatch(letter.job_id) is None:
            raise ValueError(f"job id {letter.job_id!r} cannot name a file")
        self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        path = self._folder / f"{letter.job_id}{_SUFFIX}"
        # Written beside it and renamed: a mail reader that looks at this moment sees a whole file
        # or none.
        draft = self._folder / f".{secrets.token_hex(8)}.part"
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(letter.content)
                file.flush()
                os.fsync(handle)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        self._drop_oldest()
        return path

    def _drop_oldest(self) -> None:
        with os.scandir(self._folder) as entries:
            written = [entry for entry in entries if entry.name.endswith(_SUFFIX)]
        if len(written) <= FILES_MAX:
            return
        by_age = sorted((_written_at(entry), entry.path) for entry in written)
        for _, path in by_age[: len(written) - FILES_MAX]:
            Path(path).unlink(missing_ok=True)


def _written_at(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:  # another process dropped it
        return 0.0
