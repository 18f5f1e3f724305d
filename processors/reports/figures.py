"""What a report says, read from the database: its figures, its series and its short lists.

The formulas are those of the Node application: rent is what was paid in the period, sales and their
commissions what was sold in it, expenses what went out and is completed.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from processors.database import Transaction
from processors.days import Period
from processors.money import ZERO

TOP_MAX: Final = 10
RECENT_MAX: Final = 15
CHART_BARS_MAX: Final = 31
DAILY_CHART_DAYS: Final = 14
"""A chart of one day has one bar: a daily report shows the days before too."""


class Figures(msgspec.Struct, frozen=True, rename="camel"):
    """The figures by the names that the Node application has for them, and a few beside them.

    Properties, contracts and occupancy are as they are when the report is made: their past is not
    kept.
    """

    total_properties: int
    active_contracts: int
    occupancy_rate: Decimal
    """From 0 to 1: active rental contracts by properties for rent."""
    revenue: Decimal
    """Rent that was paid in the period."""
    sales: Decimal
    commissions: Decimal
    expenses: Decimal
    new_leads: int
    closed_deals: int
    """Sales that were completed in the period."""
    visits: int
    payments: int
    """Of the list: due in the period, or paid in it."""


class Standing(msgspec.Struct, frozen=True):
    """Rents that are due in the period, by where they stand."""

    status: str
    count: int
    total: Decimal
    paid: Decimal


class TopProperty(msgspec.Struct, frozen=True):
    title: str
    city: str
    revenue: Decimal


class TopSeller(msgspec.Struct, frozen=True):
    name: str
    count: int
    sales: Decimal
    commissions: Decimal


class Source(msgspec.Struct, frozen=True):
    source: str
    count: int


class Activity(msgspec.Struct, frozen=True):
    day: date
    kind: str
    what: str
    amount: Decimal | None


class Day(msgspec.Struct, frozen=True):
    day: date
    amount: Decimal


class Bar(msgspec.Struct, frozen=True):
    """One place of the chart: a day, a week or a month."""

    label: str
    revenue: Decimal
    expenses: Decimal


class Report(msgspec.Struct, frozen=True):
    """All of it but the list of payments, which is streamed."""

    agency: str
    color: str | None
    figures: Figures
    standing: tuple[Standing, ...]
    properties: tuple[TopProperty, ...]
    sellers: tuple[TopSeller, ...]
    sources: tuple[Source, ...]
    activity: tuple[Activity, ...]
    bars: tuple[Bar, ...]


async def read_report(work: Transaction, period: Period, *, today: date) -> Report:
    """Inside of the tenant's snapshot: its sums are of the rows that its list has."""
    agency = await work.one(_Agency, "SELECT name, primary_color AS color FROM tenants")
    assert agency is not None
    days = {"first": period.first, "last": period.last}
    moments = {"begins": period.begins, "ends": period.ends}
    counts = await work.one(_Counts, _COUNTS, **days, **moments)
    sums = await work.one(_Sums, _SUMS, **days)
    assert counts is not None
    assert sums is not None
    chart = _charted(period)
    shown = {"first": chart.first, "last": chart.last}
    return Report(
        agency=agency.name,
        color=agency.color,
        figures=_figures(counts, sums),
        standing=tuple(await work.every(Standing, _STANDING, **days, today=today)),
        properties=tuple(await work.every(TopProperty, _TOP_PROPERTIES, **days, top=TOP_MAX)),
        sellers=tuple(await work.every(TopSeller, _TOP_SELLERS, **days, top=TOP_MAX)),
        sources=tuple(await work.every(Source, _SOURCES, **moments)),
        activity=tuple(await work.every(Activity, _ACTIVITY, **days, **moments, top=RECENT_MAX)),
        bars=tuple(
            bars(
                chart,
                {row.day: row.amount for row in await work.every(Day, _REVENUE_BY_DAY, **shown)},
                {row.day: row.amount for row in await work.every(Day, _EXPENSES_BY_DAY, **shown)},
            )
        ),
    )


