"""Amounts as Brazil writes them, and what is no amount."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.money import decimal_comma, in_cents, reais, share

AMOUNTS = st.decimals("-9999999999.99", "9999999999.99", places=2)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Decimal("1550"), "R$\u00a01.550,00"),
        (Decimal("0.1"), "R$\u00a00,10"),
        (Decimal("-10"), "-R$\u00a010,00"),
        (Decimal("-0.001"), "R$\u00a00,00"),
        (Decimal("1234567.895"), "R$\u00a01.234.567,90"),
        (Decimal("2.675"), "R$\u00a02,68"),
        (0, "R$\u00a00,00"),
    ],
)
def test_an_amount_is_shown_as_brazil_writes_it(amount: Decimal | int, shown: str) -> None:
    assert reais(amount) == shown


@given(AMOUNTS)
def test_what_is_shown_is_read_back_as_the_same_amount(amount: Decimal) -> None:
    assert Decimal(decimal_comma(amount).replace(",", ".")) == amount
    shown = reais(amount).replace("R$\u00a0", "").replace(".", "").replace(",", ".")
    assert Decimal(shown) == amount


@pytest.mark.parametrize("nothing", [1550.0, True, "1550", None])
def test_what_is_no_decimal_is_refused(nothing: object) -> None:
    with pytest.raises(TypeError, match="give a Decimal"):
        in_cents(nothing)  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e30", "10000000000"])
def test_what_no_account_can_hold_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="is no amount"):
        in_cents(Decimal(amount))


def test_a_share_of_nothing_is_nothing() -> None:
    assert share(1, 8) == "12,5%"
    assert share(2, 3) == "66,7%"
    assert share(5, 0) == "0,0%"
