"""Whose handler runs here: what a log line, a report of an error and a metric belong to.

Set by the worker at the beginning of an attempt, in the attempt's own context: what its handler
calls, awaits, starts or hands to a thread sees the same.
"""

import os
import socket
from contextvars import ContextVar
from functools import cache
from typing import Final

from streamq.run.context import Context

RUNNING: Final[ContextVar[Context | None]] = ContextVar("streamq_running", default=None)


def worker_name() -> str:
    """This process as operators find it again, in logs, metrics and Sentry: `host:pid`."""
    return _named(os.getpid())


@cache
def _named(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}"
