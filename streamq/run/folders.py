"""The folders that attempts write in. Each is locked by the process that made it, for as long as it
lives: so what a killed process left can be told from what is in use, by anybody, in any container.
"""

import asyncio
import fcntl
import logging
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "streamq-job-"
"""Nothing else that is streamq's begins with it."""
YOUNG_S: Final = 60.0
"""What is younger may have been made by somebody who has not locked it yet."""
SWEPT_MAX: Final = 1_000
"""In one go; the next takes the rest."""
SWEEP_S: Final = 3_600.0
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

log = logging.getLogger("streamq.daemon")


class JobFolder:
    """A folder of the temporary folder, for its maker alone; there until it is closed."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._fd = os.open(self.path, _OPEN)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """The folder goes, with all that is in it. Once: a second time is nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


async def keep_swept() -> None:
    """What killed processes left goes now and every hour: for a daemon, until it is cancelled."""
    while True:
        if swept := await asyncio.to_thread(sweep_folders):
            log.info("[Daemon] deleted %d folder(s) of jobs whose process is gone", swept)
        await asyncio.sleep(SWEEP_S)


def sweep_folders() -> int:
    """Deletes this user's folders whose process is gone; how many. Blocking."""
    swept = 0
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                swept += _swept(entry.path)
            if swept == SWEPT_MAX:
                break
    return swept


def _swept(path: str) -> bool:
    """False for one in use, another's, or one that was gone before us."""
    try:
        fd = os.open(path, _OPEN)
    except OSError:
        return False
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or time.time() - found.st_mtime < YOUNG_S:
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