def bars(
    period: Period, revenue: Mapping[date, Decimal], expenses: Mapping[date, Decimal]
) -> Iterator[Bar]:
    """Both by day up to 31 days, by week up to 31 weeks, else by month; those without any too."""
    by_month = period.days > 7 * CHART_BARS_MAX
    step = timedelta(days=1 if period.days <= CHART_BARS_MAX else 7)
    first = period.first
    while first <= period.last:
        after = _next_month(first) if by_month else first + step
        last = min(after - timedelta(days=1), period.last)
        whole = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        yield Bar(
            f"{first:%m/%Y}" if by_month else f"{first:%d/%m}",
            sum((revenue.get(day, ZERO) for day in whole), ZERO),
            sum((expenses.get(day, ZERO) for day in whole), ZERO),
        )
        first = after


class _Agency(msgspec.Struct, frozen=True):
    name: str
    color: str | None


class _Counts(msgspec.Struct, frozen=True):
    properties: int
    for_rent: int
    contracts: int
    leads: int
    visits: int
    payments: int


class _Sums(msgspec.Struct, frozen=True):
    revenue: Decimal
    sales: Decimal
    commissions: Decimal
    deals: int
    expenses: Decimal


def _figures(counts: _Counts, sums: _Sums) -> Figures:
    occupied = Decimal(counts.contracts) / counts.for_rent if counts.for_rent else Decimal(0)
    return Figures(
        total_properties=counts.properties,
        active_contracts=counts.contracts,
        occupancy_rate=min(occupied, Decimal(1)).quantize(Decimal("0.0001")),
        revenue=sums.revenue,
        sales=sums.sales,
        commissions=sums.commissions,
        expenses=sums.expenses,
        new_leads=counts.leads,
        closed_deals=sums.deals,
        visits=counts.visits,
        payments=counts.payments,
    )


def _charted(period: Period) -> Period:
    if period.days > 1:
        return period
    return Period(period.last - timedelta(days=DAILY_CHART_DAYS - 1), period.last)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


_PAID: Final = "status = 'paid' AND local_day(paid_date) BETWEEN %(first)s AND %(last)s"
_LISTED: Final = (
    "(local_day(p.due_date) BETWEEN %(first)s AND %(last)s"
    " OR p.status = 'paid' AND local_day(p.paid_date) BETWEEN %(first)s AND %(last)s)"
)

_COUNTS: Final = f"""
    SELECT
        (SELECT count(*) FROM properties WHERE deleted_at IS NULL) AS properties,
        (SELECT count(*) FROM properties WHERE deleted_at IS NULL AND category = 'aluguel')
            AS for_rent,
        (SELECT count(*) FROM rental_contracts WHERE deleted_at IS NULL AND status = 'active')
            AS contracts,
        (SELECT count(*) FROM leads WHERE deleted_at IS NULL
            AND created_at >= %(begins)s AND created_at < %(ends)s) AS leads,
        (SELECT count(*) FROM visits WHERE status = 'completed'
            AND scheduled_for >= %(begins)s AND scheduled_for < %(ends)s) AS visits,
        (SELECT count(*) FROM rental_payments p WHERE {_LISTED}) AS payments
"""

_SUMS: Final = f"""
    SELECT
        (SELECT coalesce(sum(paid_value), 0.00) FROM rental_payments WHERE {_PAID}) AS revenue,
        s.sales, s.commissions, s.deals,
        (SELECT coalesce(sum(amount), 0.00) FROM finance_entries
            WHERE flow = 'out' AND status = 'completed'
            AND local_day(entry_date) BETWEEN %(first)s AND %(last)s) AS expenses
    FROM (
        SELECT coalesce(sum(sale_value), 0.00) AS sales,
            coalesce(sum(commission_value), 0.00) AS commissions, count(*) AS deals
        FROM property_sales
        WHERE status = 'completed' AND local_day(sale_date) BETWEEN %(first)s AND %(last)s
    ) s
"""

