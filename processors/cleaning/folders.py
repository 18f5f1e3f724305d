"""Old files below one folder: no link is followed, and nothing outside of the folder is touched.

Names are looked up in open folders and never by a path: who swaps a folder for a link meanwhile
gains nothing.
"""

import os
import re
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from processors.cleaning.swept import Swept

ENTRIES_MAX: Final = 100_000
"""Looked at in one run."""
TEMP_PREFIX: Final = "imobibase-"
_OPEN_LOG: Final = "streamq.log"
_LOG: Final = re.compile(r".+\.log([.-].+)?")
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder(msgspec.Struct, frozen=True):
    """A folder and what of it may go. `trees`: folders in it as well, each as a whole."""

    path: Path
    ours: Callable[[str], bool]
    trees: bool = False


def log_folder(path: Path) -> Folder:
    """`app.log`, `streamq.log.3.gz`, `app.log-20250131`: files by such names alone.

    `streamq.log` itself stays: a worker has it open, however long it has said nothing.
    """
    return Folder(path, lambda name: _LOG.fullmatch(name) is not None and name != _OPEN_LOG)


def temp_folder(path: Path) -> Folder:
    """Files and folders whose name begins with `imobibase-`."""
    return Folder(path, lambda name: name.startswith(TEMP_PREFIX), trees=True)


class _Tree(msgspec.Struct):
    """A folder with all that is in it: how old its newest part is, and how large it is."""

    newest: float
    files: int = 0
    bytes: int = 0


def sweep_folder(
    folder: Folder, before: datetime, *, dry_run: bool, stop: Callable[[], bool]
) -> Swept:
    """Deletes what was last changed before that time. Blocking; `stop` ends it between two files.

    A folder goes as a whole, or stays if anything in it is newer. What we may not delete is
    skipped. Raises OSError if the folder itself cannot be opened; one that is not there is empty.
    """
    limit = before.timestamp()
    try:
        root = os.open(folder.path.resolve(), _OPEN)
    except FileNotFoundError:
        return Swept()
    try:
        device = os.fstat(root).st_dev
        swept = Swept()
        with os.scandir(root) as entries:
            for seen, entry in enumerate(entries):
                if seen >= ENTRIES_MAX or stop():
                    return swept + Swept(more=True)
                if folder.ours(entry.name):
                    swept += _swept(root, entry, limit, device, folder, dry_run=dry_run)
        return swept
    finally:
        os.close(root)


def _swept(
    root: int,
    entry: "os.DirEntry[str]",
    limit: float,
    device: int,
    folder: Folder,
    *,
    dry_run: bool,
) -> Swept:
    try:
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            return (
                _sweep_tree(root, entry.name, limit, device, dry_run) if folder.trees else Swept()
            )
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
            return Swept()
        if found.st_mtime >= limit:
            return Swept()
        if not dry_run:
            os.unlink(entry.name, dir_fd=root)
        return Swept(1, found.st_size)
    except FileNotFoundError:  # somebody else was faster
        return Swept()
    except OSError:
        return Swept(skipped=1)


def _sweep_tree(root: int, name: str, limit: float, device: int, dry_run: bool) -> Swept:
    tree = _measured(root, name, device)
    if tree is None:
        return Swept(skipped=1)
    if tree.newest >= limit:
        return Swept()
    if not dry_run:
        for _, folders, files, at in os.fwalk(name, topdown=False, dir_fd=root):
            for each in files:
                os.unlink(each, dir_fd=at)
            for each in folders:
                _remove_folder(each, at)
        os.rmdir(name, dir_fd=root)
    return Swept(tree.files, tree.bytes)


def _remove_folder(name: str, at: int) -> None:
    """`os.fwalk` counts a link to a folder among the folders: the link goes, not what it names."""
    if stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=at)
    else:
        os.rmdir(name, dir_fd=at)


def _measured(root: int, name: str, device: int) -> _Tree | None:
    """None for a tree that is not only ours to delete: another file system is mounted in it."""
    tree = _Tree(newest=0.0)
    for _, _, files, at in os.fwalk(name, dir_fd=root):
        here = os.fstat(at)
        if here.st_dev != device:
            return None
        tree.newest = max(tree.newest, here.st_mtime)
        for each in files:
            found = os.stat(each, dir_fd=at, follow_symlinks=False)
            tree.newest = max(tree.newest, found.st_mtime)
            tree.files += 1
            tree.bytes += found.st_size
    return tree
