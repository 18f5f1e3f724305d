"""Invented people and places: names, documents whose check digits are right, addresses."""

import unicodedata
from random import Random
from typing import Final

import msgspec

_FIRST: Final = (
    *("Ana", "Beatriz", "Camila", "Débora", "Eduarda", "Fernanda", "Gabriela", "Helena"),
    *("Isabela", "Júlia", "Larissa", "Mariana", "Natália", "Patrícia", "Renata", "Zoë"),
    *("André", "Bruno", "Caio", "Diego", "Eduardo", "Felipe", "Gustavo", "Henrique"),
    *("Ícaro", "João", "Lucas", "Marcelo", "Otávio", "Rafael", "Thiago", "Vinícius"),
)
_LAST: Final = (
    *("Almeida", "Araújo", "Barbosa", "Cardoso", "Carvalho", "Conceição", "Costa", "D'Ávila"),
    *("Fernandes", "Ferreira", "Gonçalves", "Lima", "Magalhães", "Martins", "Moraes", "Nunes"),
    *("Oliveira", "Pereira", "Ribeiro", "Rocha", "Santos", "Silva", "Souza", "Yamamoto"),
    # Names that leave Latin-1: an invoice must not fail for one.
    *("Şahin", "Dvořák", "Kowalczyk-Łęcki"),
)
_STREETS: Final = (
    *("Rua das Palmeiras", "Rua XV de Novembro", "Avenida Brasil", "Rua Sete de Setembro"),
    *("Avenida Paulista", "Rua Voluntários da Pátria", "Alameda Santos", "Rua Augusta"),
    *("Rua São Clemente", "Avenida Atlântica", "Rua do Ouvidor", "Travessa da Conceição"),
)
_PROFESSIONS: Final = ("Engenheira", "Professor", "Médica", "Analista", "Advogado", "Designer")
BANKS: Final = ("Banco do Brasil", "Itaú", "Bradesco", "Caixa", "Santander")


class City(msgspec.Struct, frozen=True):
    """Where an agency works. `zip_codes` is the range of its CEP's first five digits."""

    name: str
    state: str
    area_code: int
    zip_codes: tuple[int, int]
    neighbourhoods: tuple[str, ...]


CITIES: Final = (
    City("São Paulo", "SP", 11, (1000, 5999), ("Pinheiros", "Moema", "Vila Mariana", "Tatuapé")),
    City("Rio de Janeiro", "RJ", 21, (20000, 23799), ("Botafogo", "Tijuca", "Ipanema", "Méier")),
    City("Curitiba", "PR", 41, (80000, 82999), ("Batel", "Água Verde", "Portão")),
    City("Belo Horizonte", "MG", 31, (30000, 31999), ("Savassi", "Lourdes", "Pampulha")),
)


class Person(msgspec.Struct, frozen=True):
    """Somebody."""

    name: str
    email: str
    phone: str
    cpf: str
    profession: str


def person(random: Random, city: City, number: int) -> Person:
    """`number` keeps addresses apart: names come again."""
    name = f"{random.choice(_FIRST)} {random.choice(_LAST)}"
    return Person(
        name=name,
        email=f"{_plain(name)}.{number}@example.com",
        phone=f"+55{city.area_code}9{random.randrange(10**8):08}",
        cpf=cpf(random),
        profession=random.choice(_PROFESSIONS),
    )


def street(random: Random, city: City, place: str | None = None) -> str:
    """`Rua Augusta, 12 - Moema`; in `place` if one is given."""
    place = place or random.choice(city.neighbourhoods)
    return f"{random.choice(_STREETS)}, {random.randrange(1, 3_000)} - {place}"


def zip_code(random: Random, city: City) -> str:
    first, last = city.zip_codes
    return f"{random.randrange(first, last + 1):05}-{random.randrange(1_000):03}"


def cpf(random: Random) -> str:
    """`123.456.789-09`."""
    digits = [random.randrange(10) for _ in range(9)]
    for weights in (range(10, 1, -1), range(11, 1, -1)):
        digits.append(_check_digit(digits, weights))
    text = "".join(map(str, digits))
    return f"{text[:3]}.{text[3:6]}.{text[6:9]}-{text[9:]}"


def cnpj(random: Random) -> str:
    """`12.345.678/0001-95`."""
    digits = [random.randrange(10) for _ in range(8)] + [0, 0, 0, 1]
    weights = [5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]
    digits.append(_check_digit(digits, weights))
    digits.append(_check_digit(digits, [6, *weights]))
    text = "".join(map(str, digits))
    return f"{text[:2]}.{text[2:5]}.{text[5:8]}/{text[8:12]}-{text[12:]}"


def _check_digit(digits: list[int], weights: "range | list[int]") -> int:
    rest = sum(digit * weight for digit, weight in zip(digits, weights, strict=True)) % 11
    return 0 if rest < 2 else 11 - rest


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.lower().replace("ł", "l"))
    words = "".join(c for c in letters if c.isascii() and (c.isalpha() or c == " ")).split()
    return ".".join(words)
