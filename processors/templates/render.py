"""Turns a template and its typed data into the two bodies of a mail."""

import re
from functools import cache
from pathlib import Path

import msgspec

from processors.templates.brand import Branding, palette
from processors.templates.catalogue import TEMPLATES, TemplateData
from processors.templates.links import check_host
from streamq.errors import MissingExtra

try:
    import jinja2
except ModuleNotFoundError as error:
    raise MissingExtra("mails", "jinja2", "processors") from error

_FOLDER = Path(__file__).parent / "email"
# What a mail reader makes a link of by itself: `https://...` and `name.tld`; not `1.550,00`.
_LINKED_BY_READERS = re.compile(r"(?<=:)(?=//)|(?<=\w\.)(?=[^\W\d_]{2})")
_ZERO_WIDTH_SPACE = "\u200b"


class Site(msgspec.Struct, frozen=True):
    """What the settings give to every mail. `link_hosts` None: links may lead anywhere."""

    app_url: str
    branding: Branding
    link_hosts: frozenset[str] | None


class Bodies(msgspec.Struct, frozen=True):
    """One mail, twice: for readers that show HTML, and for those that do not."""

    html: str
    text: str


def render(data: TemplateData, *, subject: str, site: Site, year: int) -> Bodies:
    """The bodies of the mail that `data` belongs to.

    Raises MailRefused for a link to a host that is not allowed, jinja2.UndefinedError for a
    variable that the files name and the data's type does not have.
    """
    name = next(name for name, kind in TEMPLATES.items() if kind is type(data))
    variables = {
        **_variables(data, site),
        "subject": subject,
        "branding": msgspec.to_builtins(site.branding),
        "palette": msgspec.to_builtins(palette(site.branding)),
        "currentYear": year,
    }
    html, text = (
        _environment().get_template(f"{name}.{kind}").render(variables) for kind in ("html", "txt")
    )
    return Bodies(html=html, text=text)


def _variables(data: TemplateData, site: Site) -> dict[str, object]:
    variables: dict[str, object] = {}
    for field in msgspec.structs.fields(data):
        value = getattr(data, field.name)
        if field.name in data.LINKS:
            value = value or f"{site.app_url}{data.LINKS[field.name]}"
            if site.link_hosts is not None:
                check_host(value, f"data.{field.encode_name}", site.link_hosts)
        elif isinstance(value, str):
            value = unlinked(value)
        variables[field.encode_name] = value
    return variables


def unlinked(text: str) -> str:
    """`text` in which mail readers find no link; it looks the same.

    A name is the word of whoever signed up, and a welcome mail goes to an address that they chose:
    "You won, see evil.example" as a name would be their mail with our sender.
    """
    return _LINKED_BY_READERS.sub(_ZERO_WIDTH_SPACE, text)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=jinja2.select_autoescape(["html"], default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
