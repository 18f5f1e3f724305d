"""Writes the data: agency by agency, table by table, by COPY, and all of it or nothing."""

import hashlib
import secrets
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Final

import msgspec
import psycopg
from psycopg import sql

from processors.database.pool import conninfo_of
from processors.database.times import ADAPTERS
from processors.database.url import DatabaseServer
from processors.days import day_of
from processors.seeding.agency import Agency, Property
from processors.seeding.examples import add_examples
from processors.seeding.market import attract, keep_books, sell, show
from processors.seeding.renting import pay_owners, rent_history, rent_out
from processors.seeding.rows import COLUMNS
from processors.seeding.size import Size

SEED: Final = 2026
RENT: Final = 0.55
"""Of all properties; of these, 70 % are let."""
LET: Final = 0.70
SOLD: Final = 0.30
"""Of those for sale, in two years."""
# As the Node application hashes: scrypt with these, written as hex(64 bytes).salt.
_SCRYPT_COST: Final = 16_384


class AlreadySeeded(Exception):
    """There is data in that database, and it may be somebody's."""


class Seeding(msgspec.Struct, frozen=True):
    """What was written: how many rows in each table, and how its users log in."""

    rows: dict[str, int]
    password: str


def seed(
    server: DatabaseServer,
    size: Size,
    *,
    seed: int = SEED,
    today: date | None = None,
    password: str | None = None,
) -> Seeding:
    """Fills an empty database that has the schema. Blocking; the large size takes minutes.

    Equal arguments write equal rows (but for ids that the database makes). `today` None: today in
    São Paulo. `password` None: a random one, the same for all users. Raises AlreadySeeded.
    """
    password = password or secrets.token_urlsafe(9)
    hashed = _hashed(password, f"{seed:032x}")
    today = today or day_of(datetime.now(UTC))
    written = dict.fromkeys(COLUMNS, 0)
    with psycopg.connect(conninfo_of(server), context=ADAPTERS) as connection:
        if connection.execute("SELECT 1 FROM tenants LIMIT 1").fetchone() is not None:
            raise AlreadySeeded(f"{server} has agencies already: only an empty one is filled")
        for agency in _agencies(size, seed, today, hashed):
            for table, columns in COLUMNS.items():
                statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
                    sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
                )
                with connection.cursor() as cursor, cursor.copy(statement) as copy:
                    for row in agency.rows.of(table):
                        copy.write_row(row)
                written[table] += len(agency.rows.of(table))
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE")
    return Seeding(written, password)


def _agencies(size: Size, seed: int, today: date, hashed: str) -> Iterator[Agency]:
    for number in range(1, size.agencies + 1):
        agency = Agency(seed, number, today, hashed)
        agency.found()
        if number == 1:
            add_examples(agency)
        _fill(agency, size.properties_each - len(agency.rows.of("properties")))
        yield agency


def _fill(agency: Agency, properties: int) -> None:
    random = agency.random
    owners = [agency.owner() for _ in range(1 + properties // 3)]
    leads = attract(agency, properties * 2)
    for_sale: list[Property] = []
    for _ in range(properties):
        category = "aluguel" if random.random() < RENT else "venda"
        chance, owner = random.random(), random.choice(owners)
        taken = chance < (LET if category == "aluguel" else SOLD)
        status = ("rented" if category == "aluguel" else "sold") if taken else "available"
        place = agency.property(agency.new_id(), owner, category, status)
        if category == "venda":
            for_sale.append(place)
            if taken:
                sell(agency, place, random.choice(leads))
        elif taken:
            rent_history(agency, rent_out(agency, place))
    show(agency, for_sale, leads)
    pay_owners(agency)
    keep_books(agency)
    for number in range(3):
        email = f"leitor{number}@{agency.known.domain}"
        agency.rows.add("newsletter_subscriptions", email, agency.id, number < 2, agency.moment())


def _hashed(password: str, salt: str) -> str:
    key = hashlib.scrypt(password.encode(), salt=salt.encode(), n=_SCRYPT_COST, r=8, p=1, dklen=64)
    return f"{key.hex()}.{salt}"
