"""An invoice on paper: names of every kind, harmful texts, many sheets, threads."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import msgspec
import pypdfium2
import pytest

from processors.invoices.draw import draw_invoice
from processors.invoices.read import Agency, Bill, Invoice, Item
from processors.invoices.ways import pix_of
from processors.money import ZERO
from streamq import Fail

AGENCY = Agency(
    name="Imobiliária Sol",
    primary_color="#f97316",
    phone="+55 11 3333-4444",
    email="contato@example.com",
    address="Av. Paulista, 1000 - São Paulo/SP",
    cnpj="11.222.333/0001-81",
    inscricao_municipal=None,
    creci="CRECI-SP 12345-J",
    bank_name="Banco do Brasil",
    bank_agency="1234-5",
    bank_account="98765-4",
    pix_key="529.982.247-25",
)

BILL = Bill(
    id="12345",
    number="INV-012345",
    status="draft",
    issued_on=date(2025, 1, 2),
    due_on=date(2025, 1, 10),
    subtotal=Decimal("1550.00"),
    discount=ZERO,
    tax=ZERO,
    total=Decimal("1550.00"),
    notes=None,
    client_name="Ayşe Şahin",
    client_email="ayse@example.com",
    client_document=None,
    client_address=None,
    client_phone=None,
    property_title=None,
    property_address=None,
    city=None,
    state=None,
    zip_code=None,
    reference_month=None,
    payment_status=None,
    paid=ZERO,
    paid_on=None,
)


def invoice(name: str = "Ayşe Şahin", *, items: int = 1, **changed: object) -> Invoice:
    """`name` is the client, the agency, the item and the property."""
    bill = msgspec.structs.replace(
        BILL, client_name=name, client_address=name, property_title=name, **changed
    )
    listed = [Item(name, name, Decimal(1), BILL.total, BILL.total)] * items
    return Invoice(msgspec.structs.replace(AGENCY, name=name), bill, tuple(listed))


def drawn(one: Invoice) -> Sequence[str]:
    """The text of each sheet."""
    pdf = pypdfium2.PdfDocument(draw_invoice(one, pix_of(one)))
    return [page.get_textpage().get_text_range().replace("\r\n", "") for page in pdf]


@pytest.mark.parametrize(
    "name",
    ["Ayşe Şahin Özgür Çağlayan", "Łukasz Żółć", "Nguyễn Thị Hồng", "Đorđe Šćepanović",
     "Ōkami Ķēniņš", "Владимир", "Ελένη", "João D'Ávila & Cia. <Filhos>", "ẞtraße “Haus”"],
)  # fmt: skip
def test_names_stand_as_they_are_written(name: str) -> None:
    [text] = drawn(invoice(name))

    assert text.count(name) >= 3


@pytest.mark.parametrize(
    "name",
    ["<img src='file:///etc/passwd'/>", "</para><b>", "&#0;&lt;", "x" * 5_000, "\x00\x1b[2J",
     "👍" * 9, "\u202egnp.exe", "", "   ", "\ud800"],
)  # fmt: skip
def test_no_text_of_others_is_markup_or_breaks_the_sheet(name: str) -> None:
    text = "".join(drawn(invoice(name, notes=f"{name}\n{name}")))

    assert "INV-012345" in text
    assert "root:" not in text


def test_numbers_are_as_people_write_them_and_a_subtotal_is_one_that_differs() -> None:
    [text] = drawn(invoice(client_phone="+5511987654321"))
    [lowered] = drawn(invoice(discount=Decimal(50), total=BILL.total - 50))

    assert "+55 11 98765-4321" in text
    assert "Chave PIX: 529.982.247-25" in text
    assert ("Subtotal" in text, "Subtotal" in lowered) == (False, True)


def test_an_invoice_of_many_items_goes_on_with_its_heading_and_counts_its_sheets() -> None:
    texts = drawn(invoice(items=100))

    assert len(texts) > 3
    assert all("Valor unitário" in text for text in texts[:3])
    assert all(f"Página {number} de" in text for number, text in enumerate(texts, 1))
    assert "Pague com PIX" in texts[-1]


@pytest.fixture
def hurry() -> Iterator[None]:
    """Threads that take turns after every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.slow
@pytest.mark.usefixtures("hurry")
def test_it_is_drawn_the_same_by_many_threads_at_once() -> None:
    names = ["Ayşe Şahin", "Łukasz Żółć", "Nguyễn Thị Hồng", "Владимир"]
    alone = [draw_invoice(invoice(name), None) for name in names]

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda name: draw_invoice(invoice(name), None), names * 16))

    assert together == alone * 16


@pytest.mark.parametrize(
    ("address", "city"),
    [
        ("Av. Paulista, 1000 - São Paulo/SP", "6009SAO PAULO"),
        ("Rua A, 1, Centro, Rio de Janeiro - RJ, 20000-000", "6014RIO DE JANEIRO"),
        ("somewhere", "6006BRASIL"),
        (None, "6006BRASIL"),
    ],
)
def test_the_payees_city_is_that_of_the_agencys_address(address: str | None, city: str) -> None:
    pix = pix_of(Invoice(msgspec.structs.replace(AGENCY, address=address), BILL, ()))

    assert pix is not None
    assert city in pix.code


def test_what_fits_no_sheet_fails_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.paper.ink.CELL_CHARS_MAX", 10_000)

    with pytest.raises(Fail, match="fits no sheet"):
        drawn(invoice("x " * 900))
