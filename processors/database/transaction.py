"""One transaction: reads as typed rows, writes, streams and COPY."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import Final, LiteralString, TypeVar

from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow, class_row, scalar_row

from processors.database.trouble import TooManyRows

Row = TypeVar("Row")

ROWS_MAX: Final = 10_000
"""Of one list in memory."""
STREAM_ROWS: Final = 1_000
"""Fetched at a time by a server-side cursor."""

Statement = LiteralString | sql.Composed
"""Text of the program. A value never goes into it: `%(name)s`, and the value by that name."""


class Transaction:
    """What may be done inside of `database.transaction()`; of no use after it.

    Values are named in the statement and given by name:

        await work.one(Renter, "SELECT name, email FROM renters WHERE id = %(id)s", id=renter_id)

    A bare percent sign is written `%%`. Where PostgreSQL cannot tell a value's type, say it:
    `%(at)s::timestamp`. Rows come as the Struct that is asked for, by the names of the columns:
    alias what differs.
    """

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self.connection = connection
        """For what this class has no method for; its errors are told the same way."""

    async def run(self, statement: Statement, /, **values: object) -> int:
        """Runs one statement; how many rows it changed."""
        return (await self.connection.execute(statement, values)).rowcount

    async def one(self, kind: type[Row], statement: Statement, /, **values: object) -> Row | None:
        """The only row, None if there is none. Raises TooManyRows for a second one."""
        rows = await self._rows(kind, statement, values, rows_max=1)
        return rows[0] if rows else None

    async def every(self, kind: type[Row], statement: Statement, /, **values: object) -> list[Row]:
        """All rows, in the statement's order. Raises TooManyRows past 10,000."""
        return await self._rows(kind, statement, values, rows_max=ROWS_MAX)

    async def value(self, kind: type[Row], statement: Statement, /, **values: object) -> Row | None:
        """The first column of the first row; None if it is NULL or there is no row."""
        async with self.connection.cursor(row_factory=scalar_row) as cursor:
            await cursor.execute(statement, values)
            found: object = await cursor.fetchone()
        assert found is None or isinstance(found, kind), f"{type(found)} is no {kind}"
        return found

    async def stream(
        self, kind: type[Row], statement: Statement, /, **values: object
    ) -> AsyncIterator[Row]:
        """Every row, 1,000 at a time from a server-side cursor: memory does not grow.

        Other statements may run between two rows. The server's time limit is for each fetch.
        """
        async with self.connection.cursor(name="stream", row_factory=class_row(kind)) as cursor:
            cursor.itersize = STREAM_ROWS
            await cursor.execute(statement, values)
            async for row in cursor:
                yield row

    async def copy_in(
        self,
        table: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
    ) -> None:
        """Writes the rows by COPY: the way for thousands. All of them or, on an error, none."""
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        async with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            if isinstance(rows, AsyncIterable):
                async for row in rows:
                    await copy.write_row(row)
            else:
                for row in rows:
                    await copy.write_row(row)

    async def locked(self, name: str) -> bool:
        """Takes the lock of that name until the transaction ends; False if another has it."""
        statement = "SELECT pg_try_advisory_xact_lock(hashtextextended(%(name)s, 0))"
        return await self.value(bool, statement, name=name) is True

    async def _rows(
        self, kind: type[Row], statement: Statement, values: dict[str, object], *, rows_max: int
    ) -> list[Row]:
        async with self.connection.cursor(row_factory=class_row(kind)) as cursor:
            await cursor.execute(statement, values)
            rows = await cursor.fetchmany(rows_max + 1)
        if len(rows) > rows_max:
            raise TooManyRows(f"more than {rows_max} rows of {kind.__name__}; stream them")
        return rows
