"""PIX codes: the keys that banks take, and the code that their apps read."""

from decimal import Decimal

import pytest

from processors.invoices.pix import as_written, br_code, crc16, is_cnpj, pix_key

# From the central bank's manual, with its CRC.
OFFICIAL = (
    "00020126580014br.gov.bcb.pix0136123e4567-e12b-12d1-a456-4266554400005204000053039865802BR"
    "5913Fulano de Tal6008BRASILIA62070503***63041D3D"
)


def fields(code: str) -> dict[str, str]:
    """A code's fields by their two digits, in order."""
    found: dict[str, str] = {}
    while code:
        length = int(code[2:4])
        found[code[:2]] = code[4 : 4 + length]
        code = code[4 + length :]
    return found


def made(**changed: str | Decimal) -> str:
    given = {"key": "a@b.com", "name": "Sol", "city": "Rio", "reference": "INV-000001"}
    amount = changed.pop("amount", Decimal("1550.00"))
    assert isinstance(amount, Decimal)
    return br_code(amount=amount, **{**given, **{k: str(v) for k, v in changed.items()}})


def test_the_crc_is_that_of_the_standard_and_of_the_central_banks_example() -> None:
    assert crc16(b"123456789") == 0x29B1
    assert f"{crc16(OFFICIAL[:-4].encode()):04X}" == OFFICIAL[-4:]


def test_a_code_has_the_fields_of_the_standard_in_their_order() -> None:
    code = fields(made())

    assert list(code) == ["00", "26", "52", "53", "54", "58", "59", "60", "62", "63"]
    assert fields(code["26"]) == {"00": "br.gov.bcb.pix", "01": "a@b.com"}
    assert (code["53"], code["54"], code["58"]) == ("986", "1550.00", "BR")
    assert fields(code["62"]) == {"05": "INV000001"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Imobiliária Sol", "IMOBILIARIA SOL"),
        ("Şahin Çağlayan & Ğ\u0131rł Ltda.", "SAHIN CAGLAYAN GIRL LTDA."),
        ("Administradora de Imóveis do Centro", "ADMINISTRADORA DE IMOVEIS"),
        ("不動産", "RECEBEDOR"),
    ],
)
def test_the_payees_name_is_at_most_25_capitals_of_ascii(name: str, shown: str) -> None:
    assert fields(made(name=name))["59"] == shown


def test_there_is_no_pix_of_nothing() -> None:
    with pytest.raises(ValueError, match="is none"):
        made(amount=Decimal("0.00"))


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("529.982.247-25", "52998224725"),
        ("52998224725", "52998224725"),
        ("11.222.333/0001-81", "11222333000181"),
        ("12.abc.345/01de-35", "12ABC34501DE35"),
        ("(11) 98765-4321", "+5511987654321"),
        ("+55 11 98765-4321", "+5511987654321"),
        ("5511987654321", "+5511987654321"),
        ("1133334444", "+551133334444"),
        (" Financeiro@Sol.com ", "financeiro@sol.com"),
        ("123E4567-e12b-12d1-a456-426655440000", "123e4567-e12b-12d1-a456-426655440000"),
    ],
)
def test_a_key_is_taken_as_people_write_it(written: str, key: str) -> None:
    assert pix_key(written) == key


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("52998224725", "529.982.247-25"),
        ("11222333000181", "11.222.333/0001-81"),
        ("+5511987654321", "+55 11 98765-4321"),
        ("financeiro@sol.com", "financeiro@sol.com"),
    ],
)
def test_a_key_is_shown_as_people_write_it(key: str, written: str) -> None:
    assert as_written(key) == written
    assert pix_key(written) == key


@pytest.mark.parametrize(
    "written",
    [
        "", "conta", "529.982.247-26", "12345678900", "11.222.333/0001-82", "111.111.111-11",
        "+1 212 555 0100", "a@b", "x" * 70 + "@b.com.br", "\uff10\uff11" * 5 + "0",
    ],
)  # fmt: skip
def test_what_is_no_key_is_none_and_no_strangers_telephone(written: str) -> None:
    assert pix_key(written) is None


def test_letters_in_a_cnpj_are_checked_too() -> None:
    assert is_cnpj("12ABC34501DE35")
    assert not is_cnpj("12ABC34501DE36")
