"""A feed of listings in VRSync, the XML that VivaReal, ZAP and OLX read: piece by piece."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
from xml.etree import ElementTree

import msgspec

from processors.integrations.entities import Property

NAMESPACE: Final = "http://www.vivareal.com/schemas/1.0/VRSync"
TITLE_CHARS_MAX: Final = 100
DESCRIPTION_CHARS_MAX: Final = 3_000
IMAGES_MAX: Final = 50
# What XML 1.0 cannot hold, however it is escaped.
_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BLANKS: Final = re.compile(r"\s+")

_TYPES: Final[Mapping[str, str]] = {
    "apartamento": "Residential / Apartment",
    "casa": "Residential / Home",
    "sobrado": "Residential / Sobrado",
    "cobertura": "Residential / Penthouse",
    "studio": "Residential / Studio",
    "kitnet": "Residential / Kitnet",
    "loft": "Residential / Loft",
    "flat": "Residential / Flat",
    "terreno": "Residential / Land Lot",
    "chacara": "Residential / Farm Ranch",
    "sitio": "Residential / Farm Ranch",
    "fazenda": "Residential / Agricultural",
    "rural": "Residential / Agricultural",
    "comercial": "Commercial / Building",
    "predio": "Commercial / Edificio Comercial",
    "sala": "Commercial / Office",
    "loja": "Commercial / Business",
    "galpao": "Commercial / Industrial",
}
_STATES: Final[Mapping[str, str]] = {
    "AC": "Acre", "AL": "Alagoas", "AP": "Amapá", "AM": "Amazonas", "BA": "Bahia", "CE": "Ceará",
    "DF": "Distrito Federal", "ES": "Espírito Santo", "GO": "Goiás", "MA": "Maranhão",
    "MT": "Mato Grosso", "MS": "Mato Grosso do Sul", "MG": "Minas Gerais", "PA": "Pará",
    "PB": "Paraíba", "PR": "Paraná", "PE": "Pernambuco", "PI": "Piauí", "RJ": "Rio de Janeiro",
    "RN": "Rio Grande do Norte", "RS": "Rio Grande do Sul", "RO": "Rondônia", "RR": "Roraima",
    "SC": "Santa Catarina", "SP": "São Paulo", "SE": "Sergipe", "TO": "Tocantins",
}  # fmt: skip


class Publisher(msgspec.Struct, frozen=True):
    """The agency, as the portals show it."""

    name: str
    email: str | None
    phone: str | None


def opening(publisher: Publisher, at: datetime) -> bytes:
    """What comes before the listings."""
    header = ElementTree.Element("Header")
    _add(header, "Provider", "ImobiBase")
    _add(header, "Email", publisher.email)
    _add(header, "ContactName", publisher.name)
    _add(header, "PublishDate", at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    _add(header, "Telephone", publisher.phone)
    return (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        + f'<ListingDataFeed xmlns="{NAMESPACE}">'.encode()
        + _bytes(header)
        + b"<Listings>\n"
    )


CLOSING: Final = b"</Listings></ListingDataFeed>\n"


def listing(home: Property, publisher: Publisher, app_url: str) -> bytes:
    """One property, on a line of its own."""
    root = ElementTree.Element("Listing")
    _add(root, "ListingID", home.id)
    _add(root, "Title", _one_line(home.title)[:TITLE_CHARS_MAX])
    _add(root, "TransactionType", "For Sale" if home.category == "venda" else "For Rent")
    _add(root, "PublicationType", "STANDARD")
    _add(root, "DetailViewUrl", f"{app_url}/properties/{home.id}")
    _media(root, home)
    _details(root, home)
    _location(root, home)
    contact = ElementTree.SubElement(root, "ContactInfo")
    _add(contact, "Name", publisher.name)
    _add(contact, "Email", publisher.email)
    _add(contact, "Telephone", publisher.phone)
    return _bytes(root) + b"\n"


def _media(root: ElementTree.Element, home: Property) -> None:
    images = [image for image in home.images or [] if _is_link(image)][:IMAGES_MAX]
    if not images:
        return
    media = ElementTree.SubElement(root, "Media")
    for number, image in enumerate(images, 1):
        item = _add(media, "Item", image)
        item.attrib |= {"medium": "image", "caption": f"img{number}"}
        if number == 1:
            item.set("primary", "true")


def _details(root: ElementTree.Element, home: Property) -> None:
    details = ElementTree.SubElement(root, "Details")
    kind = _TYPES.get(home.type, "Residential / Home")
    _add(details, "UsageType", kind.partition(" / ")[0])
    _add(details, "PropertyType", kind)
    _add(details, "Description", (home.description or home.title).strip()[:DESCRIPTION_CHARS_MAX])
    # VRSync has whole reais.
    price = str(int(home.price))
    if home.category == "venda":
        _add(details, "ListPrice", price).set("currency", "BRL")
    else:
        rent = _add(details, "RentalPrice", price)
        rent.attrib |= {
            "currency": "BRL",
            "period": "Daily" if home.category == "temporada" else "Monthly",
        }
    if home.area is not None:
        name = "LotArea" if kind.endswith(("Land Lot", "Ranch", "Agricultural")) else "LivingArea"
        _add(details, name, str(home.area)).set("unit", "square metres")
    _add(details, "Bedrooms", None if home.bedrooms is None else str(home.bedrooms))
    _add(details, "Bathrooms", None if home.bathrooms is None else str(home.bathrooms))
    if home.features:
        features = ElementTree.SubElement(details, "Features")
        for feature in home.features:
            _add(features, "Feature", _one_line(feature))


def _location(root: ElementTree.Element, home: Property) -> None:
    location = ElementTree.SubElement(root, "Location", displayAddress="Neighborhood")
    _add(location, "Country", "Brasil").set("abbreviation", "BR")
    state = home.state.strip().upper()
    _add(location, "State", _STATES.get(state, home.state)).set("abbreviation", state)
    _add(location, "City", home.city)
    # Brazil writes `Rua das Flores, 10 - Centro`; there is no column of its own.
    street, _, neighborhood = _one_line(home.address).partition(" - ")
    _add(location, "Neighborhood", neighborhood)
    _add(location, "Address", street)
    _add(location, "PostalCode", home.zip_code)


def _add(parent: ElementTree.Element, name: str, text: str | None) -> ElementTree.Element:
    """A child, which is in the feed only if it has a text."""
    child = ElementTree.Element(name)
    child.text = _NO_XML.sub("", text or "")
    if child.text:
        parent.append(child)
    return child


def _bytes(element: ElementTree.Element) -> bytes:
    written: bytes = ElementTree.tostring(element, encoding="utf-8", xml_declaration=False)
    return written


def _one_line(text: str) -> str:
    return _BLANKS.sub(" ", text).strip()


def _is_link(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and bool(parts.hostname)
