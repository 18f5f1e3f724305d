"""Amounts in reais: Decimal from the database to the page, shown as Brazil writes them.

A float is refused everywhere: 0.1 + 0.2 is not 0.3.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

CENT: Final = Decimal("0.01")
ZERO: Final = Decimal("0.00")
_NO_BREAK_SPACE: Final = "\u00a0"
# numeric(12, 2) holds no more.
_AMOUNT_MAX: Final = Decimal("9999999999.99")


def in_cents(amount: Decimal | int) -> Decimal:
    """Rounded to whole cents, half up, as an invoice is. Raises TypeError for a float, ValueError
    for what the database's columns cannot hold.
    """
    if isinstance(amount, bool) or not isinstance(amount, Decimal | int):
        raise TypeError(f"{amount!r} is no amount: give a Decimal")
    exact = Decimal(amount)
    if not exact.is_finite() or abs(exact) > _AMOUNT_MAX:
        raise ValueError(f"{amount} is no amount that an account can hold")
    return exact.quantize(CENT, ROUND_HALF_UP) + ZERO  # no "-0.00"


def reais(amount: Decimal | int) -> str:
    """`R$ 1.550,00`; the space does not break a line. Negative: `-R$ 10,00`."""
    cents = in_cents(amount)
    sign = "-" if cents < 0 else ""
    return f"{sign}R${_NO_BREAK_SPACE}{decimal_comma(abs(cents), thousands=True)}"


def decimal_comma(amount: Decimal | int, *, thousands: bool = False) -> str:
    """`1550,00`, as spreadsheets in Brazil read it; with `thousands`, `1.550,00`."""
    text = f"{in_cents(amount):,.2f}" if thousands else f"{in_cents(amount):.2f}"
    return text.translate({ord(","): ".", ord("."): ","})


def share(part: Decimal | int, whole: Decimal | int, *, digits: int = 1) -> str:
    """`12,5%`; of nothing, `0,0%`."""
    ratio = Decimal(part) / Decimal(whole) if whole else Decimal(0)
    rounded = (ratio * 100).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{rounded:f}".replace(".", ",") + "%"
