"""The demo calls nothing good that is not: each kind of product, damaged."""

import io
import zipfile
from pathlib import Path

import pytest

from processors.demo.products import NotAsPromised, only, open_mail, open_object

FEED = b"<ListingDataFeed xmlns='http://www.vivareal.com/schemas/1.0/VRSync'/>"


def packed(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "{" if name.endswith(".json") else "x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("key", "data", "why"),
    [
        ("a.pdf", b"%PDF-1.7 and no more", "cannot be read"),
        ("a.xlsx", b"PK no book", "cannot be opened"),
        ("a.xlsx", packed("a.csv"), "cannot be opened"),
        ("a.zip", packed("users.csv"), "has no README.txt"),
        ("a.zip", packed("README.txt"), "has no CSV"),
        ("a.zip", packed("README.txt", "users.csv", "my-data.json"), "cannot be opened"),
        ("a.zip", packed("README.txt", "users.csv")[:-30], "cannot be opened"),
        ("a.dump", b"PGDMP and no more", "pg_restore --list"),
        ("a.xml", FEED[:-3], "cannot be opened"),
        ("a.xml", FEED, "has no listing"),
        ("a.bin", b"", "nobody knows how to open that"),
    ],
)
def test_what_cannot_be_opened_is_told(key: str, data: bytes, why: str) -> None:
    with pytest.raises(NotAsPromised, match=why):
        open_object("exports", key, data)


def test_a_mail_without_a_page_is_told(tmp_path: Path) -> None:
    mail = tmp_path / "a.eml"
    mail.write_text("To: ana@example.com\nSubject: Oi\n\nOi")

    with pytest.raises(NotAsPromised, match="has no html"):
        open_mail(mail)


@pytest.mark.parametrize("things", [[], [1, 2]])
def test_one_thing_is_neither_none_nor_two(things: list[int]) -> None:
    with pytest.raises(NotAsPromised, match=f"{len(things)} mails"):
        only(things, "mails")
