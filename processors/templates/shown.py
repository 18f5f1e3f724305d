"""A template's data as it is shown: amounts and days as Brazil writes them, links to allowed hosts
only, and text in which mail readers find no link.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import msgspec

from processors.clients.mailbox import MailRefused
from processors.templates.kinds import (
    Kind,
    TemplateData,
    amount,
    day,
    kinds_of,
    moment,
    number,
    span,
)
from processors.templates.links import check_host, link_host

# What a mail reader makes a link of by itself: `https://...` and `name.tld`; not `1.550,00`.
_LINKED_BY_READERS = re.compile(r"(?<=:)(?=//)|(?<=\w\.)(?=[^\W\d_]{2})")
_ZERO_WIDTH_SPACE = "\u200b"
_LINE_ENDS = re.compile(r"\r\n?|\n")
_PARAGRAPH_ENDS = re.compile(r"\n[ \t]*\n\s*")
# The last sign belongs to the sentence: "see https://example.com/a."
_URL = re.compile(r"https?://[^\s<>\"'`\\]+[^\s<>\"'`\\.,;:!?)\]]")


class Piece(msgspec.Struct, frozen=True):
    """A run of text in a line; with `url` it is a link."""

    text: str
    url: str | None = None


class Prose(msgspec.Struct, frozen=True):
    """Text of many lines: paragraphs of lines of pieces."""

    paragraphs: tuple[tuple[tuple[Piece, ...], ...], ...]

    @property
    def plain(self) -> str:
        return "\n\n".join(
            "\n".join("".join(piece.text for piece in line) for line in lines)
            for lines in self.paragraphs
        )


def shown(
    data: TemplateData, *, app_url: str, link_hosts: frozenset[str] | None
) -> dict[str, object]:
    """Its variables by their JSON names. Raises MailRefused for a link that must not be there."""
    kinds = kinds_of(type(data))
    variables: dict[str, object] = {}
    for field in msgspec.structs.fields(data):
        value = getattr(data, field.name)
        if value is None and field.name in data.PATHS:
            value = f"{app_url}{_path(data, data.PATHS[field.name])}"
        if isinstance(value, list):
            value = [shown(one, app_url=app_url, link_hosts=link_hosts) for one in value]
        elif isinstance(value, str | int) and not isinstance(value, bool):
            value = _shown(value, kinds[field.name], f"data.{field.encode_name}", link_hosts)
        variables[field.encode_name] = value
    return variables


def unlinked(text: str) -> str:
    """`text` in which mail readers find no link; it looks the same.

    A name is the word of whoever signed up, and a welcome mail goes to an address that they chose:
    "You won, see evil.example" as a name would be their mail with our sender.
    """
    return _LINKED_BY_READERS.sub(_ZERO_WIDTH_SPACE, text)


def _path(data: TemplateData, path: str) -> str:
    values = msgspec.structs.asdict(data)
    return path.format_map({name: quote(str(value), safe="") for name, value in values.items()})


def _shown(value: str | int, kind: Kind, field: str, link_hosts: frozenset[str] | None) -> object:
    if isinstance(value, int) and kind not in (Kind.AMOUNT, Kind.NUMBER):
        return value
    text = str(value)
    if kind is Kind.LINK:
        if link_hosts is not None:
            check_host(text, field, link_hosts)
        return text
    if kind is Kind.ARTICLE:
        return prose(text, links_to=lambda host: link_hosts is None or host in link_hosts)
    if kind is Kind.PROSE:
        return prose(text)
    return text if kind in (Kind.ADDRESS, Kind.CODE) else unlinked(_WRITTEN.get(kind, str)(text))


_WRITTEN: Final[Mapping[Kind, Callable[[str], str]]] = MappingProxyType(
    {
        Kind.AMOUNT: amount,
        Kind.NUMBER: number,
        Kind.DAY: day,
        Kind.MOMENT: moment,
        Kind.SPAN: span,
    }
)


def prose(text: str, *, links_to: Callable[[str], bool] = lambda host: False) -> Prose:
    """`text` in paragraphs and lines; its links are kept where `links_to` allows their host."""
    lines = _LINE_ENDS.sub("\n", text.replace("\t", " ")).strip()
    return Prose(
        tuple(
            tuple(_pieces(line.strip(), links_to) for line in paragraph.split("\n"))
            for paragraph in _PARAGRAPH_ENDS.split(lines)
        )
    )


def _pieces(line: str, links_to: Callable[[str], bool]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    at = 0
    for found in _URL.finditer(line):
        url = found[0]
        if not _leads_there(url, links_to):
            continue
        pieces += (Piece(unlinked(line[at : found.start()])), Piece(url, url))
        at = found.end()
    pieces.append(Piece(unlinked(line[at:])))
    return tuple(piece for piece in pieces if piece.text)


def _leads_there(url: str, links_to: Callable[[str], bool]) -> bool:
    try:
        return links_to(link_host(url, "link"))
    except MailRefused:
        return False
