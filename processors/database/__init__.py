"""PostgreSQL, as processors use it: `Database`, its transactions, and what its trouble means."""

from processors.database.pool import Database
from processors.database.transaction import Transaction
from processors.database.trouble import DatabaseUnavailable, TooManyRows
from processors.database.url import DatabaseServer, InvalidDatabaseUrl, parse_database_url

__all__ = [
    "Database",
    "DatabaseServer",
    "DatabaseUnavailable",
    "InvalidDatabaseUrl",
    "TooManyRows",
    "Transaction",
    "parse_database_url",
]
