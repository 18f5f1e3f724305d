"""A report that was never in a database, for tests of its files."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from processors.days import Period
from processors.reports.figures import (
    Activity,
    Figures,
    Report,
    Source,
    Standing,
    TopProperty,
    TopSeller,
    bars,
)
from processors.reports.payments import Payment
from processors.reports.shown import Title

JANUARY = Period(date(2025, 1, 1), date(2025, 1, 31))
TITLE = Title("Relatório mensal", "janeiro de 2025", datetime(2025, 2, 1, 11, 5, tzinfo=UTC))


def report(name: str = "Ayşe Şahin", *, color: str | None = "#f97316") -> Report:
    """`name` stands in every text of others."""
    rent = {JANUARY.first + timedelta(days=n): Decimal(n * 1_000) for n in range(31)}
    return Report(
        agency=name,
        color=color,
        figures=Figures(
            total_properties=124,
            active_contracts=98,
            occupancy_rate=Decimal("0.7903"),
            revenue=sum(rent.values(), Decimal("0.00")),
            sales=Decimal("1250000.00"),
            commissions=Decimal("75000.00"),
            expenses=Decimal("120.50"),
            new_leads=57,
            closed_deals=2,
            visits=31,
            payments=100_000,
        ),
        standing=(Standing("paid", 300, Decimal("450000.00"), Decimal("449000.00")),),
        properties=tuple(TopProperty(name, name, Decimal(n + 1)) for n in range(10)),
        sellers=(TopSeller(name, 1, Decimal("800000.00"), Decimal("48000.00")),),
        sources=(Source("website", 40), Source("olx", 12), Source(name, 5)),
        activity=(Activity(JANUARY.last, "payment", name, Decimal("1550.00")),),
        bars=tuple(bars(JANUARY, rent, {JANUARY.last: Decimal("120.50")})),
    )


def listed(count: int, name: str = "Ayşe Şahin") -> Iterator[Payment]:
    for number in range(count):
        paid = number % 3 == 0
        yield Payment(
            due_on=JANUARY.first + timedelta(days=number % 31),
            reference_month="2025-01",
            place=name,
            renter=name,
            status="paid" if paid else "overdue",
            total=Decimal("1550.00"),
            paid=Decimal("1550.00") if paid else None,
            paid_on=JANUARY.first if paid else None,
        )
