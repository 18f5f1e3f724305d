"""`python -m processors.seeding --size small`: schema and data for the database of DATABASE_URL."""

import argparse
import os
import sys
from collections.abc import Sequence

import psycopg

from processors.schema import SchemaChanged, apply_schema
from processors.seeding.load import SEED, AlreadySeeded, seed
from processors.seeding.size import Size
from processors.settings import database_server
from streamq.errors import ConfigError
from streamq.settings import Env


def main(words: Sequence[str] | None = None) -> int:
    """0 when the data is there, 1 when it is not, 2 for a wrong word or no database."""
    parser = argparse.ArgumentParser("python -m processors.seeding", description=__doc__)
    parser.add_argument("--size", type=Size, choices=list(Size), default=Size.SMALL)
    parser.add_argument("--seed", type=int, default=SEED, help="another number, other data")
    said = parser.parse_args(words)
    if os.environ.get("STREAMQ_ENV") == Env.PRODUCTION:
        print("STREAMQ_ENV=production: invented data is not for there", file=sys.stderr)
        return 2
    try:
        server = database_server()
        apply_schema(server)
        done = seed(server, said.size, seed=said.seed)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (AlreadySeeded, SchemaChanged, psycopg.Error) as error:
        print(error, file=sys.stderr)
        return 1
    rows = ", ".join(f"{count} {table}" for table, count in done.rows.items() if count)
    print(f"{server}: {rows}\nlog in as admin@sol.com with the password {done.password}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
