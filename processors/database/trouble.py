"""What trouble with PostgreSQL means to a job: try again, or fail with a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from psycopg import Error, OperationalError, errors

from processors.database.url import DatabaseServer
from streamq import Fail

_SAID_CHARS_MAX: Final = 300


class DatabaseUnavailable(Exception):
    """Not now: refused, gone in the middle, over a time limit, full, or read-only.

    Nothing of the transaction was kept, unless it was lost while committing: then nobody knows, and
    what is written must be safe to write again. The job is tried again by its backoff.
    """


class TooManyRows(Exception):
    """A read for a list found more rows than a list may have: `stream` them instead."""


@contextmanager
def told(server: DatabaseServer) -> Iterator[None]:
    """Turns psycopg's errors into DatabaseUnavailable (later) or Fail (never like this).

    What is about the caller's own rows goes through as it is: IntegrityError, DataError.
    """
    try:
        yield
    except errors.ReadOnlySqlTransaction as error:
        raise DatabaseUnavailable(
            f"{server} is read-only now: a standby, or a server that is being moved"
        ) from error
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction) as error:
        raise Fail(
            f"{server} has not the schema of this release: {said(error)}."
            " Apply it:  python -m processors.schema"
        ) from error
    except errors.InsufficientPrivilege as error:
        raise Fail(
            f"{server} does not let us: {said(error)}. Grant it to the user of DATABASE_URL"
        ) from error
    except OperationalError as error:
        raise DatabaseUnavailable(f"{server}: {said(error)}") from error


def said(error: Error) -> str:
    """A server's words on one line, cut to 300; never a value of a row (DETAIL has those)."""
    words = error.diag.message_primary or str(error) or type(error).__name__
    return " ".join(words.split())[:_SAID_CHARS_MAX]
