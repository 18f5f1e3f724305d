"""`python -m processors.schema`: apply what the database of DATABASE_URL has not yet."""

import sys

import psycopg

from processors.schema.apply import SchemaChanged, apply_schema
from processors.settings import database_server
from streamq.errors import ConfigError


def main() -> int:
    """0 when the database has this release's schema, 1 when not, 2 without a database."""
    try:
        server = database_server()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        applied = apply_schema(server)
    except (SchemaChanged, psycopg.Error) as error:
        print(f"{server}: {error}", file=sys.stderr)
        return 1
    print(f"{server}: {', '.join(applied) or 'nothing to apply'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
