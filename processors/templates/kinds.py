"""What a variable of a template is: its type, what is refused in it, and how it is shown.

A field says it by its type (`due_date: Day`); one of plain `str` is a line of text.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum, auto
from functools import cache
from types import MappingProxyType
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta, inspect

from processors.clients.mailbox import MailRefused, parse_mailbox
from processors.days import day_of, in_numbers, moment_in_numbers
from processors.money import reais
from processors.templates.links import link_host

TEXT_CHARS_MAX: Final = 2_000
PROSE_CHARS_MAX: Final = 20_000
# Controls, lone surrogates, line and paragraph separators.
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_REFUSED_IN_PROSE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_CODE = re.compile(r"[ -~]{1,512}")
# `1.550` is none: it may be meant as a thousand and more. It is shown as it came.
_PLAIN_AMOUNT = re.compile(r"-?[0-9]{1,10}(?:\.[0-9]{1,2})?")
_PLAIN_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?")
_SPAN = re.compile(r"(?P<count>[0-9]{1,4}) ?(?P<unit>minute|hour|day|week)s?")
_UNITS = {
    "minute": ("minuto", "minutos"),
    "hour": ("hora", "horas"),
    "day": ("dia", "dias"),
    "week": ("semana", "semanas"),
}


class Kind(StrEnum):
    """What is done with a text on its way into a mail."""

    LINE = auto()
    LINK = auto()
    AMOUNT = auto()
    NUMBER = auto()
    DAY = auto()
    MOMENT = auto()
    SPAN = auto()
    ADDRESS = auto()
    CODE = auto()
    PROSE = auto()
    ARTICLE = auto()


Link = Annotated[str, Meta(extra={"kind": Kind.LINK})]
"""A whole http(s) link."""
Amount = Annotated[str | int, Meta(extra={"kind": Kind.AMOUNT})]
"""`"1550.00"` or 1550 is shown as `R$ 1.550,00`; any other text as it is. Never a float."""
Number = Annotated[str | int, Meta(extra={"kind": Kind.NUMBER})]
"""`"2.500"` is shown as `2,5`."""
Day = Annotated[str, Meta(extra={"kind": Kind.DAY})]
"""`"2025-01-31"`, alone or with a time, is shown as `31/01/2025`; any other text as it is."""
Moment = Annotated[str, Meta(extra={"kind": Kind.MOMENT})]
"""`"2025-01-31T12:05:00Z"` is shown as `31/01/2025 às 09:05`; any other text as it is."""
Span = Annotated[str, Meta(extra={"kind": Kind.SPAN})]
"""`"1 hour"`, as the Node application says it, is shown as `1 hora`; any other text as it is."""
Address = Annotated[str, Meta(extra={"kind": Kind.ADDRESS})]
"""One mail address."""
Code = Annotated[str, Meta(extra={"kind": Kind.CODE})]
"""To be copied as it stands: printable ASCII, 512 characters at most. Nothing is put into it."""
Prose = Annotated[str, Meta(extra={"kind": Kind.PROSE})]
"""Text of many lines; a blank line parts paragraphs. Nothing in it becomes a link."""
Article = Annotated[str, Meta(extra={"kind": Kind.ARTICLE})]
"""Prose by the agency itself: links in it to allowed hosts become links."""


class TemplateData(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What a template is given. Names are camelCase in JSON and in the template's files.

    Checked when it is made: no text may be blank, too long or hold control characters, a link must
    be one, an address too.
    """

    PATHS: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Links that may be absent -> the path below APP_URL that stands in for them; other fields by
    their Python names in braces.
    """
    ALIASES: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """What the Node application calls a variable -> its name here."""

    def __post_init__(self) -> None:
        kinds = kinds_of(type(self))
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                _check(value, kinds[field.name], f"data.{field.encode_name}")


@cache
def kinds_of(data: type[TemplateData]) -> Mapping[str, Kind]:
    """The kind of each field, by its Python name."""
    info = inspect.type_info(data)
    assert isinstance(info, inspect.StructType)
    return MappingProxyType({field.name: _kind(field.type) for field in info.fields})


def _kind(declared: inspect.Type) -> Kind:
    if isinstance(declared, inspect.Metadata):
        return Kind((declared.extra or {}).get("kind", Kind.LINE))
    if isinstance(declared, inspect.UnionType):
        return next(
            (found for one in declared.types if (found := _kind(one)) != Kind.LINE), Kind.LINE
        )
    return Kind.LINE


def _check(text: str, kind: Kind, field: str) -> None:
    if kind is Kind.LINK:
        link_host(text, field)
    elif kind is Kind.ADDRESS:
        if parse_mailbox(text, field).name:
            raise MailRefused(field, "is more than an address; write ana@example.com")
    elif kind is Kind.CODE:
        if _CODE.fullmatch(text) is None or not text.strip():
            raise MailRefused(field, "is no code: printable ASCII, 512 characters at most")
    elif kind in (Kind.PROSE, Kind.ARTICLE):
        _check_text(text, field, chars_max=PROSE_CHARS_MAX, refused=_REFUSED_IN_PROSE)
    else:
        _check_text(text, field, chars_max=TEXT_CHARS_MAX)


def _check_text(
    text: str, field: str, *, chars_max: int, refused: re.Pattern[str] = _REFUSED
) -> None:
    if not text.strip():
        raise MailRefused(field, "is blank")
    if len(text) > chars_max:
        raise MailRefused(field, f"{len(text)} characters, at most {chars_max} are allowed")
    if found := refused.search(text):
        raise MailRefused(
            field,
            f"U+{ord(found[0]):04X} at character {found.start()} cannot be in a mail; remove it",
        )


def amount(text: str) -> str:
    text = text.strip()
    return reais(Decimal(text)) if _PLAIN_AMOUNT.fullmatch(text) else text


def number(text: str) -> str:
    text = text.strip()
    if not _PLAIN_NUMBER.fullmatch(text):
        return text
    whole, _, part = text.partition(".")
    part = part.rstrip("0")
    return f"{int(whole)},{part}" if part else str(int(whole))


def day(text: str) -> str:
    """Midnight UTC is how the application writes a day itself; see `local_day` in the schema."""
    try:
        return in_numbers(date.fromisoformat(text))
    except ValueError:
        found = _moment(text)
    if found is None:
        return text
    is_day = found.astimezone(UTC).time() == time()
    return in_numbers(found.astimezone(UTC).date() if is_day else day_of(found))


def moment(text: str) -> str:
    found = _moment(text)
    return day(text) if found is None else moment_in_numbers(found)


def _moment(text: str) -> datetime | None:
    """None if it is no moment, or one of who knows which zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def span(text: str) -> str:
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        return text
    count = int(found["count"])
    return f"{count} {_UNITS[found['unit']][count != 1]}"
