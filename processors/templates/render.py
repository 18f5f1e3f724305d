"""Turns a template and its typed data into the two bodies of a mail."""

from functools import cache
from pathlib import Path

import msgspec

from processors.templates.brand import Branding, palette
from processors.templates.catalogue import TEMPLATES
from processors.templates.kinds import TemplateData
from processors.templates.shown import shown
from streamq.errors import MissingExtra

try:
    import jinja2
except ModuleNotFoundError as error:
    raise MissingExtra("mails", "jinja2", "processors") from error

_FOLDER = Path(__file__).parent / "email"


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
        **shown(data, app_url=site.app_url, link_hosts=site.link_hosts),
        "subject": subject,
        "branding": msgspec.to_builtins(site.branding),
        "palette": msgspec.to_builtins(palette(site.branding)),
        "currentYear": year,
    }
    html, text = (
        _environment().get_template(f"{name}.{kind}").render(variables) for kind in ("html", "txt")
    )
    return Bodies(html=html, text=text)


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
