"""The brand in whose name a mail goes out, and colours that can be read whatever its are."""

import colorsys
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
_HUES_APART_MAX = 30 / 360
_SATURATION_MIN = 0.2


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
    """The brand's colours where text can be read on them, and others where it cannot.

    The ground is the primary colour, or the secondary where that is another shade of it that bears
    white letters; else letters are black.
    """
    primary, secondary = branding.primary_color, branding.secondary_color
    shades = [primary, secondary] if _is_shade(primary, secondary) else [primary]
    ground = next((color for color in shades if _is_bold(color)), primary)
    return Palette(
        ground=ground,
        on_ground=_WHITE if _is_bold(ground) else _BLACK,
        link=next((color for color in (ground, secondary) if _is_bold(color)), _INK),
    )


def _is_bold(color: str) -> bool:
    """Whether it can be read on white, and white on it."""
    return contrast(color, _WHITE) >= CONTRAST_MIN


def _is_shade(one: str, other: str) -> bool:
    (hue, _, saturation), (other_hue, _, other_saturation) = map(_hls, (one, other))
    apart = abs(hue - other_hue)
    is_color = min(saturation, other_saturation) >= _SATURATION_MIN
    return is_color and min(apart, 1 - apart) <= _HUES_APART_MAX


def _hls(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return colorsys.rgb_to_hls(red, green, blue)


def contrast(one: str, other: str) -> float:
    """How much two colours differ to the eye: from 1 (equal) to 21 (black and white), by WCAG."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (_linear(int(color[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
