"""Mails as files on a developer's machine."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from processors.clients import outbox
from processors.clients.outbox import OutboxTransport
from tests.processors.letters import letter, read
from tests.support.browsers import chromium


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
    for name in ("1.eml", "1.html", "index.html"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


async def test_a_second_attempt_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    transport = OutboxTransport(tmp_path)

    await transport.deliver(letter(job_id="1", subject="first"))
    await transport.deliver(letter(job_id="1", subject="second"))

    assert sorted(os.listdir(tmp_path)) == ["1.eml", "1.html", "index.html"]
    assert "second" in (tmp_path / "1.html").read_text()
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

    left = [f"{number}.{kind}" for number in (2, 3) for kind in ("eml", "html")]
    assert sorted(os.listdir(tmp_path)) == [*left, "index.html", "notes.txt"]


async def test_no_file_goes_while_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FILES_MAX", 5)

    for number in range(4):
        await OutboxTransport(tmp_path).deliver(letter(job_id=f"{number}"))

    assert len([name for name in os.listdir(tmp_path) if name.endswith(".eml")]) == 4


@pytest.mark.parametrize("job_id", ["../x", "a/b", "", "x" * 129, "a\x00b", "index"])
async def test_an_id_that_cannot_name_a_file_is_refused(tmp_path: Path, job_id: str) -> None:
    with pytest.raises(ValueError, match="cannot name a file"):
        await OutboxTransport(tmp_path / "outbox").deliver(letter(job_id=job_id))


async def test_the_list_shows_the_newest_mails_first(tmp_path: Path) -> None:
    transport = OutboxTransport(tmp_path)
    await transport.deliver(letter("Zé <ze@example.com>", job_id="1", subject="Olá <b>"))
    os.utime(tmp_path / "1.eml", (0, 0))
    await transport.deliver(letter(job_id="2", subject="Adeus"))

    page = (tmp_path / "index.html").read_text()

    assert page.index("Adeus") < page.index("Olá &lt;b&gt;")
    assert "Zé &lt;ze@example.com&gt;" in page
    assert 'href="./1.html"' in page
    assert 'href="./1.eml"' in page


@pytest.mark.slow
async def test_a_mail_opens_in_a_browser_at_two_widths_and_nothing_in_it_runs(
    tmp_path: Path,
) -> None:
    html = "<p style='color: red'>Olá</p><script>document.title = 'ran'</script>"
    sent = letter(job_id="invoice:1:email", subject="Boas-vindas", html=html)
    await OutboxTransport(tmp_path).deliver(sent)

    def shown() -> tuple[str, list[int], list[str]]:
        with chromium() as browser:
            page = browser.new_page()
            page.goto((tmp_path / "index.html").as_uri())
            page.get_by_text("Boas-vindas").click()
            frames = page.locator("iframe").all()
            widths = [int(frame.evaluate("one => one.clientWidth")) for frame in frames]
            bodies = [frame.content_frame.locator("p").inner_text() for frame in frames]
            return page.title(), widths, bodies

    assert await asyncio.to_thread(shown) == ("Boas-vindas", [360, 720], ["Olá", "Olá"])
