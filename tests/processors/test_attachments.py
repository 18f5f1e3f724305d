"""Attached files: content from the payload, or from below one folder and from nowhere else."""

import base64
import os
import socket
from pathlib import Path

import pytest

from processors.clients import attachments
from processors.clients.attachments import (
    ATTACHMENTS_MAX,
    AttachedFile,
    Attachment,
    check_attachments,
    load_attachments,
)
from processors.clients.mailbox import MailRefused
from tests.processors.test_mailbox import CONTROLS

SECRET = b"not for mails"


def load(attachment: Attachment, folder: Path | None = None) -> AttachedFile:
    [file] = load_attachments([attachment], folder)
    return file


@pytest.mark.parametrize(
    ("attachment", "content_type", "data"),
    [
        (Attachment("a.txt", content="olá"), "text/plain", "olá".encode()),
        (Attachment("a.csv", content="a;b\n"), "text/csv", b"a;b\n"),
        (Attachment("a.json", content="{}"), "application/json", b"{}"),
        (Attachment("a.pdf", content="JVBERg=="), "application/pdf", b"%PDF"),
        (Attachment("a.pdf", content="JVB\nERg\r\n=="), "application/pdf", b"%PDF"),
        (Attachment("a.bin", content="AAE="), "application/octet-stream", b"\x00\x01"),
        (Attachment("a", content="AAE="), "application/octet-stream", b"\x00\x01"),
        (Attachment("a.csv.gz", content="AAE="), "application/octet-stream", b"\x00\x01"),
        (Attachment("a.eml", content="AAE="), "application/octet-stream", b"\x00\x01"),
        (Attachment("a.txt", content="b2k=", encoding="base64"), "text/plain", b"oi"),
        (Attachment("a.dat", content="oi", encoding="utf-8"), "application/octet-stream", b"oi"),
    ],
)
def test_content_is_text_for_files_of_text_and_base64_for_others(
    attachment: Attachment, content_type: str, data: bytes
) -> None:
    assert load(attachment) == AttachedFile(attachment.filename, content_type, data)


@pytest.mark.parametrize("content", ["olá", "JVBERg=", "JVBERg===", "JVBE Rg==!", "%PDF", "\ud800"])
def test_content_that_is_not_base64_is_refused_where_it_must_be(content: str) -> None:
    with pytest.raises(MailRefused, match=r"attachments\[0\]\.content"):
        check_attachments([Attachment("a.pdf", content=content)])


@pytest.mark.parametrize("attachment", [Attachment("a.txt"), Attachment("a.txt", "x", "x")])
def test_content_or_path_is_given_and_not_both(attachment: Attachment) -> None:
    with pytest.raises(MailRefused, match="either content or path"):
        check_attachments([attachment])


def test_the_number_of_files_is_limited() -> None:
    check_attachments([Attachment("a.txt", content="")] * ATTACHMENTS_MAX)

    with pytest.raises(MailRefused, match="11 files, at most 10"):
        check_attachments([Attachment("a.txt", content="")] * (ATTACHMENTS_MAX + 1))


@pytest.mark.parametrize(
    "filename",
    [
        *(f"a{control}.pdf" for control in CONTROLS),
        "",
        " ",
        ".",
        "..",
        "...",
        "../a.pdf",
        "a/b.pdf",
        "a\\b.pdf",
        "C:a.pdf",
        'a".pdf',
        "a<b>.pdf",
        "=?utf-8?q?a=0D=0A?=.pdf",
        "a.pdf\r\nContent-Type: text/html",
        "x" * 151,
    ],
)
def test_a_hostile_filename_is_refused(filename: str) -> None:
    with pytest.raises(MailRefused, match=r"attachments\[0\]\.filename"):
        check_attachments([Attachment(filename, content="")])


@pytest.mark.parametrize("path", ["fatura.pdf", "2026/11/fatura.pdf", "./fatura.pdf"])
def test_a_path_is_read_below_the_folder(folder: Path, path: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(b"%PDF")

    assert load(Attachment("a.pdf", path=path), folder).data == b"%PDF"
    assert load(Attachment("a.pdf", path=str(folder / path)), folder).data == b"%PDF"


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "/",
        "..",
        "../secret.txt",
        "a/../../secret.txt",
        "./../secret.txt",
        "//etc/passwd",
        "/etc/passwd",
        "/proc/self/environ",
        "..\\secret.txt",
        "..%2fsecret.txt",
        "..\u2215secret.txt",
        "\uff0e\uff0e/secret.txt",
        "secret.txt\x00.pdf",
        "~/secret.txt",
        "file:///etc/passwd",
        "x" * 2_000,
        "x" * 300,
        "missing.pdf",
        "2026/missing.pdf",
        "link.txt",
        "linked/secret.txt",
        "inside-link.txt",
        "pipe",
        "socket",
        "file.txt/more",
        "subfolder",
    ],
)
def test_nothing_else_can_be_read(folder: Path, path: str) -> None:
    (folder.parent / "secret.txt").write_bytes(SECRET)
    (folder / "file.txt").write_bytes(b"fine")
    (folder / "subfolder").mkdir()
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "linked").symlink_to(folder.parent, target_is_directory=True)
    (folder / "inside-link.txt").symlink_to(folder / "file.txt")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)

        with pytest.raises(MailRefused, match=r"attachments\[0\]\.path"):
            load(Attachment("a.txt", path=path), folder)


def test_a_sibling_whose_name_begins_like_the_folder_is_outside(folder: Path) -> None:
    sibling = folder.with_name(f"{folder.name}-private")
    sibling.mkdir()
    (sibling / "secret.txt").write_bytes(SECRET)

    with pytest.raises(MailRefused, match="outside"):
        load(Attachment("a.txt", path=str(sibling / "secret.txt")), folder)


def test_a_path_needs_a_folder_that_the_operator_named() -> None:
    with pytest.raises(MailRefused, match="MAIL_ATTACHMENTS_DIR"):
        load(Attachment("a.txt", path="a.txt"), None)


@pytest.mark.parametrize(
    "path",
    [
        "s3://",
        "s3://exports.example.com",
        "s3://exports.example.com/",
        "s3:///invoices/1/2.pdf",
        "s3://EXPORTS/a",
        "s3://exports/../backups/a",
        "s3://exports//a",
        "s3://exports/a//b",
        "s3://exports/a b",
        "s3://exports/a?versionId=1",
    ],
)
def test_what_names_no_object_is_refused(path: str) -> None:
    with pytest.raises(MailRefused, match="is no object; write s3://<bucket>/<key>"):
        check_attachments([Attachment("a.pdf", path=path)])


def test_the_files_of_one_mail_are_limited_in_size(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachments, "ATTACHED_BYTES_MAX", 10)
    (folder / "a.txt").write_bytes(b"x" * 6)
    big = base64.b64encode(b"x" * 5).decode()

    load_attachments([Attachment("a.txt", path="a.txt")], folder)

    with pytest.raises(MailRefused, match="in all"):
        load_attachments(
            [Attachment("a.txt", path="a.txt"), Attachment("b.pdf", content=big)], folder
        )
    with pytest.raises(MailRefused, match="in all"):
        load_attachments([Attachment("a.txt", path="a.txt")] * 2, folder)
