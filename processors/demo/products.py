"""What jobs have made: each is opened as its reader would open it, and says what it is."""

import email
import io
import json
import re
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Final, TypeVar
from xml.etree import ElementTree

import msgspec

from processors.exports.write import JSON_NAME, README_NAME
from processors.standins.postgres import programs

T = TypeVar("T")

LIST_LIMIT_S: Final = 60.0
_LINK: Final = re.compile(r"https?://[^\s\"<>]+/downloads/[A-Za-z0-9_-]{43}")
_TABLE_DATA: Final = re.compile(r"TABLE DATA \S+ (\S+)")
_NEEDED: Final = frozenset({"tenants", "rental_payments", "invoices"})


class NotAsPromised(Exception):
    """A job, or what it made, is not what it should be: the message says what and where."""


class Made(msgspec.Struct, frozen=True):
    """One thing that came of a job, for people."""

    what: str
    where: str


class Mail(msgspec.Struct, frozen=True):
    """One mail of the outbox."""

    path: Path
    to: str
    subject: str
    text: str
    links: tuple[str, ...]
    """To downloads, each once."""


class Stored(msgspec.Struct, frozen=True):
    """One object, opened. `what`: in words."""

    bucket: str
    key: str
    data: bytes
    what: str


def expect(condition: object, otherwise: str) -> None:
    """Raises NotAsPromised."""
    if not condition:
        raise NotAsPromised(otherwise)


def only(things: Sequence[T], what: str) -> T:
    """The one that there is. Raises NotAsPromised if there is none, or a second one."""
    expect(len(things) == 1, f"{len(things)} {what}, and one was promised")
    return things[0]


def open_mail(path: Path) -> Mail:
    """Raises NotAsPromised for one without text or page."""
    message = email.message_from_bytes(path.read_bytes(), policy=default)
    assert isinstance(message, EmailMessage)
    bodies = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
    missing = [kind for kind, body in bodies.items() if body is None]
    expect(not missing, f"{path} has no {' and no '.join(missing)}")
    text, page = (body.get_content() for body in bodies.values() if body is not None)
    expect(text.strip() and "<body" in page, f"{path} has an empty body")
    expect(message["to"] and message["subject"], f"{path} has no recipient or subject")
    links = dict.fromkeys(_LINK.findall(text))
    return Mail(path, str(message["to"]), str(message["subject"]), text, tuple(links))


def open_object(bucket: str, key: str, data: bytes) -> Stored:
    """Raises NotAsPromised for one that its program cannot read."""
    opener = _OPENERS.get(Path(key).suffix)
    if opener is None:
        raise NotAsPromised(f"{bucket}/{key}: nobody knows how to open that")
    try:
        return Stored(bucket, key, data, opener(data, f"{bucket}/{key}"))
    except (zipfile.BadZipFile, ElementTree.ParseError, KeyError, ValueError) as error:
        raise NotAsPromised(f"{bucket}/{key} cannot be opened: {error}") from error


def pdf_text(data: bytes) -> str:
    """All its pages. Raises NotAsPromised for what is no PDF."""
    import pypdfium2

    try:
        with pypdfium2.PdfDocument(data) as document:
            return "\n".join(page.get_textpage().get_text_bounded() for page in document)
    except pypdfium2.PdfiumError as error:
        raise NotAsPromised(f"a PDF cannot be read: {error}") from error


def _pdf(data: bytes, where: str) -> str:
    text = pdf_text(data)
    expect(len(text) > 100, f"{where} has next to no text")
    return f"PDF, {len(text):,} characters of text"


def _xlsx(data: bytes, where: str) -> str:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(data))
    rows = sum(sheet.max_row for sheet in book.worksheets)
    expect(rows > len(book.worksheets), f"{where} has no rows")
    return f"XLSX of {len(book.worksheets)} sheets, {rows} rows"


def _zip(data: bytes, where: str) -> str:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        bad = archive.testzip()
        expect(bad is None, f"{where}: {bad} in it is damaged")
        names = archive.namelist()
        expect(README_NAME in names, f"{where} has no {README_NAME}")
        expect(any(name.endswith(".csv") for name in names), f"{where} has no CSV")
        if JSON_NAME in names:
            json.loads(archive.read(JSON_NAME))
    return f"ZIP of {len(names)} files, {README_NAME} among them"


def _dump(data: bytes, where: str) -> str:
    with tempfile.NamedTemporaryFile(suffix=".dump") as file:
        file.write(data)
        file.flush()
        listed = subprocess.run(
            [programs() / "pg_restore", "--list", file.name],
            capture_output=True,
            text=True,
            timeout=LIST_LIMIT_S,
            check=False,
        )
    expect(listed.returncode == 0, f"{where}: pg_restore --list: {listed.stderr}")
    tables = set(_TABLE_DATA.findall(listed.stdout))
    expect(tables >= _NEEDED, f"{where} lacks {', '.join(sorted(_NEEDED - tables))}")
    return f"dump, pg_restore lists {len(tables)} tables"


def _feed(data: bytes, where: str) -> str:
    listings = ElementTree.fromstring(data).findall(".//{*}Listing")
    expect(listings, f"{where} has no listing")
    return f"VRSync feed of {len(listings)} listings"


_OPENERS: Final[Mapping[str, Callable[[bytes, str], str]]] = {
    ".pdf": _pdf,
    ".xlsx": _xlsx,
    ".zip": _zip,
    ".dump": _dump,
    ".xml": _feed,
}
