"""Folders of attempts: what a killed process left goes, and nothing that is in use or another's."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamq.run.folders import PREFIX, YOUNG_S, JobFolder, sweep_folders

_HOLD = """
from streamq.run.folders import JobFolder
folder = JobFolder()
(folder.path / "half.pdf").write_text("x")
print(folder.path, flush=True)
input()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary folder of this test, and of the programs that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    tempfile.tempdir = None


def aged(path: Path) -> Path:
    long_ago = time.time() - YOUNG_S - 1
    os.utime(path, (long_ago, long_ago), follow_symlinks=False)
    return path


def test_what_a_killed_process_left_goes_once_it_is_gone(temporary: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        folder = aged(Path(holder.stdout.readline().strip()))
        assert folder.parent == temporary
        assert (sweep_folders(), folder.exists()) == (0, True)
        holder.send_signal(signal.SIGKILL)

    assert (sweep_folders(), folder.exists()) == (1, False)


def test_what_is_young_or_no_folder_of_an_attempt_stays(temporary: Path) -> None:
    outside = temporary / "outside"
    outside.mkdir()
    (temporary / f"{PREFIX}young").mkdir()
    for name in ("streamq-postgres-0", "streamq-1", "imobibase-1"):
        aged_folder = temporary / name
        aged_folder.mkdir()
        aged(aged_folder)
    (temporary / f"{PREFIX}link").symlink_to(aged(outside))
    (temporary / f"{PREFIX}file").write_text("x")
    aged(temporary / f"{PREFIX}file")
    before = sorted(temporary.iterdir())

    assert (sweep_folders(), sorted(temporary.iterdir())) == (0, before)


@pytest.mark.usefixtures("temporary")
def test_a_folder_is_its_makers_alone_and_goes_when_it_is_closed() -> None:
    folder = JobFolder()
    (folder.path / "part").mkdir()

    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.close()
    folder.close()
    assert not folder.path.exists()


@pytest.mark.usefixtures("temporary")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_another_users_folder_stays() -> None:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    os.chown(folder, 65534, 65534)
    aged(folder)

    assert (sweep_folders(), folder.exists()) == (0, True)
    os.chown(folder, 0, 0)
    assert (sweep_folders(), folder.exists()) == (1, False)
