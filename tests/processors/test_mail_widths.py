"""Mails in a real browser, as wide as a phone and as a desk: nothing sticks out of the page."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import pytest
from playwright.sync_api import Page

from processors.templates.brand import Branding
from processors.templates.catalogue import TEMPLATES, template_data
from processors.templates.render import Site, render
from tests.processors.mail_samples import APP, SAMPLES
from tests.support.browsers import LIMIT_MS, chromium

pytestmark = pytest.mark.slow

PHONE: Final = 320
DESK: Final = 720
LONG: Final = "W" * 120
TAPPED_MIN: Final = 40  # pixels: what a thumb hits
READ_MIN: Final = 13  # pixels, of the smallest print
STICKS_OUT: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SMALLEST: Final = """
Math.min(...[...document.querySelectorAll("table *")]
  .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
  .map(one => parseFloat(getComputedStyle(one).fontSize)))
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(LIMIT_MS)
        yield page


def stretched(value: object) -> object:
    """The same with a word that has no end, where a text may be anything."""
    if isinstance(value, list):
        return [{name: stretched(one) for name, one in item.items()} for item in value]
    if not isinstance(value, str) or value.startswith(("http", "20")) or "@" in value:
        return value
    return f"{value[:20]} {LONG}"


def shown(page: Page, template: str, data: Mapping[str, object], brand: Branding) -> None:
    site = Site(app_url=APP, branding=brand, link_hosts=None)
    mail = render(template_data(template, data), subject="Olá", site=site, year=2026)
    page.set_content(mail.html)


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_mail_fits_its_screen(page: Page, template: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})

    shown(page, template, SAMPLES[template], Branding(website=APP))

    assert page.evaluate(STICKS_OUT) == 0
    assert page.evaluate(SMALLEST) >= READ_MIN
    for button in page.locator("a.button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= TAPPED_MIN
        assert width == DESK or box["width"] >= PHONE * 0.8


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_word_without_an_end_is_broken(page: Page, template: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    brand = Branding(company_name=LONG, address=LONG, phone=LONG, footer_text=LONG)
    data = {name: stretched(value) for name, value in SAMPLES[template].items()}

    shown(page, template, data, brand)

    assert page.evaluate(STICKS_OUT) == 0


def test_an_agencys_logo_keeps_its_height_and_its_name_where_no_picture_comes(page: Page) -> None:
    page.set_viewport_size({"width": PHONE, "height": 700})
    brand = msgspec.structs.replace(
        Branding(), company_name="Sol", logo="https://127.0.0.1:1/x.png"
    )

    shown(page, "welcome", SAMPLES["welcome"], brand)

    logo = page.locator("img")
    assert logo.get_attribute("alt") == "Sol"
    box = logo.bounding_box()
    assert box is not None
    assert box["height"] == 40
