"""The invoice as people read it: a PDF with its items, its totals, and the PIX to pay it with."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from reportlab.graphics.barcode.qr import QrCode
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Paragraph, Spacer, Table, TableStyle

from processors.days import in_numbers, month_in_words
from processors.invoices.pix import as_written
from processors.invoices.read import Agency, Bill, Invoice, Item
from processors.invoices.ways import Pix
from processors.money import reais
from processors.paper.ink import (
    BLACK,
    GREY,
    INK,
    LEFT,
    LINE,
    PALE,
    RIGHT,
    WHITE,
    Align,
    Brand,
    brand_of,
    lines,
    load_fonts,
    long_text,
    style,
    two_lines,
    width_of,
    words,
)
from processors.paper.sheet import WIDTH, Head, sheets
from processors.paper.text import phone

FOOT: Final = "Documento de cobrança, sem valor fiscal."
_QR: Final = 40 * mm
_CODE_SIZE: Final = 7.0
_CODE_SIZE_MIN: Final = 4.0


def draw_invoice(invoice: Invoice, pix: Pix | None) -> bytes:
    """The PDF. Blocking: some milliseconds of CPU. Raises Fail."""
    load_fonts()
    bill, agency = invoice.bill, invoice.agency
    brand = brand_of(agency.primary_color)
    story = [
        _facts(invoice, brand),
        Spacer(1, 5 * mm),
        _parties(bill),
        Spacer(1, 6 * mm),
        _items(invoice.items, brand),
        Spacer(1, 2 * mm),
        KeepTogether([_totals(invoice, brand), Spacer(1, 6 * mm), *_payment(invoice, pix, brand)]),
    ]
    if bill.notes and bill.notes.strip():
        story += [
            Spacer(1, 5 * mm),
            words("Observações", style(8, bold=True, color=GREY)),
            *long_text(bill.notes, style(8.5)),
        ]
    head = Head(brand, agency.name, tuple(_sender(agency)), "Fatura", bill.number)
    return sheets(head, story, subject=f"Fatura {bill.number} de {agency.name}", foot=FOOT)


def _sender(agency: Agency) -> Iterator[str]:
    numbers = (
        ("CNPJ", agency.cnpj),
        ("Insc. municipal", agency.inscricao_municipal),
        ("CRECI", (agency.creci or "").removeprefix("CRECI").lstrip(" -")),
    )
    for line in (
        " · ".join(f"{name} {number}" for name, number in numbers if number),
        agency.address or "",
        " · ".join(part for part in (phone(agency.phone or ""), agency.email) if part),
    ):
        if line:
            yield line


def _facts(invoice: Invoice, brand: Brand) -> Table:
    bill = invoice.bill
    facts = [("Emissão", in_numbers(bill.issued_on)), ("Vencimento", in_numbers(bill.due_on))]
    if bill.reference_month:
        facts.append(("Referência", month_in_words(bill.reference_month).capitalize()))
    owed = "Situação" if invoice.settled else "Valor a pagar"
    facts.append((owed, "Paga" if invoice.settled else reais(invoice.owed)))
    cells = []
    for number, (name, value) in enumerate(facts):
        last = number == len(facts) - 1
        align: Align = RIGHT if last else LEFT
        cells.append(
            [
                words(name, style(7.5, color=GREY, align=align)),
                words(value, style(15 if last else 11, bold=True, align=align, leading=18,
                                   color=brand.accent if last else INK)),
            ]
        )  # fmt: skip
    each = WIDTH * 0.7 / (len(cells) - 1)
    table = Table([cells], colWidths=[each] * (len(cells) - 1) + [WIDTH * 0.3])
    table.setStyle(TableStyle([*_BARE, ("VALIGN", (0, 0), (-1, -1), "TOP")]))
    return table


def _parties(bill: Bill) -> Table:
    client = [
        words("Cliente", style(7.5, color=GREY)),
        words(bill.client_name, style(10, bold=True)),
        lines(
            [
                bill.client_document and f"CPF/CNPJ {bill.client_document}",
                bill.client_address,
                phone(bill.client_phone or ""),
                bill.client_email,
            ],
            style(8.5),
        ),
    ]
    place = "/".join(part for part in (bill.city, bill.state) if part)
    rented: list[Flowable] = []
    if bill.property_title:
        rented = [
            words("Imóvel", style(7.5, color=GREY)),
            words(bill.property_title, style(10, bold=True)),
            lines(
                [bill.property_address, place, bill.zip_code and f"CEP {bill.zip_code}"],
                style(8.5),
            ),
        ]
    table = Table([[client, rented]], colWidths=[WIDTH / 2] * 2)
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEABOVE", (0, 0), (-1, 0), 0.6, LINE),
                ("LINEBELOW", (0, 0), (-1, 0), 0.6, LINE),
                ("LEFTPADDING", (0, 0), (0, 0), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 6),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 8),
            ]
        )
    )
    return table


def _items(items: tuple[Item, ...], brand: Brand) -> Table:
    right = style(9, align=RIGHT)
    head = style(8, bold=True, color=brand.on_ground)
    head_right = style(8, bold=True, color=brand.on_ground, align=RIGHT)
    rows: list[list[Paragraph]] = [
        [
            words("Descrição", head),
            words("Qtd.", head_right),
            words("Valor unitário", head_right),
            words("Total", head_right),
        ]
    ]
    rows += [
        [
            two_lines(item.description, item.details),
            words(_quantity(item.quantity), right),
            words(reais(item.unit_price), right),
            words(reais(item.total), right),
        ]
        for item in items
    ]
    table = Table(rows, colWidths=[WIDTH - 92 * mm, 20 * mm, 36 * mm, 36 * mm], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, 0), brand.ground),
                ("LINEBELOW", (0, 1), (-1, -1), 0.5, LINE),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                ("TOPPADDING", (0, 0), (-1, -1), 4),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
            ]
        )
    )
    return table


def _totals(invoice: Invoice, brand: Brand) -> Table:
    bill = invoice.bill
    sums = [("Subtotal", bill.subtotal)] if bill.subtotal != bill.total else []
    if bill.discount:
        sums.append(("Descontos", -bill.discount))
    if bill.tax:
        sums.append(("Impostos", bill.tax))
    strong = [("Total", bill.total)]
    if bill.paid:
        when = f" em {in_numbers(bill.paid_on)}" if bill.paid_on else ""
        sums += strong
        sums.append((f"Já pago{when}", -bill.paid))
        strong = [("Saldo a pagar", invoice.owed)]
    rows = [
        ["", words(name, style(9, align=RIGHT)), words(reais(amount), style(9, align=RIGHT))]
        for name, amount in sums
    ]
    rows += [
        [
            "",
            words(name, style(11, bold=True, align=RIGHT)),
            words(reais(amount), style(11, bold=True, align=RIGHT, color=brand.accent)),
        ]
        for name, amount in strong
    ]
    table = Table(rows, colWidths=[WIDTH - 92 * mm, 56 * mm, 36 * mm])
    table.setStyle(
        TableStyle(
            [
                ("TOPPADDING", (0, 0), (-1, -1), 2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
                ("LINEABOVE", (1, -1), (-1, -1), 0.8, INK),
                ("TOPPADDING", (0, -1), (-1, -1), 5),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ]
        )
    )
    return table


def _payment(invoice: Invoice, pix: Pix | None, brand: Brand) -> list[Flowable]:
    if invoice.settled:
        on = invoice.bill.paid_on
        when = f" em {in_numbers(on)}" if on else ""
        return [words(f"Pagamento recebido{when}. Obrigado!", style(10, bold=True))]
    bank = _bank(invoice.agency)
    if pix is None:
        return [words("Como pagar", style(10, bold=True)), *bank] if bank else []
    told: list[Flowable] = [
        words("Pague com PIX", style(12, bold=True, color=brand.accent, after=4)),
        words(
            "Abra o aplicativo do seu banco, escolha PIX e leia o código QR, ou copie o código"
            " abaixo e use PIX copia e cola. O valor já está incluído.",
            style(8.5, after=5),
        ),
        lines(
            [
                f"Beneficiário: {invoice.agency.name}",
                f"Chave PIX: {as_written(pix.key)}",
                f"Valor: {reais(invoice.owed)}",
            ],
            style(8.5, after=5),
        ),
        *bank,
    ]
    table = Table(
        [[_Qr(pix.code), told], [_code(pix.code), ""]],
        colWidths=[_QR + 6 * mm, WIDTH - _QR - 6 * mm],
    )
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), PALE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("SPAN", (0, 1), (1, 1)),
                ("LEFTPADDING", (0, 0), (-1, -1), 8),
                ("TOPPADDING", (0, 0), (-1, 0), 9),
                ("BOTTOMPADDING", (0, 1), (-1, 1), 9),
            ]
        )
    )
    return [table]


def _bank(agency: Agency) -> list[Flowable]:
    if not (agency.bank_name and agency.bank_account):
        return []
    branch = f" · Agência {agency.bank_agency}" if agency.bank_agency else ""
    text = f"Transferência: {agency.bank_name}{branch} · Conta {agency.bank_account}"
    return [words(text, style(8.5, color=GREY))]


class _Qr(QrCode):
    """Black on white, with the four blank modules around it that readers need."""

    def __init__(self, code: str) -> None:
        super().__init__(code, width=_QR, height=_QR, qrLevel="M", qrBorder=4)

    def draw(self) -> None:
        self.canv.setFillColor(WHITE)
        self.canv.rect(0, 0, _QR, _QR, stroke=0, fill=1)
        self.canv.setFillColor(BLACK)
        super().draw()


def _code(code: str) -> list[Flowable]:
    """In one line if that can be read at all: a line break would be copied too."""
    room = WIDTH - 18
    size = min(_CODE_SIZE, room / width_of(code, 1))
    how = style(max(size, _CODE_SIZE_MIN), leading=_CODE_SIZE * 1.3)
    return [words("PIX copia e cola", style(7.5, color=GREY)), words(code, how)]


def _quantity(quantity: Decimal) -> str:
    if quantity == quantity.to_integral_value():
        return f"{quantity:.0f}"
    return f"{quantity.normalize():f}".replace(".", ",")


_BARE: Final = [
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 0),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 0),
]
