"""PIX "copia e cola": the BR Code of Brazil's central bank, a static one with its amount.

"Manual de Padrões para Iniciação do Pix" and EMV QRCPS-MPM: fields of two digits of name, two of
length, and the value; the last one is a CRC of everything before it.
"""

import re
import unicodedata
from decimal import Decimal
from typing import Final

from processors.money import in_cents
from processors.paper.text import phone

_EMAIL: Final = re.compile(r"[a-z0-9.!#$&'*+/=?^_`{|}~%-]+@[a-z0-9.-]+\.[a-z]{2,}")
_RANDOM: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# A mobile has nine digits after the area's two and begins with 9, a fixed line eight.
_PHONE: Final = re.compile(r"\+55[1-9][1-9](9[0-9]{8}|[2-5][0-9]{7})")
_NO_PHONE: Final = re.compile(r"[./]")
_CNPJ: Final = re.compile(r"[0-9A-Z]{12}[0-9]{2}")
_PUNCTUATION: Final = re.compile(r"[\s().\-/]")
_EMAIL_CHARS_MAX: Final = 77
_NAME_CHARS_MAX: Final = 25
_CITY_CHARS_MAX: Final = 15
_REFERENCE_CHARS_MAX: Final = 25
_NO_REFERENCE: Final = "***"
# What does not fall apart into an ASCII letter and its marks.
_LATIN: Final = str.maketrans(
    dict(
        zip(
            "\u0131ßøØłŁæÆœŒđĐðÐþÞ",
            ("i", "ss", "o", "O", "l", "L", "ae", "AE", "oe", "OE", "d", "D", "d", "D", "th", "TH"),
            strict=True,
        )
    )
)


def pix_key(written: str) -> str | None:
    """A key as people write it, in the one form that banks take; None: it is none.

    CPF, CNPJ (of digits, or of letters too, as given out since July 2026), e-mail, telephone, or a
    random key. Digits that could be either are a CPF, unless a bracket says telephone.
    """
    text = written.strip()
    if "@" in text:
        email = text.lower()
        return email if len(email) <= _EMAIL_CHARS_MAX and _EMAIL.fullmatch(email) else None
    if _RANDOM.fullmatch(text.lower()):
        return text.lower()
    bare = _PUNCTUATION.sub("", text).upper()
    if "(" not in text and (is_cpf(bare) or is_cnpj(bare)):
        return bare
    if _NO_PHONE.search(
        text
    ):  # a document with a slip in it, and no number to pay somebody else at
        return None
    national = bare.removeprefix("+55") if bare.startswith("+") else bare
    if len(national) in (12, 13):
        national = national.removeprefix("55")
    phone = f"+55{national}"
    return phone if _PHONE.fullmatch(phone) else None


def as_written(key: str) -> str:
    """A key of `pix_key` as people write it."""
    if is_cpf(key):
        return f"{key[:3]}.{key[3:6]}.{key[6:9]}-{key[9:]}"
    if is_cnpj(key):
        return f"{key[:2]}.{key[2:5]}.{key[5:8]}/{key[8:12]}-{key[12:]}"
    return phone(key)


def is_cpf(digits: str) -> bool:
    """Eleven digits, of which the last two fit the others."""
    if not (len(digits) == 11 and digits.isascii() and digits.isdigit()) or len(set(digits)) == 1:
        return False
    return all(
        _check_digit(digits[:length], range(length + 1, 1, -1)) == int(digits[length])
        for length in (9, 10)
    )


def is_cnpj(text: str) -> bool:
    """Twelve digits or letters, and two digits that fit them."""
    if _CNPJ.fullmatch(text) is None or len(set(text)) == 1:
        return False
    weights = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]
    return all(
        _check_digit(text[:length], weights[-length:]) == int(text[length]) for length in (12, 13)
    )


def br_code(*, key: str, name: str, city: str, amount: Decimal, reference: str) -> str:
    """What a bank's app takes, pasted or scanned. `key`: of `pix_key`; `reference` comes back with
    the money (letters and digits, 25 at most). Raises ValueError for an amount of nothing.
    """
    cents = in_cents(amount)
    if cents <= 0:
        raise ValueError(f"a PIX of {cents} is none")
    account = _field("00", "br.gov.bcb.pix") + _field("01", key)
    txid = re.sub(r"[^A-Za-z0-9]", "", reference)[:_REFERENCE_CHARS_MAX] or _NO_REFERENCE
    code = (
        _field("00", "01")
        + _field("26", account)
        + _field("52", "0000")
        + _field("53", "986")
        + _field("54", f"{cents:.2f}")
        + _field("58", "BR")
        + _field("59", _plain(name, _NAME_CHARS_MAX) or "RECEBEDOR")
        + _field("60", _plain(city, _CITY_CHARS_MAX) or "BRASIL")
        + _field("62", _field("05", txid))
        + "6304"
    )
    return f"{code}{crc16(code.encode()):04X}"


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, from 0xFFFF; of "123456789" it is 0x29B1."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc


def _field(name: str, value: str) -> str:
    assert 1 <= len(value) <= 99, f"field {name} of {len(value)} characters"
    return f"{name}{len(value):02}{value}"


def _plain(text: str, chars_max: int) -> str:
    """In capitals of ASCII: `Şahin İmóveis` is SAHIN IMOVEIS."""
    bare = unicodedata.normalize("NFKD", text.translate(_LATIN)).encode("ascii", "ignore").decode()
    kept = re.sub(r"[^A-Z0-9 .-]", " ", bare.upper())
    return " ".join(kept.split())[:chars_max].strip()


def _check_digit(text: str, weights: "list[int] | range") -> int:
    total = sum((ord(c) - 48) * weight for c, weight in zip(text, weights, strict=True))
    return 0 if total % 11 < 2 else 11 - total % 11
