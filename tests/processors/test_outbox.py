"""Mails as files on a developer's machine."""

import os
import stat
from pathlib import Path

import pytest

from processors.clients import outbox
from processors.clients.outbox import OutboxTransport
from tests.processors.letters import letter, read


async def test_a_letter_becomes_a_file_named_by_its_job(tmp_path: Path) -> None:
    folder = tmp_path / ".streamq" / "outbox"

    delivery = await OutboxTransport(folder).deliver(letter(job_id="signup-17", subject="Olá"))

    path = folder / "signup-17.eml"
    assert read(path.read_bytes())["Subject"] == "Olá"
    assert delivery.delivered == ("ana@example.com",)
    assert delivery.note == str(path)


async def test_mails_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"

    await OutboxTransport(folder).deliver(letter(job_id="1"))

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "1.eml").stat().st_mode) == 0o600


async def test_a_second_attempt_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    transport = OutboxTransport(tmp_path)

    await transport.deliver(letter(job_id="1", subject="first"))
    await transport.deliver(letter(job_id="1", subject="second"))

    assert os.listdir(tmp_path) == ["1.eml"]
    assert read((tmp_path / "1.eml").read_bytes())["Subject"] == "second"


async def test_a_file_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OSError, match="No space"):
        await OutboxTransport(tmp_path).deliver(letter(job_id="1"))

    assert os.listdir(tmp_path) == []


async def test_a_planted_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "outbox"
    folder.mkdir()
    (folder / "1.eml").symlink_to(victim)

    await OutboxTransport(folder).deliver(letter(job_id="1"))

    assert victim.read_text() == "mine"
    assert not (folder / "1.eml").is_symlink()


async def test_the_oldest_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FILES_MAX", 2)
    transport = OutboxTransport(tmp_path)
    (tmp_path / "notes.txt").write_text("kept")

    for number in range(4):
        await transport.deliver(letter(job_id=f"{number}"))

    assert sorted(os.listdir(tmp_path)) == ["2.eml", "3.eml", "notes.txt"]


@pytest.mark.parametrize("job_id", ["../x", "a/b", "", "x" * 129, "a\x00b"])
async def test_an_id_that_cannot_name_a_file_is_refused(tmp_path: Path, job_id: str) -> None:
    with pytest.raises(ValueError, match="cannot name a file"):
        await OutboxTransport(tmp_path / "outbox").deliver(letter(job_id=job_id))
