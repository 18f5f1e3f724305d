"""How points in time go to PostgreSQL and come back: always aware, always UTC.

The application's columns are `timestamp` without a zone and hold UTC; the session's zone is UTC.
"""

from datetime import UTC, datetime

import psycopg
from psycopg.adapt import AdaptersMap, Buffer, Dumper, Loader
from psycopg.postgres import types


class _UtcDumper(Dumper):
    """By COPY a zone would be cut off in silence: so it is UTC before it is text."""

    oid = types["timestamptz"].oid

    def dump(self, obj: datetime) -> Buffer:
        if obj.tzinfo is None:
            raise ValueError(f"{obj!r} has no time zone; give an aware datetime")
        return obj.astimezone(UTC).isoformat(" ").encode()


class _UtcLoader(Loader):
    def load(self, data: Buffer) -> datetime:
        return datetime.fromisoformat(bytes(data).decode()).replace(tzinfo=UTC)


ADAPTERS = AdaptersMap(psycopg.adapters)
"""For every connection of ours: `AsyncConnection.connect(..., context=ADAPTERS)`."""
ADAPTERS.register_dumper(datetime, _UtcDumper)
ADAPTERS.register_loader("timestamp", _UtcLoader)
