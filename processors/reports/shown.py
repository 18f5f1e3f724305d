"""The words of a report, the same in each of its formats."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from processors.days import moment_in_numbers
from processors.money import ZERO, reais, share
from processors.reports.figures import Report
from processors.reports.payments import Payment

SOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "website": "Site",
        "facebook": "Facebook",
        "instagram": "Instagram",
        "google": "Google",
        "olx": "OLX",
        "vivareal": "VivaReal",
        "zapimoveis": "ZAP Imóveis",
        "imovelweb": "Imovelweb",
        "mercadolivre": "Mercado Livre",
        "referral": "Indicação",
        "walk-in": "Visita à loja",
        "phone": "Telefone",
        "whatsapp": "WhatsApp",
        "email": "E-mail",
        "outdoor": "Outdoor",
        "panfleto": "Panfleto",
        "other": "Outros",
    }
)

ACTIVITY: Final[Mapping[str, str]] = MappingProxyType(
    {"payment": "Pagamento", "sale": "Venda", "lead": "Novo lead", "visit": "Visita"}
)


# What was cancelled or given back nobody owes.
_ASKED_FOR: Final = frozenset({"pending", "paid", "overdue", "partially_paid"})


class Title(msgspec.Struct, frozen=True):
    """Whose report it is, about what, and when it was made."""

    heading: str
    period: str
    made_at: datetime

    @property
    def made(self) -> str:
        return f"Gerado em {moment_in_numbers(self.made_at)}"


class Writer(Protocol):
    """A format: the list of payments is given in batches, and is in memory only as these.

    All of it blocks: call it in a thread, one call at a time.
    """

    rows_max: int | None
    """How much of the list it wants. None: all of it."""

    def add(self, batch: list[Payment]) -> None: ...

    def close(self) -> None:
        """Now the file is there, whole."""
        ...


class Card(msgspec.Struct, frozen=True):
    """A figure: what it is called, how it is shown, and its plain value."""

    name: str
    text: str
    value: Decimal | int
    kind: str
    """`money`, `count` or `share`."""


def cards(report: Report) -> Iterator[Card]:
    """In the order of their worth to who reads it."""
    figures = report.figures
    for name, amount in (
        ("Receita de aluguéis", figures.revenue),
        ("Vendas", figures.sales),
        ("Comissões", figures.commissions),
        ("Despesas", figures.expenses),
    ):
        yield Card(name, reais(amount), amount, "money")
    for name, part in (
        ("Taxa de ocupação", figures.occupancy_rate),
        ("Inadimplência", late_share(report)),
    ):
        yield Card(name, share(part, 1), part, "share")
    for name, count in (
        ("Contratos ativos", figures.active_contracts),
        ("Imóveis", figures.total_properties),
        ("Novos leads", figures.new_leads),
        ("Negócios fechados", figures.closed_deals),
        ("Visitas realizadas", figures.visits),
        ("Pagamentos no período", figures.payments),
    ):
        yield Card(name, thousands(count), count, "count")


def late_share(report: Report) -> Decimal:
    """Of the rent that is due in the period, how much is late: 0 to 1."""
    due = sum((row.total for row in report.standing if row.status in _ASKED_FOR), Decimal(0))
    late = sum((row.total - row.paid for row in report.standing if row.status == "overdue"), ZERO)
    return (late / due).quantize(Decimal("0.0001")) if due else Decimal(0)


def source_counts(report: Report, rows_max: int) -> list[tuple[str, int]]:
    """The most frequent, and all others as one."""
    shown = [(SOURCES.get(row.source, row.source), row.count) for row in report.sources]
    if len(shown) <= rows_max:
        return shown
    rest = sum(count for _, count in shown[rows_max - 1 :])
    return [*shown[: rows_max - 1], ("Demais origens", rest)]


def thousands(count: int) -> str:
    """`12.345`."""
    return f"{count:,}".replace(",", ".")
