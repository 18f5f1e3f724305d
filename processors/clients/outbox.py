"""The transport of a developer's machine: each letter becomes an `.eml` file, which any mail reader
opens, and a page for a browser; `index.html` lists them.
"""

import asyncio
import os
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from email.policy import default
from pathlib import Path

from processors.clients.delivery import Delivery, Letter
from processors.clients.outbox_pages import Entry, list_page, mail_page

FILES_MAX = 1_000  # the oldest go: a folder that nobody looks after must not fill a disk
LISTED_MAX = 100
_FOLDER_MODE = 0o700  # mails hold names, addresses and links that log in
_SUFFIX = ".eml"
_PAGE_SUFFIX = ".html"
_LIST = "index.html"
_HEAD_BYTES_MAX = 64 * 1024  # a hundred recipients by their names
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
        if _JOB_ID.fullmatch(letter.job_id) is None or f"{letter.job_id}{_PAGE_SUFFIX}" == _LIST:
            raise ValueError(f"job id {letter.job_id!r} cannot name a file")
        self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        path = self._folder / f"{letter.job_id}{_SUFFIX}"
        self._put(path, letter.content, lasting=True)
        self._put(path.with_name(f"{letter.job_id}{_PAGE_SUFFIX}"), mail_page(letter).encode())
        newest = self._drop_oldest()
        entries = [entry for one in newest[:LISTED_MAX] if (entry := _entry(one)) is not None]
        self._put(self._folder / _LIST, list_page(entries).encode())
        return path

    def _put(self, path: Path, content: bytes, *, lasting: bool = False) -> None:
        # Written beside it and renamed: a mail reader that looks at this moment sees a whole file
        # or none.
        draft = self._folder / f".{secrets.token_hex(8)}.part"
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                if lasting:
                    file.flush()
                    os.fsync(handle)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def _drop_oldest(self) -> Sequence[Path]:
        """What is left, newest first."""
        with os.scandir(self._folder) as entries:
            written = [entry for entry in entries if entry.name.endswith(_SUFFIX)]
        by_age = [Path(path) for _, path in sorted((_written_at(one), one.path) for one in written)]
        for path in by_age[: max(0, len(by_age) - FILES_MAX)]:
            path.unlink(missing_ok=True)
            _page_of(path).unlink(missing_ok=True)
        return by_age[::-1][:FILES_MAX]


def _page_of(path: Path) -> Path:
    return path.with_name(f"{path.name.removesuffix(_SUFFIX)}{_PAGE_SUFFIX}")


def _entry(path: Path) -> Entry | None:
    """What the list says of a mail; None if another process dropped it."""
    try:
        with path.open("rb") as file:
            headers = BytesHeaderParser(policy=default).parsebytes(file.read(_HEAD_BYTES_MAX))
            written_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC).astimezone()
    except FileNotFoundError:
        return None
    name = path.name.removesuffix(_SUFFIX)
    return Entry(name, written_at, headers["To"] or "", headers["Subject"] or "")


def _written_at(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:  # another process dropped it
        return 0.0
