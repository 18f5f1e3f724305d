"""The brand in whose name a mail goes out, and colours that can be read whatever its are."""

import re

import msgspec

from processors.clients.mailbox import MailRefused
from processors.templates.links import link_host

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_WHITE = "#ffffff"
_BLACK = "#000000"
_INK = "#1f2937"
# WCAG 2.2, 1.4.3: text must stand out from its ground by this much to be read with weak eyes.
CONTRAST_MIN = 4.5


class Branding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who sends, as templates see it (`branding.companyName`, ...). Colours are `#rrggbb`."""

    company_name: str = "ImobiBase"
    primary_color: str = "#2563eb"
    secondary_color: str = "#1e40af"
    logo: str | None = None
    address: str | None = None
    phone: str | None = None
    email: str | None = None
    website: str | None = None
    footer_text: str | None = None
    """A line of the agency's own below every mail."""

    def __post_init__(self) -> None:
        for field, color in (
            ("primaryColor", self.primary_color),
            ("secondaryColor", self.secondary_color),
        ):
            # It goes into a style attribute, where escaping of HTML does not help.
            if not is_color(color):
                raise MailRefused(f"branding.{field}", f"{color[:40]!r} is no colour like #2563eb")
        for field, link in (("logo", self.logo), ("website", self.website)):
            if link is not None:
                link_host(link, f"branding.{field}")


def is_color(text: str) -> bool:
    """Whether it is a colour like `#2563eb`."""
    return _COLOR.fullmatch(text) is not None


class Palette(msgspec.Struct, frozen=True, rename="camel"):
    """Colours of one mail: `on_ground` for text on the ground, `link` for links on white."""

    ground: str
    on_ground: str
    link: str


def palette(branding: Branding) -> Palette:
    """The brand's colours where text can be read on them, and others where it cannot."""
    colors = (branding.primary_color, branding.secondary_color)
    bold = next((color for color in colors if contrast(color, _WHITE) >= CONTRAST_MIN), None)
    if bold is not None:
        return Palette(ground=bold, on_ground=_WHITE, link=bold)
    # Both are too light for white letters and for links on white paper. Black can be read on them.
    return Palette(ground=branding.primary_color, on_ground=_BLACK, link=_INK)


def contrast(one: str, other: str) -> float:
    """How much two colours differ to the eye: from 1 (equal) to 21 (black and white), by WCAG."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (_linear(int(color[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
