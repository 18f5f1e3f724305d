"""The connections of one worker process, and the transactions on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from processors.database.times import ADAPTERS
from processors.database.transaction import Transaction
from processors.database.trouble import DatabaseUnavailable, said, told
from processors.database.url import DatabaseServer
from streamq import Fail

CONNECTIONS: Final = 10
CONNECT_LIMIT_S: Final = 5
WAIT_LIMIT_S: Final = 10.0
"""For a connection of the pool; longer than one connect, so that the reason is the server's."""
IDLE_LIMIT_S: Final = 60.0
STATEMENT_LIMIT_MS: Final = 60_000
LOCK_LIMIT_MS: Final = 10_000
IDLE_IN_TRANSACTION_LIMIT_MS: Final = 120_000
# A peer that is gone without a word is noticed in half a minute.
_KEEPALIVE: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}
_TCP_LIMIT_MS: Final = 30_000

# It may read and write one agency's rows, see schema/003_tenants.sql.
_AS_TENANT: Final = (
    "SELECT set_config('imobibase.tenant', %(tenant)s, true),"
    " set_config('role', 'imobibase_tenant', true)"
)
_SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
assert CONNECT_LIMIT_S < WAIT_LIMIT_S


class Database:
    """One database. Nothing is opened before it is needed, and idle connections are given back.

    `server` None: DATABASE_URL is not set, and whoever asks for a transaction fails with that.
    """

    def __init__(self, server: DatabaseServer | None, *, connections: int = CONNECTIONS) -> None:
        self._server = server
        self._pool = None if server is None else _pool_of(server, connections)

    @property
    def server(self) -> DatabaseServer:
        """Raises Fail if DATABASE_URL is not set."""
        if self._server is None:
            raise Fail(
                "DATABASE_URL is not set: this job needs the application's database."
                " `make dev` brings one"
            )
        return self._server

    async def open(self) -> None:
        """Does not wait for the server: a worker starts while it is away."""
        if self._pool is not None:
            await self._pool.open(wait=False)

    async def aclose(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    @asynccontextmanager
    async def transaction(
        self,
        *,
        tenant: str | None = None,
        read_only: bool = False,
        snapshot: bool = False,
        statement_limit_ms: int = STATEMENT_LIMIT_MS,
    ) -> AsyncIterator[Transaction]:
        """All or nothing: committed at the end of the block, rolled back if it raises.

        With `tenant` the server itself shows and takes only that agency's rows. The id comes from
        a row that was read before (the user's, the contract's), never from a payload. Without it
        every row is there: for finding out whose a row is, and for planners.

        With `snapshot` all its statements see the rows of one moment, and it is read-only: for sums
        and the lists that they are of. Without, each sees what was committed before it began.

        Keep it short: no mail, upload or call to others inside of it; a stream is the exception.
        Raises DatabaseUnavailable (try again) and Fail (DATABASE_URL, schema, rights).
        """
        async with self.connection() as connection:
            with told(self.server):
                async with connection.transaction():
                    if snapshot:
                        await connection.execute(_SNAPSHOT)
                    elif read_only:
                        await connection.execute("SET TRANSACTION READ ONLY")
                    if statement_limit_ms != STATEMENT_LIMIT_MS:
                        limit = f"SET LOCAL statement_timeout = {statement_limit_ms:d}"
                        await connection.execute(limit.encode())
                    if tenant is not None:
                        await connection.execute(_AS_TENANT, {"tenant": tenant})
                    yield Transaction(connection)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """One connection outside of a transaction, for what needs that: a session's lock, LISTEN.

        The caller ends what it began. Raises DatabaseUnavailable, Fail.
        """
        server, pool = self.server, self._pool
        assert pool is not None
        try:
            connection = await pool.getconn()
        except PoolTimeout as error:
            raise DatabaseUnavailable(await _why_none(server, pool.max_size)) from error
        try:
            yield connection
        finally:
            await pool.putconn(connection)


def _pool_of(
    server: DatabaseServer, connections: int
) -> AsyncConnectionPool[AsyncConnection[TupleRow]]:
    return AsyncConnectionPool(
        conninfo_of(server),
        connection_class=AsyncConnection[TupleRow],
        kwargs={"context": ADAPTERS, "autocommit": True},
        min_size=0,
        max_size=connections,
        open=False,
        timeout=WAIT_LIMIT_S,
        max_idle=IDLE_LIMIT_S,
        # After an outage the next caller connects at once, and waits for no doubled delay.
        reconnect_timeout=CONNECT_LIMIT_S,
        check=AsyncConnectionPool.check_connection,
        name="database",
    )


def conninfo_of(server: DatabaseServer) -> str:
    """How we connect: with a limit on everything that could wait, in UTC."""
    limits = {
        "statement_timeout": str(STATEMENT_LIMIT_MS),
        "lock_timeout": str(LOCK_LIMIT_MS),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_LIMIT_MS),
        "timezone": "UTC",
        "datestyle": "ISO",
    }
    ours = " ".join(f"-c {name}={value}" for name, value in limits.items())
    options = f"{ours} {server.options.get('options', '')}".strip()
    more: dict[str, str | int] = {"connect_timeout": CONNECT_LIMIT_S, "application_name": "streamq"}
    more |= {name: value for name, value in server.options.items() if name in more}
    more |= _KEEPALIVE
    return server.conninfo(options=options, tcp_user_timeout=_TCP_LIMIT_MS, **more)


async def _why_none(server: DatabaseServer, connections: int) -> str:
    """The pool only knows that none came in time: ask the server for the reason."""
    try:
        connection = await AsyncConnection.connect(conninfo_of(server))
    except OperationalError as error:
        return f"{server}: {said(error)}"
    await connection.close()
    waited = f"for {WAIT_LIMIT_S:g} s"
    return f"{server}: all {connections} connections of this process were in use {waited}"
