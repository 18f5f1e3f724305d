"""The table of e-mail templates, and the typed data that each one takes.

A new template is one Struct and one row here, with `email/<name>.html` and `email/<name>.txt`.
"""

import difflib
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import msgspec

from processors.clients.mailbox import MailRefused
from processors.templates.links import link_host

TEXT_CHARS_MAX = 2_000
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_ALIKE_MIN = 0.6


class TemplateData(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What a template is given. Names are camelCase in JSON and in the template's files.

    Checked when it is made: no text may be blank, over 2,000 characters or hold control characters,
    and every link must be one.
    """

    LINKS: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Fields that are links -> the path below APP_URL that stands in for an absent one ("": none).
    """

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str):
                continue
            if field.name in self.LINKS:
                link_host(value, f"data.{field.encode_name}")
            else:
                _check_text(value, f"data.{field.encode_name}")


class Welcome(TemplateData, frozen=True):
    """To a new user of the platform."""

    LINKS = MappingProxyType({"login_url": "/login"})

    user_name: str
    login_url: str | None = None


TEMPLATES: Mapping[str, type[TemplateData]] = MappingProxyType(
    {
        "welcome": Welcome,
    }
)


def template_data(template: str, data: Mapping[str, object]) -> TemplateData:
    """`data` as the template's own type. MailRefused names an unknown template, a missing or
    unknown variable, and a value that cannot stand in a mail.
    """
    kind = TEMPLATES.get(template)
    if kind is None:
        raise MailRefused(
            "template",
            f'there is no template "{template[:80]}".{_did_you_mean(template, TEMPLATES)}'
            f" Known: {', '.join(sorted(TEMPLATES))}",
        )
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name in data.keys() - set(known):
        hint = _did_you_mean(name, known)
        raise MailRefused(
            "data",
            f'template "{template}" has no variable "{name[:80]}".{hint}'
            f" It takes {', '.join(known)}",
        )
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, MailRefused):
            raise error.__cause__ from None
        raise MailRefused("data", f'template "{template}": {error}') from None


def _check_text(text: str, field: str) -> None:
    if not text.strip():
        raise MailRefused(field, "is blank")
    if len(text) > TEXT_CHARS_MAX:
        raise MailRefused(field, f"{len(text)} characters, at most {TEXT_CHARS_MAX} are allowed")
    for position, char in enumerate(text):
        if unicodedata.category(char) in _REFUSED_CATEGORIES:
            raise MailRefused(
                field, f"U+{ord(char):04X} at character {position} cannot be in a mail; remove it"
            )


def _did_you_mean(name: str, known: Mapping[str, object] | list[str]) -> str:
    found = difflib.get_close_matches(name[:80].lower(), known, n=1, cutoff=_ALIKE_MIN)
    return f' Did you mean "{found[0]}"?' if found else ""