_STANDING: Final = """
    SELECT CASE WHEN status = 'pending' AND local_day(due_date) < %(today)s THEN 'overdue'
            ELSE status END AS status,
        count(*) AS count, sum(total_value) AS total, coalesce(sum(paid_value), 0.00) AS paid
    FROM rental_payments
    WHERE local_day(due_date) BETWEEN %(first)s AND %(last)s
    GROUP BY 1 ORDER BY 3 DESC
"""

_TOP_PROPERTIES: Final = f"""
    SELECT q.title, q.city, sum(p.paid_value) AS revenue
    FROM (SELECT rental_contract_id, paid_value FROM rental_payments WHERE {_PAID}) p
        JOIN rental_contracts c ON c.id = p.rental_contract_id
        JOIN properties q ON q.id = c.property_id
    GROUP BY q.id, q.title, q.city HAVING sum(p.paid_value) > 0
    ORDER BY 3 DESC, q.id LIMIT %(top)s
"""

_TOP_SELLERS: Final = """
    SELECT u.name, count(*) AS count, sum(s.sale_value) AS sales,
        coalesce(sum(s.commission_value), 0.00) AS commissions
    FROM property_sales s JOIN users u ON u.id = s.broker_id
    WHERE s.status = 'completed' AND local_day(s.sale_date) BETWEEN %(first)s AND %(last)s
    GROUP BY u.id, u.name ORDER BY 3 DESC, u.id LIMIT %(top)s
"""

_SOURCES: Final = """
    SELECT source, count(*) AS count FROM leads
    WHERE deleted_at IS NULL AND created_at >= %(begins)s AND created_at < %(ends)s
    GROUP BY source ORDER BY 2 DESC, 1
"""

# Days are told by the database: it knows which times are days, and which are moments.
_ACTIVITY: Final = f"""
    SELECT local_day(happened) AS day, kind, what, amount FROM (
        (SELECT p.paid_date AS happened, 'payment' AS kind, q.title || ' · ' || r.name AS what,
            p.paid_value AS amount
        FROM (SELECT * FROM rental_payments WHERE {_PAID} ORDER BY paid_date DESC LIMIT %(top)s) p
            JOIN rental_contracts c ON c.id = p.rental_contract_id
            JOIN properties q ON q.id = c.property_id
            JOIN renters r ON r.id = c.renter_id)
        UNION ALL
        (SELECT s.sale_date, 'sale', q.title, s.sale_value
        FROM property_sales s JOIN properties q ON q.id = s.property_id
        WHERE s.status = 'completed' AND local_day(s.sale_date) BETWEEN %(first)s AND %(last)s
        ORDER BY 1 DESC LIMIT %(top)s)
        UNION ALL
        (SELECT created_at, 'lead', name, NULL FROM leads
        WHERE deleted_at IS NULL AND created_at >= %(begins)s AND created_at < %(ends)s
        ORDER BY 1 DESC LIMIT %(top)s)
        UNION ALL
        (SELECT v.scheduled_for, 'visit', q.title, NULL
        FROM visits v JOIN properties q ON q.id = v.property_id
        WHERE v.status = 'completed'
            AND v.scheduled_for >= %(begins)s AND v.scheduled_for < %(ends)s
        ORDER BY 1 DESC LIMIT %(top)s)
    ) events
    ORDER BY 1 DESC, happened DESC, what LIMIT %(top)s
"""

_REVENUE_BY_DAY: Final = f"""
    SELECT local_day(paid_date) AS day, sum(paid_value) AS amount
    FROM rental_payments WHERE {_PAID} AND paid_value IS NOT NULL GROUP BY 1
"""

_EXPENSES_BY_DAY: Final = """
    SELECT local_day(entry_date) AS day, sum(amount) AS amount
    FROM finance_entries WHERE flow = 'out' AND status = 'completed'
        AND local_day(entry_date) BETWEEN %(first)s AND %(last)s GROUP BY 1
"""
